//! Fields in place of those of the same names, in one pass over what is there.

use super::{Fields, Line, Span, field_of};
use crate::name::Name;

/// Some field names, known in advance, that are looked for together.
#[derive(Debug)]
pub struct Names {
    names: &'static [&'static str],
    lengths: Lengths,
}

/// The lengths that some names have: most names of a head have another.
#[derive(Debug, Clone, Copy, Default)]
struct Lengths(u64);

impl Names {
    /// These names, in any spelling.
    #[must_use]
    pub const fn new(names: &'static [&'static str]) -> Names {
        let mut lengths = Lengths(0);
        let mut at = 0;
        while at < names.len() {
            lengths = lengths.with(names[at].len());
            at += 1;
        }
        Names { names, lengths }
    }
}

impl Fields {
    /// Removes all fields whose name equals `name` whatever the case.
    pub fn remove_named(&mut self, name: &[u8]) {
        self.remove_where(Lengths::default().with(name.len()), |present| {
            present.eq_ignore_ascii_case(name)
        });
    }

    /// Removes all fields that have one of these names.
    pub fn remove_names(&mut self, names: &Names) {
        self.remove_where(names.lengths, |present| {
            names.names.iter().any(|name| present.eq_ignore_ascii_case(name.as_bytes()))
        });
    }

    /// Puts `others` behind these fields, in place of those of the same names.
    pub fn put(&mut self, others: &Fields) {
        let lengths =
            others.iter().fold(Lengths::default(), |all, field| all.with(field.name.len()));
        self.remove_where(lengths, |present| {
            others.iter().any(|field| field.name.eq_ignore_ascii_case(present))
        });
        self.extend(others);
    }

    /// Puts `others` behind these fields, as one piece.
    pub fn extend(&mut self, others: &Fields) {
        let by = self.intern(&others.text).start;
        let moved = |span: Span| Span { start: span.start + by, end: span.end + by };
        self.lines.extend(others.lines.iter().map(|line| Line {
            name: moved(line.name),
            value: moved(line.value),
            known: line.known,
        }));
        self.present |= others.present;
    }

    /// Removes the fields whose name's length is among `lengths` and for which `is` is true.
    fn remove_where(&mut self, lengths: Lengths, is: impl Fn(&[u8]) -> bool) {
        let text = &self.text;
        let goes = |line: &Line| lengths.has(line.name.len()) && is(field_of(text, line).name);
        if !self.lines.iter().any(goes) {
            return;
        }
        self.lines.retain(|line| !goes(line));
        let bits = self.lines.iter().map(|line| Name::bit(line.known));
        self.present = bits.fold(0, |all, bit| all | bit);
    }
}

impl Lengths {
    /// Longer ones are told apart by their remainder.
    const fn with(self, length: usize) -> Lengths {
        Lengths(self.0 | 1 << (length % 64))
    }

    const fn has(self, length: usize) -> bool {
        self.0 & 1 << (length % 64) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    fn lines(fields: &Fields) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields.iter().map(|field| text(field.name) + "=" + &text(field.value)).collect()
    }

    #[test]
    fn fields_take_the_place_of_those_of_their_names() {
        let mut all =
            fields(&[("Via", "1"), ("X-A", "1"), ("host", "h"), ("x-a", "2"), ("X-B", "3")]);
        all.put(&fields(&[("X-a", "9"), ("Host", "new"), ("X-C", "4")]));
        assert_eq!(lines(&all), ["Via=1", "X-B=3", "X-a=9", "Host=new", "X-C=4"]);
        assert_eq!(all.get(Name::Host), Some(&b"new"[..]));
        assert_eq!(all.get(Name::Via), Some(&b"1"[..]));
        all.put(&Fields::default());
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn what_is_removed_is_not_present() {
        static GONE: Names = Names::new(&["X-A", "Via"]);
        let long = "X-".to_owned() + &"a".repeat(65);
        let mut all =
            fields(&[("via", "1"), ("X-A", "1"), ("Host", "h"), ("X-B", "2"), (&long, "3")]);
        all.remove_names(&GONE);
        assert!(!all.contains(Name::Via));
        assert!(all.contains(Name::Host));
        all.remove_named(b"HOST");
        assert!(!all.contains(Name::Host));
        all.remove_named(long.to_uppercase().as_bytes());
        assert_eq!(lines(&all), ["X-B=2"]);
    }
}
