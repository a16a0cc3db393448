//! What the proxy is told once, at its start.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use lifecycle::Clock;
use settings::{Listener, ResponseHeaders, Settings};
use upstream::PoolLimits;

use crate::{access_log::AccessLog, client::Trust, error_template::TemplateFiles, tls::TlsRules};

/// The proxy's settings and what it takes from outside.
#[derive(Clone)]
pub struct Options {
    /// Where clients connect for HTTP (`proxy_listen`).
    pub listeners: Vec<Listener>,
    /// Where clients connect for TCP, TLS and UDP (`stream_listen`).
    pub streams: Vec<Listener>,
    /// Ports that clients know other ports of listeners by: what they know, and ours (`port_maps`).
    pub port_maps: Vec<(u16, u16)>,
    /// The number of traffic threads.
    pub threads: usize,
    /// The time, for dates and log lines.
    pub clock: Arc<dyn Clock>,
    /// Seed of the request ids and other random choices; 32 bytes from the operating system outside of tests.
    pub seed: [u8; 32],
    /// Which headers answers get (`headers`).
    pub headers: ResponseHeaders,
    /// Whether upstreams get `X-Kong-Request-Id` (`headers_upstream`).
    pub request_id_upstream: bool,
    /// Whose forwarding headers are believed.
    pub trust: Trust,
    /// The type of error pages for clients that do not say what they accept (`error_default_type`).
    pub error_default_type: String,
    /// Error pages of the operator's own (`error_template_*`).
    pub error_templates: TemplateFiles,
    /// How we call ourselves in `Server` and `Via`, as `kong/3.9.3`.
    pub product: String,
    /// Bounds on what clients may do.
    pub limits: Limits,
    /// Bounds of the idle connections to upstreams, per thread and address.
    pub pool: PoolLimits,
    /// Certificates and their keys for TLS clients that ask for no name, or for one without a certificate: each a
    /// file, PEM text, or PEM in base64. If there are none, one is made up.
    pub certificates: Vec<(String, String)>,
    /// The certificate and key, as those above, that upstreams are shown that ask for one, where neither service nor
    /// upstream has its own.
    pub client_certificate: Option<(String, String)>,
    /// How strict TLS with clients is.
    pub tls: TlsRules,
    /// Where requests are logged, if they are.
    pub access_log: Option<AccessLog>,
    /// Where stream sessions are logged, if they are.
    pub stream_access_log: Option<AccessLog>,
}

/// Bounds on what clients may do, and for how long.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Time for a request's head, from its first byte.
    pub head_timeout: Duration,
    /// The longest pause within a request's body, and while an answer is taken.
    pub body_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub keepalive_timeout: Duration,
    /// The most requests over one connection; 0 is without limit.
    pub keepalive_requests: u64,
    /// The largest request body in bytes; 0 is without limit.
    pub body: u64,
    /// The most connections of one traffic thread; more wait in the operating system's queue.
    pub connections: usize,
}

impl Options {
    /// From the settings.
    #[must_use]
    pub fn new(settings: &Settings, clock: Arc<dyn Clock>, seed: [u8; 32]) -> Options {
        let threads = settings
            .nginx_main_worker_processes
            .or_else(|| std::thread::available_parallelism().ok())
            .map_or(1, std::num::NonZero::get);
        let log = |path| AccessLog {
            path,
            format: settings.proxy_access_log_format,
            sampling: settings.proxy_access_log_sampling,
        };
        Options {
            listeners: settings.proxy_listen.clone(),
            streams: settings.stream_listen.clone(),
            port_maps: settings.port_maps.clone(),
            threads,
            clock,
            seed,
            headers: settings.headers,
            request_id_upstream: settings.headers_upstream,
            trust: Trust::new(
                &settings.trusted_ips,
                settings.real_ip_header,
                settings.real_ip_recursive,
            ),
            error_default_type: settings.error_default_type.clone(),
            error_templates: TemplateFiles {
                html: settings.error_template_html.clone(),
                json: settings.error_template_json.clone(),
                plain: settings.error_template_plain.clone(),
                xml: settings.error_template_xml.clone(),
            },
            product: format!("kong/{}", telemetry::build_info::KONG_VERSION),
            limits: Limits {
                head_timeout: settings.nginx_http_client_header_timeout,
                body_timeout: settings.nginx_http_client_body_timeout,
                keepalive_timeout: settings.nginx_http_keepalive_timeout,
                keepalive_requests: settings.nginx_http_keepalive_requests,
                body: settings.nginx_http_client_max_body_size,
                connections: Limits::CONNECTIONS,
            },
            pool: PoolLimits {
                idle: usize::try_from(settings.upstream_keepalive_pool_size).unwrap_or(usize::MAX),
                requests: u32::try_from(settings.upstream_keepalive_max_requests)
                    .unwrap_or(u32::MAX),
                idle_timeout: settings.upstream_keepalive_idle_timeout,
            },
            certificates: settings
                .ssl_cert
                .iter()
                .zip(&settings.ssl_cert_key)
                .map(|(certificate, key)| (certificate.clone(), key.expose().to_owned()))
                .collect(),
            client_certificate: settings
                .client_ssl_cert
                .clone()
                .filter(|_| settings.client_ssl)
                .zip(settings.client_ssl_cert_key.as_ref().map(|key| key.expose().to_owned())),
            tls: TlsRules::new(settings),
            access_log: settings.proxy_access_log.clone().map(log),
            stream_access_log: settings.proxy_stream_access_log.clone().map(log),
        }
    }
}

impl Options {
    /// Where a client connected to, as it knows it.
    pub(crate) fn outside(&self, local: SocketAddr) -> SocketAddr {
        let known = self.port_maps.iter().find(|(_, ours)| *ours == local.port());
        SocketAddr::new(local.ip(), known.map_or(local.port(), |(theirs, _)| *theirs))
    }
}

impl fmt::Debug for Options {
    /// Leaves out the private keys and the seed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("listeners", &self.listeners)
            .field("threads", &self.threads)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Limits {
    /// The most connections of one thread where nothing else is set: well below what a process may usually open.
    pub const CONNECTIONS: usize = 16_384;
}
