//! Requests of HTTP/1, beside hyper: whoever stands behind us must see the requests that we see.
//!
//! Weir refuses more than hyper; what it takes, hyper must take in the same way, down to the byte
//! where the next request begins (request smuggling is two readers that disagree about this).

use std::collections::BTreeMap;
use std::ops::Range;

use http1::{BodyDecoder, Framing, HeadScan, Limits, RequestHead, ScanError};

use crate::hyper_reads::{self, Seen};

/// How what a client sent ends for us.
#[derive(Debug, PartialEq)]
enum End {
    /// Something was refused, or the connection is not to be used on.
    Closed,
    /// Within a head.
    Incomplete,
}

/// Takes everything that a client sends on one connection.
pub fn check(sent: &[u8]) {
    let (ours, end) = requests(sent);
    let theirs = hyper_reads::requests(sent);
    for (number, our) in ours.iter().enumerate() {
        let Some(their) = theirs.get(number) else {
            // The type for URIs that hyper uses takes fewer characters than nginx does.
            assert!(!our.is_uri, "hyper refuses request {number}, which we take: {our:?}");
            return;
        };
        assert_eq!(our.seen.method, their.method);
        assert_eq!(our.seen.path, their.path);
        assert_eq!(our.seen.query, their.query);
        assert_eq!(our.seen.fields, their.fields);
        match (&our.seen.body, &their.body) {
            (Some(our), their) => assert_eq!(Some(our), their.as_ref(), "the body"),
            (None, Some(_)) => {
                assert_eq!(end, End::Closed, "hyper sees the end of a body where we wait for more");
            }
            (None, None) => {}
        }
    }
    if end == End::Incomplete {
        assert_eq!(ours.len(), theirs.len(), "hyper sees a request where we wait for more of it");
    }
}

#[derive(Debug)]
struct Our {
    seen: Seen,
    /// Whether hyper can hold its target.
    is_uri: bool,
}

fn requests(sent: &[u8]) -> (Vec<Our>, End) {
    let mut found = Vec::new();
    let mut rest = sent;
    let mut head = RequestHead::default();
    loop {
        let scanned = scan(rest);
        if let Some(length) = head.read_whole(rest) {
            let ends = scanned.as_ref().ok().cloned().flatten();
            assert_eq!(ends, Some(0..length), "the head at once, and by the search for its end");
        }
        let range = match scanned {
            Ok(Some(range)) => range,
            Ok(None) => return (found, End::Incomplete),
            Err(_) => return (found, End::Closed),
        };
        let behind = &rest[range.end..];
        if head.read(&rest[range]).is_err() {
            return (found, End::Closed);
        }
        let body = body(head.framing(), behind);
        let refused = body.is_err();
        let (body, used) = body.unwrap_or((None, 0));
        let whole = body.is_some();
        found.push(Our { seen: seen(&head, body), is_uri: is_uri(&head) });
        if refused || !head.keeps_connection() {
            return (found, End::Closed);
        }
        if !whole {
            return (found, End::Incomplete);
        }
        rest = &behind[used..];
    }
}

/// The head is the same wherever what arrives is cut.
fn scan(bytes: &[u8]) -> Result<Option<Range<usize>>, ScanError> {
    let limits = Limits::default();
    let whole = HeadScan::default().advance(bytes, &limits, true);
    let step = bytes.len() % 7 + 1;
    let mut by_pieces = HeadScan::default();
    let mut found = Ok(None);
    for end in (0..bytes.len()).step_by(step).chain([bytes.len()]) {
        found = by_pieces.advance(&bytes[..end], &limits, true);
        if found != Ok(None) {
            break;
        }
    }
    assert_eq!(found, whole, "the head by pieces of {step} bytes");
    whole
}

/// The body if it is whole and how many bytes it takes; an error if it is refused.
fn body(framing: Framing, bytes: &[u8]) -> Result<(Option<Vec<u8>>, usize), http1::BodyError> {
    let mut decoder = BodyDecoder::new(framing);
    let (mut data, mut used) = (Vec::new(), 0);
    while !decoder.is_done() && used < bytes.len() {
        let piece = decoder.decode(&bytes[used..])?;
        data.extend_from_slice(piece.data);
        used += piece.used;
    }
    Ok((decoder.is_done().then_some(data), used))
}

fn seen(head: &RequestHead, body: Option<Vec<u8>>) -> Seen {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut fields: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for field in head.fields.iter() {
        fields.entry(text(field.name).to_ascii_lowercase()).or_default().push(field.value.to_vec());
    }
    Seen {
        method: text(head.method()),
        path: text(head.path()),
        query: head.query().map(text),
        fields,
        body,
    }
}

fn is_uri(head: &RequestHead) -> bool {
    http::Uri::try_from(head.target()).is_ok()
}
