use std::path::PathBuf;
use std::time::Duration;

use crate::{
    ALL, Database, Faults, Loaded, Program, RealIpHeader, Shown, Sources, Trusted, args,
    from_matches, resolve,
};

fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(name, value)| (String::from(*name), String::from(*value))).collect()
}

fn with_flags(program: Program, flags: &[(&str, &str)]) -> Result<Loaded, Faults> {
    resolve(program, &Sources { flags: pairs(flags), ..Sources::default() })
}

fn with_file(text: &str) -> Result<Loaded, Faults> {
    let file = Some((PathBuf::from("weir.conf"), text.to_owned()));
    resolve(Program::Weir, &Sources { file, ..Sources::default() })
}

#[test]
fn defaults_are_right_for_every_program() {
    for program in [Program::ControlPlane, Program::DataPlane, Program::Weir] {
        let loaded = with_flags(program, &[]).unwrap();
        assert_eq!(loaded.warnings, Vec::<String>::new());
        let expected = if program == Program::Weir { Database::Sqlite } else { Database::Postgres };
        assert_eq!(loaded.settings.database, expected);
        assert_eq!(loaded.settings.db_update_frequency, Duration::from_secs(5));
        assert_eq!(loaded.settings.cluster_listen.is_empty(), program == Program::Weir);
        assert!(loaded.settings.headers.via && !loaded.settings.headers.upstream_status);
    }
}

#[test]
fn later_sources_win() {
    let mut sources = Sources {
        file: Some((
            PathBuf::from("kong.conf"),
            "pg_host = file\npg_user = file\npg_database = file\n".to_owned(),
        )),
        environment: pairs(&[
            ("KONG_PG_USER", "kong"),
            ("WEIR_PG_DATABASE", "weir"),
            ("KONG_PG_DATABASE", "kong"),
        ]),
        flags: Vec::new(),
    };
    let settings = resolve(Program::ControlPlane, &sources).unwrap().settings;
    assert_eq!(
        (&*settings.pg_host, &*settings.pg_user, &*settings.pg_database),
        ("file", "kong", "weir")
    );
    sources.flags = pairs(&[("pg_host", "flag"), ("pg_database", "flag")]);
    let settings = resolve(Program::ControlPlane, &sources).unwrap().settings;
    assert_eq!((&*settings.pg_host, &*settings.pg_database), ("flag", "flag"));
}

#[test]
fn a_kong_conf_is_read_as_it_is() {
    let loaded = with_file(
        "# -----------------------\n\
         #prefix = /usr/local/kong/\n\
         log_level = debug        # Log level of the Nginx server.\n\
         proxy_listen = 0.0.0.0:8000 reuseport backlog=16384, 0.0.0.0:8443 http2 ssl reuseport backlog=16384\n\
         admin_listen = off\n\
         pg_password = pass\\#word # the secret\n\
         nginx_proxy_real_ip_header = X-Forwarded-For\n\
         trusted_ips = 10.0.0.0/8, 127.0.0.1,unix:\n\
         nginx_http_client_max_body_size = 8m\n\
         db_update_frequency = 0.5\n\
         node_id =\n\
         mem_cache_size = 128m\n\
         nginx_proxy_large_client_header_buffers = 16 128k\n\
         status_ssl_cert = /etc/cert.pem\n",
    )
    .unwrap();
    let settings = &loaded.settings;
    assert_eq!(settings.log_level.as_str(), "debug");
    assert_eq!(settings.proxy_listen.len(), 2);
    assert_eq!(settings.proxy_listen[0].to_string(), "0.0.0.0:8000 backlog=16384");
    assert!(settings.proxy_listen[1].ssl && settings.proxy_listen[1].http2);
    assert!(settings.admin_listen.is_empty());
    assert_eq!(settings.pg_password.as_ref().unwrap().expose(), "pass#word");
    assert_eq!(settings.real_ip_header, RealIpHeader::XForwardedFor);
    assert_eq!(settings.trusted_ips.len(), 3);
    assert_eq!(settings.trusted_ips[1], Trusted::Network("127.0.0.1/32".parse().unwrap()));
    assert_eq!(settings.nginx_http_client_max_body_size, 8 << 20);
    assert_eq!(settings.db_update_frequency, Duration::from_millis(500));
    assert_eq!(settings.node_id, None);
    assert_eq!(
        loaded.warnings,
        [
            "mem_cache_size has no effect: the configuration is held whole, there is no cache to size (weir.conf:12)",
            "nginx_proxy_large_client_header_buffers has no effect: Weir is not nginx, this directive has no \
             counterpart (weir.conf:13)",
            "status_ssl_cert has no effect: this version of Weir does not have it (weir.conf:14)",
        ]
    );
}

