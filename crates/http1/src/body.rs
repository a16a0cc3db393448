//! One reader for all ways in which a body is delimited.

use crate::{
    chunked::{ChunkError, ChunkedDecoder},
    framing::Framing,
};

/// Why a body cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// See [`ChunkError`].
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// The connection closed within the body.
    #[error("the connection closed before the end of the body")]
    Incomplete,
}

/// What [`BodyDecoder::decode`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// How many bytes of the input were used; the data are the last of them.
    pub used: usize,
    /// The bytes of the body among them.
    pub data: &'a [u8],
}

/// Takes the framing off a body that arrives piece by piece.
#[derive(Debug, Clone)]
pub struct BodyDecoder {
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Length(u64),
    Chunked(ChunkedDecoder),
    UntilClose { closed: bool },
}

impl BodyDecoder {
    /// A reader for a body of this framing.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        BodyDecoder {
            kind: match framing {
                Framing::None => Kind::Length(0),
                Framing::Length(length) => Kind::Length(length),
                Framing::Chunked => Kind::Chunked(ChunkedDecoder::default()),
                Framing::UntilClose => Kind::UntilClose { closed: false },
            },
        }
    }

    /// Takes the next piece off `input`. Used is less than the input's length when there is more to take, or when
    /// the body has ended and the rest belongs to the next message.
    ///
    /// # Errors
    /// [`BodyError::Chunk`]
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Piece<'a>, BodyError> {
        match &mut self.kind {
            Kind::Length(remaining) => {
                let used = usize::try_from(*remaining).unwrap_or(usize::MAX).min(input.len());
                *remaining -= used as u64;
                Ok(Piece { used, data: input.get(..used).unwrap_or_default() })
            }
            Kind::Chunked(decoder) => {
                let (used, data) = decoder.decode(input)?;
                Ok(Piece { used, data })
            }
            Kind::UntilClose { .. } => Ok(Piece { used: input.len(), data: input }),
        }
    }

    /// Tells that so many bytes of a body whose length is known went by unseen: at most [`BodyDecoder::remaining`].
    pub fn pass(&mut self, length: u64) {
        if let Kind::Length(remaining) = &mut self.kind {
            *remaining = remaining.saturating_sub(length);
        }
    }

    /// Tells that the connection closed.
    ///
    /// # Errors
    /// [`BodyError::Incomplete`] if the body was to have more.
    pub fn close(&mut self) -> Result<(), BodyError> {
        if let Kind::UntilClose { closed } = &mut self.kind {
            *closed = true;
        }
        if self.is_done() { Ok(()) } else { Err(BodyError::Incomplete) }
    }

    /// Whether the body has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match &self.kind {
            Kind::Length(remaining) => *remaining == 0,
            Kind::Chunked(decoder) => decoder.is_done(),
            Kind::UntilClose { closed } => *closed,
        }
    }

    /// The bytes that are certainly still to come, where that is known.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        match &self.kind {
            Kind::Length(remaining) => Some(*remaining),
            Kind::Chunked(_) | Kind::UntilClose { .. } => None,
        }
    }

    /// The trailer section; see [`ChunkedDecoder::trailers`].
    #[must_use]
    pub fn trailers(&self) -> &[u8] {
        match &self.kind {
            Kind::Chunked(decoder) => decoder.trailers(),
            Kind::Length(_) | Kind::UntilClose { .. } => &[],
        }
    }
}
