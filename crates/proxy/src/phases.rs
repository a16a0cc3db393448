//! The plugins of one request: which of them run, and the phases that call them.
//!
//! Where no plugin is configured nothing here does anything but see that.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    task::Poll,
};

use http1::{Fields, RequestHead, ResponseHead};
use plugin::{
    Access, Answer, Answered, Captures, Client, Exchange, Identity, Notes, Onward, Outcome, Plugin,
    RequestBody, ResponseBody, Timing, Verdict,
};
use smallvec::SmallVec;
use snapshot::{Chain, RouteEntry, Running, Snapshot};

use crate::{
    failure::Failure,
    protocol,
    record::Record,
    request::Origin,
    thread::{RequestId, Thread},
};

/// The plugins of one request. Where none is concerned there is nothing to carry from phase to phase.
#[derive(Default)]
pub(crate) struct Phases<'s>(Option<Box<Concerned<'s>>>);

/// The plugins that are concerned with a request, and what they share.
struct Concerned<'s> {
    about: About<'s>,
    collected: SmallVec<[&'s Running; 8]>,
    identity: Identity,
    onward: Onward,
    response_fields: Fields,
    notes: Notes,
}

/// What is the same in all phases.
struct About<'s> {
    snapshot: &'s Snapshot,
    client: Client,
    started_us: u64,
    route: Option<&'s RouteEntry>,
}

/// What the access phase is given beside the request.
pub(crate) struct Entering<'s, 'r> {
    pub(crate) client: Client,
    pub(crate) route: &'s RouteEntry,
    pub(crate) captures: &'r Captures,
    /// The path that the upstream will be asked for.
    pub(crate) path: Vec<u8>,
    pub(crate) id: &'r RequestId,
}

/// What came of the access phase.
pub(crate) type Accessed = Result<Option<Answer>, Failure>;

impl<'s> Phases<'s> {
    /// Before routing: only instances for all requests take part, and they stay the ones that do if no route matches.
    pub(crate) fn begin(
        &mut self,
        thread: &Thread,
        snapshot: &'s Snapshot,
        origin: &Origin,
        request: &RequestHead,
    ) {
        let chain = snapshot.plugins.unscoped();
        if chain.slots.is_empty() {
            return;
        }
        let client = origin.client_of(&thread.options.trust, request);
        let client = origin.client(client, protocol::is_secure(request, origin));
        let concerned = self.meet(thread, snapshot, client, None);
        concerned.collected = running(snapshot, chain, None).collect();
    }

    /// Whether a plugin takes part.
    pub(crate) fn takes_part(&self) -> bool {
        self.0.as_ref().is_some_and(|concerned| !concerned.collected.is_empty())
    }

    /// Calls the rewrite phase. A plugin that answers ends it.
    pub(crate) fn rewrite(
        &mut self,
        request: &mut RequestHead,
        body: &mut dyn RequestBody,
        id: &RequestId,
    ) -> Accessed {
        let Some(concerned) = self.0.as_deref_mut() else { return Ok(None) };
        let Concerned { about, collected, identity, onward, response_fields, notes } = concerned;
        let mut exchange = Exchange {
            request,
            onward,
            body,
            client: &about.client,
            route: None,
            service: None,
            captures: &Captures::default(),
            identity,
            response_fields,
            notes,
            directory: &about.snapshot.directory,
            id: id.as_str(),
            started_us: about.started_us,
        };
        for running in collected.iter().filter(|running| running.phases.rewrite) {
            let Some(plugin) = &running.plugin else { continue };
            match call(running, || plugin.rewrite(&mut exchange))? {
                Verdict::Continue => {}
                Verdict::Answer(answer) => return Ok(Some(answer)),
                Verdict::Fail(cause) => return Err(failure(running, &cause)),
            }
        }
        Ok(None)
    }

    /// Whether any plugin may run for the requests of a route.
    pub(crate) fn concern(snapshot: &Snapshot, route: &RouteEntry) -> bool {
        !chain(snapshot, route).slots.is_empty()
    }

