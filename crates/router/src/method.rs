//! Sets of methods.

/// The methods of a route. Those that RFC 9110 and RFC 5789 name are a bit each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Methods {
    common: u16,
    others: Box<[Box<str>]>,
}

/// The method of a request, looked up once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method<'a> {
    bit: u16,
    name: &'a str,
}

impl<'a> Method<'a> {
    pub(crate) fn new(name: &'a str) -> Method<'a> {
        let bit = match name {
            "GET" => 1,
            "HEAD" => 1 << 1,
            "POST" => 1 << 2,
            "PUT" => 1 << 3,
            "DELETE" => 1 << 4,
            "CONNECT" => 1 << 5,
            "OPTIONS" => 1 << 6,
            "TRACE" => 1 << 7,
            "PATCH" => 1 << 8,
            _ => 0,
        };
        Method { bit, name }
    }
}

impl Methods {
    pub(crate) fn new(names: &[String], upper_case: bool) -> Methods {
        let mut common = 0;
        let mut others = Vec::new();
        for name in names {
            let name = if upper_case { name.to_ascii_uppercase() } else { name.clone() };
            match Method::new(&name).bit {
                0 => others.push(name.into_boxed_str()),
                bit => common |= bit,
            }
        }
        Methods { common, others: others.into() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.common == 0 && self.others.is_empty()
    }

    pub(crate) fn contain(&self, method: Method<'_>) -> bool {
        self.common & method.bit != 0
            || (method.bit == 0 && self.others.iter().any(|o| **o == *method.name))
    }

    /// Whether every method of `other` is one of these.
    pub(crate) fn cover(&self, other: &Methods) -> bool {
        other.common & !self.common == 0 && other.others.iter().all(|o| self.others.contains(o))
    }
}

#[cfg(test)]
mod tests {
    use super::{Method, Methods};

    #[test]
    fn methods_are_case_sensitive() {
        let methods = Methods::new(&["GET".to_owned(), "PURGE".to_owned()], false);
        for (name, contained) in
            [("GET", true), ("get", false), ("PURGE", true), ("POST", false), ("PUR", false)]
        {
            assert_eq!(methods.contain(Method::new(name)), contained, "{name}");
        }
        assert!(Methods::new(&["get".to_owned()], true).contain(Method::new("GET")));
    }
}
