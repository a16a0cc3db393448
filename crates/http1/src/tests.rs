//! What is read and what is refused: every way known to make two recipients disagree about a message.

use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_oneof, proptest},
};

use crate::{
    BodyDecoder, BodyError, ChunkError, Framing, FramingError, HeadError, HeadScan, LAST_CHUNK,
    Limits, Name, RequestHead, ResponseError, ResponseHead, ScanError, TargetError, Version,
    write_chunk_start,
};

#[derive(Debug, PartialEq)]
enum Refused {
    Scan(ScanError),
    Head(HeadError),
    Incomplete,
}

fn request(text: &[u8]) -> Result<RequestHead, Refused> {
    let range = HeadScan::default()
        .advance(text, &Limits::default(), true)
        .map_err(Refused::Scan)?
        .ok_or(Refused::Incomplete)?;
    let mut head = RequestHead::default();
    head.read(&text[range]).map_err(Refused::Head)?;
    Ok(head)
}

fn with_host(lines: &str) -> Result<RequestHead, Refused> {
    request(format!("POST /x HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n").as_bytes())
}

fn syntax(result: Result<RequestHead, Refused>) -> bool {
    matches!(result, Err(Refused::Head(HeadError::Syntax(_))))
}

#[test]
fn a_request_is_taken_apart() {
    let head = request(b"GET /a%20b?x=1 HTTP/1.1\r\nhOsT:  a.test:81 \r\nX-Empty:\r\nConnection: Close, X-Mine\r\n\r\n").unwrap();
    assert_eq!(head.method(), b"GET");
    assert_eq!(head.target(), b"/a%20b?x=1");
    assert_eq!(head.path(), b"/a%20b");
    assert_eq!(head.query(), Some(&b"x=1"[..]));
    assert_eq!(head.version(), Version::Http11);
    assert_eq!(head.framing(), Framing::None);
    let host = head.host().unwrap();
    assert_eq!((host.name, host.port), ("a.test", Some(81)));
    assert_eq!(head.fields.get(Name::Host), Some(&b"a.test:81"[..]));
    assert!(head.connection().close);
    assert!(head.connection().lists(&head.fields, b"x-mine"));
    assert!(!head.connection().lists(&head.fields, b"x-other"));
    assert!(!head.keeps_connection());
    let first = head.fields.iter().next().unwrap();
    assert_eq!((first.name, first.known), (&b"hOsT"[..], Name::Host));
}

#[test]
fn lengths_and_encodings_that_can_be_read_in_two_ways_are_refused() {
    let cases: &[(&str, Result<Framing, FramingError>)] = &[
        ("", Ok(Framing::None)),
        ("Content-Length: 0\r\n", Ok(Framing::Length(0))),
        ("Content-Length: 5\r\n", Ok(Framing::Length(5))),
        ("content-length:\t5\t\r\n", Ok(Framing::Length(5))),
        ("Transfer-Encoding: chunked\r\n", Ok(Framing::Chunked)),
        ("transfer-encoding: CHUNKED\r\n", Ok(Framing::Chunked)),
        ("Content-Length: x\r\n", Err(FramingError::BadLength)),
        ("Content-Length:\r\n", Err(FramingError::BadLength)),
        ("Content-Length: +5\r\n", Err(FramingError::BadLength)),
        ("Content-Length: -5\r\n", Err(FramingError::BadLength)),
        ("Content-Length: 0x5\r\n", Err(FramingError::BadLength)),
        ("Content-Length: 5 5\r\n", Err(FramingError::BadLength)),
        ("Content-Length: 5, 5\r\n", Err(FramingError::BadLength)),
        ("Content-Length: 5;q=1\r\n", Err(FramingError::BadLength)),
        ("Content-Length: 18446744073709551617\r\n", Err(FramingError::BadLength)),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", Err(FramingError::RepeatedLength)),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Err(FramingError::RepeatedLength)),
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            Err(FramingError::LengthAndEncoding),
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            Err(FramingError::LengthAndEncoding),
        ),
        (
            "Content-Length: x\r\nTransfer-Encoding: chunked\r\n",
            Err(FramingError::LengthAndEncoding),
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            Err(FramingError::RepeatedEncoding),
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            Err(FramingError::RepeatedEncoding),
        ),
        ("Transfer-Encoding: identity\r\n", Err(FramingError::UnknownEncoding)),
        ("Transfer-Encoding:\r\n", Err(FramingError::UnknownEncoding)),
        ("Transfer-Encoding: gzip, chunked\r\n", Err(FramingError::UnknownEncoding)),
        ("Transfer-Encoding: chunked, identity\r\n", Err(FramingError::UnknownEncoding)),
        ("Transfer-Encoding: chunked, chunked\r\n", Err(FramingError::UnknownEncoding)),
        ("Transfer-Encoding: xchunked\r\n", Err(FramingError::UnknownEncoding)),
        ("Transfer-Encoding: chunkedx\r\n", Err(FramingError::UnknownEncoding)),
        ("Transfer-Encoding: \"chunked\"\r\n", Err(FramingError::UnknownEncoding)),
        ("Transfer-Encoding: chunked;a=b\r\n", Err(FramingError::UnknownEncoding)),
        ("Transfer-Encoding: chunk\u{e4}d\r\n", Err(FramingError::UnknownEncoding)),
        // Not the field that decides, however alike it looks.
        ("Transfer_Encoding: chunked\r\n", Ok(Framing::None)),
        ("X-Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", Ok(Framing::Length(3))),
    ];
    for (lines, expected) in cases {
        let found = match with_host(lines) {
            Ok(head) => Ok(head.framing()),
            Err(Refused::Head(HeadError::Framing(error))) => Err(error),
            Err(other) => panic!("{lines:?}: {other:?}"),
        };
        assert_eq!(found, *expected, "{lines:?}");
    }
    let old = request(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(old.err(), Some(Refused::Head(HeadError::Framing(FramingError::EncodingInHttp10))));
}