    /// Calls the access phase. A plugin that answers, or fails, ends it; those behind it are collected all the same,
    /// for the phases that follow.
    pub(crate) async fn access(
        &mut self,
        thread: &Thread,
        snapshot: &'s Snapshot,
        request: &mut RequestHead,
        body: &mut dyn RequestBody,
        entering: Entering<'s, '_>,
    ) -> Accessed {
        let Entering { client, route, captures, path, id } = entering;
        let concerned = self.meet(thread, snapshot, client, Some(route));
        concerned.collected.clear();
        concerned.onward.path = path;
        let Concerned { about, collected, identity, onward, response_fields, notes } = concerned;
        let mut result = Ok(None);
        for slot in &chain(snapshot, route).slots {
            let consumer = identity.consumer.as_ref().map(|consumer| consumer.id);
            let Some(running) = snapshot.plugins.running(slot, consumer) else { continue };
            collected.push(running);
            if !running.phases.access || !matches!(result, Ok(None)) {
                continue;
            }
            let Some(plugin) = &running.plugin else {
                result = Err(cannot_run(running));
                continue;
            };
            let exchange = Exchange {
                request,
                onward,
                body,
                client: &about.client,
                route: Some(&route.route),
                service: route.service.as_ref().map(|entry| &*entry.service),
                captures,
                identity,
                response_fields,
                notes,
                directory: &snapshot.directory,
                id: id.as_str(),
                started_us: about.started_us,
            };
            result = match enter(running, &**plugin, exchange).await {
                Ok(Verdict::Continue) => Ok(None),
                Ok(Verdict::Answer(answer)) => Ok(Some(answer)),
                Ok(Verdict::Fail(cause)) => Err(failure(running, &cause)),
                Err(failure) => Err(failure),
            };
        }
        result
    }

    /// Gives an answer's head the fields that plugins want on every answer, and calls the header filter phase.
    pub(crate) fn header_filter(
        &mut self,
        request: &RequestHead,
        id: &RequestId,
        record: &Record<'_>,
        head: &mut ResponseHead,
    ) -> Result<(), Failure> {
        let Some(concerned) = &mut self.0 else { return Ok(()) };
        head.fields.put(&concerned.response_fields);
        let timing = concerned.timing(record);
        concerned.each(
            request,
            id,
            timing,
            |running| running.phases.header_filter,
            |plugin, exchange| {
                plugin.header_filter(exchange, head);
            },
        )
    }

    /// Whether a plugin takes part in the body filter phase.
    pub(crate) fn filter_bodies(&self) -> bool {
        self.0.as_ref().is_some_and(|concerned| concerned.any(|phases| phases.body_filter))
    }

    /// Calls the body filter phase with a piece of an answer's body.
    pub(crate) fn body_filter(
        &mut self,
        request: &RequestHead,
        id: &RequestId,
        piece: &mut Vec<u8>,
        last: bool,
    ) -> Result<(), Failure> {
        let Some(concerned) = &mut self.0 else { return Ok(()) };
        let timing = Timing { started_us: concerned.about.started_us, ..Timing::default() };
        concerned.each(
            request,
            id,
            timing,
            |running| running.phases.body_filter,
            |plugin, exchange| {
                plugin.body_filter(exchange, &mut ResponseBody { piece, last });
            },
        )
    }

    /// Calls the log phase. `outcome` is asked for only if somebody takes part.
    pub(crate) fn log(
        &mut self,
        thread: &Thread,
        request: &RequestHead,
        id: &RequestId,
        record: &Record<'_>,
        head: Option<&ResponseHead>,
        response_bytes: u64,
    ) {
        let Some(concerned) = &mut self.0 else { return };
        if !concerned.any(|phases| phases.log) {
            return;
        }
        let mut timing = concerned.timing(record);
        timing.total_us = Some(record.total_us());
        let started_us = timing.started_us;
        let tries: SmallVec<[plugin::Try; 2]> =
            record.tries.iter().map(|one| one.told(record, started_us)).collect();
        let outcome = Outcome {
            head,
            status: record.status,
            from_upstream: record.is_from_upstream(),
            request_bytes: record.request_bytes,
            response_bytes,
            tries: &tries,
            reason: record.failure,
        };
        let logged = concerned.each(
            request,
            id,
            timing,
            |running| running.phases.log,
            |plugin, exchange| {
                plugin.log(exchange, &outcome);
            },
        );
        if let Err(failure) = logged {
            thread.counters.failed(&failure);
            tracing::error!(request_id = id.as_str(), %failure, "a plugin failed to log");
        }
    }

