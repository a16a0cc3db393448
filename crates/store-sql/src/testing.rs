//! A Postgres for tests: the one that the test runner hands over, or one of their own.
//!
//! A server of its own is made by `initdb` in a temporary directory, listens on a free port of
//! 127.0.0.1, and dies with the process that started it, however that ends: it is watched by a
//! shell that waits on a pipe. Root cannot run Postgres, so root starts it as another user.

pub mod plain;

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use crate::options::{PostgresOptions, Tls};

/// Names a server that tests may make databases on: `postgres://user:password@host:port/database`.
pub const URL_VARIABLE: &str = "WEIR_TEST_POSTGRES_URL";

/// Why there is no Postgres for the tests.
#[derive(Debug, thiserror::Error)]
#[error(
    "no Postgres for the tests: {0}. Install one (Debian: apt-get install postgresql; macOS: brew \
     install postgresql), so that `postgres` and `initdb` are on PATH or under \
     /usr/lib/postgresql, or name one in {URL_VARIABLE}"
)]
pub struct NoPostgres(String);

/// A server that belongs to whoever started it.
pub struct Server {
    port: u16,
    user: String,
    password: Option<String>,
    database: String,
    host: String,
    own: Option<Own>,
}

/// The process of a server that we have started.
struct Own {
    shell: Mutex<Shell>,
}

struct Shell {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<std::process::ChildStdout>,
}

/// What the watching shell does: makes a cluster, then obeys its input, and when that ends, takes
/// everything away. `$1` is the directory of the programs, `$2` the port, `$3` the port of the server
/// that this one is a replica of or `-`, then settings.
const WATCH: &str = r#"
bin=$1; port=$2; primary=$3; shift 3
dir=$(mktemp -d "${TMPDIR:-/tmp}/weir-postgres-XXXXXX") || exit 1
trap 'kill -QUIT $server 2>/dev/null; wait $server 2>/dev/null; rm -rf "$dir"' EXIT
case $primary in
    -) "$bin/initdb" -D "$dir/data" -U weir -A trust -E UTF8 --locale=C --no-sync ;;
    *) "$bin/pg_basebackup" -D "$dir/data" -h 127.0.0.1 -p "$primary" -U weir -R -X stream -c fast \
        --no-sync ;;
esac >"$dir/log" 2>&1 || { echo "failed to begin: $(tail -n 3 "$dir/log" | tr '\n' ' ')"; exit 1; }
launch() {
    "$bin/postgres" -D "$dir/data" -k "$dir" -p "$port" -c listen_addresses=127.0.0.1 "$@" \
        >>"$dir/log" 2>&1 </dev/null &
    server=$!
}
start() {
    launch "$@"
    tries=0
    until "$bin/pg_isready" -q -h 127.0.0.1 -p "$port" -U weir; do
        if ! kill -0 $server 2>/dev/null; then
            # The processes that a crash has orphaned need a moment to see that they are.
            tail -n 3 "$dir/log" | grep -q 'is still in use' \
                || { echo "failed postgres: $(tail -n 3 "$dir/log" | tr '\n' ' ')"; return; }
            launch "$@"
        fi
        tries=$((tries + 1))
        [ $tries -gt 600 ] && { echo "failed: it does not answer"; return; }
        sleep 0.05
    done
    echo ready
}
start "$@"
while read -r order; do
    case $order in
        crash) kill -KILL $server; wait $server 2>/dev/null; rm -f "$dir"/.s.PGSQL.*; echo done ;;
        stop) kill -INT $server; wait $server 2>/dev/null; echo done ;;
        start) start "$@" ;;
    esac
done
"#;

