//! Which origins are allowed, by Kong's rules for its list.

use std::borrow::Cow;

use regex::Regex;

/// Who may read an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Allowed<'a> {
    /// Everybody.
    Any,
    /// This origin, in this spelling.
    Named(Cow<'a, str>),
    /// Not the one that asks.
    Nobody,
}

/// The list of a configuration, ready to be asked.
#[derive(Debug)]
pub(super) enum Origins {
    /// No list, or `*` alone.
    Any,
    /// One plain entry: told to everybody, whoever asks.
    One(String),
    Several(Vec<Entry>),
}

#[derive(Debug)]
pub(super) enum Entry {
    Any,
    Plain(String),
    /// An expression for the whole of the origin, or of its host when it has no colon.
    Expression {
        whole: Regex,
        of_host: bool,
    },
}

/// Whether a text can be an entry of the list.
pub(super) fn check(text: &str) -> Result<(), String> {
    if text == "*" || Regex::new(text).is_ok() {
        return Ok(());
    }
    Err(format!("'{text}' is not a valid regex"))
}

impl Origins {
    pub(super) fn new(list: Option<&[String]>) -> Result<Origins, String> {
        match list {
            None | Some([]) => Ok(Origins::Any),
            Some([only]) if only == "*" => Ok(Origins::Any),
            Some([only]) if is_plain(only) => Ok(Origins::One(only.clone())),
            Some(several) => several
                .iter()
                .map(|text| Entry::new(text))
                .collect::<Result<_, _>>()
                .map(Origins::Several),
        }
    }

    /// Whether the answer depends on who asks, so that caches must know.
    pub(super) fn vary(&self) -> bool {
        !matches!(self, Origins::Any)
    }

    pub(super) fn allowed(&self, origin: Option<&str>) -> Allowed<'_> {
        match self {
            Origins::Any => Allowed::Any,
            Origins::One(origin) => Allowed::Named(origin.into()),
            Origins::Several(entries) => {
                let asking = origin.and_then(Origin::parse);
                let hit = entries.iter().find_map(|entry| entry.allowed(asking.as_ref()));
                hit.unwrap_or(Allowed::Nobody)
            }
        }
    }
}

impl Entry {
    fn new(text: &str) -> Result<Entry, String> {
        if text == "*" {
            return Ok(Entry::Any);
        }
        if is_plain(text) {
            return Ok(Entry::Plain(text.to_owned()));
        }
        let whole = Regex::new(&format!("^(?:{text})$")).map_err(|error| error.to_string())?;
        Ok(Entry::Expression { whole, of_host: !text.contains(':') })
    }

    fn allowed(&self, asking: Option<&Origin>) -> Option<Allowed<'_>> {
        if matches!(self, Entry::Any) {
            return Some(Allowed::Any);
        }
        let asking = asking?;
        let hit = match self {
            Entry::Any => true,
            Entry::Plain(text) => *text == asking.normalised,
            Entry::Expression { whole, of_host: true } => whole.is_match(&asking.host),
            Entry::Expression { whole, of_host: false } => whole.is_match(&asking.normalised),
        };
        hit.then(|| Allowed::Named(asking.normalised.clone().into()))
    }
}

/// Only what an origin can consist of: no expression.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:/-".contains(&byte))
}

struct Origin {
    /// `scheme://host`, with the port unless it is the scheme's own.
    normalised: String,
    host: String,
}

impl Origin {
    fn parse(text: &str) -> Option<Origin> {
        let (scheme, rest) = text.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                (host, Some(port))
            }
            _ => (authority, None),
        };
        let port =
            port.filter(|port| !matches!((scheme, *port), ("http", "80") | ("https", "443")));
        let normalised = match port {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        };
        Some(Origin { normalised, host: host.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `=`: the origin itself; empty: nobody; else the origin that is named.
    fn check(list: &[&str], origin: &str, expected: &str) {
        let list: Vec<String> = list.iter().map(ToString::to_string).collect();
        let origins = Origins::new(Some(&list)).unwrap();
        let got = origins.allowed(Some(origin));
        let expected = match expected {
            "" => Allowed::Nobody,
            "=" => Allowed::Named(origin.into()),
            other => Allowed::Named(other.into()),
        };
        assert_eq!(got, expected, "{list:?} for {origin}");
    }

    #[test]
    fn expressions_without_a_colon_are_for_the_host() {
        check(&[r"foo\.test"], "http://foo.test", "=");
        check(&[r"foo\.test"], "http://foo.test:80", "http://foo.test");
        check(&[r"foo\.test"], "https://foo.test:8000", "=");
        check(&[r"foo\.test"], "http://something.foo.test", "");
        check(&[r"(.*[./])?foo\.test"], "http://something.foo.test", "=");
        check(&[r"(.*[./])?foo\.test"], "http://evilfoo.test", "");
        check(&[r"foo\.test"], "http://foo.test.evil.test", "");
        check(&[r"foo\.test"], "http://foobtest", "");
    }

    #[test]
    fn expressions_with_a_colon_are_for_the_whole_origin() {
        let several = r"^http://(.*[.])?foo\.test(:(80|90))?$";
        check(&[several], "http://foo.test:90", "=");
        check(&[several], "http://foo.test:80", "http://foo.test");
        check(&[several], "http://foo.test:8000", "");
        check(&[r"https://(.*[.])?foo\.test:8000"], "https://foo.test:8000", "=");
    }

    #[test]
    fn plain_entries_are_the_origin_itself() {
        check(&["foo.test", "bar.test"], "http://foo.test", "");
        check(
            &["http://foo.test", "https://bar.test:1234"],
            "http://foo.test:80",
            "http://foo.test",
        );
        check(&["http://foo.test", "https://bar.test:1234"], "https://bar.test:1234", "=");
        check(&["foo.test"], "http://evil.test", "foo.test");
    }
}
