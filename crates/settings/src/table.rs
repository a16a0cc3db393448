//! The settings.
//!
//! Names, defaults and meanings are Kong's (`kong.conf.default`) unless the documentation here
//! says otherwise. Each is read by something: one that nothing reads does not stand here, but in
//! `kong.rs` if Kong has it.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use crate::declare::{Default, Program, Setting, settings};
use crate::fault::{Fault, Origin};
use crate::load::Reader;
use crate::syntax::{
    COUNT, DIRECTORY, FILE_OR_OFF, MILLISECONDS, OPTIONAL_COUNT, OPTIONAL_FILE,
    OPTIONAL_MILLISECONDS, OPTIONAL_PORT, OPTIONAL_SECONDS, OPTIONAL_SECRET, OPTIONAL_SWITCH,
    OPTIONAL_TEXT, OPTIONAL_UUID, PORT, SECONDS, SECONDS_OR_ZERO, SECRETS, SHARE, SIZE, SWITCH,
    Shown, TEXT, TEXTS, WORKERS,
};
use crate::values::{
    ACCESS_LOG_FORMAT, AccessLogFormat, CIPHER_SUITE, CLUSTER_MTLS, CipherSuite, ClusterMtls,
    DATABASE, DNS_ORDER, Database, DnsOrder, HOST_PORTS, HostPort, LABELS, LISTENERS, LOG_FORMAT,
    LOG_LEVEL, Listener, LogFormat, LogLevel, PORT_MAPS, REAL_IP_HEADER, RESOLVERS,
    RESPONSE_HEADERS, ROUTE_MATCH_CALCULATION, ROUTER_FLAVOR, RealIpHeader, ResponseHeaders,
    RouteMatchCalculation, RouterFlavor, STREAM_LISTENERS, Secret, TLS_VERSIONS, TRUSTED,
    TlsVersion, Trusted, UPSTREAM_HEADERS, VERIFY_CLIENT, VerifyClient,
};

const CONTROL: &[Program] = &[Program::ControlPlane];
const DATA: &[Program] = &[Program::DataPlane];
const BOTH: &[Program] = &[Program::ControlPlane, Program::DataPlane];

