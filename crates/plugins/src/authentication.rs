//! What all authentication plugins do alike (Kong, `kong/pdk/client.lua`).
//!
//! Several of them on one request: those without `anonymous` must all succeed; those with it step
//! back when another has succeeded, and let the anonymous consumer pass when none has.

use std::sync::Arc;

use http1::{Fields, Names};
use model::Consumer;
use plugin::{Answer, Exchange, Verdict};
use uuid::Uuid;

use crate::fields;

const ID: &str = "X-Consumer-ID";
const CUSTOM_ID: &str = "X-Consumer-Custom-ID";
const USERNAME: &str = "X-Consumer-Username";
const IDENTIFIER: &str = "X-Credential-Identifier";
const ANONYMOUS: &str = "X-Anonymous-Consumer";

/// What the client itself says about who it is, which is not believed.
static CLAIMS: Names = Names::new(&[ID, CUSTOM_ID, USERNAME, IDENTIFIER, ANONYMOUS]);

/// Whether another plugin has authenticated the client already, so that one with `anonymous` has
/// nothing to do.
pub(crate) fn is_settled(exchange: &Exchange<'_>, anonymous: Option<&str>) -> bool {
    anonymous.is_some() && exchange.identity.credential.is_some()
}

/// The credential was good: the client is its consumer.
pub(crate) fn accept(
    exchange: &mut Exchange<'_>,
    consumer: Arc<Consumer>,
    credential: Uuid,
    identifier: &str,
) -> Verdict {
    introduce(&mut exchange.request.fields, &consumer);
    fields::add(&mut exchange.request.fields, IDENTIFIER, identifier);
    exchange.identity.consumer = Some(consumer);
    exchange.identity.credential = Some(credential);
    Verdict::Continue
}

/// The credential was missing or bad: the anonymous consumer if there is one, else `refusal`.
pub(crate) fn refuse(
    exchange: &mut Exchange<'_>,
    anonymous: Option<&str>,
    refusal: Answer,
) -> Verdict {
    let Some(name) = anonymous else { return Verdict::Answer(refusal) };
    let Some(consumer) = exchange.directory.consumer_named(name).cloned() else {
        return Verdict::Answer(Answer::error(
            500,
            format!("anonymous consumer {name} is configured but doesn't exist"),
        ));
    };
    introduce(&mut exchange.request.fields, &consumer);
    fields::add(&mut exchange.request.fields, ANONYMOUS, "true");
    exchange.identity.consumer = Some(consumer);
    exchange.identity.credential = None;
    Verdict::Continue
}

/// Tells the upstream who asks, in place of what the client itself says about that.
fn introduce(fields: &mut Fields, consumer: &Consumer) {
    fields.remove_names(&CLAIMS);
    let mut id = Uuid::encode_buffer();
    fields::add(fields, ID, consumer.id.hyphenated().encode_lower(&mut id));
    for (name, value) in [(CUSTOM_ID, &consumer.custom_id), (USERNAME, &consumer.username)] {
        if let Some(value) = value {
            fields::add(fields, name, value);
        }
    }
}

/// A challenge: `scheme`, with the realm if one is configured.
pub(crate) fn challenge(scheme: &str, realm: Option<&str>) -> String {
    match realm {
        Some(realm) => format!("{scheme} realm=\"{realm}\""),
        None => scheme.to_owned(),
    }
}
