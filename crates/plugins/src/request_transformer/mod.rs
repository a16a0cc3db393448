//! `request-transformer`: changes path, method, header fields, body and query of requests.

mod arguments;
mod body;
mod changes;
mod config;
mod headers;
mod multipart;
mod template;

use bytes::Bytes;
use http1::{Name, RequestHead};
use model::PluginProtocols;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use plugin::{Access, BodyError, BuildError, Exchange, Instance, Phases, Plugin, Verdict};
use schema::Record;

use crate::declared::Declared;
use crate::settings;
use arguments::Arguments;
use body::Kind;
use changes::Operations;
use config::Config;
use template::{Original, Template};

/// A running instance of `request-transformer`.
#[derive(Debug)]
pub(crate) struct RequestTransformer {
    uri: Option<Template>,
    method: Option<String>,
    /// Whether the members of a form are added to the query.
    moves_form: bool,
    headers: Operations,
    body: Operations,
    query: Operations,
    /// Whether anything depends on what the request was before.
    is_dynamic: bool,
    reads_body: bool,
}

impl Declared for RequestTransformer {
    const NAME: &str = "request-transformer";
    const PRIORITY: i32 = 801;
    const PROTOCOLS: PluginProtocols = PluginProtocols::Any;
    const PHASES: Phases = Phases { access: true, ..Phases::NONE };
    const EXAMPLE: &str = include_str!("example.md");

    fn config() -> &'static Record {
        Config::record()
    }

    fn build(instance: &Instance<'_>, _: Option<&Self>) -> Result<Self, BuildError> {
        let config: Config = settings::read(instance)?;
        let uri = config.replace.uri.as_deref().map(Template::new);
        let headers = Operations::on_headers(&config);
        let body = Operations::on_body(&config);
        let query = Operations::on_query(&config);
        let moves_form = matches!(config.http_method.as_deref(), Some("GET" | "HEAD" | "TRACE"));
        Ok(RequestTransformer {
            is_dynamic: uri.as_ref().is_some_and(Template::is_dynamic)
                || [&headers, &body, &query].into_iter().any(Operations::is_dynamic),
            reads_body: moves_form || !body.is_empty(),
            uri,
            method: config.http_method,
            moves_form,
            headers,
            body,
            query,
        })
    }
}

/// The most of a body that is read for its change. A longer one passes unchanged.
const LIMIT: usize = 8 << 20;

/// What cannot stand in a path as it is: it would end the request line.
const UNSAFE: &AsciiSet = &CONTROLS.add(b' ').add(b'#');

impl Plugin for RequestTransformer {
    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Access<'a> {
        if self.reads_body {
            return Access::Later(Box::pin(async move {
                let original = self.original(exchange);
                match self.with_body(exchange, &original).await {
                    Ok(()) => Verdict::Continue,
                    Err(reason) => Verdict::Fail(reason),
                }
            }));
        }
        let original = self.original(exchange);
        let done = self
            .before_body(exchange, &original)
            .and_then(|()| self.behind_body(exchange, &original));
        match done {
            Ok(()) => Access::CONTINUE,
            Err(reason) => Access::Now(Verdict::Fail(reason)),
        }
    }
}

impl RequestTransformer {
    fn original(&self, exchange: &Exchange<'_>) -> Original {
        if self.is_dynamic { Original::of(exchange) } else { Original::default() }
    }

    async fn with_body(
        &self,
        exchange: &mut Exchange<'_>,
        original: &Original,
    ) -> Result<(), String> {
        if self.moves_form && kind(exchange.request) == Some(Kind::Form) {
            let form = read(exchange).await.map(|form| Arguments::read(&form));
            if let Some(form) = form.filter(|form| !form.is_empty()) {
                change_query(exchange.request, |query| query.extend(form));
            }
        }
        self.before_body(exchange, original)?;
        if let (false, Some(kind)) = (self.body.is_empty(), kind(exchange.request)) {
            let changes = self.body.for_request(original)?;
            let kept = read(exchange).await;
            let content_type = exchange.request.fields.get(Name::ContentType).unwrap_or_default();
            let changed = kept.and_then(|body| kind.change(content_type, &body, &changes));
            if let Some(changed) = changed {
                exchange.body.replace(changed.into());
            }
        }
        self.behind_body(exchange, original)
    }

    fn before_body(&self, exchange: &mut Exchange<'_>, original: &Original) -> Result<(), String> {
        if let Some(uri) = &self.uri {
            let uri = uri.render(original)?;
            let rest = uri.strip_prefix('/').unwrap_or(&uri);
            exchange.onward.path = format!("/{}", percent_encode(rest.as_bytes(), UNSAFE)).into();
        }
        if let Some(method) = &self.method {
            exchange.request.set_method(method.as_bytes());
        }
        if !self.headers.is_empty() {
            let changes = self.headers.for_request(original)?;
            headers::change(&mut exchange.request.fields, &mut exchange.onward.host, &changes);
        }
        Ok(())
    }

    fn behind_body(&self, exchange: &mut Exchange<'_>, original: &Original) -> Result<(), String> {
        if !self.query.is_empty() {
            let changes = self.query.for_request(original)?;
            change_query(exchange.request, |query| query.change(&changes));
        }
        Ok(())
    }
}

/// The whole body; nothing if it cannot be had.
async fn read(exchange: &mut Exchange<'_>) -> Option<Bytes> {
    let read = exchange.body.read(LIMIT).await;
    if let Err(BodyError::TooLong) = read {
        tracing::warn!(
            request_id = exchange.id,
            limit = LIMIT,
            "a request's body is too long to be changed; it is passed on as it is"
        );
    }
    read.ok()
}

/// What the body is, where its Content-Type says something that can be changed.
fn kind(request: &RequestHead) -> Option<Kind> {
    request.fields.get(Name::ContentType).and_then(Kind::of)
}

fn change_query(request: &mut RequestHead, change: impl FnOnce(&mut Arguments)) {
    let mut query = Arguments::read(request.query().unwrap_or_default());
    change(&mut query);
    let query = query.write();
    let mut target = request.path().to_vec();
    if !query.is_empty() {
        target.push(b'?');
        target.extend_from_slice(query.as_bytes());
    }
    // The path was accepted before, and what is behind it is all letters, digits and escapes; were
    // it refused all the same, the request would keep its query.
    let _ = request.set_target(&target);
}

#[cfg(test)]
mod tests;