impl Server {
    /// The server of the test runner, or one that all tests of this process share.
    ///
    /// # Panics
    /// When there is none, with what to do about it: a test that needs Postgres fails without it.
    pub fn shared() -> &'static Server {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| {
            #[expect(
                clippy::disallowed_methods,
                reason = "the test runner speaks to tests through the environment"
            )]
            let server = match std::env::var(URL_VARIABLE) {
                Ok(url) => Server::at(&url),
                Err(_) => Server::start(&[("fsync", "off")]),
            };
            match server {
                Ok(server) => server,
                Err(error) => panic!("{error}"),
            }
        })
    }

    /// Starts a server with these settings beside its defaults, for a test that stops it or
    /// measures it. It is killed when the value is dropped.
    ///
    /// # Errors
    /// When there is no Postgres to be found, or it does not start.
    pub fn start(settings: &[(&str, &str)]) -> Result<Server, NoPostgres> {
        Server::begin(settings, "-")
    }

    /// Starts a server that follows this one and can be read: a hot standby.
    ///
    /// # Errors
    /// When it does not start.
    pub fn replica(&self) -> Result<Server, NoPostgres> {
        Server::begin(&[("fsync", "off")], &self.port.to_string())
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn begin(settings: &[(&str, &str)], primary: &str) -> Result<Server, NoPostgres> {
        let programs = find()?;
        let mut last = NoPostgres("it was not tried".to_owned());
        // Between choosing a free port and using it, another process may take it.
        for _ in 0..3 {
            match Server::start_once(&programs, settings, primary) {
                Ok(server) => return Ok(server),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn start_once(
        programs: &Path,
        settings: &[(&str, &str)],
        primary: &str,
    ) -> Result<Server, NoPostgres> {
        let failed = |error: std::io::Error| NoPostgres(format!("starting it: {error}"));
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(failed)?
            .port();
        let mut command = as_user();
        command.args(["sh", "-c", WATCH, "weir-postgres"]).arg(programs).arg(port.to_string());
        command.arg(primary);
        for (name, value) in [("max_connections", "200")].iter().chain(settings) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(NoPostgres("its shell has no pipes".to_owned()));
        };
        let mut shell = Shell { child, input: Some(input), output: BufReader::new(output) };
        match shell.answer().as_str() {
            "ready" => {}
            other => return Err(NoPostgres(other.to_owned())),
        }
        Ok(Server {
            port,
            user: "weir".to_owned(),
            password: None,
            database: "postgres".to_owned(),
            host: Ipv4Addr::LOCALHOST.to_string(),
            own: Some(Own { shell: Mutex::new(shell) }),
        })
    }

    fn at(url: &str) -> Result<Server, NoPostgres> {
        let wrong = || NoPostgres(format!("{URL_VARIABLE} is not a URL of a Postgres"));
        let options: PgConnectOptions = url.parse().map_err(|_| wrong())?;
        let after_scheme = url.split_once("://").ok_or_else(wrong)?.1;
        let password = after_scheme
            .split_once('@')
            .and_then(|(user, _)| user.split_once(':'))
            .map(|(_, password)| password.to_owned());
        Ok(Server {
            port: options.get_port(),
            user: options.get_username().to_owned(),
            password,
            database: options.get_database().unwrap_or("postgres").to_owned(),
            host: options.get_host().to_owned(),
            own: None,
        })
    }

    /// How to reach a new, empty database on this server.
    ///
    /// # Panics
    /// When the server does not make one.
    pub async fn database(&self) -> PostgresOptions {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("weir_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut connection = self.administrator().await;
        for text in [format!("DROP DATABASE IF EXISTS {name}"), format!("CREATE DATABASE {name}")] {
            let done = sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await;
            if let Err(error) = done {
                panic!("the test database {name} was not made: {error}");
            }
        }
        // Nothing depends on how it is closed.
        let _ = connection.close().await;
        self.options(name)
    }

    /// A connection to the server's own database, for what a test does to the server.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn administrator(&self) -> PgConnection {
        let options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .username(&self.user)
            .password(self.password.as_deref().unwrap_or_default())
            .database(&self.database)
            .disable_statement_logging();
        match options.connect().await {
            Ok(connection) => connection,
            Err(error) => panic!("the test server does not let us in: {error}"),
        }
    }

    fn options(&self, database: String) -> PostgresOptions {
        PostgresOptions {
            host: self.host.clone(),
            port: self.port,
            user: self.user.clone(),
            password: self.password.clone(),
            database,
            schema: None,
            tls: Tls::Off,
            connect_timeout: Duration::from_secs(5),
            pool_size: 5,
            replica: None,
        }
    }

    /// Kills the server as a power cut would (but for what is in the system's caches).
    pub fn crash(&self) {
        self.order("crash", "done");
    }

    /// Stops the server as its operator would, breaking off what runs.
    pub fn stop(&self) {
        self.order("stop", "done");
    }

    /// Starts it again after [`Server::crash`] or [`Server::stop`], on the same port.
    pub fn start_again(&self) {
        self.order("start", "ready");
    }

    fn order(&self, order: &str, expected: &str) {
        let Some(own) = &self.own else { panic!("the server of the test runner is not ours") };
        let mut shell = own.shell.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(input) = shell.input.as_mut()
            && let Err(error) = writeln!(input, "{order}")
        {
            panic!("the shell that watches Postgres is gone: {error}");
        }
        let answer = shell.answer();
        assert_eq!(answer, expected, "answer to {order}");
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("host", &self.host).field("port", &self.port).finish()
    }
}

impl Shell {
    fn answer(&mut self) -> String {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(0) => "its shell ended".to_owned(),
            Ok(_) => line.trim_end().to_owned(),
            Err(error) => error.to_string(),
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The end of its input ends the shell, which kills the server and removes the directory.
        self.input = None;
        let _ = self.child.wait();
    }
}

/// The directory with `postgres` and `initdb`: of PATH, or where Debian keeps them.
fn find() -> Result<PathBuf, NoPostgres> {
    let complete = |directory: &PathBuf| {
        ["postgres", "initdb", "pg_isready"].iter().all(|name| directory.join(name).is_file())
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A link on PATH leads to where the rest of the installation is.
    let on_path = std::env::split_paths(&path)
        .filter_map(|directory| directory.join("initdb").canonicalize().ok())
        .filter_map(|program| program.parent().map(Path::to_path_buf));
    let mut debian: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    debian.sort();
    on_path
        .chain(debian.into_iter().rev())
        .find(complete)
        .ok_or_else(|| NoPostgres("it is not installed".to_owned()))
}

/// A command that runs the next arguments as a user whom Postgres accepts.
fn as_user() -> Command {
    let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0");
    if !root {
        return Command::new("env");
    }
    let known =
        |user: &str| Command::new("id").arg(user).output().is_ok_and(|id| id.status.success());
    let user = if known("postgres") { "postgres" } else { "nobody" };
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid"]);
    let group = Command::new("id").args(["-g", user]).output().ok();
    let group = group.and_then(|id| String::from_utf8(id.stdout).ok()).unwrap_or_default();
    command.arg(group.trim()).args(["--clear-groups", "env", "TMPDIR=/tmp"]);
    command
}
