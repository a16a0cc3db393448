//! The `/apis` of Kong 0.10: each is a service and a route with the same id and name
//! (legacy-apis.md §3, §5).
//!
//! Answers have that version's shape: no null members, flat errors, times in milliseconds.
//!
//! `http_if_terminated` has no counterpart: an `X-Forwarded-Proto` counts when it comes from one of
//! `trusted_ips`, for every route. What a client wrote is kept, as a tag of the route, and
//! answered.

mod draft;

use http::StatusCode;
use model::{Entity, EntityType, Kind};
use schema::{Violation, Violations};
use serde_json::{Value, json};
use store::{Committed, Operation};
use uuid::Uuid;

use crate::answer::Answer;
use crate::apis::draft::{Faults, Upstream, texts};
use crate::call::{Call, Typed};
use crate::crud;
use crate::error::Refusal;
use crate::find::{self, Name};
use crate::scan::scan;
use crate::state::{Object, State};
use crate::write::{ATTEMPTS, NotCommitted, commit, conclude};

/// The tag of a route whose API has `http_if_terminated = false`; without it, it is true, as by
/// default in 0.10.
const NOT_TERMINATED: &str = "http_if_terminated:false";

/// A service and the route that make an API.
struct Pair {
    service: Entity,
    route: Entity,
}

/// `/apis`
pub(crate) async fn collection(call: &Call<'_>) -> Result<Answer, Refusal> {
    match call.method.as_str() {
        "POST" => create(call).await,
        "PUT" => match call.input.object.get("id").and_then(Value::as_str) {
            None => create(call).await,
            Some(id) => {
                let id = Uuid::try_parse(id).map_err(|_| Refusal::NotFound)?;
                change(call, &Name::Id(id), true).await
            }
        },
        _ => list(call).await,
    }
}

/// `/apis/{name or id}`
pub(crate) async fn item(call: &Call<'_>) -> Result<Answer, Refusal> {
    let segment = call.segment(1);
    let name = match find::id(segment) {
        Some(id) => Name::Id(id),
        None => Name::key("name", segment.name().to_owned()),
    };
    match call.method.as_str() {
        "PATCH" if call.input.object.is_empty() => Err(Refusal::bad_request("empty body")),
        "PATCH" => change(call, &name, false).await,
        "DELETE" => {
            let pair = pair(call.state, &name).await?.ok_or(Refusal::NotFound)?;
            let delete =
                |entity: &Entity| Operation::Delete { kind: entity.kind.clone(), id: entity.id };
            let operations = vec![delete(&pair.route), delete(&pair.service)];
            let committed = commit(call.state, operations).await?;
            let answer = Answer::empty(StatusCode::NO_CONTENT);
            Ok(conclude(call.state, call.wait, &committed, answer).await)
        }
        _ => {
            let pair = pair(call.state, &name).await?.ok_or(Refusal::NotFound)?;
            Ok(Answer::json(StatusCode::OK, &Value::Object(shown(&pair.objects()?))))
        }
    }
}

async fn create(call: &Call<'_>) -> Result<Answer, Refusal> {
    let state = call.state;
    let api = match draft::typed(&call.input.object).and_then(whole) {
        Ok(api) => api,
        Err(faults) => return Ok(refused(StatusCode::BAD_REQUEST, &faults)),
    };
    let id = match api.get("id").and_then(Value::as_str) {
        Some(id) => id.to_owned(),
        None => state.new_id().to_string(),
    };
    let (mut service, mut route) = (service_of(&api), route_of(&api, &Object::new()));
    let reference = json!({ "id": id });
    service.insert("id".to_owned(), id.clone().into());
    route.insert("id".to_owned(), id.into());
    route.insert("service".to_owned(), reference);
    let made = async {
        let service = crud::whole(state, services()?, Typed::of(service)).await?;
        let route = crud::whole(state, routes()?, Typed::of(route)).await?;
        let mut operations = service.operations(Operation::Insert);
        operations.extend(route.operations(Operation::Insert));
        let committed = commit(state, operations).await?;
        Ok((committed, (service.object, route.object)))
    };
    match made.await {
        Ok((committed, objects)) => {
            Ok(answer(call, &committed, StatusCode::CREATED, &objects).await)
        }
        Err(refusal) => flat(refusal),
    }
}

