use std::cell::Cell;

use uuid::Uuid;

use super::*;

#[derive(Default)]
struct Request {
    consumer: Option<&'static str>,
    headers: Vec<(&'static str, &'static str)>,
    path: &'static str,
    query: Option<&'static str>,
    captures: Vec<(&'static str, &'static str)>,
    issued: Cell<u32>,
}

impl Inputs for Request {
    fn consumer(&self) -> Option<Cow<'_, str>> {
        self.consumer.map(Cow::Borrowed)
    }

    fn client_ip(&self) -> IpAddr {
        [10, 0, 0, 7].into()
    }

    fn header(&self, name: &str, found: &mut dyn FnMut(&[u8])) {
        let named = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.for_each(|(_, value)| found(value.as_bytes()));
    }

    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }

    fn query(&self) -> Option<&[u8]> {
        self.query.map(str::as_bytes)
    }

    fn capture(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let found = self.captures.iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| Cow::Borrowed(value.as_bytes()))
    }

    fn new_uuid(&self) -> Uuid {
        self.issued.set(self.issued.get() + 1);
        Uuid::from_u128(7)
    }
}

fn hashing(hash_on: HashOn, hash_fallback: HashOn) -> Config {
    Config {
        algorithm: Algorithm::ConsistentHashing,
        hash_on,
        hash_fallback,
        hash_on_cookie_path: "/app".into(),
        ..Config::implicit(Uuid::nil(), "u.test")
    }
}

/// That a request hashes as this value does.
fn check(hash_on: HashOn, request: &Request, value: &str) {
    let key = Affinity::of(&hashing(hash_on, HashOn::None), request).key();
    assert_eq!(key, Key::Hash(xxh32(value.as_bytes(), 0)), "{value}");
}

#[test]
fn hashes_as_recorded() {
    let vectors = [
        ("", 46_947_589),
        ("a", 1_426_945_110),
        ("some-cookie-value", 3_062_952_414),
        ("550e8400-e29b-41d4-a716-446655440000", 1_290_628_481),
        ("/my-path", 2_400_934_239),
    ];
    for (value, hash) in vectors {
        let request = Request { path: value, ..Request::default() };
        let key = Affinity::of(&hashing(HashOn::Path, HashOn::None), &request).key();
        assert_eq!(key, Key::Hash(hash), "{value}");
    }
}

#[test]
fn each_source_gives_its_value() {
    let request = Request {
        consumer: Some("bob"),
        headers: vec![("X-Key", "one"), ("x-key", "two"), ("cookie", "other=1; stick=mine")],
        path: "/root/.subdir/()",
        captures: vec![("1", "first"), ("name", "second")],
        ..Request::default()
    };
    check(HashOn::None, &request, "");
    check(HashOn::Consumer, &request, "bob");
    check(HashOn::Ip, &request, "10.0.0.7");
    check(HashOn::Header("x-KEY".into()), &request, "one, two");
    check(HashOn::Cookie("stick".into()), &request, "mine");
    check(HashOn::Path, &request, "/root/.subdir/()");
    check(HashOn::UriCapture("1".into()), &request, "first");
    check(HashOn::UriCapture("name".into()), &request, "second");
    check(HashOn::UriCapture("2".into()), &request, "");
}

#[test]
fn query_arguments_are_sorted_and_joined() {
    let check = |query: &'static str, value: &str| {
        let request = Request { query: Some(query), ..Request::default() };
        check(HashOn::QueryArg("foo".into()), &request, value);
    };
    check("foo=c&foo=a&foo=b", "a,b,c");
    check("foo", "true");
    check("foo=s&foo&foo=1&foo=", ",1,s,true");
    check("food=1&xfoo=2&foo=3", "3");
    check("f%6fo=a%20b+c%2", "a b c%2");
    check("other=1", "");
    check("", "");
}

#[test]
fn an_empty_argument_is_missing() {
    let config = hashing(HashOn::QueryArg("foo".into()), HashOn::Ip);
    for query in [Some("foo="), Some("bar=1"), None] {
        let request = Request { query, ..Request::default() };
        let key = Affinity::of(&config, &request).key();
        assert_eq!(key, Key::Hash(xxh32(b"10.0.0.7", 0)), "{query:?}");
    }
}

