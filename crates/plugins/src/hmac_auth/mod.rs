//! `hmac-auth`: a client proves who it is by signing its requests
//! (draft-cavage-http-signatures-00).

mod claim;
mod config;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::Scope;
use plugin::{
    Access, Answer, BodyError, BuildError, CredentialKind, Exchange, Instance, Phases, Plugin,
    Verdict,
};
use ring::digest::{SHA256, digest};
use schema::Record;

use crate::declared::Declared;
use crate::{authentication, fields, settings};
use claim::{Claim, is_timely};
use config::Config;

/// A running instance of `hmac-auth`.
#[derive(Debug)]
pub(crate) struct HmacAuth {
    config: Config,
}

impl Declared for HmacAuth {
    const NAME: &str = "hmac-auth";
    const PRIORITY: i32 = 1030;
    const WITHOUT: &[Scope] = &[Scope::Consumer];
    const PHASES: Phases = Phases { access: true, ..Phases::NONE };
    const EXAMPLE: &str = include_str!("example.md");

    fn config() -> &'static Record {
        Config::record()
    }

    fn build(instance: &Instance<'_>, _: Option<&Self>) -> Result<Self, BuildError> {
        Ok(HmacAuth { config: settings::read(instance)? })
    }
}

/// The most of a body that is read to compare it with its digest.
const BODY_LIMIT: usize = 8 << 20;

const UNVERIFIABLE: &str = "HMAC signature cannot be verified";
const UNEQUAL: &str = "HMAC signature does not match";
const UNTIMELY: &str = "HMAC signature cannot be verified, a valid date or x-date header is \
                        required for HMAC Authentication";

impl Plugin for HmacAuth {
    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Access<'a> {
        if authentication::is_settled(exchange, self.config.anonymous.as_deref()) {
            return Access::CONTINUE;
        }
        if self.config.validate_request_body {
            return Access::Later(Box::pin(async move {
                let digest = Body::read(exchange).await;
                match digest {
                    Ok(body) => self.judge(exchange, Some(&body)),
                    Err(answer) => Verdict::Answer(answer),
                }
            }));
        }
        Access::Now(self.judge(exchange, None))
    }
}

impl HmacAuth {
    fn judge(&self, exchange: &mut Exchange<'_>, body: Option<&Body>) -> Verdict {
        let sent = &exchange.request.fields;
        if ["Proxy-Authorization", "Authorization"].iter().all(|name| !fields::contains(sent, name))
        {
            return self.refuse(exchange, "Unauthorized");
        }
        let (now, skew) = (exchange.started_us / 1_000_000, self.config.clock_skew);
        if !["X-Date", "Date"].iter().any(|name| is_timely(exchange.request, name, now, skew)) {
            return self.refuse(exchange, UNTIMELY);
        }
        let claimed = |name| fields::first(sent, name).and_then(Claim::parse);
        let (name, claim) = match claimed("Proxy-Authorization") {
            Some(claim) => ("Proxy-Authorization", Some(claim)),
            None => ("Authorization", claimed("Authorization")),
        };
        let known = claim.filter(|claim| self.admits(claim)).and_then(|claim| {
            let directory = exchange.directory;
            let credential = directory.credential(CredentialKind::HmacAuth, &claim.username)?;
            Some((claim, credential, directory.consumer(credential.consumer)?))
        });
        let fits = known.as_ref().is_some_and(|(claim, credential, _)| {
            let secret = credential.entity.get("secret").and_then(serde_json::Value::as_str);
            secret.is_some_and(|secret| claim.fits(exchange.request, secret))
                && body.is_none_or(|body| body.fits(fields::first(sent, "Digest")))
        });
        if self.config.hide_credentials {
            fields::remove(&mut exchange.request.fields, name);
        }
        match known {
            None => self.refuse(exchange, UNVERIFIABLE),
            Some(_) if !fits => self.refuse(exchange, UNEQUAL),
            Some((claim, credential, consumer)) => authentication::accept(
                exchange,
                Arc::clone(consumer),
                credential.id,
                &claim.username,
            ),
        }
    }

    /// Whether the configuration lets a request be signed so.
    fn admits(&self, claim: &Claim) -> bool {
        let algorithms = self.config.algorithms.as_deref().unwrap_or_default();
        let enforced = self.config.enforce_headers.as_deref().unwrap_or_default();
        algorithms.contains(&claim.algorithm)
            && enforced
                .iter()
                .all(|name| claim.signed.iter().any(|signed| signed.eq_ignore_ascii_case(name)))
    }

    fn refuse(&self, exchange: &mut Exchange<'_>, message: &str) -> Verdict {
        let challenge = authentication::challenge("hmac", self.config.realm.as_deref());
        let refusal = Answer::error(401, message).field("WWW-Authenticate", &challenge);
        authentication::refuse(exchange, self.config.anonymous.as_deref(), refusal)
    }
}

/// What is known of a body.
struct Body {
    is_empty: bool,
    /// As the field `Digest` has it.
    digest: String,
}

impl Body {
    async fn read(exchange: &mut Exchange<'_>) -> Result<Body, Answer> {
        match exchange.body.read(BODY_LIMIT).await {
            Ok(bytes) => Ok(Body::of(&bytes)),
            Err(BodyError::TooLong) => Err(Answer::error(413, "Payload too large")),
            Err(BodyError::Broken) => Err(Answer::error(400, "Bad request")),
        }
    }

    fn of(bytes: &[u8]) -> Body {
        let digest = STANDARD.encode(digest(&SHA256, bytes));
        Body { is_empty: bytes.is_empty(), digest: format!("SHA-256={digest}") }
    }

    /// Only an empty body may come without a digest.
    fn fits(&self, digest: Option<&str>) -> bool {
        digest.map_or(self.is_empty, |digest| digest == self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_body_needs_no_digest() {
        let (full, empty) = (Body::of(br#"{"a":"apple","b":"ball"}"#), Body::of(b""));
        assert!(full.fits(Some("SHA-256=s1LCLQj3e+R2YI0RvxPX3m04itVjOmOt42CBkKLiHfI=")));
        assert!(!full.fits(Some("SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")));
        assert!(!full.fits(None));
        assert!(empty.fits(Some("SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")));
        assert!(empty.fits(None));
    }
}
