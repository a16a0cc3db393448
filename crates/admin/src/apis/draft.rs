//! The fields of an API of Kong 0.10, their types and rules (legacy-apis.md §1, §2).

use std::collections::BTreeMap;

use model::{Address, Host};
use serde_json::{Value, json};

use crate::state::Object;

/// What is wrong, by field: the body of the answer.
pub(crate) type Faults = BTreeMap<String, String>;

/// How a field's value is read.
#[derive(Clone, Copy)]
enum Type {
    Text,
    List,
    Number,
    Boolean,
}

const FIELDS: [(&str, Type); 15] = [
    ("id", Type::Text),
    ("created_at", Type::Number),
    ("name", Type::Text),
    ("hosts", Type::List),
    ("uris", Type::List),
    ("methods", Type::List),
    ("upstream_url", Type::Text),
    ("strip_uri", Type::Boolean),
    ("preserve_host", Type::Boolean),
    ("retries", Type::Number),
    ("upstream_connect_timeout", Type::Number),
    ("upstream_send_timeout", Type::Number),
    ("upstream_read_timeout", Type::Number),
    ("https_only", Type::Boolean),
    ("http_if_terminated", Type::Boolean),
];

/// Whether the field exists: lists can be filtered by it.
pub(crate) fn is_field(name: &str) -> bool {
    FIELDS.iter().any(|(field, _)| *field == name)
}

/// Gives the values of a body, JSON or form, the types of their fields: a list may be text with
/// commas, a number or boolean may be text. Null is as absent.
///
/// # Errors
/// Unknown fields and values that cannot be read.
pub(crate) fn typed(input: &Object) -> Result<Object, Faults> {
    let mut object = Object::new();
    let mut faults = Faults::new();
    for (name, value) in input.iter().filter(|(_, value)| !value.is_null()) {
        let read = match FIELDS.iter().find(|(field, _)| field == name) {
            None => Err(format!("{name} is an unknown field")),
            Some((_, kind)) => {
                kind.read(value).ok_or_else(|| format!("{name} is not {}", kind.noun()))
            }
        };
        match read {
            Ok(value) => {
                object.insert(name.clone(), value);
            }
            Err(fault) => {
                faults.insert(name.clone(), fault);
            }
        }
    }
    if faults.is_empty() { Ok(object) } else { Err(faults) }
}