    /// Who the client turned out to be, where a plugin might have found out.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.0.as_ref().map(|concerned| &concerned.identity)
    }

    /// Where the upstream is to be asked, as plugins left it.
    pub(crate) fn onward(&self) -> Option<&Onward> {
        self.0.as_ref().map(|concerned| &concerned.onward)
    }

    /// Notes what is the same in all phases, or what has become known of it.
    fn meet(
        &mut self,
        thread: &Thread,
        snapshot: &'s Snapshot,
        client: Client,
        route: Option<&'s RouteEntry>,
    ) -> &mut Concerned<'s> {
        let started_us = match &self.0 {
            Some(concerned) => concerned.about.started_us,
            None => u64::try_from(thread.options.clock.wall_us()).unwrap_or_default(),
        };
        let about = About { snapshot, client, started_us, route };
        match &mut self.0 {
            Some(concerned) => {
                concerned.about = about;
                concerned
            }
            none => none.insert(Box::new(Concerned {
                about,
                collected: SmallVec::new(),
                identity: Identity::default(),
                onward: Onward::default(),
                response_fields: Fields::default(),
                notes: Notes::default(),
            })),
        }
    }
}

impl Concerned<'_> {
    fn any(&self, takes_part: impl Fn(&plugin::Phases) -> bool) -> bool {
        self.collected.iter().any(|running| takes_part(&running.phases))
    }

    fn timing(&self, record: &Record<'_>) -> Timing {
        let tried = !record.tries.is_empty();
        Timing {
            started_us: self.about.started_us,
            gateway_us: tried.then(|| record.proxy_us()),
            upstream_us: tried.then(|| record.upstream_us()),
            total_us: None,
        }
    }

    /// Calls the collected plugins that take part in a phase. One that fails does not keep the others from it.
    fn each(
        &mut self,
        request: &RequestHead,
        id: &RequestId,
        timing: Timing,
        takes_part: impl Fn(&Running) -> bool,
        mut run: impl FnMut(&dyn Plugin, &mut Answered<'_>),
    ) -> Result<(), Failure> {
        let about = &self.about;
        let service = about.route.and_then(|route| route.service.as_ref());
        let mut exchange = Answered {
            request,
            onward: &self.onward,
            client: &about.client,
            route: about.route.map(|entry| &*entry.route),
            service: service.map(|entry| &*entry.service),
            identity: &self.identity,
            notes: &mut self.notes,
            directory: &about.snapshot.directory,
            id: id.as_str(),
            timing,
        };
        let mut result = Ok(());
        for running in self.collected.iter().filter(|running| takes_part(running)) {
            if let Some(plugin) = &running.plugin {
                let called = call(running, || run(&**plugin, &mut exchange));
                result = result.and(called);
            }
        }
        result
    }
}

/// The plugins that may run for the requests of a route.
pub(crate) fn chain<'s>(snapshot: &'s Snapshot, route: &RouteEntry) -> &'s Chain {
    let service = route.service.as_ref().map(|entry| entry.service.id);
    snapshot.plugins.chain(route.route.id, service)
}

/// Those of a chain that run, in their order, for this consumer.
pub(crate) fn running<'s>(
    snapshot: &'s Snapshot,
    chain: &'s Chain,
    consumer: Option<uuid::Uuid>,
) -> impl Iterator<Item = &'s Running> {
    chain
        .slots
        .iter()
        .filter_map(move |slot| snapshot.plugins.running(slot, consumer).map(|running| &**running))
}

/// What becomes of a request that a plugin guards which cannot run.
pub(crate) fn cannot_run(running: &Running) -> Failure {
    failure(running, "its configuration cannot run here")
}

/// Calls a plugin; a panic becomes a failure of this request alone.
fn call<T>(running: &Running, run: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| failure(running, reason(&*panic)))
}

/// Calls a plugin's access phase, and waits for it if it has to.
async fn enter(
    running: &Running,
    plugin: &dyn Plugin,
    mut exchange: Exchange<'_>,
) -> Result<Verdict, Failure> {
    match call(running, || plugin.access(&mut exchange))? {
        Access::Now(verdict) => Ok(verdict),
        Access::Later(mut verdict) => {
            poll_fn(|context| match call(running, || verdict.as_mut().poll(context)) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(verdict)) => Poll::Ready(Ok(verdict)),
                Err(failure) => Poll::Ready(Err(failure)),
            })
            .await
        }
    }
}

fn failure(running: &Running, cause: &str) -> Failure {
    Failure::Plugin { name: running.name.clone(), id: running.id, cause: cause.to_owned() }
}

fn reason(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it panicked")
}
