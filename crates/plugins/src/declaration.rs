//! What the declarations of plugins have in common.

use schema::{Field, Record, Subschema};

/// Protocols that a plugin can run for (Kong's `protocols_http` and `protocols`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocols {
    /// Those with requests.
    Http,
    /// Streams, too.
    #[expect(dead_code, reason = "for plugins of the stream listeners")]
    Any,
}

/// The schema of a plugin's entity: its configuration, and the protocols that it can run for.
pub(crate) fn subschema(config: &'static Record, protocols: Protocols) -> Subschema {
    let http = ["grpc", "grpcs", "http", "https"];
    let any = ["grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp"];
    let choice = match protocols {
        Protocols::Http => Field::string().one_of(http),
        Protocols::Any => Field::string().one_of(any),
    };
    Subschema::new()
        .field("protocols", Field::set(choice).required().default(http.to_vec()))
        .field("config", Field::record(config.clone()).required())
}

/// A plugin that runs before anybody is authenticated cannot be scoped to a consumer.
pub(crate) fn without_consumer(schema: Subschema) -> Subschema {
    schema.field("consumer", Field::foreign("consumers").must_be_null())
}
