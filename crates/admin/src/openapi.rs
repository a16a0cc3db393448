//! The API as an OpenAPI 3.1 document, from the table of paths and the declarations of the
//! entities.

mod page;

use http::Method;
use model::{EntityType, RouterFlavor};
use serde_json::{Value, json};
use telemetry::build_info::VERSION;

use crate::endpoint::{Endpoint, Family, Part, Route, Routes};
use crate::entity;
use crate::state::Object;
use crate::{explain, rollouts};

/// The files of the reference under `deploy/reference`, name and text: the document, and a page
/// made from it.
pub fn reference() -> [(&'static str, String); 2] {
    let document = document(&Routes::new(), RouterFlavor::TraditionalCompatible);
    // A JSON value can be written.
    let text = serde_json::to_string_pretty(&document).unwrap_or_default();
    [("openapi.json", text + "\n"), ("admin-api.md", page::page(&document))]
}

/// The whole document.
pub(crate) fn document(routes: &Routes, flavor: RouterFlavor) -> Value {
    let mut paths = Object::new();
    for route in routes.iter() {
        paths.insert(route.shown(), path_item(route));
    }
    let mut schemas = Object::new();
    for entity in model::entities() {
        let (members, required) = component(entity, flavor);
        schemas.insert(patch_name(entity), members);
        for field in entity.foreign_fields() {
            let rest = required.iter().filter(|name| *name != field.name).cloned().collect();
            schemas.insert(below_name(entity, field.name), with_required(entity, rest));
        }
        schemas.insert(format!("{}.list", entity.name), list_of(entity));
        schemas.insert(entity.name.to_owned(), with_required(entity, required));
    }
    schemas.insert("explain".to_owned(), explain::schema());
    schemas.insert("rollout".to_owned(), rollouts::schema());
    schemas.insert("error".to_owned(), error());
    schemas.insert("flat_errors".to_owned(), flat_errors());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Weir Admin API",
            "version": VERSION,
            "description": "Kong's Admin API. Bodies are JSON; entities are also read from forms.",
        },
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

fn path_item(route: &Route) -> Value {
    let parameters: Vec<Value> = route
        .pattern
        .iter()
        .filter_map(|part| match part {
            Part::Fixed(_) => None,
            Part::Parameter(name) => Some(json!({
                "name": name,
                "in": "path",
                "required": true,
                "schema": { "type": "string", "minLength": 1 },
            })),
        })
        .collect();
    let mut item = Object::new();
    if !parameters.is_empty() {
        item.insert("parameters".to_owned(), parameters.into());
    }
    let methods = route.endpoint.methods().iter().map(|method| (method, false));
    let former = route.endpoint.former_method().into_iter().map(|method| (method, true));
    for (method, deprecated) in methods.chain(former) {
        let name = method.as_str().to_ascii_lowercase();
        let mut operation = operation(&route.endpoint, method);
        operation.insert("operationId".to_owned(), operation_id(&name, route).into());
        if deprecated {
            operation.insert("deprecated".to_owned(), true.into());
        }
        item.insert(name, operation.into());
    }
    Value::Object(item)
}

/// `get-services-services-routes`: the method and the segments.
fn operation_id(method: &str, route: &Route) -> String {
    let mut id = method.to_owned();
    for part in &route.pattern {
        let (Part::Fixed(name) | Part::Parameter(name)) = part;
        id.push('-');
        id.push_str(name);
        if matches!(part, Part::Parameter(_)) {
            id.push_str("_key");
        }
    }
    id
}

fn operation(endpoint: &Endpoint, method: &Method) -> Object {
    let method = method.as_str();
    let shape = Shape::of(endpoint, method);
    let mut operation = Object::new();
    operation.insert("summary".to_owned(), shape.summary.as_str().into());
    let mut parameters = Vec::new();
    if shape.paged {
        let number = json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 });
        parameters.push(query("size", "How many entities a page has at most.", number));
        let text = json!({ "type": "string" });
        parameters.push(query(
            "offset",
            "Where the page begins: `offset` of the one before.",
            text,
        ));
    }
    if shape.tagged {
        let about = "Only entities with these tags: `a,b` means both, `a/b` either; up to 5.";
        parameters.push(query("tags", about, json!({ "type": "string", "minLength": 1 })));
    }
    if shape.writes {
        let about = "Hold the answer back until the write is served: by `all` data planes, by a \
                     `quorum`, or by that many. Not in time: 202 instead.";
        let wanted = json!({ "type": "string", "pattern": "^(all|quorum|[0-9]{1,9})$" });
        parameters.push(query("wait", about, wanted));
        let within =
            json!({ "type": "string", "pattern": "^[0-9]{1,4}(ms)?$|^([0-9]|[1-5][0-9]|60)s$" });
        parameters.push(query(
            "wait_timeout",
            "How long to wait: `500ms`, `5s`; up to 60s.",
            within,
        ));
    }
    if !parameters.is_empty() {
        operation.insert("parameters".to_owned(), parameters.into());
    }
    if let Some(body) = &shape.body {
        let schema = json!({ "schema": reference_to(body) });
        operation.insert(
            "requestBody".to_owned(),
            json!({ "required": true, "content": { "application/json": schema } }),
        );
    }
    operation.insert("responses".to_owned(), shape.responses().into());
    operation
}

