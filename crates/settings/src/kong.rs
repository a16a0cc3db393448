//! Settings of Kong that have no effect here, and why.

/// Exact names.
const NAMES: &[(&str, &str)] = &[
    ("prefix", "Weir's directory is data_dir"),
    ("role", "the program decides: weir-control-plane, weir-data-plane, or both in weir start"),
    ("anonymous_reports", "Weir reports to nobody"),
    ("nginx_daemon", "a supervisor (systemd, a container) keeps the process"),
    ("nginx_user", "start the process as the user that it should have"),
    ("mem_cache_size", "the configuration is held whole, there is no cache to size"),
    ("db_cache_neg_ttl", "what does not exist is known exactly, it is not cached"),
    ("db_resurrect_ttl", "the configuration in memory never expires"),
    ("db_cache_warmup_entities", "the configuration is held whole, there is no cache to warm up"),
    ("lmdb_environment_path", "a data plane's last configuration is kept in data_dir"),
    ("lmdb_map_size", "a data plane's last configuration has no size limit"),
    ("cluster_max_payload", "configuration travels in chunks, its size has no limit"),
    ("cluster_rpc", "changes are always sent one by one"),
    ("cluster_rpc_sync", "changes are always sent one by one"),
    ("incremental_sync", "changes are always sent one by one"),
    ("dedicated_config_processing", "configuration is always applied off the traffic threads"),
    ("worker_consistency", "all traffic threads switch to a new configuration at once"),
    ("worker_state_update_frequency", "a change is served at once"),
    ("worker_events_max_payload", "threads share one configuration"),
    ("legacy_worker_events", "threads share one configuration"),
    ("new_dns_client", "there is one DNS client"),
    ("dns_no_sync", "concurrent queries for a name are always one"),
    (
        "dns_cache_size",
        "the names in the configuration are known, their number is the cache's size",
    ),
    (
        "resolver_lru_cache_size",
        "the names in the configuration are known, their number is the cache's size",
    ),
    (
        "resolver_mem_cache_size",
        "the names in the configuration are known, their number is the cache's size",
    ),
    ("resolver_family", "the record types to ask for are dns_order"),
    ("pg_semaphore_timeout", "a query waits at most pg_timeout for a connection"),
    ("pg_backlog", "a query waits at most pg_timeout for a connection"),
    ("pg_keepalive_timeout", "idle connections are checked before use"),
    ("pg_ssl_required", "pg_ssl = on always means required"),
    ("pg_ssl_version", "TLS 1.2 and 1.3 are negotiated"),
    ("pg_ro_semaphore_timeout", "a read that waits for pg_ro_timeout is given to the primary"),
    ("pg_ro_backlog", "a read that waits for pg_ro_timeout is given to the primary"),
    ("pg_ro_keepalive_timeout", "idle connections are checked before use"),
    ("pg_ro_ssl_required", "pg_ro_ssl = on always means required"),
    ("pg_ro_ssl_version", "TLS 1.2 and 1.3 are negotiated"),
    ("allow_debug_header", "Weir has no debug header"),
    ("request_debug", "Weir has no debug header"),
    ("request_debug_token", "Weir has no debug header"),
    ("client_body_buffer_size", "bodies are not buffered on disk"),
    ("nginx_http_client_body_buffer_size", "bodies are not buffered on disk"),
    ("nginx_admin_client_body_buffer_size", "bodies are not buffered on disk"),
    (
        "lua_ssl_trusted_certificate",
        "trusted are the authorities of the operating system, or those in the file that the variable SSL_CERT_FILE names",
    ),
    (
        "lua_ssl_verify_depth",
        "the depth is the service's tls_verify_depth, and 1 where it has none",
    ),
    ("lua_socket_pool_size", "the sizes of connection pools are upstream_keepalive_pool_size"),
    ("proxy_error_log", "errors are logged to standard error"),
    ("admin_error_log", "errors are logged to standard error"),
    ("status_error_log", "errors are logged to standard error"),
    ("proxy_stream_error_log", "errors are logged to standard error"),
    ("status_access_log", "requests to the status listener are not logged"),
    ("ssl_dhparam", "Diffie-Hellman is over elliptic curves only"),
    ("ssl_session_cache_size", "clients keep their sessions themselves, in tickets"),
    ("ssl_session_timeout", "keys of tickets change every 6 hours, and are good for 12"),
    ("vaults", "vaults need no switch"),
    (
        "allow_inconsistent_data_plane_plugins",
        "a plugin that a data plane does not know is reported by name",
    ),
    ("admin_gui_listen", "Weir brings no Kong Manager"),
    ("audit_log", "Weir has no audit log"),
];

/// What a group of names begins with.
const PREFIXES: &[(&str, &str)] = &[
    ("admin_gui_", "Weir brings no Kong Manager"),
    ("portal", "Weir brings no developer portal"),
    ("smtp_", "Weir sends no mail"),
    ("vitals", "Weir's metrics are at /metrics of status_listen"),
    ("analytics_", "Weir's metrics are at /metrics of status_listen"),
    ("audit_log_", "Weir has no audit log"),
    ("keyring_", "Weir has no keyring"),
    ("rbac", "Weir has no RBAC"),
    ("enforce_rbac", "Weir has no RBAC"),
    ("cassandra_", "Kong dropped Cassandra in 3.4"),
    ("cluster_telemetry_", "data planes report on their one connection"),
    ("konnect", "Weir reports to nobody"),
    ("untrusted_lua", "Weir runs no Lua"),
    ("lua_", "Weir runs no Lua"),
    ("pluginserver_", "plugins are part of Weir"),
    ("wasm", "Weir runs no WebAssembly filters"),
    ("tracing_", "Weir does not trace itself"),
    ("opentelemetry_", "Weir does not trace itself"),
    ("openresty_", "Weir is not nginx"),
    ("nginx_", "Weir is not nginx, this directive has no counterpart"),
];

/// Settings that Kong has, that Weir could have, and that this version has not.
const NOT_YET: &[&str] = &[
    "admin_access_log",
    "cluster_allowed_common_names",
    "cluster_ocsp",
    "cluster_use_proxy",
    "declarative_config_string",
    "pg_ssl_cert",
    "pg_ssl_cert_key",
    "plugins",
    "proxy_server",
    "proxy_server_ssl_verify",
    "status_ssl_cert",
    "status_ssl_cert_key",
];

/// Why a setting of Kong has no effect here; `None` when it is none of Kong's.
pub(crate) fn without_meaning(name: &str) -> Option<&'static str> {
    if NOT_YET.contains(&name) {
        return Some("this version of Weir does not have it");
    }
    let exact = NAMES.iter().find(|(known, _)| *known == name);
    exact
        .or_else(|| PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix)))
        .map(|(_, why)| *why)
}

/// Whether the exact name stands in a list above.
#[cfg(test)]
pub(crate) fn is_listed(name: &str) -> bool {
    NOT_YET.contains(&name) || NAMES.iter().any(|(known, _)| *known == name)
}
