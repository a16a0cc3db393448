//! The field section of a head: one piece of memory, and where each name and value lies in it.

mod replace;

use std::ops::Range;

use crate::{decimal::write_decimal, name::Name};

pub use replace::Names;

/// A place in a head's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// One field line as it was received or added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// What the gateway recognised the name as.
    pub known: Name,
    /// The name in the spelling of its sender.
    pub name: &'a [u8],
    /// The value without the white space around it.
    pub value: &'a [u8],
}

/// The fields of a message in their order, names in the spelling of their sender.
///
/// Text is only ever appended, so removing or replacing a field costs no move of the others. It is kept as it is sent
/// (`name: value`, line break), so that fields that lie side by side are written as one piece.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    text: Vec<u8>,
    lines: Vec<Line>,
    present: u64,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    name: Span,
    value: Span,
    known: Name,
}

impl Span {
    const fn len(self) -> usize {
        (self.end - self.start) as usize
    }
}

impl Fields {
    /// Whether there is memory behind it, used or not.
    #[must_use]
    pub fn has_memory(&self) -> bool {
        self.text.capacity() > 0
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.lines.clear();
        self.present = 0;
    }

    /// The number of field lines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no field line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The fields in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Field<'_>> + ExactSizeIterator {
        self.lines.iter().map(|line| self.field(line))
    }

    /// Whether there is a field of this name; costs nothing.
    #[must_use]
    pub fn contains(&self, name: Name) -> bool {
        self.present & name.bit() != 0
    }

    /// The value of the first field of this name.
    #[must_use]
    pub fn get(&self, name: Name) -> Option<&[u8]> {
        self.place(name).map(|value| self.slice(value))
    }

    /// The values of all fields of this name.
    pub fn all(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        let lines = if self.contains(name) { self.lines.as_slice() } else { &[] };
        lines.iter().filter(move |line| line.known == name).map(|line| self.slice(line.value))
    }

    /// The values of all fields whose name equals `name` whatever the case; for names outside of [`Name`].
    pub fn named(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        self.lines
            .iter()
            .filter(move |line| self.slice(line.name).eq_ignore_ascii_case(name))
            .map(|line| self.slice(line.value))
    }

    /// Adds a field behind the others. The caller vouches for `name` being a token and for `value` being without
    /// line breaks and NUL; what comes from outside goes through a parser.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let known = Name::recognise(name);
        self.append(known, name, |text| text.extend_from_slice(value));
    }

    /// Adds a field that the gateway knows, in its usual spelling; see [`Fields::push`].
    pub fn push_known(&mut self, name: Name, value: &[u8]) {
        self.append(name, name.text().as_bytes(), |text| text.extend_from_slice(value));
    }

    /// Adds a field that the gateway knows, whose value is `parts` one behind the other; see [`Fields::push`].
    pub fn push_parts(&mut self, name: Name, parts: &[&[u8]]) {
        self.append(name, name.text().as_bytes(), |text| {
            for part in parts {
                text.extend_from_slice(part);
            }
        });
    }

    /// Adds a field that the gateway knows, whose value is a number.
    pub fn push_number(&mut self, name: Name, number: u64) {
        self.append(name, name.text().as_bytes(), |text| write_decimal(text, number));
    }

    /// Replaces all fields of this name by one.
    pub fn set_known(&mut self, name: Name, value: &[u8]) {
        self.remove(name);
        self.push_known(name, value);
    }

    /// Removes all fields of this name.
    pub fn remove(&mut self, name: Name) {
        if self.contains(name) {
            self.lines.retain(|line| line.known != name);
            self.present &= !name.bit();
        }
    }

    /// Keeps the fields for which `keep` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(Field<'_>) -> bool) {
        let text = &self.text;
        let mut present = 0;
        self.lines.retain(|line| {
            let keep = keep(field_of(text, line));
            if keep {
                present |= line.known.bit();
            }
            keep
        });
        self.present = present;
    }

    /// Appends the fields whose names `keep` is true for, each with its line break, to a head that is being written.
    pub fn write(&self, out: &mut Vec<u8>, mut keep: impl FnMut(Name) -> bool) {
        // What lies side by side in the text and is not written yet.
        let mut run = 0..0;
        for line in &self.lines {
            if !keep(line.known) {
                continue;
            }
            let Some(place) = self.whole(line) else {
                out.extend_from_slice(self.text.get(run).unwrap_or_default());
                run = 0..0;
                write_field(out, self.slice(line.name), self.slice(line.value));
                continue;
            };
            if run.end != place.start {
                out.extend_from_slice(self.text.get(run).unwrap_or_default());
                run = place.start..place.start;
            }
            run.end = place.end;
        }
        out.extend_from_slice(self.text.get(run).unwrap_or_default());
    }

    /// Whether each field begins behind a CRLF of `head`, which they were read from.
    pub(crate) fn begin_lines(&self, head: &[u8]) -> bool {
        let begins = |line: &Line| {
            let start = line.name.start as usize;
            start >= 2 && head.get(start - 2..start) == Some(b"\r\n")
        };
        self.lines.iter().all(begins)
    }

    /// Where the line lies with its line break, if it lies there as we write lines.
    fn whole(&self, line: &Line) -> Option<Range<usize>> {
        let (name_end, value_start) = (line.name.end as usize, line.value.start as usize);
        let value_end = line.value.end as usize;
        let is_whole = value_start == name_end + 2
            && self.text.get(name_end..value_start) == Some(b": ")
            && self.text.get(value_end..value_end + 2) == Some(b"\r\n");
        is_whole.then_some(line.name.start as usize..value_end + 2)
    }

    /// Where the value of the first field of this name lies.
    pub(crate) fn place(&self, name: Name) -> Option<Span> {
        if !self.contains(name) {
            return None;
        }
        self.lines.iter().find(|line| line.known == name).map(|line| line.value)
    }

    /// Appends text that is no field by itself, such as a request's target.
    pub(crate) fn intern(&mut self, text: &[u8]) -> Span {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(text);
        Span { start, end: self.text.len() as u32 }
    }

    /// Adds a field whose value `write_value` appends.
    fn append(&mut self, known: Name, name: &[u8], write_value: impl FnOnce(&mut Vec<u8>)) {
        let name = self.intern(name);
        self.text.extend_from_slice(b": ");
        let start = self.text.len() as u32;
        write_value(&mut self.text);
        let value = Span { start, end: self.text.len() as u32 };
        self.text.extend_from_slice(b"\r\n");
        self.push_line(known, name, value);
    }

    /// Adds a field whose text is here already.
    pub(crate) fn push_line(&mut self, known: Name, name: Span, value: Span) {
        self.lines.push(Line { name, value, known });
        self.present |= known.bit();
    }

    /// The text at `span`; empty where the span is none of this head's.
    pub(crate) fn slice(&self, span: Span) -> &[u8] {
        slice_of(&self.text, span)
    }

    /// Replaces the text by `head` as it was received.
    pub(crate) fn start(&mut self, head: &[u8]) {
        self.clear();
        self.text.extend_from_slice(head);
    }

    fn field(&self, line: &Line) -> Field<'_> {
        field_of(&self.text, line)
    }
}