fn query(name: &str, about: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "description": about, "schema": schema })
}

/// What an operation takes and gives.
struct Shape {
    summary: String,
    paged: bool,
    tagged: bool,
    writes: bool,
    /// The component of the request's body.
    body: Option<String>,
    /// The statuses of success, each with the component of its body, if it has one.
    success: Vec<(u16, Option<String>)>,
    /// The component of what refusals answer.
    errors: &'static str,
}

impl Shape {
    fn of(endpoint: &Endpoint, method: &str) -> Shape {
        let mut shape = Shape {
            summary: String::new(),
            paged: false,
            tagged: false,
            writes: false,
            body: None,
            success: vec![(200, None)],
            errors: "error",
        };
        match endpoint {
            Endpoint::Collection(entity) => shape.collection(entity, None, method),
            Endpoint::Children(family) => {
                shape.collection(family.child, Some(family.field.name), method);
            }
            Endpoint::AllTargets(family) => {
                shape.collection(family.child, Some(family.field.name), method);
            }
            Endpoint::Item(entity) => shape.item(entity, None, method),
            Endpoint::Child(family) => shape.item(family.child, Some(family.field.name), method),
            Endpoint::Parent(family) => shape.parent(family, method),
            Endpoint::Apis | Endpoint::Api => {
                shape.summary = "An API of Kong 0.10: a service and a route in one".to_owned();
                shape.errors = "flat_errors";
                shape.success = vec![(200, None), (201, None), (204, None)];
            }
            Endpoint::SetHealth { healthy, .. } => {
                let word = if *healthy { "healthy" } else { "unhealthy" };
                shape.summary = format!("Set a target {word} by hand");
                shape.success = vec![(204, None)];
            }
            Endpoint::Explain => {
                shape.summary = "What would become of a request, without sending it".to_owned();
                shape.body = Some("explain".to_owned());
            }
            Endpoint::Rollouts | Endpoint::PromoteRollout | Endpoint::RevertRollout => {
                shape.rollout(endpoint, method);
            }
            Endpoint::Cache | Endpoint::CacheKey => {
                shape.summary = "What this node keeps in memory beside the store".to_owned();
                shape.success = vec![(200, None), (204, None)];
            }
            other => shape.summary = summary(other).to_owned(),
        }
        shape
    }

    fn rollout(&mut self, endpoint: &Endpoint, method: &str) {
        let (summary, status) = match (endpoint, method) {
            (Endpoint::Rollouts, "POST") => {
                ("Release what follows to labelled data planes only", 201)
            }
            (Endpoint::Rollouts, _) => ("The rollout that is open, and who serves what", 200),
            (Endpoint::PromoteRollout, _) => ("Release everything to all data planes", 200),
            _ => ("Put back what was written since the rollout was opened", 200),
        };
        self.summary = summary.to_owned();
        self.writes = method == "POST";
        self.body = (status == 201).then(|| "rollout".to_owned());
        self.success = vec![(status, None)];
        self.success.extend(self.writes.then_some((202, None)));
    }

    fn collection(&mut self, entity: &EntityType, below: Option<&'static str>, method: &str) {
        if method == "POST" {
            self.summary = format!("Make one of {}", entity.name);
            self.writes = true;
            self.body = Some(match below {
                Some(field) => below_name(entity, field),
                None => entity.name.to_owned(),
            });
            self.success = vec![(201, Some(entity.name.to_owned())), accepted(entity)];
        } else {
            self.summary = format!("List {}", entity.name);
            self.paged = true;
            self.tagged = below.is_none();
            self.success = vec![(200, Some(format!("{}.list", entity.name)))];
        }
    }

