//! From a request to its answer.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::Full;
use serde_json::json;
use telemetry::build_info::KONG_VERSION;
use uuid::Uuid;

use crate::answer::Answer;
use crate::apis;
use crate::body::{self, Input};
use crate::cache;
use crate::call::Call;
use crate::crud;
use crate::declarative;
use crate::endpoint::{Endpoint, Route, Routes};
use crate::entity::{targets, upstreams};
use crate::error::Refusal;
use crate::explain;
use crate::info;
use crate::list;
use crate::openapi;
use crate::path::{self, Segment};
use crate::preview;
use crate::query::Query;
use crate::revisions;
use crate::revocations;
use crate::rollouts;
use crate::schemas;
use crate::state::State;

const LATENCY: HeaderName = HeaderName::from_static("x-kong-admin-latency");

/// The Admin API. Clones share everything.
#[derive(Clone, Debug)]
pub struct Api {
    state: Arc<State>,
    routes: Arc<Routes>,
}

impl Api {
    /// The Admin API on this state.
    pub fn new(state: State) -> Api {
        Api { state: Arc::new(state), routes: Arc::new(Routes::new()) }
    }

    /// Answers a request that came by this scheme. Whatever is wrong with it or happens to it
    /// becomes an answer, too.
    pub async fn handle<B>(&self, request: Request<B>, scheme: &str) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        let begun = self.state.clock.monotonic();
        let (parts, body) = request.into_parts();
        let answer = self.answer(&parts, body, scheme).await.unwrap_or_else(Refusal::into_answer);
        let took = self.state.clock.monotonic().saturating_duration_since(begun);
        self.respond(&parts, answer, took.as_millis())
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Whether entities come from declarative texts alone (`database = off`).
    pub fn is_declarative(&self) -> bool {
        self.state.declarative.is_some()
    }

    /// Replaces the whole configuration by a declarative text, and says how many entities it has.
    ///
    /// # Errors
    /// What is wrong with the text, or with the store. Nothing was written then.
    pub async fn load(&self, text: &str) -> Result<usize, String> {
        declarative::load(&self.state, text).await
    }

