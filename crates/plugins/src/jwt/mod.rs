//! `jwt`: a client proves who it is by a JSON Web Token (RFC 7519).

mod config;
mod token;

use std::sync::Arc;

use http1::Name;
use model::{JwtAlgorithm, Scope};
use plugin::{Access, Answer, BuildError, CredentialKind, Exchange, Instance, Phases, Plugin};
use schema::{Record, Subschema};
use serde_json::{Map, Value, json};

use crate::declared::Declared;
use crate::{authentication, fields, query, settings};
use config::{Claim, Config};
use token::{Token, decode_secret};

/// A running instance of `jwt`.
#[derive(Debug)]
pub(crate) struct Jwt {
    config: Config,
}

impl Declared for Jwt {
    const NAME: &str = "jwt";
    const PRIORITY: i32 = 1450;
    const WITHOUT: &[Scope] = &[Scope::Consumer];
    const PHASES: Phases = Phases { access: true, ..Phases::NONE };
    const EXAMPLE: &str = include_str!("example.md");

    fn config() -> &'static Record {
        Config::record()
    }

    fn rules(subschema: Subschema) -> Subschema {
        config::rules(subschema)
    }

    fn build(instance: &Instance<'_>, _: Option<&Self>) -> Result<Self, BuildError> {
        Ok(Jwt { config: settings::read(instance)? })
    }
}

impl Plugin for Jwt {
    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Access<'a> {
        let config = &self.config;
        if !config.run_on_preflight && exchange.request.method() == b"OPTIONS" {
            return Access::CONTINUE;
        }
        if authentication::is_settled(exchange, config.anonymous.as_deref()) {
            return Access::CONTINUE;
        }
        Access::Now(match self.identify(exchange) {
            Ok(known) => {
                let (consumer, id) = (Arc::clone(known.consumer), known.credential);
                authentication::accept(exchange, consumer, id, &known.key)
            }
            Err(refusal) => authentication::refuse(exchange, config.anonymous.as_deref(), refusal),
        })
    }
}

/// Whose token it is.
struct Known<'r> {
    consumer: &'r Arc<model::Consumer>,
    credential: uuid::Uuid,
    key: String,
}