    fn item(&mut self, entity: &EntityType, below: Option<&'static str>, method: &str) {
        let name = entity.name;
        self.success = vec![(200, Some(name.to_owned()))];
        let verb = match method {
            "GET" => "Read",
            "PATCH" => "Change",
            "PUT" => "Make or replace",
            _ => "Delete",
        };
        self.summary = format!("{verb} one of {name}");
        if method == "GET" {
            return;
        }
        self.writes = true;
        self.success.push(accepted(entity));
        match (method, below) {
            ("PATCH", _) => self.body = Some(patch_name(entity)),
            ("PUT", _) if entity::put_updates(entity) => self.body = Some(patch_name(entity)),
            ("PUT", Some(field)) => self.body = Some(below_name(entity, field)),
            ("PUT", None) => self.body = Some(name.to_owned()),
            _ => self.success = vec![(204, None), (202, None)],
        }
    }

    fn parent(&mut self, family: &Family, method: &str) {
        self.item(family.parent, None, method);
        let whose = format!("the {} of one of {}", family.field.name, family.child.name);
        self.summary = match method {
            "GET" => format!("Read {whose}"),
            "PATCH" => format!("Change {whose}"),
            "PUT" => format!("Replace {whose}, or make one"),
            _ => {
                self.success = vec![(405, Some("error".to_owned()))];
                format!("Refused: {whose} is not deleted by this path")
            }
        };
    }

    fn responses(&self) -> Object {
        let json =
            |component: &str| json!({ "application/json": { "schema": reference_to(component) } });
        let mut responses = Object::new();
        for (status, component) in &self.success {
            let mut response = json!({ "description": describe(*status) });
            if let Some(component) = component {
                response["content"] = json(component);
            }
            responses.insert(status.to_string(), response);
        }
        let refusal = json!({ "description": "Why it was refused.", "content": json(self.errors) });
        responses.insert("default".to_owned(), refusal);
        responses
    }
}

fn accepted(entity: &EntityType) -> (u16, Option<String>) {
    (202, Some(entity.name.to_owned()))
}

fn describe(status: u16) -> &'static str {
    match status {
        201 => "It was made.",
        202 => "It was written, and is not served by as many data planes as asked for yet.",
        405 => "It is refused.",
        204 => "It was done; there is nothing to tell.",
        _ => "What was asked for.",
    }
}

fn summary(endpoint: &Endpoint) -> &'static str {
    match endpoint {
        Endpoint::ActiveTargets(_) => "Targets that get requests, as Kong 0.10 lists them",
        Endpoint::Preview(_) => "What other targets, or the loss of some, would do to the traffic",
        Endpoint::UpstreamHealth(_) => "The health of an upstream's targets",
        Endpoint::Root => "What this node is, and how it is set up",
        Endpoint::Metrics => "What the node counts, in Prometheus's text format",
        Endpoint::Status => "Connections, memory, and whether the database is reachable",
        Endpoint::Endpoints => "All paths",
        Endpoint::OpenApi => "This document",
        Endpoint::EntitySchema => "What an entity looks like",
        Endpoint::Validate => "Whether an entity could be stored",
        Endpoint::PluginSchema => "What a plugin of that name looks like",
        Endpoint::VaultSchema => "What a vault of that kind looks like",
        Endpoint::FilterSchema => "Filters need WebAssembly, which is off",
        Endpoint::EnabledPlugins => "The plugins that can be configured",
        Endpoint::PluginConfigSchema => "What the configuration of a plugin looks like",
        Endpoint::Tags => "Everything that is tagged",
        Endpoint::Tag => "What has a tag",
        Endpoint::Config => "The declarative configuration of a node without a database",
        Endpoint::DataPlanes => "The data planes of this control plane",
        Endpoint::DataPlane => "A data plane of this control plane",
        Endpoint::Revocations => "Certificates of data planes that are not taken any more",
        Endpoint::Revocation => "A certificate that is not taken any more",
        Endpoint::RevisionWait => "Wait until a revision is served",
        Endpoint::ClusteringStatus => "The data planes, as Kong showed them before",
        Endpoint::LogLevel => "From which level on messages are logged",
        Endpoint::SetLogLevel => "Change the level of logged messages",
        Endpoint::FilterChains => "Filter chains need WebAssembly, which is off",
        _ => "The workspace",
    }
}