settings! {
    "Process" {
        /// Where this process keeps what must survive a restart: its node id, the SQLite
        /// database, the last configuration that a data plane received.
        data_dir: PathBuf = DIRECTORY, "./weir-data", BOTH;
        /// A secret of at least 32 characters (`openssl rand -base64 32` makes one) by which the
        /// last configuration that a data plane received is encrypted in data_dir; in clear text
        /// when not given. Better give it in the environment than as a flag. Weir's own.
        snapshot_key: Option<Secret> = OPTIONAL_SECRET, "", DATA;
        /// Identifies this node in the cluster. Made up at the first start and kept in data_dir
        /// when not given.
        node_id: Option<Uuid> = OPTIONAL_UUID, "", BOTH;
        /// Which log lines are written (to standard error).
        log_level: LogLevel = LOG_LEVEL, "notice", BOTH;
        /// How a log line looks. Weir's own.
        log_format: LogFormat = LOG_FORMAT, "text", BOTH;
        /// How long requests in progress may take to end after the first signal to stop. Weir's
        /// own; Kong has it as an option of `kong quit`.
        drain_timeout: Duration = SECONDS_OR_ZERO, "10", BOTH;
    }

    "Listeners" {
        /// Where clients connect.
        proxy_listen: Vec<Listener> = LISTENERS, "0.0.0.0:8000 reuseport backlog=16384", DATA;
        /// Where clients of TCP, TLS (ssl) and UDP (udp) routes connect.
        stream_listen: Vec<Listener> = STREAM_LISTENERS, "off", DATA;
        /// Ports by which clients know listeners whose own ports are others, as OUTSIDE:LISTENER:
        /// for X-Forwarded-Port, and for routes by port.
        port_maps: Vec<(u16, u16)> = PORT_MAPS, "", DATA;
        /// Where the Admin API listens. Whoever can connect here controls the gateway.
        admin_listen: Vec<Listener> = LISTENERS, "127.0.0.1:8001 reuseport backlog=16384, 127.0.0.1:8444 http2 ssl reuseport backlog=16384", CONTROL;
        /// The certificate of the TLS listeners of the Admin API: a file, PEM text, or PEM in
        /// base64. One is made up and kept in data_dir when not given.
        admin_ssl_cert: Option<String> = OPTIONAL_TEXT, "", CONTROL;
        /// Its private key.
        admin_ssl_cert_key: Option<Secret> = OPTIONAL_SECRET, "", CONTROL;
        /// Whether clients of those listeners must show a certificate (on), or are served without
        /// one, too (optional). nginx's directive, which Kong passes on.
        nginx_admin_ssl_verify_client: VerifyClient = VERIFY_CLIENT, "off", CONTROL, alias "admin_ssl_verify_client";
        /// The authorities whose certificates are accepted then: a file, PEM text, or PEM in
        /// base64. nginx's directive, which Kong passes on.
        nginx_admin_ssl_client_certificate: Option<String> = OPTIONAL_TEXT, "", CONTROL, alias "admin_ssl_client_certificate";
        /// Where /status, /status/ready and /metrics are served.
        status_listen: Vec<Listener> = LISTENERS, "127.0.0.1:8007", BOTH;
        /// Where the control plane serves the configuration to data planes. Beyond this machine
        /// it needs cluster_cert.
        cluster_listen: Vec<Listener> = LISTENERS, "127.0.0.1:8005" (weir "off"), CONTROL;
    }

    "Cluster" {
        /// The control planes that this data plane may follow, any of them at any time.
        cluster_control_plane: Vec<HostPort> = HOST_PORTS, "127.0.0.1:8005", DATA;
        /// Who belongs to the cluster: whoever shows the certificate that all share, or one of
        /// their own from cluster_ca_cert.
        cluster_mtls: ClusterMtls = CLUSTER_MTLS, "shared", BOTH;
        /// The certificate that this process shows to the other plane: a file, PEM text, or PEM
        /// in base64.
        cluster_cert: Option<String> = OPTIONAL_TEXT, "", BOTH;
        /// Its private key.
        cluster_cert_key: Option<Secret> = OPTIONAL_SECRET, "", BOTH;
        /// With cluster_mtls = pki, the authorities that the other plane's certificate must come
        /// from.
        cluster_ca_cert: Option<String> = OPTIONAL_TEXT, "", BOTH;
        /// With cluster_mtls = pki, the name that the control plane's certificate must have; the
        /// host of its address when not given.
        cluster_server_name: Option<String> = OPTIONAL_TEXT, "", DATA;
        /// Whether the configuration may go to other machines unencrypted. Weir's own.
        cluster_plaintext: bool = SWITCH, "off", BOTH;
        /// How long a data plane that went away is listed, in seconds: at least 60.
        cluster_data_plane_purge_delay: Duration = SECONDS, "1209600", CONTROL;
        /// Labels by which operators know this data plane.
        cluster_dp_labels: Vec<(String, String)> = LABELS, "", DATA;
        /// How often a data plane asks for changes while its stream is down, and how often a
        /// control plane reads what its siblings wrote, should a notification be lost.
        db_update_frequency: Duration = SECONDS, "5", BOTH;
        /// How old a change must be before data planes hear of it: the time that a replica of the
        /// database may lag behind.
        db_update_propagation: Duration = SECONDS_OR_ZERO, "0", CONTROL;
        /// How often a data plane compares what it holds with the control plane's digest; 0 is
        /// never.
        db_cache_ttl: Duration = SECONDS_OR_ZERO, "0", DATA;
    }

    "Database" {
        /// Where entities are kept: one file for one control plane, or a server that several
        /// share.
        database: Database = DATABASE, "postgres" (weir "sqlite"), CONTROL;
        /// The file that entities come from where there is no database, in YAML or JSON.
        declarative_config: Option<PathBuf> = OPTIONAL_FILE, "", CONTROL;
        /// Host of the PostgreSQL server.
        pg_host: String = TEXT, "127.0.0.1", CONTROL;
        /// Port of the PostgreSQL server.
        pg_port: u16 = PORT, "5432", CONTROL;
        /// Name of the database.
        pg_database: String = TEXT, "kong", CONTROL;
        /// Schema in the database; the user's search path when not given.
        pg_schema: Option<String> = OPTIONAL_TEXT, "", CONTROL;
        /// User of the database.
        pg_user: String = TEXT, "kong", CONTROL;
        /// The user's password. Other users of the machine can read flags: better give it in the
        /// environment or the file.
        pg_password: Option<Secret> = OPTIONAL_SECRET, "", CONTROL;
        /// How long connecting and each query may take.
        pg_timeout: Duration = MILLISECONDS, "5000", CONTROL;
        /// Whether the connection must be encrypted.
        pg_ssl: bool = SWITCH, "off", CONTROL;
        /// Whether the server's certificate is verified (needs pg_ssl).
        pg_ssl_verify: bool = SWITCH, "off", CONTROL;
        /// Connections to the server at once; 0 is Weir's choice (16).
        pg_max_concurrent_queries: u64 = COUNT, "0", CONTROL, alias "pg_pool_size";
        /// Host of a replica (hot standby) of the server. What the Admin API reads comes from
        /// there when it has all that this process has written or seen, else from the server.
        pg_ro_host: Option<String> = OPTIONAL_TEXT, "", CONTROL;
        /// Its port; pg_port when not given, as with all that follow.
        pg_ro_port: Option<u16> = OPTIONAL_PORT, "", CONTROL;
        /// Name of the database there.
        pg_ro_database: Option<String> = OPTIONAL_TEXT, "", CONTROL;
        /// Schema in the database there.
        pg_ro_schema: Option<String> = OPTIONAL_TEXT, "", CONTROL;
        /// User of the database there.
        pg_ro_user: Option<String> = OPTIONAL_TEXT, "", CONTROL;
        /// The user's password there.
        pg_ro_password: Option<Secret> = OPTIONAL_SECRET, "", CONTROL;
        /// How long a read from there may take before the server is asked instead.
        pg_ro_timeout: Option<Duration> = OPTIONAL_MILLISECONDS, "", CONTROL;
        /// Whether the connection there must be encrypted.
        pg_ro_ssl: Option<bool> = OPTIONAL_SWITCH, "", CONTROL;
        /// Whether the certificate there is verified (needs pg_ro_ssl).
        pg_ro_ssl_verify: Option<bool> = OPTIONAL_SWITCH, "", CONTROL;
        /// Connections there at once; 0 is Weir's choice (16).
        pg_ro_max_concurrent_queries: Option<u64> = OPTIONAL_COUNT, "", CONTROL, alias "pg_ro_pool_size";
    }

    "Routing" {
        /// How routes are written and matched.
        router_flavor: RouterFlavor = ROUTER_FLAVOR, "traditional_compatible", BOTH;
        /// How the order of routes is calculated: as Kong 3.9 does, or as Kong documents.
        route_match_calculation: RouteMatchCalculation = ROUTE_MATCH_CALCULATION, "original", DATA;
    }

    "Clients" {
        /// Proxies in front of this data plane whose forwarding headers are believed.
        trusted_ips: Vec<Trusted> = TRUSTED, "", DATA;
        /// Where a trusted proxy says who the client is.
        real_ip_header: RealIpHeader = REAL_IP_HEADER, "X-Real-IP", DATA, alias "nginx_proxy_real_ip_header";
        /// Whether X-Forwarded-For is read from the right to the first address that is not
        /// trusted, instead of its last address.
        real_ip_recursive: bool = SWITCH, "off", DATA, alias "nginx_proxy_real_ip_recursive";
        /// Headers that are added to answers.
        headers: ResponseHeaders = RESPONSE_HEADERS, "server_tokens, latency_tokens, X-Kong-Request-Id", BOTH;
        /// Headers that are added to requests to upstreams.
        headers_upstream: bool = UPSTREAM_HEADERS, "X-Kong-Request-Id", DATA;
        /// The certificates that clients get by TLS that ask for no name, or for one without a
        /// certificate: each a file, PEM text, or PEM in base64. One is made up when not given.
        ssl_cert: Vec<String> = TEXTS, "", DATA;
        /// Their private keys, in the same order.
        ssl_cert_key: Vec<Secret> = SECRETS, "", DATA;
        /// How strict TLS with clients is: modern is TLS 1.3 only, intermediate takes TLS 1.2 too,
        /// custom is what the next two settings say.
        ssl_cipher_suite: CipherSuite = CIPHER_SUITE, "intermediate", DATA;
        /// The versions of TLS, where ssl_cipher_suite is custom.
        ssl_protocols: Vec<TlsVersion> = TLS_VERSIONS, "TLSv1.2 TLSv1.3", DATA;
        /// The ciphers of TLS 1.2 by OpenSSL's names, separated by colons, where ssl_cipher_suite is
        /// custom; all that are known when not given. Those of TLS 1.3 are always offered.
        ssl_ciphers: Option<String> = OPTIONAL_TEXT, "", DATA;
        /// Whether our order of ciphers counts, instead of the client's.
        ssl_prefer_server_ciphers: bool = SWITCH, "on", DATA;
        /// Whether clients keep their sessions themselves, in tickets, to resume them on any
        /// thread; otherwise each data plane keeps some.
        ssl_session_tickets: bool = SWITCH, "on", DATA;
        /// Where requests are logged. Kong has it on, in its prefix; here it is off unless given.
        proxy_access_log: Option<PathBuf> = FILE_OR_OFF, "off", DATA;
        /// Where sessions of TCP, TLS and UDP routes are logged. Kong has it on; here it is off
        /// unless given.
        proxy_stream_access_log: Option<PathBuf> = FILE_OR_OFF, "off", DATA;
        /// How a line of the access logs looks. Weir's own.
        proxy_access_log_format: AccessLogFormat = ACCESS_LOG_FORMAT, "combined", DATA;
        /// The share of requests and sessions that are logged, those that failed (5xx) apart,
        /// which always are. Weir's own.
        proxy_access_log_sampling: f64 = SHARE, "1", DATA;
        /// The content type of errors when the client accepts no other.
        error_default_type: String = TEXT, "text/plain", DATA;
        /// The file of an error page in HTML instead of Kong's; the first %s in it is the message,
        /// the second one the request's id.
        error_template_html: Option<PathBuf> = OPTIONAL_FILE, "", DATA;
        /// The same for JSON.
        error_template_json: Option<PathBuf> = OPTIONAL_FILE, "", DATA;
        /// The same for plain text.
        error_template_plain: Option<PathBuf> = OPTIONAL_FILE, "", DATA;
        /// The same for XML.
        error_template_xml: Option<PathBuf> = OPTIONAL_FILE, "", DATA;
        /// The largest request body.
        nginx_http_client_max_body_size: u64 = SIZE, "0", DATA, alias "client_max_body_size";
        /// How long a client may take to send a request's head.
        nginx_http_client_header_timeout: Duration = SECONDS, "60", DATA;
        /// How long a client may pause while it sends a request's body or reads an answer.
        nginx_http_client_body_timeout: Duration = SECONDS, "60", DATA;
        /// How long a client's idle connection is kept.
        nginx_http_keepalive_timeout: Duration = SECONDS, "75", DATA;
        /// How many requests a client's connection carries before it is closed.
        nginx_http_keepalive_requests: u64 = COUNT, "10000", DATA;
        /// The largest body that the Admin API takes.
        nginx_admin_client_max_body_size: u64 = SIZE, "10m", CONTROL;
    }

    "Upstreams" {
        /// Whether upstreams that ask for a certificate are shown client_ssl_cert, where neither
        /// service nor upstream has one of its own.
        client_ssl: bool = SWITCH, "off", DATA;
        /// That certificate: a file, PEM text, or PEM in base64.
        client_ssl_cert: Option<String> = OPTIONAL_TEXT, "", DATA;
        /// Its private key.
        client_ssl_cert_key: Option<Secret> = OPTIONAL_SECRET, "", DATA;
        /// Idle connections kept per traffic thread and upstream address; 0 keeps none.
        upstream_keepalive_pool_size: u64 = COUNT, "512", DATA;
        /// How many requests a connection to an upstream carries before it is closed; 0 is no
        /// limit.
        upstream_keepalive_max_requests: u64 = COUNT, "10000", DATA;
        /// How long an idle connection to an upstream is kept; 0 is no limit.
        upstream_keepalive_idle_timeout: Duration = SECONDS_OR_ZERO, "60", DATA;
    }

    "DNS" {
        /// Name servers; those of /etc/resolv.conf when not given.
        dns_resolver: Vec<SocketAddr> = RESOLVERS, "", DATA, alias "resolver_address";
        /// The file of fixed addresses.
        dns_hostsfile: PathBuf = DIRECTORY, "/etc/hosts", DATA, alias "resolver_hosts_file";
        /// The types of records to ask for, in order.
        dns_order: Vec<DnsOrder> = DNS_ORDER, "LAST,SRV,A,CNAME", DATA;
        /// How long an answer is used, instead of its own time to live.
        dns_valid_ttl: Option<Duration> = OPTIONAL_SECONDS, "", DATA, alias "resolver_valid_ttl";
        /// How long an expired answer is used while name servers fail.
        dns_stale_ttl: Duration = SECONDS_OR_ZERO, "3600", DATA, alias "resolver_stale_ttl";
        /// How long a name that does not exist is believed not to.
        dns_not_found_ttl: Duration = SECONDS_OR_ZERO, "30", DATA;
        /// How long a failed query is not repeated.
        dns_error_ttl: Duration = SECONDS_OR_ZERO, "1", DATA, alias "resolver_error_ttl";
    }

    "Performance" {
        /// Traffic threads.
        nginx_main_worker_processes: Option<NonZeroUsize> = WORKERS, "auto", DATA, alias "nginx_worker_processes";
    }
}

