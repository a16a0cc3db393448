use super::{Address, AddressError, HostPort};

#[test]
fn targets_have_a_normal_form() {
    for (text, normal) in [
        ("a.example", "a.example:8000"),
        ("UPPER.example:1", "UPPER.example:1"),
        ("trailing.dot.", "trailing.dot.:8000"),
        ("-leading_.x", "-leading_.x:8000"),
        ("1.2.3.4", "1.2.3.4:8000"),
        ("001.002.003.004:09", "1.2.3.4:9"),
        ("::1", "[0000:0000:0000:0000:0000:0000:0000:0001]:8000"),
        ("[::1]:80", "[0000:0000:0000:0000:0000:0000:0000:0001]:80"),
        ("2001:DB8::A", "[2001:0db8:0000:0000:0000:0000:0000:000a]:8000"),
    ] {
        let parsed: HostPort = text.parse().unwrap();
        assert_eq!(parsed.to_string(), normal, "{text}");
        let again: HostPort = normal.parse().unwrap();
        assert_eq!(again.to_string(), normal, "{text} again");
    }
}

#[test]
fn what_is_no_address_says_what_it_looks_like() {
    use AddressError::{Name, Port, V4, V6};
    for (text, error) in [
        ("", Name as fn(String) -> AddressError),
        ("bad host", Name),
        ("a..b", Name),
        (".a", Name),
        ("a-.b", Name),
        ("a.example:x", Name),
        ("http://a.example", Name),
        ("1.2.3", V4),
        ("1.2.3.4.5", V4),
        ("256.1.1.1:80", V4),
        ("1.2.3.4:", V4),
        ("0001.2.3.4", V4),
        ("::g", V6),
        ("[::1", V6),
        ("[::1]80", V6),
        ("1:2:3", V6),
    ] {
        assert_eq!(text.parse::<Address>(), Err(error(text.to_owned())), "{text}");
    }
    for text in ["a.example:65536", "1.2.3.4:65536", "[::1]:65536", "a:99999999999999999999"] {
        assert_eq!(text.parse::<Address>(), Err(Port), "{text}");
    }
}

#[test]
fn addresses_know_whether_they_are_ips() {
    let ip = |text: &str| text.parse::<Address>().unwrap().host.ip();
    assert_eq!(ip("a.example:80"), None);
    assert_eq!(ip("1.2.3.4:80"), "1.2.3.4".parse().ok());
    assert_eq!(ip("[::1]:80"), "::1".parse().ok());
}
