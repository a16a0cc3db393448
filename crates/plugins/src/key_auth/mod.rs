//! `key-auth`: a client proves who it is by a key in a header, the query or the body.

mod body;
mod config;

use std::sync::Arc;

use model::Scope;
use plugin::{
    Access, Answer, BuildError, Credential, CredentialKind, Directory, Exchange, Instance, Phases,
    Plugin, Verdict,
};
use schema::Record;
use uuid::Uuid;

use crate::declared::Declared;
use crate::{authentication, fields, query, settings};
use config::Config;

/// A running instance of `key-auth`.
#[derive(Debug)]
pub(crate) struct KeyAuth {
    config: Config,
}

impl Declared for KeyAuth {
    const NAME: &str = "key-auth";
    const PRIORITY: i32 = 1250;
    const WITHOUT: &[Scope] = &[Scope::Consumer];
    const PHASES: Phases = Phases { access: true, ..Phases::NONE };
    const EXAMPLE: &str = include_str!("example.md");

    fn config() -> &'static Record {
        Config::record()
    }

    fn build(instance: &Instance<'_>, _: Option<&Self>) -> Result<Self, BuildError> {
        Ok(KeyAuth { config: settings::read(instance)? })
    }
}

/// What was found where a key may be.
#[derive(Debug)]
enum Found<'d> {
    /// A key, and whose it is if we know it.
    Key(Option<&'d Credential>),
    /// More than one: which of them is meant is not for us to guess.
    Several,
    /// An empty one, which ends the search.
    Empty,
    Nothing,
}

impl Plugin for KeyAuth {
    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Access<'a> {
        let config = &self.config;
        if !config.run_on_preflight && exchange.request.method() == b"OPTIONS" {
            return Access::CONTINUE;
        }
        if authentication::is_settled(exchange, config.anonymous.as_deref()) {
            return Access::CONTINUE;
        }
        if config.key_in_body {
            return Access::Later(Box::pin(self.with_body(exchange)));
        }
        for name in &config.key_names {
            match self.look(exchange, name) {
                Found::Nothing => {}
                found => return Access::Now(self.judge(exchange, name, found)),
            }
        }
        Access::Now(self.judge(exchange, "", Found::Nothing))
    }
}

impl<'d> Found<'d> {
    fn of(key: &str, directory: &'d dyn Directory) -> Found<'d> {
        Found::Key(directory.credential(CredentialKind::KeyAuth, key))
    }
}

impl KeyAuth {
    async fn with_body(&self, exchange: &mut Exchange<'_>) -> Verdict {
        let mut form = body::Body::read(exchange).await;
        for name in &self.config.key_names {
            let mut found = self.look(exchange, name);
            if matches!(found, Found::Nothing) {
                found = form.find(name, exchange.directory);
            }
            if !matches!(found, Found::Nothing) {
                if self.config.hide_credentials && matches!(found, Found::Key(_)) {
                    form.hide(exchange, name);
                }
                return self.judge(exchange, name, found);
            }
        }
        self.judge(exchange, "", Found::Nothing)
    }

    /// Header before query, as Kong looks.
    fn look<'d>(&self, exchange: &Exchange<'d>, name: &str) -> Found<'d> {
        let directory = exchange.directory;
        if self.config.key_in_header {
            let mut values = exchange.request.fields.named(name.as_bytes());
            match (values.next(), values.next()) {
                (None, _) => {}
                (Some(_), Some(_)) => return Found::Several,
                (Some([]), None) => return Found::Empty,
                (Some(value), None) => {
                    return Found::of(&String::from_utf8_lossy(value), directory);
                }
            }
        }
        if self.config.key_in_query {
            let mut values =
                query::arguments(exchange.request.query()).filter(|(key, _)| key == name);
            match (values.next(), values.next()) {
                (Some(_), Some(_)) => return Found::Several,
                (Some((_, Some(value))), None) if value.is_empty() => return Found::Empty,
                (Some((_, Some(value))), None) => return Found::of(&value, directory),
                _ => {}
            }
        }
        Found::Nothing
    }

    fn judge(&self, exchange: &mut Exchange<'_>, name: &str, found: Found<'_>) -> Verdict {
        let known = match found {
            Found::Key(known) => known,
            Found::Several => return self.refuse(exchange, "Duplicate API key found"),
            Found::Nothing | Found::Empty => {
                return self.refuse(exchange, "No API key found in request");
            }
        };
        if self.config.hide_credentials {
            fields::remove(&mut exchange.request.fields, name);
            query::remove(exchange.request, name);
        }
        let directory = exchange.directory;
        let now_s = exchange.started_us / 1_000_000;
        let known = known.filter(|credential| credential.expires_at.is_none_or(|end| end > now_s));
        let Some(credential) = known else { return self.refuse(exchange, "Unauthorized") };
        let Some(consumer) = directory.consumer(credential.consumer) else {
            return self.refuse(exchange, "Unauthorized");
        };
        let id = credential.id;
        let mut text = Uuid::encode_buffer();
        let text = id.hyphenated().encode_lower(&mut text);
        authentication::accept(exchange, Arc::clone(consumer), id, text)
    }

    fn refuse(&self, exchange: &mut Exchange<'_>, message: &str) -> Verdict {
        let challenge = authentication::challenge("Key", self.config.realm.as_deref());
        let refusal = Answer::error(401, message).field("WWW-Authenticate", &challenge);
        authentication::refuse(exchange, self.config.anonymous.as_deref(), refusal)
    }
}
