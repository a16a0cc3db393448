//! Which fields an expression may name.

use std::sync::LazyLock;

use atc_router::ast::Type;
use atc_router::schema::Schema;

/// The fields of Kong's HTTP or stream routers, for its own type checks.
pub(super) fn schema(stream: bool) -> &'static Schema {
    static HTTP: LazyLock<Schema> = LazyLock::new(http);
    static STREAM: LazyLock<Schema> = LazyLock::new(|| {
        let mut schema = Schema::default();
        connection(&mut schema);
        schema
    });
    if stream { &STREAM } else { &HTTP }
}

fn http() -> Schema {
    let mut schema = Schema::default();
    connection(&mut schema);
    for field in [
        "http.method",
        "http.host",
        "http.path",
        "http.path.segments.*",
        "http.headers.*",
        "http.queries.*",
    ] {
        schema.add_field(field, Type::String);
    }
    schema.add_field("http.path.segments.len", Type::Int);
    for field in ["net.dst.ip", "net.src.ip"] {
        schema.add_field(field, Type::IpAddr);
    }
    schema
}

fn connection(schema: &mut Schema) {
    for field in ["net.protocol", "tls.sni"] {
        schema.add_field(field, Type::String);
    }
    for field in ["net.src.port", "net.dst.port"] {
        schema.add_field(field, Type::Int);
    }
    for field in ["net.src.ip", "net.dst.ip"] {
        schema.add_field(field, Type::IpAddr);
    }
}
