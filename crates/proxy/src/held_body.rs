//! The request's body as plugins read and replace it, and as the upstream gets it afterwards.

use std::{future::Future, pin::Pin};

use bytes::Bytes;
use http1::{ResponseHead, Version};
use plugin::{BodyError, RequestBody};

use crate::{
    downstream::{Answer, Body},
    failure::Failure,
};

/// A body that somebody may have read ahead, or replaced. Where nobody did, it is the client's.
pub(crate) struct Held<'b, B> {
    client: &'b mut B,
    /// What was read ahead or put in place, once the client's own buffer would not do.
    kept: Option<Vec<u8>>,
    replaced: bool,
    limit: Option<u64>,
    received: u64,
}

impl<'b, B: Body> Held<'b, B> {
    pub(crate) fn new(client: &'b mut B) -> Self {
        let received = client.data().len() as u64;
        Held { client, kept: None, replaced: false, limit: None, received }
    }

    /// Whether a plugin put another body in place.
    pub(crate) fn is_replaced(&self) -> bool {
        self.replaced
    }

    /// Bytes of the body received so far.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }
}

impl<B: Body> Body for Held<'_, B> {
    fn data(&self) -> &[u8] {
        self.kept.as_deref().unwrap_or_else(|| self.client.data())
    }

    fn is_complete(&self) -> bool {
        self.replaced || self.client.is_complete()
    }

    fn announced(&self) -> Option<u64> {
        self.client.announced()
    }

    async fn fill(&mut self) -> Result<(), Failure> {
        let before = self.client.data().len();
        self.client.fill().await?;
        self.received += (self.client.data().len() - before) as u64;
        if let Some(limit) = self.limit.filter(|limit| self.received > *limit) {
            return Err(Failure::BodyOverLimit(limit));
        }
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(self.client.data());
            self.client.release();
        }
        Ok(())
    }

    fn release(&mut self) {
        self.kept = None;
        self.client.release();
    }

    async fn gone(&mut self) {
        self.client.gone().await;
    }

    fn tunnel(&mut self) {
        self.client.tunnel();
    }
}

/// The body in the hands of a plugin.
pub(crate) struct Lent<'l, 'b, B, A> {
    pub(crate) body: &'l mut Held<'b, B>,
    pub(crate) answer: &'l mut A,
    /// Whether the client waits for leave to send it, in a request of this version.
    pub(crate) awaits_leave: Option<Version>,
    /// What kept the body from being read.
    pub(crate) failure: Option<Failure>,
}

impl<B: Body, A: Answer> Lent<'_, '_, B, A> {
    async fn read_all(&mut self, limit: usize) -> Result<Bytes, BodyError> {
        match self.receive(limit).await {
            Ok(()) if self.body.data().len() > limit => Err(BodyError::TooLong),
            Ok(()) => Ok(Bytes::copy_from_slice(self.body.data())),
            Err(failure) => {
                self.failure = Some(failure);
                Err(BodyError::Broken)
            }
        }
    }

    async fn receive(&mut self, limit: usize) -> Result<(), Failure> {
        /// As much stays in the buffer of the client's connection, which has room for it.
        const AT_HAND: usize = 32 * 1024;
        if self.body.is_complete() || self.body.data().len() > limit {
            return Ok(());
        }
        give_leave(self.answer, self.body, &mut self.awaits_leave).await?;
        while !self.body.is_complete() && self.body.data().len() <= limit {
            self.body.fill().await?;
            if self.body.kept.is_none() && self.body.data().len() > AT_HAND {
                self.body.kept = Some(self.body.client.data().to_vec());
                self.body.client.release();
            }
        }
        Ok(())
    }
}

impl<B: Body, A: Answer> RequestBody for Lent<'_, '_, B, A> {
    fn read<'a>(
        &'a mut self,
        limit: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Bytes, BodyError>> + 'a>> {
        Box::pin(self.read_all(limit))
    }

    fn replace(&mut self, body: Bytes) {
        self.body.kept = Some(body.into());
        self.body.replaced = true;
    }

    fn limit(&mut self, bytes: u64) {
        let limit = self.body.limit.map_or(bytes, |limit| limit.min(bytes));
        self.body.limit = Some(limit);
    }

    fn announced(&self) -> Option<u64> {
        if self.body.replaced {
            return Some(self.body.data().len() as u64);
        }
        self.body.announced()
    }
}

/// Tells a client that waits for leave to send its body that it may (RFC 9110 §10.1.1), once.
pub(crate) async fn give_leave<B: Body, A: Answer>(
    answer: &mut A,
    body: &B,
    awaits_leave: &mut Option<Version>,
) -> Result<(), Failure> {
    let Some(version) = awaits_leave.take() else { return Ok(()) };
    // Also for a request without a body, as nginx does: a client that asked may wait for it.
    if body.data().is_empty() {
        let mut head = ResponseHead::default();
        head.begin(100, version);
        answer.interim(&head).await?;
    }
    Ok(())
}