/// PATCH, and PUT with an id: the body over the stored API, or in place of it.
async fn change(call: &Call<'_>, name: &Name, replace: bool) -> Result<Answer, Refusal> {
    let state = call.state;
    let given = match draft::typed(&call.input.object) {
        Ok(given) => given,
        Err(faults) => return Ok(refused(StatusCode::BAD_REQUEST, &faults)),
    };
    for _ in 0..ATTEMPTS {
        let pair = pair(state, name).await?.ok_or(Refusal::NotFound)?;
        let (service, route) = pair.objects()?;
        let mut api =
            if replace { Object::new() } else { shown(&(service.clone(), route.clone())) };
        api.extend(given.clone());
        let api = match whole(api) {
            Ok(api) => api,
            Err(faults) => return Ok(refused(StatusCode::BAD_REQUEST, &faults)),
        };
        let made = async {
            let update = |entity: &'static EntityType, stored: &Object, patch: Object| {
                state.with_env(|env| entity.update(stored, patch, env))
            };
            let service = update(services()?, &service, service_of(&api))?;
            let patch = route_of(&api, &route);
            let route = update(routes()?, &route, patch)?;
            Ok::<_, Refusal>((service, route))
        };
        let objects = match made.await {
            Ok(objects) => objects,
            Err(refusal) => return flat(refusal),
        };
        let operations = vec![
            Operation::Update {
                row: crud::row(services()?, &objects.0),
                expected: pair.service.version,
            },
            Operation::Update {
                row: crud::row(routes()?, &objects.1),
                expected: pair.route.version,
            },
        ];
        match commit(state, operations).await {
            Ok(committed) => return Ok(answer(call, &committed, StatusCode::OK, &objects).await),
            Err(NotCommitted::Outdated) => {}
            Err(other) => return flat(other.into()),
        }
    }
    Err(Refusal::Contended)
}

/// All APIs, found by reading all routes: a deployment that still uses `/apis` has few of both.
async fn list(call: &Call<'_>) -> Result<Answer, Refusal> {
    let state = call.state;
    let mut filters = Vec::new();
    for (name, value) in call.query.all() {
        match name {
            "size" | "offset" => {}
            name if draft::is_field(name) => filters.push((name, value)),
            name => {
                let faults = Faults::from([(name.to_owned(), "unknown field".to_owned())]);
                return Ok(refused(StatusCode::BAD_REQUEST, &faults));
            }
        }
    }
    let mut ids = Vec::new();
    scan(state, Kind::known("routes"), None, |route| {
        // The id of the service stands in the route: a cheap look before the real one.
        if route.body.matches(&route.id.to_string()).count() > 1 {
            ids.push(route.id);
        }
        true
    })
    .await?;
    let mut found = Vec::new();
    for id in ids {
        if let Some(pair) = pair(state, &Name::Id(id)).await? {
            let api = shown(&pair.objects()?);
            let fits = |(name, wanted): &(&str, &str)| {
                api.get(*name).is_some_and(|value| match value {
                    Value::String(text) => text == wanted,
                    Value::Array(_) => texts(&api, name).contains(wanted),
                    other => serde_json::from_str::<Value>(wanted).is_ok_and(|w| w == *other),
                })
            };
            if filters.iter().all(fits) {
                found.push((id, api));
            }
        }
    }
    let total = found.len();
    let after = call.query.after()?;
    let size = call.query.size()? as usize;
    let mut rest = found.into_iter().filter(|(id, _)| after.is_none_or(|after| *id > after));
    let page: Vec<(Uuid, Object)> = rest.by_ref().take(size).collect();
    let mut body = json!({
        "total": total,
        "data": page.iter().map(|(_, api)| api).collect::<Vec<_>>(),
    });
    if let (Some((last, _)), Some(_)) = (page.last(), rest.next()) {
        let offset = crate::query::encode([&last.to_string()]);
        body["next"] = format!("{}/apis/?size={size}&offset={offset}", call.base).into();
        body["offset"] = offset.into();
    }
    Ok(Answer::json(StatusCode::OK, &body))
}