impl Type {
    fn noun(self) -> &'static str {
        match self {
            Type::Text => "a string",
            Type::List => "an array",
            Type::Number => "a number",
            Type::Boolean => "a boolean",
        }
    }

    fn read(self, value: &Value) -> Option<Value> {
        let text = value.as_str().map(str::trim);
        match (self, value) {
            (Type::Text, Value::String(text)) => Some(text.trim().into()),
            (Type::List, Value::String(text)) if text.trim().is_empty() => Some(json!([])),
            (Type::List, Value::String(text)) => Some(text.split(',').map(str::trim).collect()),
            (Type::List, Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map(|text| text.trim().into()))
                .collect::<Option<Vec<Value>>>()
                .map(Value::Array),
            (Type::Number, Value::Number(_)) | (Type::Boolean, Value::Bool(_)) => {
                Some(value.clone())
            }
            (Type::Number, _) => text?.parse::<i64>().ok().map(Value::from),
            (Type::Boolean, _) => match text?.to_ascii_lowercase().as_str() {
                "true" => Some(true.into()),
                "false" => Some(false.into()),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Fills in the defaults of a whole API.
pub(crate) fn complete(object: &mut Object) {
    for (name, value) in [
        ("strip_uri", json!(true)),
        ("preserve_host", json!(false)),
        ("retries", json!(5)),
        ("upstream_connect_timeout", json!(60000)),
        ("upstream_send_timeout", json!(60000)),
        ("upstream_read_timeout", json!(60000)),
        ("https_only", json!(false)),
    ] {
        object.entry(name).or_insert(value);
    }
}

/// Holds a whole, typed API to the rules of its fields, and brings `uris` into their stored form
/// (without a slash at the end).
///
/// # Errors
/// One text per field; `message` for what concerns several.
pub(crate) fn check(object: &mut Object) -> Result<(), Faults> {
    let mut faults = Faults::new();
    for required in ["name", "upstream_url"] {
        if !object.contains_key(required) {
            faults.insert(required.to_owned(), format!("{required} is required"));
        }
    }
    let mut hold = |name: &str, checked: Result<(), String>| {
        if let Err(fault) = checked {
            faults.insert(name.to_owned(), fault);
        }
    };
    if let Some(name) = object.get("name").and_then(Value::as_str) {
        hold("name", check_name(name));
    }
    if let Some(url) = object.get("upstream_url").and_then(Value::as_str) {
        hold("upstream_url", Upstream::parse(url).map(|_| ()));
    }
    for (name, check) in [
        ("hosts", check_host as fn(&str) -> Result<(), String>),
        ("uris", check_uri),
        ("methods", check_method),
    ] {
        for item in texts(object, name) {
            let noun = name.strip_suffix('s').unwrap_or(name);
            hold(
                name,
                check(item).map_err(|why| format!("{noun} with value '{item}' is invalid: {why}")),
            );
        }
    }
    for (name, low, high) in [
        ("retries", 0, 32767),
        ("upstream_connect_timeout", 1, 2_147_483_646),
        ("upstream_send_timeout", 1, 2_147_483_646),
        ("upstream_read_timeout", 1, 2_147_483_646),
    ] {
        if let Some(value) = object.get(name)
            && !value.as_i64().is_some_and(|n| (low..=high).contains(&n))
        {
            hold(name, Err(format!("must be an integer between {low} and {high}")));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    if ["hosts", "uris", "methods"].iter().all(|name| texts(object, name).is_empty()) {
        let text = "at least one of 'hosts', 'uris' or 'methods' must be specified";
        return Err(Faults::from([("message".to_owned(), text.to_owned())]));
    }
    let trimmed: Vec<Value> = texts(object, "uris").into_iter().map(|u| trim(u).into()).collect();
    if !trimmed.is_empty() {
        object.insert("uris".to_owned(), trimmed.into());
    }
    Ok(())
}

/// The items of a list of texts; none when it is absent.
pub(crate) fn texts<'a>(object: &'a Object, name: &str) -> Vec<&'a str> {
    let items = object.get(name).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Where an API's requests go: what `upstream_url` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upstream {
    pub(crate) protocol: &'static str,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) path: Option<String>,
}

impl Upstream {
    pub(crate) fn parse(url: &str) -> Result<Upstream, String> {
        let no_url = || "upstream_url is not a url".to_owned();
        let (scheme, rest) = url.split_once("://").ok_or_else(no_url)?;
        let (protocol, default) = match scheme.to_ascii_lowercase().as_str() {
            "http" => ("http", 80),
            "https" => ("https", 443),
            _ => return Err("Supported protocols are HTTP and HTTPS".to_owned()),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let address: Address = authority.parse().map_err(|_| no_url())?;
        let path = path.split(['?', '#']).next().unwrap_or_default();
        Ok(Upstream {
            protocol,
            host: match address.host {
                Host::V6(six) => format!("[{six}]"),
                host => host.to_string(),
            },
            port: address.port.unwrap_or(default),
            path: Some(path.to_owned()).filter(|path| !path.is_empty()),
        })
    }

    /// The URL; a port that the protocol implies is left out.
    pub(crate) fn url(protocol: &str, host: &str, port: u64, path: &str) -> String {
        let implied = matches!((protocol, port), ("http", 80) | ("https", 443));
        let port = if implied { String::new() } else { format!(":{port}") };
        format!("{protocol}://{host}{port}{path}")
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '~');
    if !name.is_empty() && name.chars().all(good) {
        return Ok(());
    }
    Err("name must only contain alphanumeric and '., -, _, ~' characters".to_owned())
}

fn check_host(host: &str) -> Result<(), String> {
    if host.is_empty() {
        return Err("host is empty".to_owned());
    }
    let plain = match host.matches('*').count() {
        0 => host.to_owned(),
        1 => match host.strip_prefix("*.").or_else(|| host.strip_suffix(".*")) {
            Some(rest) => rest.to_owned(),
            None => return Err("Invalid wildcard placement".to_owned()),
        },
        _ => return Err("Only one wildcard is allowed".to_owned()),
    };
    match plain.parse::<Address>() {
        Ok(Address { port: None, .. }) => Ok(()),
        _ => Err("Invalid hostname".to_owned()),
    }
}

fn check_uri(uri: &str) -> Result<(), String> {
    if !uri.starts_with('/') {
        return Err("must be prefixed with slash".to_owned());
    }
    if uri.contains("//") {
        return Err("invalid".to_owned());
    }
    let good = |c: char| c.is_ascii_alphanumeric() || "._~/%-".contains(c);
    if !uri.chars().all(good) {
        let text = "must only contain alphanumeric and '., -, _, ~, /, %' characters";
        return Err(text.to_owned());
    }
    for after in uri.split('%').skip(1) {
        let digits: String = after.chars().take(2).collect();
        if digits.len() < 2 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("must use proper encoding; '%{digits}' is invalid"));
        }
    }
    Ok(())
}

fn check_method(method: &str) -> Result<(), String> {
    let good = !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase());
    if good { Ok(()) } else { Err("invalid value".to_owned()) }
}

fn trim(uri: &str) -> &str {
    if uri == "/" { uri } else { uri.trim_end_matches('/') }
}

#[cfg(test)]
mod tests;
