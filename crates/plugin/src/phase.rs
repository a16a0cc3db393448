//! The phases of a request, in order, and what a plugin may decide in each.
//!
//! `rewrite` (global instances, before routing) → `access` (collects the instances that apply, in
//! order of priority; the first answer ends it) → `header_filter` → `body_filter` → `log`. The
//! phases behind `access` run for every collected instance, also when another one answered; when
//! no route matched they run for the global instances (Kong, `kong/runloop/plugins_iterator.lua`).

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use http1::ResponseHead;

use crate::answer::Answer;
use crate::body::ResponseBody;
use crate::exchange::{Answered, Client, Exchange, Outcome};

/// Which phases a plugin takes part in. What nobody takes part in costs a request nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// [`Plugin::preread`].
    pub preread: bool,
    /// [`Plugin::rewrite`].
    pub rewrite: bool,
    /// [`Plugin::access`].
    pub access: bool,
    /// [`Plugin::header_filter`].
    pub header_filter: bool,
    /// [`Plugin::body_filter`]; switches off every short cut for bodies that nobody reads.
    pub body_filter: bool,
    /// [`Plugin::log`].
    pub log: bool,
}

impl Phases {
    /// None: what a plugin's own are added to.
    pub const NONE: Phases = Phases {
        preread: false,
        rewrite: false,
        access: false,
        header_filter: false,
        body_filter: false,
        log: false,
    };
}

/// What a plugin decides about a request.
#[derive(Debug)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// Answer the client now; the upstream is not asked.
    Answer(Answer),
    /// The plugin could not do its work, for this reason: the client is answered 500, and the
    /// plugin is named with the reason in log and metric.
    Fail(String),
}

/// What a plugin decides about a stream session (TCP, TLS, UDP), of which nothing is known but the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Go on.
    Admit,
    /// Close it; the reason is logged.
    Refuse(String),
}

/// A verdict now, or later for a plugin that has to wait (a body to read, a counter elsewhere).
pub enum Access<'a> {
    /// Decided without waiting, and without an allocation.
    Now(Verdict),
    /// Decided when this is done. It runs on the request's own thread, must bound its own time, and
    /// may be dropped unfinished.
    Later(Pin<Box<dyn Future<Output = Verdict> + 'a>>),
}

impl Access<'_> {
    /// Go on.
    pub const CONTINUE: Access<'static> = Access::Now(Verdict::Continue);
}

impl From<Answer> for Access<'_> {
    fn from(answer: Answer) -> Self {
        Access::Now(Verdict::Answer(answer))
    }
}

impl fmt::Debug for Access<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Access::Now(verdict) => f.debug_tuple("Now").field(verdict).finish(),
            Access::Later(_) => f.write_str("Later"),
        }
    }
}

/// A running instance: one configuration of one plugin. Shared by all traffic threads.
///
/// A panic in a phase answers 500 for its request and is named in log and metric; the instance
/// goes on.
pub trait Plugin: Any + fmt::Debug + Send + Sync {
    /// When a stream session has its route, before a target is chosen (Kong's phase of this name). Only for instances
    /// whose `protocols` name one of streams.
    fn preread(&self, client: &Client) -> Admission {
        let _ = client;
        Admission::Admit
    }

    /// Before routing; global instances only. May change what is routed by.
    fn rewrite(&self, exchange: &mut Exchange<'_>) -> Verdict {
        let _ = exchange;
        Verdict::Continue
    }

    /// After routing, before the balancer: may change the request, identify the client, answer.
    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Access<'a> {
        let _ = exchange;
        Access::CONTINUE
    }

    /// With the head of the answer (an upstream's or our own), before anything of it is sent.
    fn header_filter(&self, exchange: &mut Answered<'_>, head: &mut ResponseHead) {
        let _ = (exchange, head);
    }

    /// With each piece of the answer's body, where it has one. A plugin that changes its length has
    /// said so in [`Plugin::header_filter`] by [`ResponseBody::changes_length`].
    fn body_filter(&self, exchange: &mut Answered<'_>, body: &mut ResponseBody<'_>) {
        let _ = (exchange, body);
    }

    /// After the answer has been sent, or given up. Must not wait: what takes time is put into a
    /// bounded queue of the plugin's own.
    fn log(&self, exchange: &mut Answered<'_>, outcome: &Outcome<'_>) {
        let _ = (exchange, outcome);
    }
}
