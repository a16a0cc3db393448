//! The arguments after the question mark, as Kong's lists and Weir's writes understand them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::Value;
use store::TagFilter;
use uuid::Uuid;

use crate::body;
use crate::error::Refusal;
use crate::form::{self, Argument};
use crate::state::{Wait, Wanted};

/// Kong's page size when none is asked for, and the largest that may be asked for.
const DEFAULT_SIZE: u32 = 100;
const MAX_SIZE: u32 = 1000;

/// At most this many tags in one query.
const MAX_TAGS: usize = 5;

/// How long `?wait=` waits when `wait_timeout` is absent, and at most.
const DEFAULT_WAIT: Duration = Duration::from_secs(5);
const MAX_WAIT: Duration = Duration::from_secs(60);

/// A request's query.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<Argument>);

impl Query {
    pub(crate) fn parse(text: Option<&str>) -> Result<Query, Refusal> {
        let arguments = form::parse(text.unwrap_or_default().as_bytes());
        arguments.map(Query).map_err(body::refused)
    }

    /// The argument; of several with one name the first, as Kong's lists do.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|argument| argument.name == name).map(|argument| &argument.value)
    }

    /// The argument's text; empty when it has no `=`.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).map(|value| value.as_str().unwrap_or_default())
    }

    /// All arguments, as texts.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|argument| (argument.name.as_str(), argument.value.as_str().unwrap_or_default()))
    }

    /// `size`.
    pub(crate) fn size(&self) -> Result<u32, Refusal> {
        let Some(text) = self.text("size") else { return Ok(DEFAULT_SIZE) };
        let number = number(text).ok_or(Refusal::Size("size must be a number"))?;
        if number.fract() == 0.0 && (1.0..=f64::from(MAX_SIZE)).contains(&number) {
            return Ok(number as u32);
        }
        Err(Refusal::Size("size must be an integer between 1 and 1000"))
    }

    /// `offset`: the id of the last entity of the page before.
    pub(crate) fn after(&self) -> Result<Option<Uuid>, Refusal> {
        self.offset()
            .map(|offset| {
                let [id] = decode(offset)?;
                Uuid::try_parse(&id).map_err(|_| Refusal::Offset(offset.to_owned(), BAD_JSON))
            })
            .transpose()
    }

    /// `offset` as it was given.
    pub(crate) fn offset(&self) -> Option<&str> {
        self.text("offset")
    }

    /// `tags`: `a,b` means both, `a/b` either.
    pub(crate) fn tags(&self) -> Result<Option<TagFilter>, Refusal> {
        self.text("tags").map(tag_filter).transpose()
    }

    /// `wait` and `wait_timeout`: until when a write's answer is to be held back.
    pub(crate) fn wait(&self) -> Result<Option<Wait>, Refusal> {
        self.wait_for("wait")
    }

    /// The same, when another argument than `wait` says how many data planes are meant.
    pub(crate) fn wait_for(&self, name: &'static str) -> Result<Option<Wait>, Refusal> {
        let within = self.wait_timeout()?;
        let wanted = match self.text(name) {
            None => return Ok(None),
            Some("all") => Wanted::All,
            Some("quorum") => Wanted::Quorum,
            Some(text) => Wanted::AtLeast(text.parse().map_err(|_| {
                Refusal::option(name, "must be all, quorum or a number of data planes")
            })?),
        };
        Ok(Some(Wait { wanted, within }))
    }

    /// `wait_timeout`.
    pub(crate) fn wait_timeout(&self) -> Result<Duration, Refusal> {
        match self.text("wait_timeout") {
            None => Ok(DEFAULT_WAIT),
            Some(text) => duration(text).filter(|d| *d <= MAX_WAIT).ok_or_else(|| {
                Refusal::option("wait_timeout", "must be a time up to 60s, such as 500ms, 5s or 1m")
            }),
        }
    }
}

const BAD_BASE64: &str = "bad base64 encoding";
const BAD_JSON: &str = "bad json encoding";

/// The offset that continues behind the last entity of a page: opaque to clients, in Kong the
/// base64 of a JSON array.
pub(crate) fn encode<const N: usize>(last: [&str; N]) -> String {
    let texts: Vec<Value> = last.iter().map(|&text| text.into()).collect();
    STANDARD_NO_PAD.encode(Value::Array(texts).to_string())
}

/// What [`encode`] made.
pub(crate) fn decode<const N: usize>(offset: &str) -> Result<[String; N], Refusal> {
    let bytes = STANDARD_NO_PAD
        .decode(offset)
        .map_err(|_| Refusal::Offset(offset.to_owned(), BAD_BASE64))?;
    let parts: Vec<String> =
        serde_json::from_slice(&bytes).map_err(|_| Refusal::Offset(offset.to_owned(), BAD_JSON))?;
    parts.try_into().map_err(|_| Refusal::Offset(offset.to_owned(), BAD_JSON))
}

