//! Bodies of `multipart/form-data` (RFC 7578): parts that are not changed pass byte for byte.

use memchr::memmem;

use super::changes::Changes;

/// A body taken apart.
#[derive(Debug)]
pub(super) struct Multipart {
    boundary: Vec<u8>,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    name: String,
    /// Its fields and its content, as they stand between two boundaries.
    bytes: Vec<u8>,
}

impl Multipart {
    /// Takes a body apart; nothing if it is not what its Content-Type says. An empty one has no
    /// parts.
    pub(super) fn read(content_type: &[u8], body: &[u8]) -> Option<Multipart> {
        let boundary = parameter(content_type, "boundary")?.into_bytes();
        if boundary.is_empty() {
            return None;
        }
        let mut parts = Vec::new();
        if !body.is_empty() {
            let delimiter = [b"--", boundary.as_slice()].concat();
            // What is before the first boundary, and behind the last one, is for nobody
            // (RFC 2046 §5.1.1).
            let first = memmem::find(body, &delimiter)?;
            let mut rest = body.get(first + delimiter.len()..)?;
            let separator = [b"\r\n", delimiter.as_slice()].concat();
            while !rest.starts_with(b"--") {
                let content = rest.strip_prefix(b"\r\n")?;
                let end = memmem::find(content, &separator)?;
                let (bytes, behind) = content.split_at(end);
                parts.push(Part { name: name(bytes).unwrap_or_default(), bytes: bytes.to_vec() });
                rest = behind.get(separator.len()..)?;
            }
        }
        Some(Multipart { boundary, parts })
    }

    /// Renames before it removes, as Kong does; there is nothing to append.
    pub(super) fn change(&mut self, changes: &Changes) {
        for (old, new) in &changes.rename {
            if let Some(content) = self.content(old) {
                self.remove(old);
                self.set(new, &content);
            }
        }
        for name in &changes.remove {
            self.remove(name);
        }
        for (name, value) in &changes.replace {
            if let (true, Some(value)) = (self.has(name), value) {
                self.set(name, value.as_bytes());
            }
        }
        for (name, value) in &changes.add {
            if let (false, Some(value)) = (self.has(name), value) {
                self.set(name, value.as_bytes());
            }
        }
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for part in &self.parts {
            for bytes in [b"--", self.boundary.as_slice(), b"\r\n", &part.bytes, b"\r\n"] {
                body.extend_from_slice(bytes);
            }
        }
        for bytes in [b"--", self.boundary.as_slice(), b"--\r\n"] {
            body.extend_from_slice(bytes);
        }
        body
    }

    fn has(&self, name: &str) -> bool {
        self.parts.iter().any(|part| part.name == name)
    }

    fn content(&self, name: &str) -> Option<Vec<u8>> {
        let part = self.parts.iter().find(|part| part.name == name)?;
        let end = memmem::find(&part.bytes, b"\r\n\r\n")?;
        part.bytes.get(end + 4..).map(<[u8]>::to_vec)
    }

    fn remove(&mut self, name: &str) {
        self.parts.retain(|part| part.name != name);
    }

    /// Puts a plain part in the place of the first of that name, or at the end.
    fn set(&mut self, name: &str, content: &[u8]) {
        let mut bytes = b"Content-Disposition: form-data; name=\"".to_vec();
        for byte in name.bytes() {
            match byte {
                b'"' => bytes.extend_from_slice(b"%22"),
                b'\r' => bytes.extend_from_slice(b"%0D"),
                b'\n' => bytes.extend_from_slice(b"%0A"),
                other => bytes.push(other),
            }
        }
        bytes.extend_from_slice(b"\"\r\n\r\n");
        bytes.extend_from_slice(content);
        let part = Part { name: name.to_owned(), bytes };
        match self.parts.iter().position(|part| part.name == name) {
            Some(at) => self.parts[at] = part,
            None => self.parts.push(part),
        }
    }
}

/// The name of a part, by its Content-Disposition.
fn name(part: &[u8]) -> Option<String> {
    let head = part.get(..memmem::find(part, b"\r\n\r\n")?)?;
    let mut lines = head.split(|byte| *byte == b'\n');
    let field = lines.find(|line| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        name.eq_ignore_ascii_case(b"content-disposition")
    })?;
    parameter(field, "name")
}

/// The value of a parameter (`; name="value"`), quoted or not.
fn parameter(field: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(field);
    let mut rest = text.split_once(';')?.1;
    loop {
        let (key, behind) = rest.split_once('=')?;
        let (value, next) = match behind.strip_prefix('"') {
            Some(quoted) => {
                let (value, next) = quoted.split_once('"')?;
                (value, next.split_once(';').map_or("", |(_, next)| next))
            }
            None => behind.split_once(';').unwrap_or((behind, "")),
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value.trim().to_owned());
        }
        rest = next;
    }
}