fn field_of<'a>(text: &'a [u8], line: &Line) -> Field<'a> {
    Field { known: line.known, name: slice_of(text, line.name), value: slice_of(text, line.value) }
}

fn slice_of(text: &[u8], span: Span) -> &[u8] {
    text.get(span.start as usize..span.end as usize).unwrap_or_default()
}

/// Appends `name: value` and a line break to a head that is being written.
#[inline]
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::{Fields, Name};

    fn values(fields: &Fields) -> Vec<String> {
        fields
            .iter()
            .map(|field| {
                format!(
                    "{}={}",
                    String::from_utf8_lossy(field.name),
                    String::from_utf8_lossy(field.value)
                )
            })
            .collect()
    }

    #[test]
    fn fields_keep_their_order_and_spelling() {
        let mut fields = Fields::default();
        fields.push(b"hOST", b"a.test");
        fields.push(b"X-Mine", b"1");
        fields.push(b"x-mine", b"2");
        assert_eq!(values(&fields), ["hOST=a.test", "X-Mine=1", "x-mine=2"]);
        assert_eq!(fields.get(Name::Host), Some(&b"a.test"[..]));
        assert_eq!(fields.named(b"X-MINE").collect::<Vec<_>>(), [b"1", b"2"]);
        assert!(!fields.contains(Name::Other));
    }

    #[test]
    fn a_replaced_field_is_there_once() {
        let mut fields = Fields::default();
        fields.push(b"Via", b"1.1 a");
        fields.push(b"X-A", b"1");
        fields.push(b"VIA", b"1.1 b");
        assert_eq!(fields.all(Name::Via).count(), 2);
        fields.set_known(Name::Via, b"1.1 c");
        assert_eq!(values(&fields), ["X-A=1", "Via=1.1 c"]);
        fields.push_parts(Name::Server, &[b"kong/", b"1"]);
        fields.push_number(Name::XKongProxyLatency, 120);
        assert_eq!(values(&fields).split_off(2), ["Server=kong/1", "X-Kong-Proxy-Latency=120"]);
    }

    #[test]
    fn fields_are_written_as_they_are_kept() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB:2\r\nC:  3 \r\nD: \r\nE: 5\r\n\r\n";
        let mut request = crate::RequestHead::default();
        request.read(head).unwrap();
        let mut fields = request.fields;
        fields.remove(Name::Host);
        fields.push(b"F", b"");
        fields.push_number(Name::Via, 12);
        fields.push_known(Name::Te, b"trailers");
        fields.push_known(Name::Server, b"s");
        let mut out = Vec::new();
        fields.write(&mut out, |name| name != Name::Te);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "A: 1\r\nB: 2\r\nC: 3\r\nD: \r\nE: 5\r\nF: \r\nVia: 12\r\nServer: s\r\n");
    }

    #[test]
    fn what_is_not_kept_is_not_present() {
        let mut fields = Fields::default();
        fields.push(b"TE", b"trailers");
        fields.push(b"Host", b"h");
        fields.retain(|field| field.known != Name::Te);
        assert!(!fields.contains(Name::Te));
        assert!(fields.contains(Name::Host));
        fields.remove(Name::Host);
        assert_eq!(fields.get(Name::Host), None);
        assert!(fields.is_empty());
    }
}
