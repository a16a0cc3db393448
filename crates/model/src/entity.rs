//! What is done with every kind of entity the same way.

use schema::{DeleteRule, Object, Record, Type, Violations};
use serde_json::Value;
use uuid::Uuid;

use crate::change::Kind;
use crate::env::Env;
use crate::route::RouterFlavor;

/// The member of a stored body that says when the entity expires, in seconds since 1970. It is
/// no field: clients write and read `ttl`, the seconds that are left.
pub(crate) const EXPIRES_AT: &str = "expires_at";

/// One kind of entity: where it is found, what its objects look like, which keys it has.
#[derive(Debug)]
pub struct EntityType {
    /// Kong's name of the collection (`key_sets`).
    pub name: &'static str,
    /// The segment of the URL (`key-sets`).
    pub path: &'static str,
    /// The segment of the URL below a parent (`key-auth` below a consumer).
    pub nested_path: &'static str,
    /// Whether there is a URL for it that is not below a parent.
    pub top_level: bool,
    /// The unique field that can stand for the id in a URL.
    pub endpoint_key: Option<&'static str>,
    /// The fields that are unique together, null included, joined by commas.
    pub composite_key: Option<&'static str>,
    /// Whether an entity can expire (option `ttl`).
    pub ttl: bool,
    /// Fields that are written with the entity and stored elsewhere: what is written of them is
    /// in the result of [`EntityType::create`] and [`EntityType::update`], and must not be stored.
    pub not_stored: &'static [&'static str],
    record: fn(RouterFlavor) -> &'static Record,
    prepare: fn(&mut Object) -> Result<(), Violations>,
}

/// What the store must know of an entity beside its body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowParts {
    /// The primary key.
    pub id: Uuid,
    /// Values that no two entities of the kind may share.
    pub keys: Vec<UniqueKey>,
    /// References to other entities.
    pub references: Vec<ForeignKey>,
    /// Tags, without repetition.
    pub tags: Vec<String>,
}

/// A value that no two entities of a kind may share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniqueKey {
    /// The field, or the fields joined by commas.
    pub field: &'static str,
    /// The text that must be unique: of one field its value, of several the JSON array of their
    /// values.
    pub value: String,
}

/// A reference from an entity to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    /// The field that refers.
    pub field: &'static str,
    /// Collection of the other entity.
    pub to_kind: &'static str,
    /// Its primary key.
    pub to_id: Uuid,
    /// What its deletion means for this one.
    pub on_delete: DeleteRule,
}

/// A field of a kind of entity that refers to another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignField {
    /// The field.
    pub name: &'static str,
    /// Collection of the other entity.
    pub entity: &'static str,
    /// What the other's deletion means for this one.
    pub on_delete: DeleteRule,
    /// Whether it may not be null.
    pub required: bool,
}

impl EntityType {
    pub(crate) const fn new(
        name: &'static str,
        path: &'static str,
        record: fn(RouterFlavor) -> &'static Record,
    ) -> EntityType {
        EntityType {
            name,
            path,
            nested_path: path,
            top_level: true,
            endpoint_key: None,
            composite_key: None,
            ttl: false,
            not_stored: &[],
            record,
            prepare: |_| Ok(()),
        }
    }

    pub(crate) const fn by(mut self, endpoint_key: &'static str) -> EntityType {
        self.endpoint_key = Some(endpoint_key);
        self
    }

    pub(crate) const fn unique_together(mut self, fields: &'static str) -> EntityType {
        self.composite_key = Some(fields);
        self
    }

    pub(crate) const fn nested(mut self, path: &'static str) -> EntityType {
        self.nested_path = path;
        self
    }

    pub(crate) const fn only_nested(mut self) -> EntityType {
        self.top_level = false;
        self
    }

    pub(crate) const fn expiring(mut self) -> EntityType {
        self.ttl = true;
        self
    }

