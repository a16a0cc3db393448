//! References to secrets: `{vault://env/name}` becomes what it refers to, on the data plane alone
//! and only in memory. What is received, kept on disk, compared and reported is the reference.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Kind, Plugin, RouterFlavor, Vault};
use percent_encoding::percent_decode_str;
use plugin::Registry;
use schema::Object;
use serde_json::Value;
use uuid::Uuid;

use crate::rejection::{Outcome, read};

/// Reads a variable of the process's environment.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What stands in a body that may have something to resolve.
pub(crate) const MARK: &str = "{vault://";

/// The vault that is there without an entity, and the only kind of vault there is.
const ENV: &str = "env";

/// Where references are looked up.
pub(crate) struct Secrets {
    environment: Environment,
    /// Each vault's name in references, and what its variables begin with.
    vaults: HashMap<Uuid, (String, String)>,
}

/// A body whose references are resolved.
pub(crate) struct Resolved {
    pub(crate) body: String,
    /// What was put in, to keep it out of messages.
    secrets: Vec<String>,
}

impl Resolved {
    /// The message without the secrets that it may quote.
    pub(crate) fn redact(&self, message: String) -> String {
        let told = self.secrets.iter().filter(|secret| !secret.is_empty());
        told.fold(message, |message, secret| message.replace(secret.as_str(), "******"))
    }
}

impl Secrets {
    pub(crate) fn new(environment: Environment) -> Secrets {
        Secrets { environment, vaults: HashMap::new() }
    }

    /// Takes a vault over, or away.
    ///
    /// # Errors
    /// When the body is not what vaults are; what was known before stays.
    pub(crate) fn apply(&mut self, id: Uuid, body: Option<&str>) -> Outcome {
        let (vault, unknown) = read(body, Vault::read)?;
        match vault {
            None => {
                self.vaults.remove(&id);
            }
            Some(vault) if vault.name == ENV => {
                let prefix = vault.config.get("prefix").and_then(Value::as_str).unwrap_or_default();
                self.vaults.insert(id, (vault.prefix, prefix.to_owned()));
            }
            Some(vault) => return Err(format!("this version has no vault '{}'", vault.name)),
        }
        Ok(unknown)
    }

    /// Resolves the references in the fields of an entity that may hold them. One that cannot be
    /// resolved becomes the empty text, as in Kong, and is logged.
    ///
    /// `None` when the body is no object: whoever reads it will say so.
    pub(crate) fn resolve(
        &self,
        registry: &dyn Registry,
        kind: &Kind,
        id: Uuid,
        body: &str,
    ) -> Option<Resolved> {
        let mut object: Object = serde_json::from_str(body).ok()?;
        let mut secrets = Vec::new();
        let mut resolve = |field: &str, reference: &str| {
            let found = self.find(reference).unwrap_or_else(|reason| {
                tracing::warn!(
                    entity = %kind, %id, field, reference, reason,
                    "a secret cannot be found: the field is empty"
                );
                String::new()
            });
            secrets.push(found.clone());
            found
        };
        if *kind == Plugin::KIND {
            let place = object.get("name").and_then(Value::as_str).map(|n| registry.position(n));
            let definition = place.flatten().and_then(|place| registry.definitions().get(place));
            let declared = definition.and_then(|it| it.listing.schema.get_path("config"));
            if let (Some(field), Some(config)) = (declared, object.get_mut("config")) {
                field.resolve_references("config", config, &mut resolve);
            }
        } else if let Some(entity) = model::entity(kind.as_str()) {
            let record = entity.record(RouterFlavor::Expressions);
            record.resolve_references(&mut object, &mut resolve);
        }
        Some(Resolved { body: Value::Object(object).to_string(), secrets })
    }

    /// What a reference refers to: `{vault://vault/resource[/key][?prefix=…][#version]}`.
    fn find(&self, reference: &str) -> Result<String, String> {
        let inner = reference.strip_prefix(MARK).and_then(|rest| rest.strip_suffix('}'));
        let inner = inner.ok_or("it is no reference")?;
        let (inner, version) = inner.split_once('#').map_or((inner, None), |(a, b)| (a, Some(b)));
        let (inner, query) = inner.split_once('?').unwrap_or((inner, ""));
        let (vault, path) = inner.split_once('/').unwrap_or((inner, ""));
        let version: Option<u64> = version
            .map(|version| version.parse().map_err(|_| "its version is no number"))
            .transpose()?;

        let path = path.trim_end_matches('/');
        let (resource, key) = path.rsplit_once('/').map_or((path, None), |(a, b)| (a, Some(b)));
        if resource.is_empty() {
            return Err("it names no secret".to_owned());
        }
        let configured = match vault {
            ENV => "",
            other => {
                let known = self.vaults.values().find(|(name, _)| name == other);
                &known.ok_or_else(|| format!("there is no vault '{other}'"))?.1
            }
        };
        let mut asked = form_urlencoded::parse(query.as_bytes());
        let prefix = asked.find(|(name, _)| name == "prefix").map(|(_, prefix)| prefix);
        let prefix = prefix.as_deref().unwrap_or(configured);

        let mut variable = format!("{prefix}{}", decoded(resource)).replace('-', "_");
        variable.make_ascii_uppercase();
        if version == Some(2) {
            variable.push_str("_PREVIOUS");
        }
        let value = (self.environment)(&variable)
            .ok_or_else(|| format!("the environment has no {variable}"))?;
        match key {
            None => Ok(value),
            Some(key) => member(&value, &decoded(key))
                .ok_or_else(|| format!("{variable} is no JSON object with a text '{key}'")),
        }
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// A member of a JSON object, as text.
fn member(json: &str, key: &str) -> Option<String> {
    let object: Object = serde_json::from_str(json).ok()?;
    match object.get(key)? {
        Value::String(text) => Some(text.clone()),
        value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
