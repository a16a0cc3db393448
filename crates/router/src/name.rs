//! Names with at most one wildcard label: hosts and SNIs.

/// A configured name in the form in which it is compared: lower case, no brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    /// `example.com`
    Exact(Box<str>),
    /// `*.example.com`, kept as `.example.com`
    Suffix(Box<str>),
    /// `example.*`, kept as `example.`
    Prefix(Box<str>),
}

impl Name {
    pub(crate) fn host(configured: &str) -> Name {
        Name::parse(&crate::host::comparable(configured))
    }

    /// One dot at the end of a configured SNI does not count, since handshakes do not send it
    /// (RFC 6066 §3).
    pub(crate) fn sni(configured: &str) -> Name {
        let name = configured.strip_suffix('.').filter(|n| !n.is_empty()).unwrap_or(configured);
        Name::parse(&name.to_ascii_lowercase())
    }

    fn parse(name: &str) -> Name {
        if let Some(suffix) = name.strip_prefix('*') {
            Name::Suffix(suffix.into())
        } else if let Some(prefix) = name.strip_suffix('*') {
            Name::Prefix(prefix.into())
        } else {
            Name::Exact(name.into())
        }
    }

    /// Whether it covers `name`, which is in lower case. The wildcard stands for at least
    /// `least` bytes.
    pub(crate) fn matches(&self, name: &str, least: usize) -> bool {
        match self {
            Name::Exact(exact) => **exact == *name,
            Name::Suffix(suffix) => name.ends_with(&**suffix) && name.len() >= suffix.len() + least,
            Name::Prefix(prefix) => {
                name.starts_with(&**prefix) && name.len() >= prefix.len() + least
            }
        }
    }

    /// Whether it covers every name that `other` covers.
    pub(crate) fn covers(&self, other: &Name) -> bool {
        match (self, other) {
            (_, Name::Exact(name)) => self.matches(name, 0),
            (Name::Suffix(own), Name::Suffix(other)) => other.ends_with(&**own),
            (Name::Prefix(own), Name::Prefix(other)) => other.starts_with(&**own),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn wildcards_cover_any_number_of_labels() {
        let left = Name::host("*.wild.test");
        for (name, covered) in [
            ("a.wild.test", true),
            ("a.b.wild.test", true),
            (".wild.test", true),
            ("wild.test", false),
            ("xwild.test", false),
        ] {
            assert_eq!(left.matches(name, 0), covered, "{name}");
        }
        assert!(!left.matches(".wild.test", 1));
        let right = Name::host("Right.*");
        for (name, covered) in [("right.test", true), ("right.co.uk", true), ("right", false)] {
            assert_eq!(right.matches(name, 0), covered, "{name}");
        }
    }

    #[test]
    fn sni_loses_one_dot() {
        assert_eq!(Name::sni("A.test."), Name::Exact("a.test".into()));
        assert_eq!(Name::sni("."), Name::Exact(".".into()));
        assert_eq!(Name::sni("a.*"), Name::Prefix("a.".into()));
    }

    #[test]
    fn covering() {
        let (wide, narrow) = (Name::host("*.test"), Name::host("*.a.test"));
        assert!(wide.covers(&narrow) && !narrow.covers(&wide));
        assert!(wide.covers(&Name::host("a.test")) && !Name::host("a.test").covers(&wide));
        assert!(!wide.covers(&Name::host("x.*")));
    }
}
