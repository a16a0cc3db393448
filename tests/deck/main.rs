//! decK, unmodified, against whole gateways on both stores: `cargo xtask e2e deck`, which builds
//! decK and passes its path.
#![expect(clippy::print_stdout, reason = "it tells the developer what has been shown")]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use end_to_end::{Client, Gateway, postgres};
use serde_json::{Map, Value, json};

fn main() -> Result<()> {
    let deck = std::env::args_os().nth(1).context(
        "the path of decK's program is missing: run this by `cargo xtask e2e deck`, which has it",
    )?;
    for (store, flags) in [("SQLite", Vec::new()), ("Postgres", postgres())] {
        let gateway = Gateway::start(&flags)?;
        let folder = tempfile::tempdir()?;
        let address = format!("http://{}", gateway.listeners().admin);
        let deck = Deck { program: deck.clone().into(), address, folder: folder.path().to_owned() };
        walk(&deck, &gateway.client()).with_context(|| format!("on {store}"))?;
        println!("{store}: decK syncs, diffs, dumps and resets every kind of entity");
    }
    Ok(())
}

fn walk(deck: &Deck, client: &Client) -> Result<()> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("deck");
    let kinds = home.join("kinds.yaml");
    let passwords = home.join("basic-auth.yaml");
    let (kinds, passwords) = (path(&kinds)?, path(&passwords)?);

    deck.run("ping", &[])?;
    deck.run("validate", &[kinds])?;

    // What a file says is there afterwards, and a second look finds nothing to do.
    let created = deck.changes(&["sync", kinds, passwords])?;
    ensure!(created.updated == 0 && created.deleted == 0, "the first sync did {created:?}");
    deck.agrees(&[kinds, passwords])?;
    ensure!(
        deck.changes(&["sync", kinds, passwords])? == Changes::default(),
        "a second sync of the same files changes something"
    );

    // The dump holds all that the file holds, and is as good as the file.
    let first = deck.dump("first.json")?;
    let written: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(kinds)?)?;
    holds(&first, &written, "")?;
    deck.agrees(&["first.json"])?;

    // Without the passwords, which only decK's warning comes back of: what was dumped makes the
    // same gateway again, ids included.
    let removed = deck.changes(&["sync", kinds])?;
    ensure!(removed == Changes { deleted: 2, ..Changes::default() }, "sync did {removed:?}");
    let second = deck.dump("second.json")?;
    let reset = deck.changes(&["reset", "--force"])?;
    ensure!(reset.deleted + 2 == created.created, "reset did {reset:?} after {created:?}");
    is_empty(client)?;
    deck.changes(&["sync", "second.json"])?;
    ensure!(deck.dump("third.json")? == second, "a dump that is loaded is dumped as another");

    // A change of the file is the change of the gateway.
    let mut changed = second;
    for (at, value) in [
        ("/services/0/retries", json!(9)),
        ("/services/0/plugins/0/config/minute", json!(7)),
        ("/upstreams/0/targets/0/weight", json!(1)),
        ("/consumers/0/keyauth_credentials/0/key", json!("another-key")),
    ] {
        *changed.pointer_mut(at).with_context(|| format!("nothing at {at}"))? = value;
    }
    let routes = changed.pointer_mut("/services/0/routes").and_then(Value::as_array_mut);
    routes.context("no routes")?.clear();
    std::fs::write(deck.folder.join("changed.json"), changed.to_string())?;
    let moved = deck.changes(&["sync", "changed.json"])?;
    // The route goes with its two plugins.
    ensure!(moved == Changes { created: 0, updated: 4, deleted: 3 }, "sync did {moved:?}");
    deck.agrees(&["changed.json"])?;
    deck.changes(&["reset", "--force"])?;
    is_empty(client)
}

/// The program, and the gateway that it talks to.
struct Deck {
    program: PathBuf,
    address: String,
    folder: PathBuf,
}

/// What decK says it has done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    created: u64,
    updated: u64,
    deleted: u64,
}