/// In characters: 32 random bytes have 44 in base64, 64 in hexadecimal.
const SHORTEST_SNAPSHOT_KEY: usize = 32;

impl Settings {
    /// What is wrong with the settings together, each being right alone.
    pub(crate) fn check(&self, program: Program, faults: &mut Vec<Fault>) {
        let mut fault = |subject: &str, message: &str| {
            faults.push(Fault {
                subject: subject.to_owned(),
                origin: Origin::Default,
                message: message.to_owned(),
            });
        };
        if program == Program::DataPlane && self.cluster_control_plane.is_empty() {
            fault(
                "cluster_control_plane",
                "a data plane needs at least one control plane to follow, as HOST:PORT",
            );
        }
        if program == Program::ControlPlane
            && self.admin_listen.is_empty()
            && self.cluster_listen.is_empty()
        {
            fault(
                "admin_listen",
                "a control plane that listens neither for the Admin API nor for data planes (cluster_listen) does nothing",
            );
        }
        if self.admin_listen.iter().any(|listener| listener.proxy_protocol) {
            fault("admin_listen", "cannot begin with the PROXY protocol; leave proxy_protocol out");
        }
        if self.admin_ssl_cert.is_some() != self.admin_ssl_cert_key.is_some() {
            fault("admin_ssl_cert", "and admin_ssl_cert_key are given together, or neither");
        }
        if self.nginx_admin_ssl_verify_client != VerifyClient::Off
            && self.nginx_admin_ssl_client_certificate.is_none()
        {
            fault(
                "nginx_admin_ssl_client_certificate",
                "is needed with nginx_admin_ssl_verify_client: the authorities that clients' certificates come from",
            );
        }
        if self.client_ssl && (self.client_ssl_cert.is_none() || self.client_ssl_cert_key.is_none())
        {
            fault("client_ssl", "needs client_ssl_cert and client_ssl_cert_key");
        }
        if self.cluster_cert.is_some() != self.cluster_cert_key.is_some() {
            fault("cluster_cert", "and cluster_cert_key are given both, or neither");
        }
        if self.cluster_mtls == ClusterMtls::Pki
            && (self.cluster_cert.is_none() || self.cluster_ca_cert.is_none())
        {
            fault("cluster_mtls", "= pki needs cluster_cert, cluster_cert_key and cluster_ca_cert");
        }
        if self.cluster_data_plane_purge_delay < Duration::from_secs(60) {
            fault("cluster_data_plane_purge_delay", "must be 60 or greater");
        }
        if self.ssl_cert.len() != self.ssl_cert_key.len() {
            fault("ssl_cert_key", "needs as many keys as ssl_cert has certificates");
        }
        let too_short = |key: &Secret| key.expose().chars().count() < SHORTEST_SNAPSHOT_KEY;
        if self.snapshot_key.as_ref().is_some_and(too_short) {
            fault(
                "snapshot_key",
                "has fewer than 32 characters and could be guessed; `openssl rand -base64 32` makes one",
            );
        }
        if self.pg_ssl_verify && !self.pg_ssl {
            fault("pg_ssl_verify", "needs pg_ssl = on");
        }
        if self.pg_ro_ssl_verify == Some(true) && !self.pg_ro_ssl.unwrap_or(self.pg_ssl) {
            fault("pg_ro_ssl_verify", "needs pg_ro_ssl = on");
        }
    }
}