    async fn answer<B>(&self, parts: &Parts, body: B, scheme: &str) -> Result<Answer, Refusal>
    where
        B: Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        let segments = path::segments(parts.uri.path()).map_err(Refusal::bad_request)?;
        let (endpoint, segments) = self.find(segments, &parts.headers).ok_or(Refusal::NotFound)?;
        let answer = self.answer_at(endpoint, segments, parts, body, scheme).await;
        let answer = answer.unwrap_or_else(Refusal::into_answer);
        if answer.status != StatusCode::METHOD_NOT_ALLOWED {
            return Ok(answer);
        }
        // It must tell which methods are (RFC 9110 §15.5.6).
        Ok(answer.with(header::ALLOW, &endpoint.allow(Some(&parts.method))))
    }

    async fn answer_at<B>(
        &self,
        endpoint: Endpoint,
        segments: Vec<Segment<'_>>,
        parts: &Parts,
        body: B,
        scheme: &str,
    ) -> Result<Answer, Refusal>
    where
        B: Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        if parts.method == Method::OPTIONS {
            return Ok(options(&endpoint, &parts.headers));
        }
        if !endpoint.knows(&parts.method) {
            return Err(Refusal::MethodNotAllowed);
        }
        let method = if parts.method == Method::HEAD { Method::GET } else { parts.method.clone() };
        let query = Query::parse(parts.uri.query())?;
        // What is wrong with the wait is said before anything is written.
        let wait = query.wait()?;
        let base = base(parts, scheme);
        let whole = match endpoint {
            Endpoint::Declarative => true,
            Endpoint::Config => self.state.declarative.is_some(),
            _ => false,
        };
        let mut call = Call {
            state: &self.state,
            method,
            segments,
            query,
            input: Input::default(),
            base,
            wait,
        };
        if whole && call.method == Method::POST {
            let sent = body::read_configuration(parts, body).await?;
            return declarative::endpoint::load(&call, sent).await;
        }
        if matches!(call.method.as_str(), "POST" | "PUT" | "PATCH") {
            call.input = body::read(parts, body, self.state.about.largest_body).await?;
        }
        read_only(&call, &endpoint)?;
        self.dispatch(endpoint, &call).await
    }

    /// What the path stands for. The workspace may stand before every path, as clients put it
    /// that are also written for Kong's other edition: `/default/services` is `/services`. They
    /// name themselves (`User-Agent`); whoever does not gets the 404 of Kong's open-source edition.
    fn find<'s>(
        &self,
        mut segments: Vec<Segment<'s>>,
        headers: &HeaderMap,
    ) -> Option<(Endpoint, Vec<Segment<'s>>)> {
        let named = headers.contains_key(header::USER_AGENT);
        if !named || segments.first().is_none_or(|first| first.name() != model::WORKSPACE) {
            let endpoint = self.routes.find(&segments)?;
            return Some((endpoint, segments));
        }
        segments.remove(0);
        let names: Vec<&str> = segments.iter().map(Segment::name).collect();
        let endpoint = match names.as_slice() {
            ["kong"] => Endpoint::Root,
            ["workspaces", model::WORKSPACE] => Endpoint::Workspace,
            _ => self.routes.find(&segments)?,
        };
        Some((endpoint, segments))
    }

    async fn dispatch(&self, endpoint: Endpoint, call: &Call<'_>) -> Result<Answer, Refusal> {
        let state = call.state;
        let name = |at: usize| call.segment(at).name();
        match endpoint {
            Endpoint::Collection(entity) if call.method == Method::POST => {
                crud::create(call, entity, None).await
            }
            Endpoint::Collection(entity) => list::collection(call, entity).await,
            Endpoint::Item(entity) => match call.method.as_str() {
                "PATCH" => crud::update(call, entity).await,
                "PUT" => crud::put(call, entity).await,
                "DELETE" => crud::delete(call, entity).await,
                _ => crud::read(call, entity).await,
            },
            Endpoint::Children(family) if call.method == Method::POST => {
                let id = crud::parent_id(call, &family).await?;
                crud::create(call, family.child, Some((family.field, id))).await
            }
            Endpoint::Children(family) if family.child.name == "targets" => {
                targets::newest_first(call, &family).await
            }
            Endpoint::Children(family) | Endpoint::AllTargets(family) => {
                list::children(call, &family).await
            }
            Endpoint::ActiveTargets(family) => targets::active(call, &family).await,
            Endpoint::Child(family) => crud::under_parent(call, &family).await,
            Endpoint::Parent(family) => crud::parent(call, &family).await,
            Endpoint::SetHealth { family, healthy } => {
                targets::set_health(call, &family, healthy).await
            }
            Endpoint::Preview(family) => preview::preview(call, &family).await,
            Endpoint::UpstreamHealth(family) => upstreams::health(call, &family).await,
            Endpoint::Apis => apis::collection(call).await,
            Endpoint::Api => apis::item(call).await,
            Endpoint::Root => info::root(state).await,
            Endpoint::Status => info::status(state, &call.query).await,
            Endpoint::Metrics => Ok(info::metrics(state)),
            Endpoint::Endpoints => {
                let shown: Vec<String> = self.routes.iter().map(Route::shown).collect();
                Ok(Answer::json(StatusCode::OK, &json!({ "data": shown })))
            }
            Endpoint::OpenApi => {
                let document = openapi::document(&self.routes, state.about.router_flavor);
                Ok(Answer::json(StatusCode::OK, &document))
            }
            Endpoint::EntitySchema => schemas::entity(state, name(1)),
            Endpoint::Validate => schemas::validate(call, name(1)),
            Endpoint::PluginSchema => schemas::plugin(state, name(2)),
            Endpoint::VaultSchema => schemas::vault(state, name(2)),
            Endpoint::FilterSchema => Err(Refusal::Message(
                StatusCode::NOT_FOUND,
                format!("Filter '{}' not found", name(2)),
            )),
            Endpoint::EnabledPlugins => Ok(schemas::enabled_plugins(state)),
            Endpoint::PluginConfigSchema => schemas::plugin_config(state, name(2)),
            Endpoint::Tags => list::tags(call, None).await,
            Endpoint::Tag => list::tag(call).await,
            Endpoint::Cache => Ok(Answer::empty(StatusCode::NO_CONTENT)),
            Endpoint::CacheKey if call.method == Method::DELETE => {
                Ok(Answer::empty(StatusCode::NO_CONTENT))
            }
            Endpoint::CacheKey => cache::show(call).await,
            Endpoint::Config if state.declarative.is_some() => match call.method.as_str() {
                "GET" => declarative::endpoint::show(state).await,
                _ => Err(Refusal::MethodNotAllowed),
            },
            Endpoint::Declarative => declarative::endpoint::dump(state).await,
            Endpoint::Config => Err(Refusal::bad_request(
                "this endpoint is only available when Kong is configured to not use a database",
            )),
            Endpoint::FilterChains => {
                Err(Refusal::bad_request("this endpoint is only available when wasm is enabled"))
            }
            Endpoint::Explain => explain::explain(call).await,
            Endpoint::DataPlanes => info::data_planes(state),
            Endpoint::DataPlane => revocations::one(call).await,
            Endpoint::Revocations => revocations::all(call).await,
            Endpoint::Revocation => revocations::by_fingerprint(call).await,
            Endpoint::RevisionWait => revisions::wait(call).await,
            Endpoint::Rollouts => rollouts::all(call).await,
            Endpoint::PromoteRollout => rollouts::promote(call).await,
            Endpoint::RevertRollout => rollouts::revert(call).await,
            Endpoint::ClusteringStatus => info::clustering_status(state),
            Endpoint::LogLevel => Ok(info::log_level(state)),
            Endpoint::SetLogLevel => info::set_log_level(state, name(3), &call.query),
            Endpoint::Workspace => Ok(workspace(state)),
        }
    }

    fn respond(&self, parts: &Parts, answer: Answer, took_ms: u128) -> Response<Full<Bytes>> {
        let mut headers = answer.headers;
        // Without a body there is neither a length nor a type to tell (RFC 9110 §8.6).
        if answer.status != StatusCode::NO_CONTENT {
            headers.insert(header::CONTENT_LENGTH, answer.body.len().into());
        }
        let server = HeaderValue::from_str(&format!("kong/{KONG_VERSION}"));
        headers.extend(server.ok().map(|value| (header::SERVER, value)));
        let latency = u64::try_from(took_ms).unwrap_or(u64::MAX);
        headers.insert(LATENCY, latency.into());
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.origin(&parts.headers));
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        let body = if parts.method == Method::HEAD { Bytes::new() } else { answer.body };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = headers;
        response
    }

    /// Without configured origins every one is allowed; else those, and the first stands for
    /// all others.
    fn origin(&self, headers: &HeaderMap) -> HeaderValue {
        let asked = headers.get(header::ORIGIN);
        let allowed = &self.state.about.gui_origins;
        let value = match (asked, allowed.first()) {
            (Some(asked), None) => Some(asked.clone()),
            (Some(asked), Some(_)) if allowed.iter().any(|o| o.as_bytes() == asked.as_bytes()) => {
                Some(asked.clone())
            }
            (_, Some(first)) => HeaderValue::from_str(first).ok(),
            (None, None) => None,
        };
        value.unwrap_or(HeaderValue::from_static("*"))
    }
}