/// The API of that name or id, if there is one. A segment that looks like an id may be a name.
async fn pair(state: &State, name: &Name) -> Result<Option<Pair>, Refusal> {
    let service = match find::by_name(state, services()?, name).await? {
        Some(service) => service,
        None => match name {
            Name::Id(id) => {
                let name = Name::key("name", id.to_string());
                match find::by_name(state, services()?, &name).await? {
                    Some(service) => service,
                    None => return Ok(None),
                }
            }
            Name::Key { .. } => return Ok(None),
        },
    };
    let Some(route) = state.store.get(routes()?.name, service.id).await? else { return Ok(None) };
    let linked = find::referred(&find::object(&route)?, "service") == Some(service.id);
    Ok(linked.then_some(Pair { service, route }))
}

impl Pair {
    fn objects(&self) -> Result<(Object, Object), Refusal> {
        Ok((find::object(&self.service)?, find::object(&self.route)?))
    }
}

fn whole(mut api: Object) -> Result<Object, Faults> {
    draft::complete(&mut api);
    draft::check(&mut api)?;
    Ok(api)
}

fn service_of(api: &Object) -> Object {
    let get = |name: &str| api.get(name).cloned().unwrap_or(Value::Null);
    let upstream = api.get("upstream_url").and_then(Value::as_str).map(Upstream::parse);
    let upstream = upstream.and_then(Result::ok);
    let mut service = Object::from_iter([
        ("name".to_owned(), get("name")),
        ("retries".to_owned(), get("retries")),
        ("connect_timeout".to_owned(), get("upstream_connect_timeout")),
        ("write_timeout".to_owned(), get("upstream_send_timeout")),
        ("read_timeout".to_owned(), get("upstream_read_timeout")),
    ]);
    if let Some(upstream) = upstream {
        service.insert("protocol".to_owned(), upstream.protocol.into());
        service.insert("host".to_owned(), upstream.host.into());
        service.insert("port".to_owned(), upstream.port.into());
        service.insert("path".to_owned(), upstream.path.into());
    }
    made_at(api, &mut service);
    service
}

/// The fields of the route; its other tags stay as they are stored.
fn route_of(api: &Object, stored: &Object) -> Object {
    let get = |name: &str| api.get(name).cloned().unwrap_or(Value::Null);
    let list =
        |name: &str| Some(get(name)).filter(|_| !texts(api, name).is_empty()).unwrap_or_default();
    let https_only = api.get("https_only").and_then(Value::as_bool).unwrap_or(false);
    let mut route = Object::from_iter([
        ("name".to_owned(), get("name")),
        ("hosts".to_owned(), list("hosts")),
        ("paths".to_owned(), list("uris")),
        ("methods".to_owned(), list("methods")),
        ("strip_path".to_owned(), get("strip_uri")),
        ("preserve_host".to_owned(), get("preserve_host")),
        ("https_redirect_status_code".to_owned(), 426.into()),
        (
            "protocols".to_owned(),
            if https_only { json!(["https"]) } else { json!(["http", "https"]) },
        ),
    ]);
    let terminated = api.get("http_if_terminated").and_then(Value::as_bool).unwrap_or(true);
    let mut tags = texts(stored, "tags");
    if terminated == tags.contains(&NOT_TERMINATED) {
        tags.retain(|tag| *tag != NOT_TERMINATED);
        tags.extend((!terminated).then_some(NOT_TERMINATED));
        route.insert("tags".to_owned(), json!(tags));
    }
    made_at(api, &mut route);
    route
}

/// Milliseconds there, seconds here.
fn made_at(api: &Object, entity: &mut Object) {
    if let Some(ms) = api.get("created_at").and_then(Value::as_i64) {
        entity.insert("created_at".to_owned(), (ms / 1000).into());
    }
}

