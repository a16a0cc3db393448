//! Consumers, their credentials and groups.

use std::sync::Arc;

use imbl::HashMap;
use model::{
    Acl, BasicAuthCredential, Consumer, HmacAuthCredential, JwtSecret, KeyAuthCredential, Kind,
    OAuth2Credential, RouterFlavor, Unknown,
};
use plugin::{Credential, CredentialKind};
use schema::{Object, Record};
use uuid::Uuid;

use crate::map::ById;
use crate::rejection::{Outcome, only_whole, read};

/// The data plane's copy of who may ask.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    consumers: ById<Uuid, Arc<Consumer>>,
    by_username: HashMap<Box<str>, Uuid>,
    /// By what clients say, so that the hash has to be keyed; each kind in its place ([`CredentialKind::ALL`]).
    credentials: [HashMap<Box<str>, Credential>; CredentialKind::ALL.len()],
    /// Under which key each credential lies, to find it when that changes.
    keys: ById<(CredentialKind, Uuid), Box<str>>,
    /// Sorted names.
    groups: ById<Uuid, Arc<[Arc<str>]>>,
    memberships: ById<Uuid, (Uuid, Arc<str>)>,
}

impl plugin::Directory for Directory {
    fn credential(&self, kind: CredentialKind, key: &str) -> Option<&Credential> {
        self.credentials[kind as usize].get(key)
    }

    fn consumer(&self, id: Uuid) -> Option<&Arc<Consumer>> {
        self.consumers.get(&id)
    }

    fn consumer_named(&self, id_or_username: &str) -> Option<&Arc<Consumer>> {
        let by_id = Uuid::try_parse(id_or_username).ok().and_then(|id| self.consumers.get(&id));
        by_id.or_else(|| self.consumers.get(self.by_username.get(id_or_username)?))
    }

    fn groups(&self, consumer: Uuid) -> &[Arc<str>] {
        self.groups.get(&consumer).map(|groups| &**groups).unwrap_or_default()
    }
}

impl Directory {
    /// Takes an entity over, or away. `None` when it is of another kind.
    ///
    /// # Errors
    /// When the body is not what its kind declares; what was known before stays.
    pub(crate) fn apply(&mut self, kind: &Kind, id: Uuid, body: Option<&str>) -> Option<Outcome> {
        if *kind == Consumer::KIND {
            return Some(self.apply_consumer(id, body));
        }
        if *kind == Acl::KIND {
            return Some(self.apply_membership(id, body));
        }
        let (of, field) = credential_kind(kind)?;
        let record = model::entity(kind.as_str())?.record(RouterFlavor::Expressions);
        Some(self.apply_credential(of, field, record, id, body).map(|()| Unknown::default()))
    }

    fn apply_consumer(&mut self, id: Uuid, body: Option<&str>) -> Outcome {
        let (next, unknown) = read(body, Consumer::read)?;
        if let Some(former) = self.consumers.remove(&id)
            && let Some(username) = &former.username
            // Another may have taken the name over before.
            && self.by_username.get(username.as_str()) == Some(&id)
        {
            self.by_username.remove(username.as_str());
        }
        if let Some(consumer) = next {
            if let Some(username) = &consumer.username {
                self.by_username.insert(username.as_str().into(), id);
            }
            self.consumers.insert(id, Arc::new(consumer));
        }
        Ok(unknown)
    }

    fn apply_membership(&mut self, id: Uuid, body: Option<&str>) -> Outcome {
        let (next, unknown) = read(body, Acl::read)?;
        if let Some((consumer, group)) = self.memberships.remove(&id) {
            let rest = self.groups_of(consumer).filter(|other| **other != group).cloned().collect();
            self.set_groups(consumer, rest);
        }
        if let Some(acl) = next {
            let (consumer, group) = (acl.consumer.id, Arc::<str>::from(acl.group));
            let mut groups: Vec<Arc<str>> = self.groups_of(consumer).cloned().collect();
            groups.push(Arc::clone(&group));
            groups.sort();
            self.set_groups(consumer, groups);
            self.memberships.insert(id, (consumer, group));
        }
        Ok(unknown)
    }

    fn groups_of(&self, consumer: Uuid) -> impl Iterator<Item = &Arc<str>> {
        self.groups.get(&consumer).into_iter().flat_map(|groups| groups.iter())
    }

    fn set_groups(&mut self, consumer: Uuid, groups: Vec<Arc<str>>) {
        if groups.is_empty() {
            self.groups.remove(&consumer);
        } else {
            self.groups.insert(consumer, groups.into());
        }
    }

    fn apply_credential(
        &mut self,
        kind: CredentialKind,
        field: &str,
        record: &Record,
        id: Uuid,
        body: Option<&str>,
    ) -> Result<(), String> {
        let next = body.map(|body| read_credential(id, field, record, body)).transpose()?;
        let of_kind = &mut self.credentials[kind as usize];
        // Another may have taken the key over before.
        if let Some(former) = self.keys.remove(&(kind, id))
            && of_kind.get(&former).is_some_and(|credential| credential.id == id)
        {
            of_kind.remove(&former);
        }
        if let Some((key, credential)) = next {
            of_kind.insert(key.clone(), credential);
            self.keys.insert((kind, id), key);
        }
        Ok(())
    }
}

/// Which credentials an entity holds, and the field that they are found by.
fn credential_kind(kind: &Kind) -> Option<(CredentialKind, &'static str)> {
    let known = [
        (KeyAuthCredential::KIND, CredentialKind::KeyAuth, "key"),
        (BasicAuthCredential::KIND, CredentialKind::BasicAuth, "username"),
        (JwtSecret::KIND, CredentialKind::Jwt, "key"),
        (HmacAuthCredential::KIND, CredentialKind::HmacAuth, "username"),
        (OAuth2Credential::KIND, CredentialKind::Oauth2, "client_id"),
    ];
    known.into_iter().find(|(name, ..)| name == kind).map(|(_, kind, field)| (kind, field))
}

fn read_credential(
    id: Uuid,
    field: &str,
    record: &Record,
    body: &str,
) -> Result<(Box<str>, Credential), String> {
    let entity: Object = serde_json::from_str(body).map_err(|error| error.to_string())?;
    only_whole(Unknown::of(record, &entity))?;
    let text = |name: &str| entity.get(name).and_then(serde_json::Value::as_str);
    let key = text(field).ok_or_else(|| format!("a credential without '{field}'"))?.into();
    let consumer = entity
        .get("consumer")
        .and_then(|consumer| consumer.get("id"))
        .and_then(serde_json::Value::as_str)
        .and_then(|id| Uuid::try_parse(id).ok())
        .ok_or("a credential without 'consumer'")?;
    let expires_at = entity.get("expires_at").and_then(serde_json::Value::as_u64);
    Ok((key, Credential { id, consumer, expires_at, entity: Arc::new(entity) }))
}