#[test]
fn lines_that_can_be_read_in_two_ways_are_refused() {
    for lines in [
        "Transfer-Encoding : chunked\r\n", // white space before the colon
        "Transfer-Encoding\t: chunked\r\n",
        " Transfer-Encoding: chunked\r\n", // a folded line
        "X-A: b\r\n Transfer-Encoding: chunked\r\n",
        "X-A: b\r\n\tc\r\n",
        "X-A: b\rTransfer-Encoding: chunked\r\n", // a bare CR
        "X-A: b\r\r\n",
        "\rX-A: b\r\n",
        "X-A: b\0c\r\n", // NUL and other control characters
        "X-A: b\u{1}c\r\n",
        "X-A: b\u{7f}\r\n",
        "X-\0A: b\r\n",
        "X A: b\r\n", // no name
        ": b\r\n",
        "X-A\r\n",
        "X(A): b\r\n",
        "X-\u{e4}: b\r\n",
    ] {
        assert!(syntax(with_host(lines)), "{lines:?}");
    }
    for lines in
        ["X-A: b\nTransfer-Encoding: chunked\r\n", "X-A: b\n", "\nX-A: b\r\n", "X-A: b\r\n\n"]
    {
        assert_eq!(
            with_host(lines).err(),
            Some(Refused::Scan(ScanError::BareLineFeed)),
            "{lines:?}"
        );
    }
    assert_eq!(
        request(b"GET / HTTP/1.1\nHost: a\n\n").err(),
        Some(Refused::Scan(ScanError::BareLineFeed))
    );
}