#[test]
fn the_fallback_decides_without_the_first() {
    let config = hashing(HashOn::Header("a".into()), HashOn::Header("b".into()));
    let check = |headers: Vec<(&'static str, &'static str)>, value: &str| {
        let request = Request { headers, ..Request::default() };
        let key = Affinity::of(&config, &request).key();
        assert_eq!(key, Key::Hash(xxh32(value.as_bytes(), 0)), "{value}");
    };
    check(vec![("a", "1"), ("b", "2")], "1");
    check(vec![("b", "2")], "2");
    check(vec![("a", ""), ("b", "2")], "");
    check(vec![], "");
}

fn peer(host: &str) -> Peer {
    let address = ([10, 0, 0, 1], 80).into();
    Peer::new(crate::PeerId(0), 0, address, host.into(), 80, None, 0.0)
}

#[test]
fn a_missing_cookie_is_issued() {
    let config = hashing(HashOn::Cookie("stick".into()), HashOn::None);
    let uuid = "00000000-0000-0000-0000-000000000007";
    let request = Request::default();
    let affinity = Affinity::of(&config, &request);
    assert_eq!(affinity.key(), Key::Hash(xxh32(uuid.as_bytes(), 0)));
    let text = affinity.cookie_for(&config, &peer("a"));
    let expected = format!("stick={uuid}; Path=/app; Same-Site=Lax; HttpOnly");
    assert_eq!(text, Some(expected.clone()));

    let as_fallback = hashing(HashOn::Header("x".into()), HashOn::Cookie("stick".into()));
    let affinity = Affinity::of(&as_fallback, &request);
    assert_eq!(affinity.cookie_for(&as_fallback, &peer("a")), Some(expected));
    assert_eq!(request.issued.get(), 2);

    let request = Request { headers: vec![("cookie", "stick=mine")], ..Request::default() };
    let affinity = Affinity::of(&config, &request);
    assert_eq!(affinity.cookie_for(&config, &peer("a")), None);
    assert_eq!(request.issued.get(), 0);
}

#[test]
fn the_first_cookie_of_the_name_counts() {
    let check = |line: &'static str, value: &str| {
        let request = Request { headers: vec![("Cookie", line)], ..Request::default() };
        let key = Affinity::of(&hashing(HashOn::Cookie("c".into()), HashOn::None), &request);
        assert_eq!(key.key(), Key::Hash(xxh32(value.as_bytes(), 0)), "{line}");
    };
    check("c=1; c=2", "1");
    check("cc=0; c=1", "1");
    check("c=a=b", "a=b");
    check(" c=1 ;x", "1");
}

#[test]
fn a_sticky_cookie_names_the_peer() {
    let config = Config {
        algorithm: Algorithm::StickySessions,
        sticky_cookie: "session".into(),
        sticky_cookie_path: "/x".into(),
        ..Config::implicit(Uuid::nil(), "u.test")
    };
    let (first, second) = (peer("a"), peer("b"));
    let affinity = Affinity::of(&config, &Request::default());
    assert_eq!(affinity.key(), Key::Sticky(None));
    let text = affinity.cookie_for(&config, &first).unwrap();
    let (pair, attributes) = text.split_once(';').unwrap();
    assert_eq!(attributes, " Path=/x; Same-Site=Lax; HttpOnly");

    let request =
        Request { headers: vec![("cookie", pair.to_owned().leak())], ..Request::default() };
    let affinity = Affinity::of(&config, &request);
    assert_eq!(affinity.key(), Key::Sticky(Some(first.identity())));
    assert_eq!(affinity.cookie_for(&config, &first), None);
    assert!(affinity.cookie_for(&config, &second).is_some());

    for broken in ["session=", "session=xyz", "session=+00000000000000a", "session=\u{e9}"] {
        let request = Request { headers: vec![("cookie", broken)], ..Request::default() };
        assert_eq!(Affinity::of(&config, &request).key(), Key::Sticky(None), "{broken}");
    }
}
