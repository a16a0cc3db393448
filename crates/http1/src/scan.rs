//! Where a head ends, found without reading any byte twice however slowly it arrives.

use std::ops::Range;

/// How much of a head is taken. The defaults are nginx's `large_client_header_buffers 4 8k`, which is what Kong uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest line in bytes, the request line included.
    pub line: usize,
    /// The longest head in bytes.
    pub head: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { line: 8 * 1024, head: 32 * 1024 }
    }
}

/// Why a head cannot be complete within the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// The request line is longer than [`Limits::line`].
    #[error("the request line is longer than the limit")]
    StartLineTooLong,
    /// A field line is longer than [`Limits::line`], or the head longer than [`Limits::head`].
    #[error("a header line, or the headers together, are longer than the limit")]
    FieldsTooLarge,
    /// A line ends with LF alone. RFC 9112 §2.2 lets a recipient take it; a neighbour that does not would see other
    /// fields than we do.
    #[error("a line of the head ends with LF without CR")]
    BareLineFeed,
}

/// The state of the search for a head's end in bytes that arrive piece by piece.
#[derive(Debug, Clone, Default)]
pub struct HeadScan {
    /// Start of the head: empty lines before it are skipped (RFC 9112 §2.2).
    start: usize,
    /// Start of the line that is not complete yet.
    line: usize,
    /// Everything before this place was looked at.
    at: usize,
    /// Lines of the head that are complete.
    lines: usize,
}

/// More empty lines than this before a request are no left-over of a clumsy client.
const EMPTY_LINES: usize = 16;

impl HeadScan {
    /// Looks at the bytes that are new since the last call; `bytes` begins where it began then. Returns where the
    /// head lies, its last empty line included, or nothing if it is not complete.
    ///
    /// With `strict`, LF without CR is refused (requests); without, it ends a line (answers of upstreams).
    ///
    /// # Errors
    /// See [`ScanError`].
    pub fn advance(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        strict: bool,
    ) -> Result<Option<Range<usize>>, ScanError> {
        let fresh = bytes.get(self.at..).unwrap_or_default();
        if fresh.is_empty() {
            return Ok(None);
        }
        for offset in memchr::memchr_iter(b'\n', fresh) {
            let feed = self.at + offset;
            let line = bytes.get(self.line..feed).unwrap_or_default();
            let content = match line {
                [content @ .., b'\r'] => content,
                _ if strict => return Err(ScanError::BareLineFeed),
                content => content,
            };
            if content.len() > limits.line {
                return Err(self.too_long());
            }
            self.line = feed + 1;
            if content.is_empty() {
                if self.lines > 0 {
                    return Ok(Some(self.start..self.line));
                }
                self.start = self.line;
                if self.start > 2 * EMPTY_LINES {
                    return Err(ScanError::FieldsTooLarge);
                }
                continue;
            }
            self.lines += 1;
            if self.line - self.start > limits.head {
                return Err(ScanError::FieldsTooLarge);
            }
        }
        self.at = bytes.len();
        if self.at - self.line > limits.line + 1 {
            return Err(self.too_long());
        }
        if self.at - self.start > limits.head {
            return Err(ScanError::FieldsTooLarge);
        }
        Ok(None)
    }

    /// Whether any byte of a head was seen, empty lines apart.
    #[must_use]
    pub fn begun(&self) -> bool {
        self.at > self.start
    }

    /// Whether the first line is complete, so that an error behind it concerns the fields.
    #[must_use]
    pub fn has_start_line(&self) -> bool {
        self.lines > 0
    }

    fn too_long(&self) -> ScanError {
        if self.lines == 0 { ScanError::StartLineTooLong } else { ScanError::FieldsTooLarge }
    }
}
