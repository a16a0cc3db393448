//! An answer whose body passes through plugins.

use std::cell::RefCell;

use http1::{RequestHead, ResponseHead};

use crate::{
    downstream::{Answer, Outlet},
    failure::Failure,
    phases::Phases,
    thread::RequestId,
};

/// An answer on its way through the body filter phase. Where no plugin takes part, and for answers without a body, it
/// is the client's.
pub(crate) struct Filtered<'a, 's, A> {
    pub(crate) answer: &'a mut A,
    pub(crate) phases: &'a RefCell<Phases<'s>>,
    pub(crate) request: &'a RequestHead,
    pub(crate) id: &'a RequestId,
    pub(crate) way: Way,
}

/// What happens to the data of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// It is passed on as it is.
    Straight,
    /// It goes through plugins.
    Filter,
    /// It is dropped: the client's HEAD was made another method.
    Drop,
}

impl<'a, 's, A: Answer> Filtered<'a, 's, A> {
    pub(crate) fn new(
        answer: &'a mut A,
        phases: &'a RefCell<Phases<'s>>,
        request: &'a RequestHead,
        id: &'a RequestId,
    ) -> Self {
        Filtered { answer, phases, request, id, way: Way::Straight }
    }
}

impl<A: Answer> Answer for Filtered<'_, '_, A> {
    async fn interim(&mut self, head: &ResponseHead) -> Result<(), Failure> {
        self.answer.interim(head).await
    }

    fn close_after(&mut self) {
        self.answer.close_after();
    }

    fn begin(&mut self, head: &ResponseHead) {
        let bodyless = matches!(head.status(), 100..=199 | 204 | 304);
        self.way = if self.request.received_method() == b"HEAD" {
            Way::Drop
        } else if !bodyless && self.phases.borrow().filter_bodies() {
            Way::Filter
        } else {
            Way::Straight
        };
        self.answer.begin(head);
    }

    async fn send(&mut self, data: &[u8], last: bool, trailers: &[u8]) -> Result<(), Failure> {
        match self.way {
            Way::Straight => self.answer.send(data, last, trailers).await,
            Way::Drop => self.answer.send(&[], last, &[]).await,
            Way::Filter => {
                let mut piece = data.to_vec();
                self.phases.borrow_mut().body_filter(self.request, self.id, &mut piece, last)?;
                if piece.is_empty() && !last {
                    return Ok(());
                }
                self.answer.send(&piece, last, trailers).await
            }
        }
    }

    fn outlet(&mut self) -> Option<Outlet<'_>> {
        if self.way == Way::Straight { self.answer.outlet() } else { None }
    }

    fn has_begun(&self) -> bool {
        self.answer.has_begun()
    }

    fn sent(&self) -> u64 {
        self.answer.sent()
    }
}
