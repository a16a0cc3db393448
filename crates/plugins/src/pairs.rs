//! Settings of the form `name:value`.

use schema::Field;

/// A list of such settings.
pub(crate) fn field() -> Field {
    Field::array(Field::string().matches("(?s)^[^:]+:.*$")).required().default(Vec::<String>::new())
}

/// A list of names.
pub(crate) fn names() -> Field {
    Field::array(Field::string()).required().default(Vec::<String>::new())
}

/// A list of header names, each with the one that takes its place.
pub(crate) fn renamed_headers() -> Field {
    let pair = Field::string().matches("(?s)^[^:]+:.*$").check(|pair| {
        let (old, new) = split(pair);
        match [old, new].into_iter().find(|name| !is_header_name(name)) {
            Some(name) => Err(format!("'{name}' is not a valid header")),
            None => Ok(()),
        }
    });
    Field::array(pair).required().default(Vec::<String>::new())
}

/// Name and value: what is before and behind the first colon.
pub(crate) fn split(pair: &str) -> (&str, &str) {
    pair.split_once(':').unwrap_or((pair, ""))
}

/// The settings taken apart.
pub(crate) fn all(pairs: &[String]) -> Vec<(String, String)> {
    let owned = |pair: &String| {
        let (name, value) = split(pair);
        (name.to_owned(), value.to_owned())
    };
    pairs.iter().map(owned).collect()
}

/// A list of header fields, each with a value.
pub(crate) fn headers() -> Field {
    let pair = Field::string().matches("(?s)^[^:]+:.*$").check(|pair| {
        let (name, _) = split(pair);
        match is_header_name(name) {
            true => Ok(()),
            false => Err(format!("'{name}' is not a valid header")),
        }
    });
    Field::array(pair).required().default(Vec::<String>::new())
}

/// Whether this is a token (RFC 9110 §5.6.2).
pub(crate) fn is_header_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}
