//! Services: where requests are sent.

use schema::{Field, Object, Record, Shorthand};
use serde_json::Value;
use uuid::Uuid;

use crate::reference::Reference;
use crate::{Protocol, types};

schema::record! {
    /// An upstream API: where the requests of its routes are sent.
    pub struct Service in "services" {
        /// The primary key.
        pub id: Uuid = types::id(),
        /// When it was made, in seconds since 1970.
        pub created_at: Option<i64> = types::created_at(),
        /// When it was last written, in seconds since 1970.
        pub updated_at: Option<i64> = types::updated_at(),
        /// A unique name.
        pub name: Option<String> = types::utf8_name(),
        /// How often a failed request is tried again.
        pub retries: Option<u32> = Field::integer().between(0, 32767).default(5),
        /// What is spoken with the upstream.
        pub protocol: Protocol = types::protocol().required().default("http"),
        /// The host of the upstream: a name that DNS resolves, an address, or the name of an
        /// upstream entity.
        pub host: String = types::host().required(),
        /// The port of the upstream.
        pub port: u16 = types::port().required().default(80),
        /// What is put before the path of a request.
        pub path: Option<String> = types::path(),
        /// Milliseconds to connect.
        pub connect_timeout: Option<u32> = types::nonzero_timeout().default(60000),
        /// Milliseconds between two writes to the upstream.
        pub write_timeout: Option<u32> = types::nonzero_timeout().default(60000),
        /// Milliseconds between two reads from the upstream.
        pub read_timeout: Option<u32> = types::nonzero_timeout().default(60000),
        /// Words to find it by.
        pub tags: Option<Vec<String>> = types::tags(),
        /// The certificate to present to the upstream.
        pub client_certificate: Option<Reference> = Field::foreign("certificates"),
        /// Whether to verify the upstream's certificate; null: as the node is set up.
        pub tls_verify: Option<bool> = Field::boolean(),
        /// How long a chain of the upstream's certificate may be; null: as the node is set up.
        pub tls_verify_depth: Option<u32> = Field::integer().between(0, 64).default(Value::Null),
        /// The CA certificates that the upstream's certificate is verified with.
        pub ca_certificates: Option<Vec<Uuid>> = Field::array(types::uuid()),
        /// Whether it takes part in routing.
        pub enabled: bool = Field::boolean().required().default(true),
    }
    rules |record| rules(record)
}

/// What the protocol leaves no room for must be null.
fn rules(record: Record) -> Record {
    const WITHOUT_PATH: [&str; 5] = ["tcp", "tls", "udp", "grpc", "grpcs"];
    let record = record
        .shorthand(Shorthand::new("url", Field::string(), |_| Object::new()))
        .conditional("protocol", |f| f.one_of(WITHOUT_PATH), "path", Field::must_be_null);
    let of_tls = ["client_certificate", "tls_verify", "tls_verify_depth", "ca_certificates"];
    of_tls.into_iter().fold(record, |record, name| {
        record.conditional(
            "protocol",
            |f| f.not_one_of(["https", "tls"]),
            name,
            Field::must_be_null,
        )
    })
}