/// Text for a query value of an answered URL.
pub(crate) fn escape(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn tag_filter(text: &str) -> Result<TagFilter, Refusal> {
    let refuse = |why| Err(Refusal::option("tags", why));
    if text.is_empty() {
        return refuse("cannot be null");
    }
    let separator = if text.contains('/') { '/' } else { ',' };
    let parts: Vec<&str> = text.split(separator).collect();
    let good = |tag: &&str| {
        !tag.is_empty() && tag.chars().all(|c| !matches!(c, ',' | '/') && !c.is_control())
    };
    // Kong accepts a separator at the end; the nothing behind it is one more tag, which no entity
    // has.
    let (last, before) = parts.split_last().unwrap_or((&"", &[]));
    if !before.iter().all(good) || !(good(last) || last.is_empty()) {
        return refuse("invalid filter syntax");
    }
    if parts.len() > MAX_TAGS {
        return refuse("cannot query more than 5 tags");
    }
    let tags = parts.into_iter().map(str::to_owned).collect();
    Ok(if separator == '/' { TagFilter::Any(tags) } else { TagFilter::All(tags) })
}

/// A number as Lua reads one: decimal or `0x…`, with blanks around it.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u32::from_str_radix(digits, 16).ok().map(f64::from);
    }
    // `inf` and `nan` are numbers to Rust, not to Lua.
    if text.contains(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')) {
        return None;
    }
    text.parse().ok()
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (count, unit) = text.split_at(digits);
    let count: u64 = count.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(count)),
        "s" | "" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_secs(count.checked_mul(60)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(Some(text)).unwrap()
    }

    #[test]
    fn sizes() {
        assert_eq!(query("").size().unwrap(), 100);
        assert_eq!(query("size=1000&size=x").size().unwrap(), 1000);
        assert_eq!(query("size=%201e2%20").size().unwrap(), 100);
        assert_eq!(query("size=0x10").size().unwrap(), 16);
        for bad in ["size=0", "size=-1", "size=1001", "size=1.5", "size=1e99"] {
            let refusal = query(bad).size().unwrap_err();
            assert!(matches!(refusal, Refusal::Size(t) if t.contains("between")), "{bad}");
        }
        for bad in ["size=abc", "size=", "size", "size=inf", "size=nan", "size=0x"] {
            let refusal = query(bad).size().unwrap_err();
            assert!(matches!(refusal, Refusal::Size("size must be a number")), "{bad}");
        }
    }

    #[test]
    fn offsets() {
        let id = Uuid::from_u128(7);
        let text = encode([&id.to_string()]);
        assert!(!text.contains(['+', '/', '=']), "{text} needs no escaping in a URL");
        assert_eq!(query(&format!("offset={text}")).after().unwrap(), Some(id));
        assert_eq!(query("").after().unwrap(), None);
        for (bad, why) in [
            ("x", BAD_BASE64),
            ("%21%21", BAD_BASE64),
            ("YWJj", BAD_JSON),
            (&encode(["x"]), BAD_JSON),
            (&encode(["a", "b"]), BAD_JSON),
        ] {
            let refusal = query(&format!("offset={bad}")).after().unwrap_err();
            assert!(matches!(refusal, Refusal::Offset(_, w) if w == why), "{bad}");
        }
    }

    #[test]
    fn tags() {
        let all = |tags: &[&str]| TagFilter::All(tags.iter().map(|&t| t.to_owned()).collect());
        let any = |tags: &[&str]| TagFilter::Any(tags.iter().map(|&t| t.to_owned()).collect());
        for (text, filter) in [
            ("tags=red", all(&["red"])),
            ("tags=red,big", all(&["red", "big"])),
            ("tags=red%2Fblue", any(&["red", "blue"])),
            ("tags=red,", all(&["red", ""])),
            ("tags=a%20b", all(&["a b"])),
            ("tags=red&tags=blue", all(&["red"])),
            ("tags=a,b,c,d,e", all(&["a", "b", "c", "d", "e"])),
        ] {
            assert_eq!(query(text).tags().unwrap(), Some(filter), "{text}");
        }
        assert_eq!(query("").tags().unwrap(), None);
        for (text, why) in [
            ("tags=", "cannot be null"),
            ("tags", "cannot be null"),
            ("tags=red,big/blue", "invalid filter syntax"),
            ("tags=a/b,c", "invalid filter syntax"),
            ("tags=,red", "invalid filter syntax"),
            ("tags=a,,b", "invalid filter syntax"),
            ("tags=%0A", "invalid filter syntax"),
            ("tags=a,b,c,d,e,f", "cannot query more than 5 tags"),
            ("tags=a/b/c/d/e/f", "cannot query more than 5 tags"),
        ] {
            match query(text).tags() {
                Err(Refusal::Options(options)) => assert_eq!(options["tags"], why, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn waiting() {
        let wait = |text: &str| query(text).wait();
        let five = Duration::from_secs(5);
        assert_eq!(wait("").unwrap(), None);
        assert_eq!(wait("wait=all").unwrap(), Some(Wait { wanted: Wanted::All, within: five }));
        assert_eq!(
            wait("wait=3&wait_timeout=250ms").unwrap(),
            Some(Wait { wanted: Wanted::AtLeast(3), within: Duration::from_millis(250) })
        );
        assert_eq!(
            wait("wait=quorum&wait_timeout=1m").unwrap(),
            Some(Wait { wanted: Wanted::Quorum, within: Duration::from_secs(60) })
        );
        for bad in ["wait=some", "wait=-1", "wait=all&wait_timeout=2m", "wait_timeout=5h", "wait="]
        {
            assert!(matches!(wait(bad), Err(Refusal::Options(_))), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(text in "\\PC{0,60}") {
            if let Ok(query) = Query::parse(Some(&text)) {
                let _ = (query.size(), query.after(), query.tags(), query.wait());
            }
        }

        #[test]
        fn offsets_come_back(parts in proptest::array::uniform3("\\PC{0,20}")) {
            let [a, b, c] = &parts;
            prop_assert_eq!(decode::<3>(&encode([a, b, c])).unwrap(), parts);
        }
    }
}