#[test]
fn hosts_that_can_be_read_in_two_ways_are_refused() {
    let get = |lines: &str| request(format!("GET / HTTP/1.1\r\n{lines}\r\n").as_bytes()).err();
    assert_eq!(get("Host: a.test\r\n"), None);
    assert_eq!(get("Host: [::1]:80\r\n"), None);
    assert_eq!(get(""), Some(Refused::Head(HeadError::NoHost)));
    assert_eq!(
        get("Host: a.test\r\nHost: b.test\r\n"),
        Some(Refused::Head(HeadError::RepeatedHost))
    );
    assert_eq!(
        get("Host: a.test\r\nhost: a.test\r\n"),
        Some(Refused::Head(HeadError::RepeatedHost))
    );
    let long = format!("Host: {}\r\n", "a".repeat(300));
    for bad in [
        "Host:\r\n",
        "Host: a b\r\n",
        "Host: a.test, b.test\r\n",
        "Host: a@b\r\n",
        "Host: a.test/x\r\n",
        "Host: a:b\r\n",
        &long,
    ] {
        assert_eq!(get(bad), Some(Refused::Head(HeadError::Target(TargetError::Host))), "{bad:?}");
    }
    assert!(request(b"GET / HTTP/1.0\r\n\r\n").unwrap().host().is_none());
    assert_eq!(
        request(b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n").err(),
        Some(Refused::Head(HeadError::RepeatedHost))
    );
}

#[test]
fn request_lines() {
    let line = |line: &str| request(format!("{line}\r\nHost: a.test\r\n\r\n").as_bytes());
    for good in [
        "GET / HTTP/1.1",
        "M-SEARCH / HTTP/1.1",
        "GET /\u{e9}?\"<>{}|\\^` HTTP/1.1",
        "GET http://b.test/ HTTP/1.1",
    ] {
        assert!(line(good).is_ok(), "{good:?}");
    }
    for bad in [
        "nonsense",
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /  HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTP/11",
        "GET / http/1.1",
        "GET / XTTP/1.1",
        " GET / HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET /\u{1} HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "GET /\r HTTP/1.1",
    ] {
        assert!(syntax(line(bad)), "{bad:?}");
    }
    assert_eq!(line("get / HTTP/1.1").err(), Some(Refused::Head(HeadError::Method)));
    for bad in ["GET nopath HTTP/1.1", "CONNECT b.test:443 HTTP/1.1", "OPTIONS * HTTP/1.1"] {
        assert_eq!(
            line(bad).err(),
            Some(Refused::Head(HeadError::Target(TargetError::Form))),
            "{bad:?}"
        );
    }
    let absolute = line("GET http://b.test?q HTTP/1.1").unwrap();
    assert_eq!((absolute.path(), absolute.query()), (&b"/"[..], Some(&b"q"[..])));
}

#[test]
fn limits() {
    let long = |length: usize| "y".repeat(length);
    assert!(request(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(8000)).as_bytes()).is_ok());
    let target = format!("GET /{}", long(8200));
    assert_eq!(request(target.as_bytes()).err(), Some(Refused::Scan(ScanError::StartLineTooLong)));
    let target = format!("{target} HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(request(target.as_bytes()).err(), Some(Refused::Scan(ScanError::StartLineTooLong)));
    assert!(with_host(&format!("X: {}\r\n", long(8000))).is_ok());
    assert_eq!(
        with_host(&format!("X: {}\r\n", long(8200))).err(),
        Some(Refused::Scan(ScanError::FieldsTooLarge))
    );
    let fields = |count: usize, length: usize| format!("X-F: {}\r\n", long(length)).repeat(count);
    assert!(with_host(&fields(20, 600)).is_ok());
    assert_eq!(with_host(&fields(90, 600)).err(), Some(Refused::Scan(ScanError::FieldsTooLarge)));
    assert!(with_host(&fields(255, 1)).is_ok());
    assert_eq!(with_host(&fields(256, 1)).err(), Some(Refused::Head(HeadError::TooManyFields)));
    assert!(request(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").is_ok());
    assert_eq!(
        request("\r\n".repeat(20).as_bytes()).err(),
        Some(Refused::Scan(ScanError::FieldsTooLarge))
    );
}

#[test]
fn connections_are_kept_by_version_and_option() {
    let keeps = |version: &str, lines: &str| {
        request(format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n").as_bytes())
            .unwrap()
            .keeps_connection()
    };
    assert!(keeps("1.1", ""));
    assert!(keeps("1.1", "Connection: upgrade\r\n"));
    assert!(!keeps("1.1", "Connection: close\r\n"));
    assert!(!keeps("1.1", "Connection: keep-alive\r\nConnection: x, CLOSE\r\n"));
    assert!(!keeps("1.0", ""));
    assert!(keeps("1.0", "Connection: Keep-Alive\r\n"));
    assert!(!keeps("1.0", "Connection: keep-alive, close\r\n"));
}

#[test]
fn a_body_may_wait_for_leave() {
    assert!(with_host("Expect: 100-Continue\r\nContent-Length: 1\r\n").unwrap().expects_continue());
    assert!(!with_host("Expect: something\r\n").unwrap().expects_continue());
    assert!(
        !request(b"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").unwrap().expects_continue()
    );
}

#[test]
fn a_head_of_another_protocol_is_checked_alike() {
    let mut head = RequestHead::default();
    head.begin(b"POST", b"/a?b", Version::Http2);
    head.fields.push_known(Name::Host, b"a.test");
    head.finish().unwrap();
    assert_eq!((head.path(), head.query()), (&b"/a"[..], Some(&b"b"[..])));
    head.set_method(b"GET");
    head.set_target(b"/c/d?e").unwrap();
    assert_eq!(
        (head.method(), head.path(), head.query()),
        (&b"GET"[..], &b"/c/d"[..], Some(&b"e"[..]))
    );
    assert_eq!(head.set_target(b"c"), Err(TargetError::Form));
    head.begin(b"GET", b"/", Version::Http2);
    assert_eq!(head.finish(), Err(HeadError::NoHost));
}

fn response(text: &[u8], to_head: bool) -> Result<ResponseHead, ResponseError> {
    let range = HeadScan::default().advance(text, &Limits::default(), false).unwrap().unwrap();
    let mut head = ResponseHead::default();
    head.read(&text[range], to_head)?;
    Ok(head)
}

#[test]
fn responses_end_where_the_rfc_says() {
    let framing = |text: &str, to_head| {
        response(format!("HTTP/1.1 {text}\r\n").as_bytes(), to_head).map(|head| head.framing())
    };
    assert_eq!(framing("200 OK\r\nContent-Length: 3\r\n", false), Ok(Framing::Length(3)));
    assert_eq!(framing("200 OK\r\nContent-Length: 3\r\n", true), Ok(Framing::None));
    assert_eq!(framing("200 OK\r\nTransfer-Encoding: chunked\r\n", false), Ok(Framing::Chunked));
    assert_eq!(framing("200 OK\r\n", false), Ok(Framing::UntilClose));
    assert_eq!(framing("204 No Content\r\nContent-Length: 3\r\n", false), Ok(Framing::None));
    assert_eq!(framing("304 Not Modified\r\nContent-Length: 3\r\n", false), Ok(Framing::None));
    assert_eq!(framing("100 Continue\r\n", false), Ok(Framing::None));
    assert_eq!(framing("101 Switching Protocols\r\n", false), Ok(Framing::None));
    for (lines, error) in [
        ("Content-Length: x\r\n", FramingError::BadLength),
        ("Content-Length: 1\r\nContent-Length: 1\r\n", FramingError::RepeatedLength),
        ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", FramingError::LengthAndEncoding),
        ("Transfer-Encoding: gzip\r\n", FramingError::UnknownEncoding),
    ] {
        assert_eq!(
            framing(&format!("200 OK\r\n{lines}"), false),
            Err(ResponseError::Framing(error)),
            "{lines:?}"
        );
    }
    assert_eq!(response(b"HTTP/1.1 099 X\r\n\r\n", false).err(), Some(ResponseError::Status));
    for bad in [
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA b\r\n\r\n",
    ] {
        assert!(
            matches!(response(bad.as_bytes(), false), Err(ResponseError::Syntax(_))),
            "{bad:?}"
        );
    }
}

#[test]
fn responses_are_read_leniently_where_only_one_reading_is_left() {
    let head =
        response(b"HTTP/1.0 299\nServer: x\nConnection: keep-alive\nContent-Length: 0\n\n", false)
            .unwrap();
    assert_eq!((head.status(), head.reason(), head.version()), (299, &b""[..], Version::Http10));
    assert!(head.keeps_connection());
    assert!(!response(b"HTTP/1.1 200 OK\r\n\r\n", false).unwrap().keeps_connection());
    assert!(response(b"HTTP/1.1 103 Early Hints\r\n\r\n", false).unwrap().is_interim());
    assert!(!response(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", false).unwrap().is_interim());
    for (bytes, possible) in
        [("", true), ("HTT", true), ("HTTP/1.1 2", true), ("SSH-2.0", false), ("HTTP/2", false)]
    {
        assert_eq!(ResponseHead::may_begin_with(bytes.as_bytes()), possible, "{bytes:?}");
    }
    let mut out = Vec::new();
    response(b"HTTP/1.1 404 Nothing Here\r\n\r\n", false).unwrap().write_status_line(&mut out);
    assert_eq!(out, b"HTTP/1.1 404 Nothing Here\r\n");
}

type Decoded = (Vec<u8>, Vec<u8>, Vec<u8>);

/// Reads a body that arrives in pieces of `sizes` (repeated), returns it, what was left, and the trailers.
fn decode(framing: Framing, input: &[u8], sizes: &[usize]) -> Result<Decoded, BodyError> {
    let mut decoder = BodyDecoder::new(framing);
    let (mut body, mut waiting, mut at) = (Vec::new(), Vec::new(), 0);
    let mut sizes = sizes.iter().cycle();
    while !decoder.is_done() {
        if waiting.is_empty() {
            if at == input.len() {
                decoder.close()?;
                break;
            }
            let end = (at + sizes.next().copied().unwrap_or(1).max(1)).min(input.len());
            waiting.extend_from_slice(&input[at..end]);
            at = end;
        }
        let piece = decoder.decode(&waiting)?;
        body.extend_from_slice(piece.data);
        let used = piece.used;
        waiting.drain(..used);
    }
    waiting.extend_from_slice(&input[at..]);
    Ok((body, waiting, decoder.trailers().to_vec()))
}

fn chunked(input: &[u8]) -> Result<Vec<u8>, BodyError> {
    decode(Framing::Chunked, input, &[usize::MAX / 2]).map(|(body, _, _)| body)
}

#[test]
fn chunked_bodies_that_can_be_read_in_two_ways_are_refused() {
    assert_eq!(chunked(b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n").unwrap(), b"hello world");
    assert_eq!(
        chunked(b"00000000000000a ; x=\"y\"\r\n0123456789\r\n000\r\n\r\n").unwrap(),
        b"0123456789"
    );
    use ChunkError::{Extension, ExtensionsTooLarge, LineEnd, Size, Trailer, TrailersTooLarge};
    let long_line = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(2000));
    let many_lines = format!("1;{}\r\nx\r\n", "e".repeat(900)).repeat(20);
    let long_trailers = format!("0\r\n{}", "X-T: y\r\n".repeat(2000));
    let cases: &[(&[u8], ChunkError)] = &[
        (b"\r\n", Size),
        (b"x\r\n", Size),
        (b"-1\r\n", Size),
        (b"+1\r\n", Size),
        (b"0x1\r\n", Size),
        (b" 1\r\n", Size),
        (b"1_0\r\n", Size),
        (b"1 2\r\n", Size),
        (b"1 \r\nx\r\n", Size),
        (b"1\nx\r\n", Size),
        (b"00000000000000001\r\n", Size),
        (b"fffffffffffffffff\r\n", Size),
        (b"1\rx", LineEnd),
        (b"1\r\nxy\r\n", LineEnd),
        (b"1\r\nx\n0\r\n\r\n", LineEnd),
        (b"1\r\nx\rx", LineEnd),
        (b"1\r\nx0\r\n\r\n", LineEnd),
        (b"1;a\nx\r\n", LineEnd),
        (b"1;a\rx\r\n", LineEnd),
        (b"1;a\0\r\n", Extension),
        (b"0\r\nX-T: a\n\r\n", LineEnd),
        (b"0\r\nX-T\r\n\r\n", Trailer),
        (b"0\r\nX T: a\r\n\r\n", Trailer),
        (b"0\r\n folded\r\n\r\n", Trailer),
        (long_line.as_bytes(), ExtensionsTooLarge),
        (many_lines.as_bytes(), ExtensionsTooLarge),
        (long_trailers.as_bytes(), TrailersTooLarge),
    ];
    for (input, error) in cases {
        assert_eq!(
            chunked(input),
            Err(BodyError::Chunk(*error)),
            "{:?}",
            String::from_utf8_lossy(input)
        );
    }
    for cut in [
        &b""[..],
        b"5",
        b"5\r\nhel",
        b"5\r\nhello",
        b"5\r\nhello\r\n",
        b"0\r\n",
        b"0\r\nX-T: a\r\n",
        b"0\r\n\r",
    ] {
        assert_eq!(chunked(cut), Err(BodyError::Incomplete), "{:?}", String::from_utf8_lossy(cut));
    }
}

#[test]
fn bodies_end_and_leave_the_rest() {
    let whole = |framing, input: &[u8]| decode(framing, input, &[3]).unwrap();
    assert_eq!(whole(Framing::None, b"GET"), (vec![], b"GET".to_vec(), vec![]));
    assert_eq!(whole(Framing::Length(2), b"okGET"), (b"ok".to_vec(), b"GET".to_vec(), vec![]));
    assert_eq!(whole(Framing::UntilClose, b"all of it"), (b"all of it".to_vec(), vec![], vec![]));
    assert_eq!(
        whole(Framing::Chunked, b"2\r\nok\r\n0\r\nX-T: a\r\n\r\nGET"),
        (b"ok".to_vec(), b"GET".to_vec(), b"X-T: a\r\n\r\n".to_vec())
    );
    assert_eq!(decode(Framing::Length(3), b"ok", &[3]), Err(BodyError::Incomplete));
}

/// Bytes that look enough like a head to get past the first check of a parser.
fn head_like() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"GET ".to_vec()),
        Just(b"/a%2e ".to_vec()),
        Just(b"HTTP/1.1\r\n".to_vec()),
        Just(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Just(b"Host: a.test\r\n".to_vec()),
        Just(b"Content-Length: 5\r\n".to_vec()),
        Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        Just(b"Connection: close\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b" ".to_vec()),
        vec(any::<u8>(), 0..8),
    ];
    vec(part, 0..20).prop_map(|parts| parts.concat())
}

fn is_about_framing(field: &str) -> bool {
    let name = field.split(':').next().unwrap_or_default().to_ascii_lowercase();
    matches!(name.as_str(), "host" | "te")
}

proptest! {
    #[test]
    fn no_bytes_break_a_parser(bytes in head_like(), to_head in any::<bool>()) {
        let _ = request(&bytes);
        let mut head = RequestHead::default();
        let _ = head.read(&bytes);
        let _ = (head.method(), head.path(), head.query(), head.host(), head.fields.iter().count());
        let mut head = ResponseHead::default();
        let _ = head.read(&bytes, to_head);
        let _ = (head.reason(), head.fields.iter().count());
    }

    #[test]
    fn a_head_that_is_read_whole_is_the_one_that_is_found(bytes in head_like()) {
        let mut whole = RequestHead::default();
        if let Some(length) = whole.read_whole(&bytes) {
            let found = HeadScan::default().advance(&bytes, &Limits::default(), true);
            assert_eq!(found, Ok(Some(0..length)));
            let mut head = RequestHead::default();
            assert_eq!(head.read(&bytes[..length]), Ok(()));
            assert_eq!((whole.method(), whole.target()), (head.method(), head.target()));
            assert!(whole.fields.iter().eq(head.fields.iter()));
            assert_eq!(whole.framing(), head.framing());
        }
    }

    #[test]
    fn heads_as_clients_send_them_are_read_whole(
        fields in vec("[A-Za-z-]{1,12}: [ -~]{0,20}", 0..8), behind in "[ -~\r\n]{0,30}",
    ) {
        let fields: Vec<&String> = fields.iter().filter(|field| !is_about_framing(field)).collect();
        let mut text = "GET /a?b HTTP/1.1\r\nHost: a.test\r\n".to_owned();
        for field in &fields {
            text.push_str(field);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        let length = text.len();
        text.push_str(&behind);
        assert_eq!(RequestHead::default().read_whole(text.as_bytes()), Some(length));
    }

    #[test]
    fn a_head_is_found_alike_however_it_arrives(bytes in head_like(), sizes in vec(1_usize..20, 1..10), strict in any::<bool>()) {
        let at_once = HeadScan::default().advance(&bytes, &Limits::default(), strict);
        let mut scan = HeadScan::default();
        let (mut end, mut sizes) = (0, sizes.iter().cycle());
        let in_pieces = loop {
            let found = scan.advance(&bytes[..end], &Limits::default(), strict);
            if !matches!(found, Ok(None)) || end == bytes.len() {
                break found;
            }
            end = (end + sizes.next().unwrap()).min(bytes.len());
        };
        assert_eq!(at_once, in_pieces);
    }

    #[test]
    fn no_bytes_break_the_chunk_reader(bytes in vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'0'), Just(b';')], 0..60)) {
        let at_once = chunked(&bytes);
        let in_pieces = decode(Framing::Chunked, &bytes, &[1]).map(|(body, _, _)| body);
        assert_eq!(at_once, in_pieces);
    }

    #[test]
    fn chunks_are_read_as_they_were_written(pieces in vec(vec(any::<u8>(), 1..40), 0..10), sizes in vec(1_usize..30, 1..6), rest in vec(any::<u8>(), 0..10)) {
        let mut wire = Vec::new();
        for piece in &pieces {
            write_chunk_start(&mut wire, piece.len());
            wire.extend_from_slice(piece);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(LAST_CHUNK);
        wire.extend_from_slice(&rest);
        assert_eq!(decode(Framing::Chunked, &wire, &sizes), Ok((pieces.concat(), rest, vec![])));
    }
}
