//! What holds for a route, by its protocols and the router's flavor.

use std::sync::{Arc, LazyLock};

use regex::bytes::RegexBuilder;
use schema::{
    ConditionalAtLeastOneOf, CustomCheck, Field, Object, Record, Subschema, Surroundings,
    Violations,
};
use serde_json::Value;

use super::{Endpoint, Route, RouterFlavor, expression};
use crate::types;

/// The fields by which a classic route matches.
const CLASSIC: [&str; 7] =
    ["snis", "sources", "destinations", "methods", "hosts", "paths", "headers"];

/// The declaration of a route in a flavor.
pub(crate) fn record_of(flavor: RouterFlavor) -> &'static Record {
    static RECORDS: LazyLock<[Record; 3]> = LazyLock::new(|| {
        [
            build(RouterFlavor::Traditional),
            build(RouterFlavor::TraditionalCompatible),
            build(RouterFlavor::Expressions),
        ]
    });
    let [traditional, compatible, expressions] = &*RECORDS;
    match flavor {
        RouterFlavor::Traditional => traditional,
        RouterFlavor::TraditionalCompatible => compatible,
        RouterFlavor::Expressions => expressions,
    }
}

fn build(flavor: RouterFlavor) -> Record {
    let record = Route::record().clone();
    let record = match flavor {
        RouterFlavor::Expressions => record,
        RouterFlavor::TraditionalCompatible => record.without(&["expression", "priority"]),
        RouterFlavor::Traditional => record
            .without(&["expression", "priority"])
            .field("snis", Field::set(types::sni()).about("The server names of TLS.")),
    };
    let record = record.conditional_or(
        "protocols",
        |f| {
            f.elements(|_| Field::string().not_one_of(["grpcs", "https", "tls", "tls_passthrough"]))
        },
        "snis",
        |f| f.length(0),
        "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'",
    );
    let record = match flavor {
        RouterFlavor::Traditional => record,
        RouterFlavor::TraditionalCompatible | RouterFlavor::Expressions => {
            record.check(CustomCheck {
                fields: &[
                    "id",
                    "protocols",
                    "snis",
                    "sources",
                    "destinations",
                    "methods",
                    "hosts",
                    "paths",
                    "headers",
                    "expression",
                    "regex_priority",
                    "priority",
                ],
                with_invalid_fields: false,
                check: check_match,
            })
        }
    };
    by_protocol(record, flavor)
}

/// The first protocol decides which fields make sense and which of them must be there.
fn by_protocol(record: Record, flavor: RouterFlavor) -> Record {
    let http = Arc::new(http(&record, flavor));
    let stream = Arc::new(stream(&record, flavor));
    let grpc = Arc::new(grpc(&record, flavor));
    let named = vec![
        ("http", Arc::clone(&http)),
        ("https", http),
        ("tcp", Arc::clone(&stream)),
        ("tls", Arc::clone(&stream)),
        ("udp", Arc::clone(&stream)),
        ("tls_passthrough", stream),
        ("grpc", Arc::clone(&grpc)),
        ("grpcs", grpc),
    ];
    record.subschemas("protocols", named, |name| format!("unknown type: {name}"))
}

fn http(record: &Record, flavor: RouterFlavor) -> Subschema {
    let protocols = protocols(record);
    let mut subschema = Subschema::new();
    if flavor != RouterFlavor::Expressions {
        subschema = subschema
            .field(
                "sources",
                endpoints()
                    .must_be_null()
                    .error("cannot set 'sources' when 'protocols' is 'http' or 'https'"),
            )
            .field(
                "destinations",
                endpoints()
                    .must_be_null()
                    .error("cannot set 'destinations' when 'protocols' is 'http' or 'https'"),
            );
    }
    subschema.conditional_at_least_one_of(ConditionalAtLeastOneOf {
        if_field: "protocols",
        branches: vec![
            (
                protocols.clone().contains("https"),
                with_expression(flavor, &["methods", "hosts", "headers", "paths", "snis"]),
                "must set one of {} when 'protocols' is 'https'",
            ),
            (
                protocols.contains("http"),
                with_expression(flavor, &["methods", "hosts", "headers", "paths"]),
                "must set one of {} when 'protocols' is 'http'",
            ),
        ],
    })
}

fn stream(record: &Record, flavor: RouterFlavor) -> Subschema {
    let of = |names: &[&'static str]| {
        let names = names.to_vec();
        protocols(record).elements(|_| Field::string().one_of(names))
    };
    Subschema::new()
        .field(
            "methods",
            declared(record, "methods").must_be_null().error(
                "cannot set 'methods' when 'protocols' is 'tcp', 'tls', 'tls_passthrough' or 'udp'",
            ),
        )
        .field(
            "hosts",
            declared(record, "hosts").must_be_null().error(
                "cannot set 'hosts' when 'protocols' is 'tcp', 'tls', 'tls_passthrough' or 'udp'",
            ),
        )
        .field(
            "paths",
            declared(record, "paths").must_be_null().error(
                "cannot set 'paths' when 'protocols' is 'tcp', 'tls', 'tls_passthrough' or 'udp'",
            ),
        )
        .field(
            "headers",
            declared(record, "headers").must_be_null().error(
                "cannot set 'headers' when 'protocols' is 'tcp', 'tls', 'tls_passthrough' or 'udp'",
            ),
        )
        .conditional_at_least_one_of(ConditionalAtLeastOneOf {
            if_field: "protocols",
            branches: vec![(
                of(&["tcp", "tls", "udp"]),
                with_expression(flavor, &["sources", "destinations", "snis"]),
                "must set one of {} when 'protocols' is 'tcp', 'tls' or 'udp'",
            )],
        })
        .conditional_at_least_one_of(ConditionalAtLeastOneOf {
            if_field: "protocols",
            branches: vec![(
                of(&["tls_passthrough"]),
                with_expression(flavor, &["snis"]),
                "must set snis when 'protocols' is 'tls_passthrough'",
            )],
        })
}

