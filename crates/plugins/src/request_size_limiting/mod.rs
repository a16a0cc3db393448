//! `request-size-limiting`: refuses requests whose body is too long.

mod config;

use http1::{Framing, Name};
use plugin::{Access, Answer, BodyError, BuildError, Exchange, Instance, Phases, Plugin, Verdict};
use schema::Record;

use crate::declared::Declared;
use crate::settings;
use config::Config;

/// As much of a body of unknown length is taken into memory, in bytes.
const READ_AHEAD: usize = 64 * 1024;

/// A running instance of `request-size-limiting`.
#[derive(Debug)]
pub(crate) struct RequestSizeLimiting {
    /// Bytes; a body of exactly this length passes.
    limit: u64,
    length_required: bool,
}

impl Declared for RequestSizeLimiting {
    const NAME: &str = "request-size-limiting";
    const PRIORITY: i32 = 951;
    const PHASES: Phases = Phases { access: true, ..Phases::NONE };
    const EXAMPLE: &str = include_str!("example.md");

    fn config() -> &'static Record {
        Config::record()
    }

    fn build(instance: &Instance<'_>, _: Option<&Self>) -> Result<Self, BuildError> {
        let config: Config = settings::read(instance)?;
        let limit = config.allowed_payload_size.max(0) as u64 * config.size_unit.bytes();
        Ok(RequestSizeLimiting { limit, length_required: config.require_content_length })
    }
}

impl Plugin for RequestSizeLimiting {
    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Access<'a> {
        let announced = exchange.request.fields.contains(Name::ContentLength);
        match exchange.request.framing() {
            Framing::Length(length) if length > self.limit => refusal(exchange).into(),
            Framing::Chunked => Access::Later(Box::pin(self.measure(exchange))),
            _ if self.length_required && !announced => {
                Answer::error(411, "A valid Content-Length header is required").into()
            }
            _ => Access::CONTINUE,
        }
    }
}

impl RequestSizeLimiting {
    /// The length of a chunked body is known when it has been read. Small ones are, so that the
    /// upstream is not asked in vain; the others are counted on their way.
    async fn measure(&self, exchange: &mut Exchange<'_>) -> Verdict {
        let at_hand = usize::try_from(self.limit).unwrap_or(usize::MAX).min(READ_AHEAD);
        match exchange.body.read(at_hand).await {
            Ok(_) => Verdict::Continue,
            Err(BodyError::TooLong) if self.limit > READ_AHEAD as u64 => {
                exchange.body.limit(self.limit);
                Verdict::Continue
            }
            Err(BodyError::TooLong) => Verdict::Answer(refusal(exchange)),
            Err(BodyError::Broken) => Verdict::Answer(Answer::error(400, "Bad request")),
        }
    }
}

fn refusal(exchange: &Exchange<'_>) -> Answer {
    let status = if exchange.request.expects_continue() { 417 } else { 413 };
    Answer::error(status, "Request size limit exceeded")
}