impl Deck {
    /// Runs `deck gateway <command>`, which must succeed, and takes what it says.
    fn run(&self, command: &str, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.program)
            .args(["gateway", command, "--analytics=false", "--kong-addr", &self.address])
            .args(arguments)
            .current_dir(&self.folder)
            // Its own settings, wherever it looks for them, are none of ours.
            .env("HOME", &self.folder)
            .output()
            .with_context(|| format!("{} cannot be started", self.program.display()))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("deck gateway {command} {arguments:?} ({}): {said}{errors}", output.status);
        }
        Ok(said)
    }

    /// Runs a command that changes the gateway.
    fn changes(&self, arguments: &[&str]) -> Result<Changes> {
        let (command, arguments) = arguments.split_first().context("no command")?;
        let said = self.run(command, arguments)?;
        let count = |name: &str| {
            let line = said.lines().find_map(|line| line.trim().strip_prefix(name));
            let number = line.and_then(|rest| rest.trim_start_matches(':').trim().parse().ok());
            number.with_context(|| format!("no number of {name} in: {said}"))
        };
        Ok(Changes {
            created: count("Created")?,
            updated: count("Updated")?,
            deleted: count("Deleted")?,
        })
    }

    /// The gateway is what the files say: `deck gateway diff` finds nothing.
    fn agrees(&self, files: &[&str]) -> Result<()> {
        let arguments = [&["--non-zero-exit-code"], files].concat();
        self.run("diff", &arguments).map(drop).context("diff is not empty")
    }

    fn dump(&self, file: &str) -> Result<Value> {
        self.run("dump", &["--format", "json", "--with-id", "--yes", "--output-file", file])?;
        let file = self.folder.join(file);
        let mut dumped: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
        // decK dumps a key's set with id and name, and compares the name with what no gateway
        // answers: what it takes for itself is the name alone.
        for key in dumped["keys"].as_array_mut().into_iter().flatten() {
            if let Some(set) = key["set"].as_object_mut() {
                set.retain(|member, _| member == "name");
            }
        }
        std::fs::write(&file, dumped.to_string())?;
        Ok(dumped)
    }
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("the path of the repository is no UTF-8")
}

/// All that `written` says is in `dumped`, whatever else is there. Entities in a list are found by
/// trying, since dumps are sorted.
fn holds(dumped: &Value, written: &Value, at: &str) -> Result<()> {
    match (dumped, written) {
        (Value::Object(dumped), Value::Object(written)) => {
            for (name, written) in written.iter().filter(|(name, _)| *name != "url") {
                let dumped = dumped.get(name).with_context(|| format!("no {at}.{name}"))?;
                holds(dumped, written, &format!("{at}.{name}"))?;
            }
            written.get("url").map_or(Ok(()), |url| is_url(dumped, url, at))
        }
        (Value::Array(dumped), Value::Array(written)) => {
            for (number, written) in written.iter().enumerate() {
                let found = dumped.iter().any(|dumped| holds(dumped, written, at).is_ok());
                ensure!(found, "nothing like {at}[{number}], {written}, in {dumped:?}");
            }
            Ok(())
        }
        // A block of YAML ends with a line break that nobody keeps.
        (Value::String(dumped), Value::String(written)) if dumped.trim() == written.trim() => {
            Ok(())
        }
        _ => {
            ensure!(dumped == written, "{at} is {dumped}, not {written}");
            Ok(())
        }
    }
}

/// The shorthand of a service is what its parts say.
fn is_url(service: &Map<String, Value>, url: &Value, at: &str) -> Result<()> {
    let text = |name: &str| service.get(name).and_then(Value::as_str).unwrap_or_default();
    let port = service.get("port").cloned().unwrap_or_default();
    let made = format!("{}://{}:{port}{}", text("protocol"), text("host"), text("path"));
    ensure!(url.as_str() == Some(&made), "{at} is at {made}, not at {url}");
    Ok(())
}

fn is_empty(client: &Client) -> Result<()> {
    for kind in KINDS {
        let listed = client.write(&json!({ "path": format!("/{kind}") }))?;
        ensure!(
            listed.json["data"] == json!([]),
            "after a reset there are {kind}: {}",
            listed.json
        );
    }
    Ok(())
}

const KINDS: [&str; 17] = [
    "services",
    "routes",
    "plugins",
    "consumers",
    "key-auths",
    "basic-auths",
    "hmac-auths",
    "jwts",
    "oauth2",
    "acls",
    "upstreams",
    "certificates",
    "snis",
    "ca_certificates",
    "vaults",
    "keys",
    "key-sets",
];