#[test]
fn everything_wrong_is_told_at_once() {
    let faults = resolve(
        Program::ControlPlane,
        &Sources {
            file: Some((
                PathBuf::from("weir.conf"),
                "proxy_listne = 0.0.0.0:80\nlog_level = loud\n".to_owned(),
            )),
            environment: pairs(&[
                ("WEIR_PG_PROT", "1"),
                ("KONG_PG_PORT", "x"),
                ("KONG_SOMETHING", "1"),
            ]),
            flags: pairs(&[("admin_listen", "127.0.0.1")]),
        },
    )
    .unwrap_err();
    assert_eq!(
        faults.to_string(),
        "5 settings are not right:\n  \
         proxy_listne: there is no such setting; did you mean proxy_listen? (weir.conf:1)\n  \
         pg_prot: there is no such setting; did you mean pg_port? (environment WEIR_PG_PROT)\n  \
         log_level: has an invalid value: 'loud' (debug, info, notice, warn, error, crit, alert, emerg) (weir.conf:2)\n  \
         admin_listen: '127.0.0.1' is not off, or a list of ADDRESS:PORT, each followed by any of ssl, http2, \
         proxy_protocol, reuseport, backlog=NUMBER, ipv6only=on|off (flag --admin-listen)\n  \
         pg_port: has an invalid value: 'x' (a port number from 1 to 65535) (environment KONG_PG_PORT)"
    );
}

#[test]
fn settings_that_do_not_fit_together_are_refused() {
    let faults = with_flags(Program::DataPlane, &[("cluster_control_plane", "")]).unwrap_err();
    assert!(
        faults.to_string().contains("cluster_control_plane: a data plane needs at least one"),
        "{faults}"
    );
    for (given, subject) in [
        (("admin_listen", "127.0.0.1:8001 proxy_protocol"), "admin_listen: cannot begin"),
        (("admin_ssl_cert_key", "/a.key"), "admin_ssl_cert: and admin_ssl_cert_key are given"),
        (("admin_ssl_verify_client", "on"), "nginx_admin_ssl_client_certificate: is needed"),
    ] {
        let faults = with_flags(Program::ControlPlane, &[given]).unwrap_err();
        assert!(faults.to_string().contains(subject), "{faults}");
    }
    let faults = with_flags(Program::ControlPlane, &[("pg_ssl_verify", "on")]).unwrap_err();
    assert_eq!(faults.to_string(), "the settings are not right: pg_ssl_verify: needs pg_ssl = on");
}

#[test]
fn variables_of_kubernetes_services_are_no_settings() {
    let environment = pairs(&[
        ("WEIR_SERVICE_HOST", "10.0.0.1"),
        ("WEIR_SERVICE_PORT_HTTP", "80"),
        ("WEIR_ADMIN_SERVICE_PORT", "8001"),
        ("WEIR_PORT", "tcp://10.0.0.1:80"),
        ("WEIR_ADMIN_PORT_8001_TCP_ADDR", "10.0.0.1"),
        ("KONG_VERSION", "3.9.3"),
        ("KONG_PREFIX", "/usr/local/kong"),
    ]);
    let loaded = resolve(Program::Weir, &Sources { environment, ..Sources::default() }).unwrap();
    assert_eq!(
        loaded.warnings,
        [
            "version is no setting (environment KONG_VERSION)",
            "prefix has no effect: Weir's directory is data_dir (environment KONG_PREFIX)"
        ]
    );
}

#[test]
fn references_to_the_environment_are_followed() {
    let mut sources = Sources {
        environment: pairs(&[("DB_PASS", "hidden")]),
        flags: pairs(&[("pg_password", "{vault://env/db-pass}")]),
        ..Sources::default()
    };
    let settings = resolve(Program::Weir, &sources).unwrap().settings;
    assert_eq!(settings.pg_password.as_ref().unwrap().expose(), "hidden");
    assert!(!format!("{settings:?}").contains("hidden"));
    let shown = settings.shown();
    let password = shown.iter().find(|(name, _)| *name == "pg_password").unwrap();
    assert_eq!(password.1, Shown::Text("******".to_owned()));

    sources.environment.clear();
    let faults = resolve(Program::Weir, &sources).unwrap_err();
    assert!(
        faults.to_string().contains("the environment variable DB_PASS, which is not set"),
        "{faults}"
    );
}