impl Jwt {
    fn identify<'r>(&self, exchange: &Exchange<'r>) -> Result<Known<'r>, Answer> {
        let tokens = self.tokens(exchange);
        let text = match tokens.as_slice() {
            [] => {
                let challenge = authentication::challenge("Bearer", self.config.realm.as_deref());
                let answer = message("Unauthorized");
                return Err(answer.field("WWW-Authenticate", &challenge));
            }
            [token] => token,
            [_, _, ..] => return Err(self.invalid(message("Multiple tokens provided"))),
        };
        let refuse = |text: String| self.invalid(message(&text));
        let token = Token::parse(text).map_err(|why| refuse(format!("Bad token; {why}")))?;
        let claim = self.config.key_claim_name.as_deref().unwrap_or("iss");
        let given =
            |from: &Map<String, Value>| from.get(claim).filter(|key| !is_nothing(key)).cloned();
        let key = match given(&token.claims).or_else(|| given(&token.header)) {
            None => return Err(refuse(format!("No mandatory '{claim}' in claims"))),
            Some(Value::String(key)) if key.is_empty() => {
                return Err(refuse(format!("Invalid '{claim}' in claims")));
            }
            Some(Value::String(key)) => key,
            Some(other) => other.to_string(),
        };
        let directory = exchange.directory;
        let credential = directory
            .credential(CredentialKind::Jwt, &key)
            .ok_or_else(|| refuse(format!("No credentials found for given '{claim}'")))?;
        self.check_signature(&token, &credential.entity)?;
        let now = exchange.started_us as f64 / 1e6;
        let faults = self.faults(&token.claims, now.floor());
        if !faults.is_empty() {
            return Err(self.invalid(Answer::json(401, Value::Object(faults))));
        }
        let consumer = directory
            .consumer(credential.consumer)
            .ok_or_else(|| message(&format!("Could not find consumer for '{claim}={key}'")))?;
        Ok(Known { consumer, credential: credential.id, key })
    }

    fn check_signature(&self, token: &Token<'_>, entity: &schema::Object) -> Result<(), Answer> {
        let text = |name: &str| entity.get(name).and_then(Value::as_str);
        let refuse = |text: &str| self.invalid(message(text));
        if text("algorithm").unwrap_or("HS256") != token.algorithm.to_string() {
            return Err(refuse("Invalid algorithm"));
        }
        use JwtAlgorithm as A;
        let shared = matches!(token.algorithm, A::Hs256 | A::Hs384 | A::Hs512);
        let key = match text(if shared { "secret" } else { "rsa_public_key" }) {
            Some(secret) if shared && self.config.secret_is_base64 => decode_secret(secret),
            other => other.map(|key| key.as_bytes().to_vec()),
        };
        let key = key.ok_or_else(|| refuse("Invalid key/secret"))?;
        if token.is_signed_with(&key) { Ok(()) } else { Err(refuse("Invalid signature")) }
    }

    /// What is wrong with the claims, by their names. `now` is in seconds since 1970.
    fn faults(&self, claims: &Map<String, Value>, now: f64) -> Map<String, Value> {
        let mut faults = Map::new();
        let mut check = |name: &str, bad: fn(f64, f64) -> bool, fault: &str| {
            match claims.get(name).and_then(Value::as_f64) {
                None => faults.insert(name.to_owned(), json!("must be a number")),
                Some(time) if bad(time, now) => faults.insert(name.to_owned(), json!(fault)),
                Some(_) => None,
            };
        };
        for claim in self.config.claims_to_verify.as_deref().unwrap_or_default() {
            match claim {
                Claim::Exp => check("exp", |exp, now| exp <= now, "token expired"),
                Claim::Nbf => check("nbf", |nbf, now| nbf > now, "token not valid yet"),
            }
        }
        let longest = self.config.maximum_expiration.unwrap_or_default();
        if faults.is_empty() && longest > 0.0 {
            let exp = claims.get("exp").and_then(Value::as_f64);
            if exp.is_none_or(|exp| exp - now > longest) {
                faults.insert("exp".to_owned(), json!("exceeds maximum allowed expiration"));
            }
        }
        faults
    }

    /// The different tokens of a request, from all places where one may be.
    fn tokens(&self, exchange: &Exchange<'_>) -> Vec<String> {
        let mut tokens = Vec::new();
        let mut found = |token: &str| {
            if !token.is_empty() && !tokens.iter().any(|known| known == token) {
                tokens.push(token.to_owned());
            }
        };
        let among = |names: &Option<Vec<String>>, name: &str| {
            names.as_deref().unwrap_or_default().iter().any(|known| known == name)
        };
        let request = &exchange.request;
        for (name, value) in query::arguments(request.query()) {
            if among(&self.config.uri_param_names, &name) {
                found(value.as_deref().unwrap_or_default());
            }
        }
        let cookies =
            request.fields.all(Name::Cookie).filter_map(|all| std::str::from_utf8(all).ok());
        for cookie in cookies.flat_map(|all| all.split(';')) {
            if let Some((name, value)) = cookie.trim().split_once('=')
                && among(&self.config.cookie_names, name)
            {
                found(value);
            }
        }
        for name in self.config.header_names.as_deref().unwrap_or_default() {
            found(fields::first(&request.fields, name).and_then(bearer).unwrap_or_default());
        }
        tokens
    }

    fn invalid(&self, answer: Answer) -> Answer {
        let realm = self.config.realm.as_ref().map(|realm| format!("realm=\"{realm}\" "));
        let challenge = format!("Bearer {}error=\"invalid_token\"", realm.unwrap_or_default());
        answer.field("WWW-Authenticate", &challenge)
    }
}

fn message(text: &str) -> Answer {
    Answer::json(401, json!({"message": text}))
}

/// What Lua takes for nothing.
fn is_nothing(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(false))
}

/// What stands behind `Bearer`.
fn bearer(value: &str) -> Option<&str> {
    let at = value.find("earer").filter(|at| *at > 0)?;
    let before = value.get(at - 1..at)?;
    let behind = value.get(at + "earer".len()..)?;
    (matches!(before, "B" | "b") && behind.starts_with(char::is_whitespace)).then(|| behind.trim())
}

#[cfg(test)]
mod tests;
