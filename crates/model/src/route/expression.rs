//! Whether a route's expression is one that the router can evaluate.

use std::sync::LazyLock;

use atc_router::ast::Type;
use atc_router::router::Router;
use atc_router::schema::Schema;
use uuid::Uuid;

const SEGMENTS: &str = "http.path.segments.";

/// How deep parentheses may be nested: the parser is recursive, and its stack is not endless.
const DEEPEST: usize = 100;

/// Parses the expression and checks the types of its fields. `stream` tells which fields there
/// are: those of connections, or of HTTP requests besides.
///
/// # Errors
/// What the parser says.
pub(super) fn check(expression: &str, stream: bool) -> Result<(), String> {
    static STREAM: LazyLock<Schema> = LazyLock::new(of_connections);
    static HTTP: LazyLock<Schema> = LazyLock::new(of_requests);
    if depth(expression) > DEEPEST {
        return Err(format!("parentheses are nested more than {DEEPEST} deep"));
    }
    let schema: &Schema = if stream { &STREAM } else { &HTTP };
    let mut router = Router::new(schema);
    router.add_matcher(0, Uuid::nil(), expression)?;
    let segments = router.fields.keys().filter_map(|field| field.strip_prefix(SEGMENTS));
    for segment in segments {
        if !is_segment(segment) {
            return Err("illformed http.path.segments.* field".to_owned());
        }
    }
    Ok(())
}

/// What can be asked of a connection.
fn of_connections() -> Schema {
    let mut schema = Schema::default();
    schema.add_field("net.protocol", Type::String);
    schema.add_field("tls.sni", Type::String);
    schema.add_field("net.src.ip", Type::IpAddr);
    schema.add_field("net.src.port", Type::Int);
    schema.add_field("net.dst.ip", Type::IpAddr);
    schema.add_field("net.dst.port", Type::Int);
    schema
}

/// What can be asked of an HTTP request: also what can be asked of its connection.
fn of_requests() -> Schema {
    let mut schema = of_connections();
    schema.add_field("net.port", Type::Int);
    schema.add_field("http.method", Type::String);
    schema.add_field("http.host", Type::String);
    schema.add_field("http.path", Type::String);
    schema.add_field("http.path.segments.len", Type::Int);
    schema.add_field("http.path.segments.*", Type::String);
    schema.add_field("http.headers.*", Type::String);
    schema.add_field("http.queries.*", Type::String);
    schema
}

/// How deep parentheses are nested at most; those within texts count, too.
fn depth(expression: &str) -> usize {
    let step = |(depth, deepest): (usize, usize), byte: u8| match byte {
        b'(' => (depth + 1, deepest.max(depth + 1)),
        b')' => (depth.saturating_sub(1), deepest),
        _ => (depth, deepest),
    };
    expression.bytes().fold((0, 0), step).1
}

/// `len`, a number, or a range `from_to` of numbers; without leading zeros.
fn is_segment(suffix: &str) -> bool {
    let number = |text: &str| -> Option<u32> {
        let plain = text == "0" || !text.starts_with('0');
        text.parse().ok().filter(|_| plain && text.bytes().all(|b| b.is_ascii_digit()))
    };
    match suffix.split_once('_') {
        _ if suffix == "len" => true,
        None => number(suffix).is_some(),
        Some((from, to)) => number(from).zip(number(to)).is_some_and(|(from, to)| from < to),
    }
}