    pub(crate) const fn not_stored(mut self, fields: &'static [&'static str]) -> EntityType {
        self.not_stored = fields;
        self
    }

    pub(crate) const fn prepared(
        mut self,
        prepare: fn(&mut Object) -> Result<(), Violations>,
    ) -> EntityType {
        self.prepare = prepare;
        self
    }

    /// The kind, as it stands in the store and the stream.
    pub const fn kind(&self) -> Kind {
        Kind::known(self.name)
    }

    /// The declaration.
    pub fn record(&self, flavor: RouterFlavor) -> &'static Record {
        (self.record)(flavor)
    }

    /// Gives the values of a decoded form the types of their fields.
    pub fn coerce(&self, form: Object, env: &Env) -> Object {
        self.record(env.router_flavor).coerce(form, env)
    }

    /// A whole new entity (POST, PUT): shorthands expanded, defaults and generated values filled
    /// in, validated.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn create(&self, mut input: Object, env: &Env) -> Result<Object, Violations> {
        (self.prepare)(&mut input)?;
        self.record(env.router_flavor).process(input, env)
    }

    /// A new version of a stored entity (PATCH): records merged, the rest replaced, validated.
    /// It stays the entity that it is: another `id` in the patch is passed over.
    ///
    /// # Errors
    /// Everything that is wrong with what comes out.
    pub fn update(
        &self,
        stored: &Object,
        mut patch: Object,
        env: &Env,
    ) -> Result<Object, Violations> {
        patch.remove("id");
        let record = self.record(env.router_flavor);
        let Some(expiry) = stored.get(EXPIRES_AT).filter(|_| self.ttl) else {
            return record.process_update(patch, stored, env);
        };
        let mut fields = stored.clone();
        fields.remove(EXPIRES_AT);
        let mut updated = record.process_update(patch, &fields, env)?;
        updated.insert(EXPIRES_AT.to_owned(), expiry.clone());
        Ok(updated)
    }

    /// Says what is wrong with an entity and stores nothing (`/schemas/…/validate`).
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn validate_only(&self, input: Object, env: &Env) -> Result<(), Violations> {
        self.record(env.router_flavor).process(input, env).map(|_| ())
    }

    /// Sets when an entity expires: so many seconds from now, `None` or 0 never.
    pub fn expire(&self, object: &mut Object, ttl: Option<u32>, env: &Env) {
        match ttl.filter(|ttl| *ttl > 0) {
            Some(ttl) => {
                let at = env.now_ms / 1000 + u64::from(ttl);
                object.insert(EXPIRES_AT.to_owned(), Value::from(at));
            }
            None => {
                object.remove(EXPIRES_AT);
            }
        }
    }

    /// Whether the entity has expired.
    pub fn is_expired(&self, stored: &Object, env: &Env) -> bool {
        self.ttl && expiry(stored).is_some_and(|at| at <= env.now_ms / 1000)
    }

    /// The key before which, among those of [`EntityType::row_parts`], the keys of all entities
    /// are that have expired `now_s` seconds after 1970.
    pub fn expired_before(now_s: u64) -> UniqueKey {
        UniqueKey { field: EXPIRES_AT, value: ordered(now_s + 1) }
    }

    /// A stored entity as answers show it: complete, with the seconds that are left to it, and
    /// with the deprecated inputs of its plugin.
    pub fn shown(&self, stored: &Object, env: &Env) -> Object {
        let record = self.record(env.router_flavor);
        let mut shown = stored.clone();
        record.complete(&mut shown, env);
        record.show_deprecated(&mut shown, env);
        if self.ttl {
            let left = expiry(stored).map(|at| at.saturating_sub(env.now_ms / 1000));
            shown.remove(EXPIRES_AT);
            shown.insert("ttl".to_owned(), left.map_or(Value::Null, Value::from));
        }
        shown
    }

    /// The fields that refer to other entities.
    pub fn foreign_fields(&self) -> Vec<ForeignField> {
        let record = self.record(RouterFlavor::Expressions);
        let foreign = |(name, field): (&'static str, &schema::Field)| match field.kind() {
            Type::Foreign { entity, on_delete } => Some(ForeignField {
                name,
                entity,
                on_delete: *on_delete,
                required: field.is_required(),
            }),
            _ => None,
        };
        record.fields().filter_map(foreign).collect()
    }

    /// What the store must know of an entity beside its body.
    pub fn row_parts(&self, object: &Object) -> RowParts {
        let text = |name: &str| object.get(name).and_then(Value::as_str);
        let mut parts = RowParts {
            id: text("id").and_then(|id| id.parse().ok()).unwrap_or_default(),
            ..RowParts::default()
        };
        for (name, field) in self.record(RouterFlavor::Expressions).fields() {
            if field.is_unique()
                && let Some(value) = text(name)
            {
                parts.keys.push(UniqueKey { field: name, value: value.to_owned() });
            }
            if let Type::Foreign { entity, on_delete } = field.kind()
                && let Some(to_id) = object.get(name).and_then(referred_id)
            {
                parts.references.push(ForeignKey {
                    field: name,
                    to_kind: entity,
                    to_id,
                    on_delete: *on_delete,
                });
            }
        }
        if let Some(field) = self.composite_key {
            let names = field.split(',');
            let values: Vec<&Value> =
                names.map(|name| object.get(name).unwrap_or(&Value::Null)).collect();
            let value = serde_json::to_string(&values).unwrap_or_default();
            parts.keys.push(UniqueKey { field, value });
        }
        if let Some(at) = expiry(object).filter(|_| self.ttl) {
            // With the id behind it, it is unique and still in the order of time.
            let value = format!("{}/{}", ordered(at), parts.id);
            parts.keys.push(UniqueKey { field: EXPIRES_AT, value });
        }
        let tags = object.get("tags").and_then(Value::as_array).into_iter().flatten();
        parts.tags = tags.filter_map(Value::as_str).map(str::to_owned).collect();
        parts
    }

    /// The fields and values of one of the keys of [`EntityType::row_parts`]: what Kong shows
    /// when the key is taken.
    pub fn key_fields(&self, key: &UniqueKey) -> Object {
        if self.composite_key == Some(key.field) {
            let values: Vec<Value> = serde_json::from_str(&key.value).unwrap_or_default();
            return key.field.split(',').map(str::to_owned).zip(values).collect();
        }
        [(key.field.to_owned(), Value::from(key.value.clone()))].into_iter().collect()
    }
}

fn referred_id(value: &Value) -> Option<Uuid> {
    value.get("id")?.as_str()?.parse().ok()
}

/// Seconds as text that sorts as they do.
fn ordered(seconds: u64) -> String {
    format!("{seconds:012}")
}

fn expiry(stored: &Object) -> Option<u64> {
    stored.get(EXPIRES_AT).and_then(Value::as_u64)
}

/// Reads the option `ttl` of a write: seconds until the entity expires; null or 0: never.
///
/// # Errors
/// Kong's text (of an invalid option).
pub fn parse_ttl(value: &Value) -> Result<Option<u32>, String> {
    const LONGEST: u32 = 100_000_000;
    if value.is_null() {
        return Ok(None);
    }
    let whole =
        value.as_f64().filter(|ttl| ttl.fract() == 0.0 && (0.0..=f64::from(LONGEST)).contains(ttl));
    match whole {
        Some(ttl) => Ok(Some(ttl as u32)),
        None => Err(format!("must be an integer between 0 and {LONGEST}")),
    }
}

#[cfg(test)]
mod tests;