fn grpc(record: &Record, flavor: RouterFlavor) -> Subschema {
    let protocols = protocols(record);
    let mut subschema = Subschema::new()
        .field(
            "strip_path",
            declared(record, "strip_path")
                .default(false)
                .not_equal(true)
                .error("cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'"),
        )
        .field(
            "methods",
            declared(record, "methods")
                .must_be_null()
                .error("cannot set 'methods' when 'protocols' is 'grpc' or 'grpcs'"),
        );
    if flavor != RouterFlavor::Expressions {
        subschema = subschema
            .field(
                "sources",
                endpoints()
                    .must_be_null()
                    .error("cannot set 'sources' when 'protocols' is 'grpc' or 'grpcs'"),
            )
            .field(
                "destinations",
                endpoints()
                    .must_be_null()
                    .error("cannot set 'destinations' when 'protocols' is 'grpc' or 'grpcs'"),
            );
    }
    subschema.conditional_at_least_one_of(ConditionalAtLeastOneOf {
        if_field: "protocols",
        branches: vec![
            (
                protocols.clone().contains("grpcs"),
                with_expression(flavor, &["hosts", "headers", "paths", "snis"]),
                "must set one of {} when 'protocols' is 'grpcs'",
            ),
            (
                protocols.contains("grpc"),
                with_expression(flavor, &["hosts", "headers", "paths"]),
                "must set one of {} when 'protocols' is 'grpc'",
            ),
        ],
    })
}

fn protocols(record: &Record) -> Field {
    declared(record, "protocols")
}

fn declared(record: &Record, name: &str) -> Field {
    record.get(name).cloned().unwrap_or_else(Field::json)
}

fn endpoints() -> Field {
    Field::set(Field::record(Endpoint::record().clone()))
}

fn with_expression(flavor: RouterFlavor, fields: &[&'static str]) -> Vec<&'static str> {
    let expression = (flavor == RouterFlavor::Expressions).then_some("expression");
    fields.iter().copied().chain(expression).collect()
}

/// Whether the router can make something of the route.
fn check_match(route: &Object, _: &dyn Surroundings) -> Result<(), Violations> {
    let fail = |reason: &str| {
        Err(Violations::of_entity(format!("Router Expression failed validation: {reason}")))
    };
    let expression = route.get("expression").and_then(Value::as_str);
    let classic = CLASSIC.iter().any(|name| !is_unset(route.get(*name)));
    if expression.is_none() && !classic {
        return Ok(());
    }
    let not_zero = |name: &str| route.get(name).and_then(Value::as_i64).is_some_and(|n| n != 0);
    if let Some(expression) = expression {
        if classic {
            return fail(
                "cannot set 'expression' with 'methods', 'hosts', 'paths', 'headers', 'snis', \
                 'sources' or 'destinations' simultaneously",
            );
        }
        if not_zero("regex_priority") {
            return fail("cannot set 'regex_priority' with 'expression' simultaneously");
        }
        return expression::check(expression, is_stream(route)).or_else(|reason| fail(&reason));
    }
    if not_zero("priority") {
        return fail(
            "cannot set 'priority' with 'methods', 'hosts', 'paths', 'headers', 'snis', \
             'sources' or 'destinations' simultaneously",
        );
    }
    check_headers(route).or_else(|reason| fail(&reason))
}

/// Each header needs a value, and a value that begins with `~*` a regular expression.
fn check_headers(route: &Object) -> Result<(), String> {
    let headers = route.get("headers").and_then(Value::as_object).into_iter().flatten();
    for (name, values) in headers {
        let values: Vec<&str> =
            values.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if values.is_empty() {
            return Err(format!("the header '{name}' has no values to match"));
        }
        for pattern in values.iter().filter_map(|value| value.strip_prefix("~*")) {
            RegexBuilder::new(pattern).case_insensitive(true).build().map_err(|error| {
                format!("the header '{name}' has an invalid regex '{pattern}': {error}")
            })?;
        }
    }
    Ok(())
}

fn is_stream(route: &Object) -> bool {
    let protocols = route.get("protocols").and_then(Value::as_array).into_iter().flatten();
    protocols
        .filter_map(Value::as_str)
        .any(|protocol| matches!(protocol, "tcp" | "tls" | "udp" | "tls_passthrough"))
}

fn is_unset(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(members)) => members.is_empty(),
        Some(_) => false,
    }
}
