//! Words of HTTP.

use schema::Field;

/// A method: upper-case letters.
pub fn http_method() -> Field {
    Field::string().matches("^[A-Z]+$")
}

/// The name of a header field.
pub fn header_name() -> Field {
    Field::string().check(|name| {
        if name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
            return Ok(());
        }
        Err(format!("bad header name '{name}', allowed characters are A-Z, a-z, 0-9, '_', and '-'"))
    })
}

/// Header names to lists of values.
pub fn headers() -> Field {
    Field::map(header_name(), Field::array(Field::string()))
}

/// The name of a cookie: a token of RFC 2616.
pub fn cookie_name() -> Field {
    Field::string().check(|name| {
        let is_token = |b: u8| b.is_ascii_graphic() && !br#"()<>@,;:\"/?={}[]"#.contains(&b);
        if name.bytes().all(is_token) {
            return Ok(());
        }
        Err("contains one or more invalid characters. ASCII control characters (0-31;127), \
             space, tab and the characters ()<>@,;:\\\"/?={}[] are not allowed."
            .to_owned())
    })
}