/// The members of an entity type, and which of them must be given. Entities that expire have
/// `ttl` in writes and answers.
fn component(entity: &EntityType, flavor: RouterFlavor) -> (Value, Vec<Value>) {
    let mut schema = entity.record(flavor).openapi();
    if entity.ttl {
        schema["properties"]["ttl"] = json!({
            "type": ["integer", "null"],
            "description": "Seconds until it expires.",
            "minimum": 0,
            "maximum": 100_000_000,
        });
    }
    let required = schema.as_object_mut().and_then(|schema| schema.remove("required"));
    let required = match required {
        Some(Value::Array(names)) => names,
        _ => Vec::new(),
    };
    (schema, required)
}

/// The component of an entity, some of whose members must be there.
fn with_required(entity: &EntityType, required: Vec<Value>) -> Value {
    let members = reference_to(&patch_name(entity));
    if required.is_empty() {
        return members;
    }
    json!({ "allOf": [members], "required": required })
}

/// The component without demands: what a PATCH has.
fn patch_name(entity: &EntityType) -> String {
    format!("{}.patch", entity.name)
}

fn below_name(entity: &EntityType, field: &str) -> String {
    format!("{}.below_{field}", entity.name)
}

fn list_of(entity: &EntityType) -> Value {
    json!({
        "type": "object",
        "properties": {
            "data": { "type": "array", "items": reference_to(entity.name) },
            "next": { "type": ["string", "null"], "description": "The path of the next page." },
            "offset": { "type": "string", "description": "Where the next page begins." },
        },
        "required": ["data", "next"],
    })
}

fn error() -> Value {
    json!({
        "type": "object",
        "properties": {
            "message": { "type": "string" },
            "code": { "type": "integer", "description": "Which sort of error it is." },
            "name": { "type": "string", "description": "The code in words." },
            "fields": { "type": "object", "description": "What is wrong, by field." },
            "options": { "type": "object", "description": "What is wrong with the query or the options of the write, by name." },
        },
        "required": ["message"],
    })
}

fn flat_errors() -> Value {
    json!({
        "type": "object",
        "description": "What is wrong, by field; `message` for what concerns no field.",
        "additionalProperties": { "type": "string" },
    })
}

fn reference_to(component: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{component}") })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn made() -> Value {
        document(&Routes::new(), RouterFlavor::TraditionalCompatible)
    }

    fn references(value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(target)) = members.get("$ref") {
                    into.insert(target.clone());
                }
                members.values().for_each(|member| references(member, into));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, into)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_has_its_component() {
        let document = made();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 40);
        for target in found {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{target}");
        }
    }

    #[test]
    fn operations_are_told_apart_and_name_their_parameters() {
        let document = made();
        let mut ids = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            let declared = item["parameters"].as_array().map_or(0, Vec::len);
            assert_eq!(path.matches('{').count(), declared, "{path}");
            for (method, operation) in item.as_object().unwrap() {
                if method == "parameters" {
                    continue;
                }
                let id = operation["operationId"].as_str().unwrap().to_owned();
                assert!(ids.insert(id.clone()), "{id} twice");
                assert_ne!(operation["summary"], "", "{method} {path}");
                assert!(operation["responses"].as_object().unwrap().len() > 1, "{method} {path}");
            }
        }
    }

    #[test]
    fn what_the_url_says_need_not_be_in_the_body() {
        let document = made();
        let schema = |name: &str| document["components"]["schemas"][name]["required"].clone();
        assert_eq!(schema("targets"), json!(["upstream", "target"]));
        assert_eq!(schema("targets.below_upstream"), json!(["target"]));
        assert_eq!(schema("targets.patch"), json!(null));
        assert_eq!(schema("keyauth_credentials.below_consumer"), json!(null));
    }

    #[test]
    fn the_reference_in_the_repository_is_up_to_date() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/reference");
        for (name, text) in reference() {
            let path = std::path::Path::new(folder).join(name);
            let present = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                present == text,
                "deploy/reference/{name} is not what the declarations say: run `cargo xtask codegen`, \
                 look at the difference, and commit it"
            );
        }
    }
}