/// The API that a service and a route make, without null members.
fn shown((service, route): &(Object, Object)) -> Object {
    let number = |name: &str| service.get(name).and_then(Value::as_u64).unwrap_or_default();
    let text = |name: &str| service.get(name).and_then(Value::as_str).unwrap_or_default();
    let url = Upstream::url(text("protocol"), text("host"), number("port"), text("path"));
    let get = |object: &Object, name: &str| object.get(name).cloned().unwrap_or(Value::Null);
    let created = service.get("created_at").and_then(Value::as_i64).map(|s| s.saturating_mul(1000));
    let members = [
        ("id", get(service, "id")),
        ("created_at", created.into()),
        ("name", get(service, "name")),
        ("hosts", get(route, "hosts")),
        ("uris", get(route, "paths")),
        ("methods", get(route, "methods")),
        ("upstream_url", url.into()),
        ("strip_uri", get(route, "strip_path")),
        ("preserve_host", get(route, "preserve_host")),
        ("retries", get(service, "retries")),
        ("upstream_connect_timeout", get(service, "connect_timeout")),
        ("upstream_send_timeout", get(service, "write_timeout")),
        ("upstream_read_timeout", get(service, "read_timeout")),
        ("https_only", (!texts(route, "protocols").contains(&"http")).into()),
        ("http_if_terminated", (!texts(route, "tags").contains(&NOT_TERMINATED)).into()),
    ];
    members
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

async fn answer(
    call: &Call<'_>,
    committed: &Committed,
    status: StatusCode,
    objects: &(Object, Object),
) -> Answer {
    let answer = Answer::json(status, &Value::Object(shown(objects)));
    conclude(call.state, call.wait, committed, answer).await
}

fn refused(status: StatusCode, faults: &Faults) -> Answer {
    Answer::json(status, &json!(faults))
}

/// Today's refusals in the words of 0.10, where it had any.
fn flat(refusal: Refusal) -> Result<Answer, Refusal> {
    match refusal {
        Refusal::Unique(fields) => {
            let faults: Faults = fields
                .into_iter()
                .map(|(name, value)| {
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    (name, format!("already exists with value '{value}'"))
                })
                .collect();
            Ok(refused(StatusCode::CONFLICT, &faults))
        }
        Refusal::PrimaryKey(id) => {
            let text = format!("already exists with value '{id}'");
            Ok(refused(StatusCode::CONFLICT, &Faults::from([("id".to_owned(), text)])))
        }
        Refusal::Schema(violations) => {
            Ok(refused(StatusCode::BAD_REQUEST, &faults_of(&violations)))
        }
        other => Err(other),
    }
}

fn faults_of(violations: &Violations) -> Faults {
    let name = |name: &str| match name {
        "paths" => "uris".to_owned(),
        "host" | "port" | "path" | "protocol" => "upstream_url".to_owned(),
        other => other.to_owned(),
    };
    let text = |violation: &Violation| match violation {
        Violation::Text(text) => text.clone(),
        Violation::Items(items) => items
            .iter()
            .flatten()
            .find_map(|item| match item {
                Violation::Text(text) => Some(text.clone()),
                _ => None,
            })
            .unwrap_or_else(|| "invalid".to_owned()),
        Violation::Fields(inner) => inner.summary(),
    };
    let mut faults: Faults =
        violations.fields.iter().map(|(field, v)| (name(field), text(v))).collect();
    if let Some(first) = violations.entity.first() {
        faults.insert("message".to_owned(), first.clone());
    }
    faults
}

fn services() -> Result<&'static EntityType, Refusal> {
    declared("services")
}

fn routes() -> Result<&'static EntityType, Refusal> {
    declared("routes")
}

fn declared(name: &str) -> Result<&'static EntityType, Refusal> {
    model::entity(name)
        .ok_or_else(|| Refusal::Broken(format!("no entity type '{name}' is declared")))
}
