//! Names and tags.

use schema::Field;

/// A name that can stand in a URL: any character beyond ASCII, and of ASCII only letters, digits
/// and `. - _ ~`. Unique.
pub fn utf8_name() -> Field {
    Field::string().unique().check(|name| {
        let allowed = |c: char| {
            !c.is_ascii() || c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '~')
        };
        if name.chars().all(allowed) {
            return Ok(());
        }
        Err(format!(
            "invalid value '{name}': the only accepted ascii characters are alphanumerics or \
             ., -, _, and ~"
        ))
    })
}

/// Words to find entities by.
pub fn tags() -> Field {
    Field::set(tag())
}

/// Printable characters but `,` and `/`, which join tags in queries.
fn tag() -> Field {
    Field::string().check(|tag| {
        let allowed = |c: char| !c.is_ascii() || (matches!(c, ' '..='~') && c != ',' && c != '/');
        if tag.chars().all(allowed) {
            return Ok(());
        }
        Err(format!(
            "invalid tag '{tag}': expected printable ascii (except `,` and `/`) or valid utf-8 \
             sequences"
        ))
    })
}