/// Without a database, entities are only read; Kong's answers to the rest.
///
/// # Errors
/// Code 12, for a write.
fn read_only(call: &Call<'_>, endpoint: &Endpoint) -> Result<(), Refusal> {
    if call.state.declarative.is_none() {
        return Ok(());
    }
    let (entity, at) = match endpoint {
        Endpoint::Collection(entity) => (entity.name, None),
        Endpoint::Item(entity) => (entity.name, Some((entity.endpoint_key, 1))),
        Endpoint::Children(family) => (family.child.name, None),
        Endpoint::Child(family) => (family.child.name, Some((family.child.endpoint_key, 3))),
        Endpoint::Parent(family) => (family.parent.name, None),
        Endpoint::Apis | Endpoint::Api => ("apis", None),
        _ => return Ok(()),
    };
    let verb = match call.method.as_str() {
        "POST" => "create",
        "PUT" => "create or update",
        "PATCH" => "update",
        "DELETE" => "remove",
        _ => return Ok(()),
    };
    let by_key =
        at.and_then(|(key, at)| key.filter(|_| Uuid::try_parse(call.segment(at).name()).is_err()));
    let by = by_key.map(|key| format!(" by '{key}'")).unwrap_or_default();
    Err(Refusal::Unsupported(format!(
        "cannot {verb} '{entity}' entities{by} when not using a database"
    )))
}

/// Where the client found this listener.
fn base(parts: &Parts, scheme: &str) -> String {
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    // HTTP/2 has it in the URL (RFC 9113 §8.3.1).
    let host = parts.uri.authority().map(http::uri::Authority::as_str).or(host);
    format!("{scheme}://{}", host.unwrap_or("localhost"))
}

fn options(endpoint: &Endpoint, headers: &HeaderMap) -> Answer {
    let allow = endpoint.allow(None);
    let mut answer = Answer::empty(StatusCode::NO_CONTENT)
        .with(header::ALLOW, &allow)
        .with(header::ACCESS_CONTROL_ALLOW_METHODS, &allow);
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let asked = asked.cloned().unwrap_or(HeaderValue::from_static("Content-Type"));
    answer.headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
    answer
}

/// The workspace, as clients ask whether it exists.
fn workspace(state: &State) -> Answer {
    let body = json!({ "id": state.about.workspace_id, "name": model::WORKSPACE });
    Answer::json(StatusCode::OK, &body)
}