#[test]
fn a_value_is_what_its_syntax_says_or_a_fault() {
    let rejected = [
        ("real_ip_recursive", "maybe"),
        ("db_update_frequency", "0"),
        ("db_update_frequency", "-1"),
        ("db_update_frequency", "often"),
        ("db_update_propagation", "1e40"),
        ("pg_timeout", "1.5"),
        ("pg_port", "0"),
        ("pg_host", ""),
        ("nginx_main_worker_processes", "0"),
        ("nginx_http_client_max_body_size", "10 m"),
        ("nginx_http_client_max_body_size", "99999999999999g"),
        ("trusted_ips", "10.0.0.0/33"),
        ("headers", "X-Unknown"),
        ("headers_upstream", "Host"),
        ("cluster_control_plane", "cp-1"),
        ("cluster_dp_labels", "region"),
        ("proxy_listen", "0.0.0.0:8000 loudly"),
        ("proxy_listen", "0.0.0.0:8000 udp"),
        ("stream_listen", "0.0.0.0:8000 http2"),
        ("stream_listen", "0.0.0.0:8000 udp ssl"),
        ("proxy_listen", "0.0.0.0:99999"),
        ("proxy_listen", "[::1:8000"),
        ("dns_order", "MX"),
        ("dns_resolver", "name:53"),
        ("node_id", "7"),
        ("cluster_listen", "a b:1"),
    ];
    for (name, value) in rejected {
        let result = with_flags(Program::Weir, &[(name, value)]);
        let faults = result.expect_err(&format!("{name} = {value:?} must be refused"));
        assert!(faults.to_string().contains(name), "{faults}");
    }
    let settings = with_flags(
        Program::Weir,
        &[
            (
                "proxy_listen",
                "[::]:8000 ipv6only=on, localhost:0 proxy_protocol deferred so_keepalive=on",
            ),
            ("headers", "OFF, server_tokens"),
            ("headers_upstream", "off"),
            ("nginx_main_worker_processes", "4"),
            ("cluster_dp_labels", "region:eu, tier:edge-1"),
            ("dns_resolver", "1.1.1.1, [::1]:5353, ::1"),
            ("dns_order", "last,a,aaaa"),
            ("db_update_propagation", "0.25"),
            ("pg_timeout", "0x10"),
        ],
    )
    .unwrap()
    .settings;
    assert_eq!(settings.proxy_listen[0].to_string(), "[::]:8000 ipv6only=on");
    assert_eq!(settings.proxy_listen[1].to_string(), "localhost:0 proxy_protocol");
    assert_eq!(settings.headers, crate::ResponseHeaders::default());
    assert!(!settings.headers_upstream);
    assert_eq!(settings.nginx_main_worker_processes.map(usize::from), Some(4));
    assert_eq!(settings.cluster_dp_labels[1], ("tier".to_owned(), "edge-1".to_owned()));
    assert_eq!(settings.dns_resolver.len(), 3);
    assert_eq!(settings.dns_order.len(), 3);
    assert_eq!(settings.db_update_propagation, Duration::from_millis(250));
    assert_eq!(settings.pg_timeout, Duration::from_millis(16));
}

#[test]
fn names_are_unique_and_documented() {
    let mut names: Vec<&str> = ALL
        .iter()
        .flat_map(|setting| std::iter::once(setting.name).chain(setting.aliases.iter().copied()))
        .collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a name or alias stands twice");
    for setting in ALL {
        assert!(setting.doc.trim().ends_with('.'), "{}: documentation is sentences", setting.name);
        assert!(!crate::kong::is_listed(setting.name), "{}: has a meaning here", setting.name);
    }
}

#[test]
fn flags_reach_the_settings() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("weir.conf");
    std::fs::write(&conf, "pg_user = file\npg_host = file\n").unwrap();
    let command = clap::Command::new("weir-control-plane").args(args(Program::ControlPlane));
    command.clone().debug_assert();
    let matches = command
        .clone()
        .try_get_matches_from([
            "weir-control-plane",
            "--pg-host",
            "flag",
            "--conf",
            conf.to_str().unwrap(),
        ])
        .unwrap();
    let settings = from_matches(Program::ControlPlane, &matches).unwrap().settings;
    assert_eq!((&*settings.pg_host, &*settings.pg_user), ("flag", "file"));

    let matches =
        command.clone().try_get_matches_from(["x", "-c", "/nonexistent/weir.conf"]).unwrap();
    let faults = from_matches(Program::ControlPlane, &matches).unwrap_err();
    assert!(
        faults.to_string().contains("/nonexistent/weir.conf: the file of settings cannot be read"),
        "{faults}"
    );

    assert!(
        command.try_get_matches_from(["x", "--proxy-listen", "1:1"]).is_err(),
        "that is a data plane's"
    );
}
