//! `basic-auth`: a client proves who it is by a username and a password (RFC 7617).

mod config;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::Scope;
use plugin::{
    Access, Answer, BuildError, CredentialKind, Exchange, Instance, Phases, Plugin, Verdict,
};
use schema::Record;

use crate::declared::Declared;
use crate::{authentication, fields, settings};
use config::Config;

/// A running instance of `basic-auth`.
#[derive(Debug)]
pub(crate) struct BasicAuth {
    config: Config,
}

impl Declared for BasicAuth {
    const NAME: &str = "basic-auth";
    const PRIORITY: i32 = 1100;
    const WITHOUT: &[Scope] = &[Scope::Consumer];
    const PHASES: Phases = Phases { access: true, ..Phases::NONE };
    const EXAMPLE: &str = include_str!("example.md");

    fn config() -> &'static Record {
        Config::record()
    }

    fn build(instance: &Instance<'_>, _: Option<&Self>) -> Result<Self, BuildError> {
        Ok(BasicAuth { config: settings::read(instance)? })
    }
}

/// What a header holds.
struct Claim {
    username: String,
    password: String,
}

impl Plugin for BasicAuth {
    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Access<'a> {
        if authentication::is_settled(exchange, self.config.anonymous.as_deref()) {
            return Access::CONTINUE;
        }
        // Proxy-Authorization first; Authorization when that names nobody we know.
        for header in ["Proxy-Authorization", "Authorization"] {
            let claim = fields::first(&exchange.request.fields, header).and_then(Claim::parse);
            if self.config.hide_credentials {
                fields::remove(&mut exchange.request.fields, header);
            }
            let Some(claim) = claim else { continue };
            let directory = exchange.directory;
            let Some(credential) = directory.credential(CredentialKind::BasicAuth, &claim.username)
            else {
                continue;
            };
            let stored = credential.entity.get("password").and_then(serde_json::Value::as_str);
            let consumer = directory.consumer(credential.consumer);
            let (Some(consumer), true) = (consumer, claim.fits(stored, credential)) else { break };
            let id = credential.id;
            return Access::Now(authentication::accept(
                exchange,
                Arc::clone(consumer),
                id,
                &claim.username,
            ));
        }
        Access::Now(self.refuse(exchange))
    }
}

impl BasicAuth {
    fn refuse(&self, exchange: &mut Exchange<'_>) -> Verdict {
        let challenge = authentication::challenge("Basic", Some(&self.config.realm));
        let refusal = Answer::error(401, "Unauthorized").field("WWW-Authenticate", &challenge);
        authentication::refuse(exchange, self.config.anonymous.as_deref(), refusal)
    }
}

impl Claim {
    /// `Basic` or `basic`, then base64 of `username:password`, split at the first colon.
    fn parse(value: &str) -> Option<Claim> {
        let at = value.find("asic").filter(|at| *at > 0)?;
        if !matches!(value.as_bytes()[at - 1], b'B' | b'b') {
            return None;
        }
        let decoded = STANDARD.decode(value[at + 4..].trim()).ok()?;
        let decoded = String::from_utf8(decoded).ok()?;
        let (username, password) = decoded.split_once(':')?;
        (!username.is_empty())
            .then(|| Claim { username: username.into(), password: password.into() })
    }

    /// Whether the password is the one that is stored, as a hash.
    fn fits(&self, stored: Option<&str>, credential: &plugin::Credential) -> bool {
        let text = model::password_hash(&self.password, &credential.consumer.to_string());
        stored.is_some_and(|stored| equal_in_constant_time(stored.as_bytes(), text.as_bytes()))
    }
}

/// Takes the same time wherever two texts differ.
fn equal_in_constant_time(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, expected: Option<(&str, &str)>) {
        let claim = Claim::parse(header);
        let got = claim.as_ref().map(|claim| (claim.username.as_str(), claim.password.as_str()));
        assert_eq!(got, expected, "{header}");
    }

    #[test]
    fn headers_are_read_as_kong_reads_them() {
        check("Basic Ym9iOmtvbmc=", Some(("bob", "kong")));
        check("basic Ym9iOmtvbmc=", Some(("bob", "kong")));
        check("Basic Ym9iOg==", Some(("bob", "")));
        check("Basic Ym9i", None);
        check("Basic bm90IGJhc2U2NA", None);
        check("foobar", None);
        check("Basic", None);
    }
}
