//! The chunked transfer coding (RFC 9112 §7.1), read strictly.

use crate::decimal::write_hexadecimal;

/// The chunk that ends a body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The longest line of a chunk's size with its extensions.
const LINE_LIMIT: u32 = 1024;
/// The most bytes of extensions in one body: they carry nothing, so more is an attack on our time.
const EXTENSIONS_LIMIT: u32 = 16 * 1024;
/// The longest trailer section.
const TRAILERS_LIMIT: usize = 8 * 1024;

/// Why a chunked body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The size is no hexadecimal number of at most 16 digits.
    #[error("a chunk's size is not a hexadecimal number")]
    Size,
    /// A line does not end with CR LF where it must.
    #[error("a chunk does not end with CR LF")]
    LineEnd,
    /// A control character in a chunk extension.
    #[error("a control character in a chunk extension")]
    Extension,
    /// More extensions than any use of them explains.
    #[error("chunk extensions are longer than the limit")]
    ExtensionsTooLarge,
    /// A trailer section that is longer than the limit.
    #[error("the trailers are longer than the limit")]
    TrailersTooLarge,
    /// A trailer that is no field line.
    #[error("a trailer is not a header line")]
    Trailer,
}

/// Takes the chunks off a body that arrives piece by piece.
#[derive(Debug, Clone, Default)]
pub struct ChunkedDecoder {
    state: State,
    /// Bytes of the current chunk that are still to come; the number read so far within its size.
    remaining: u64,
    /// Bytes of the current size line.
    line: u32,
    /// Bytes of extensions in the whole body.
    extensions: u32,
    /// The trailer section as received, the empty line included; empty where there are no trailers.
    trailers: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// Before the first digit of a size.
    #[default]
    SizeStart,
    /// Within the digits, so many were read.
    Size(u8),
    /// White space before a semicolon.
    BeforeExtension,
    Extension,
    /// After the CR of a size line.
    SizeFeed,
    Data,
    /// After the last byte of a chunk.
    DataReturn,
    DataFeed,
    /// At the start of a line of the trailer section.
    TrailerStart,
    Trailer,
    TrailerFeed,
    /// After the CR of the empty line.
    LastFeed,
    Done,
}

impl ChunkedDecoder {
    /// Reads until data, the end of the body or the end of `input`, whatever comes first. Returns how many bytes were
    /// used and the data among them, which are the last of those bytes.
    ///
    /// # Errors
    /// See [`ChunkError`]; the body cannot be read on.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<(usize, &'a [u8]), ChunkError> {
        let mut used = 0;
        while let Some(&byte) = input.get(used) {
            match self.state {
                State::Data => {
                    let rest = input.get(used..).unwrap_or_default();
                    let length =
                        usize::try_from(self.remaining).unwrap_or(usize::MAX).min(rest.len());
                    self.remaining -= length as u64;
                    if self.remaining == 0 {
                        self.state = State::DataReturn;
                    }
                    return Ok((used + length, rest.get(..length).unwrap_or_default()));
                }
                State::Done => break,
                _ => self.step(byte)?,
            }
            used += 1;
        }
        Ok((used, &[]))
    }

    /// Whether the body was read to its end.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The trailer section as it was received, checked to be field lines; empty before the end and where there is none.
    #[must_use]
    pub fn trailers(&self) -> &[u8] {
        if self.is_done() { &self.trailers } else { &[] }
    }

    fn step(&mut self, byte: u8) -> Result<(), ChunkError> {
        self.state = match self.state {
            State::SizeStart => {
                self.remaining = u64::from(digit(byte).ok_or(ChunkError::Size)?);
                self.line = 1;
                State::Size(1)
            }
            State::Size(digits) => match (digit(byte), byte) {
                (Some(_), _) if digits == 16 => return Err(ChunkError::Size),
                (Some(value), _) => {
                    self.remaining = self.remaining << 4 | u64::from(value);
                    State::Size(digits + 1)
                }
                (None, b'\r') => State::SizeFeed,
                (None, b';') => State::Extension,
                (None, b' ' | b'\t') => State::BeforeExtension,
                (None, _) => return Err(ChunkError::Size),
            },
            State::BeforeExtension => match byte {
                b' ' | b'\t' => {
                    self.extension_byte()?;
                    State::BeforeExtension
                }
                b';' => State::Extension,
                _ => return Err(ChunkError::Size),
            },
            State::Extension => match byte {
                b'\r' => State::SizeFeed,
                b'\n' => return Err(ChunkError::LineEnd),
                b'\t' | b' '..=b'~' | 0x80.. => {
                    self.extension_byte()?;
                    State::Extension
                }
                _ => return Err(ChunkError::Extension),
            },
            State::SizeFeed => match (byte, self.remaining) {
                (b'\n', 0) => State::TrailerStart,
                (b'\n', _) => State::Data,
                _ => return Err(ChunkError::LineEnd),
            },
            State::DataReturn if byte == b'\r' => State::DataFeed,
            State::DataFeed if byte == b'\n' => State::SizeStart,
            State::TrailerStart if byte == b'\r' => State::LastFeed,
            State::TrailerStart | State::Trailer => {
                self.trailer_byte(byte)?;
                match byte {
                    b'\r' => State::TrailerFeed,
                    b'\n' => return Err(ChunkError::LineEnd),
                    _ => State::Trailer,
                }
            }
            State::TrailerFeed if byte == b'\n' => {
                self.trailer_byte(byte)?;
                State::TrailerStart
            }
            State::LastFeed if byte == b'\n' => {
                self.check_trailers()?;
                State::Done
            }
            State::DataReturn | State::DataFeed | State::TrailerFeed | State::LastFeed => {
                return Err(ChunkError::LineEnd);
            }
            state @ (State::Data | State::Done) => state,
        };
        Ok(())
    }

    fn extension_byte(&mut self) -> Result<(), ChunkError> {
        self.line += 1;
        self.extensions += 1;
        if self.line > LINE_LIMIT || self.extensions > EXTENSIONS_LIMIT {
            return Err(ChunkError::ExtensionsTooLarge);
        }
        Ok(())
    }

    fn trailer_byte(&mut self, byte: u8) -> Result<(), ChunkError> {
        if self.trailers.len() >= TRAILERS_LIMIT {
            return Err(ChunkError::TrailersTooLarge);
        }
        self.trailers.push(byte);
        Ok(())
    }

    fn check_trailers(&mut self) -> Result<(), ChunkError> {
        if self.trailers.is_empty() {
            return Ok(());
        }
        self.trailers.extend_from_slice(b"\r\n");
        let mut lines = [httparse::EMPTY_HEADER; 64];
        match httparse::parse_headers(&self.trailers, &mut lines) {
            Ok(httparse::Status::Complete(_)) => Ok(()),
            Ok(httparse::Status::Partial) | Err(_) => Err(ChunkError::Trailer),
        }
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Appends what comes before `length` bytes of data, which must not be 0; CR LF comes behind them.
pub fn write_chunk_start(out: &mut Vec<u8>, length: usize) {
    write_hexadecimal(out, length as u64);
    out.extend_from_slice(b"\r\n");
}
