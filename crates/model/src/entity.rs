//! The kinds of entities, and what is done with each the same way.

use schema::{DeleteRule, Object, Record, Type, Violations};
use serde_json::Value;
use uuid::Uuid;

use crate::change::Kind;
use crate::env::Env;
use crate::route::{RouterFlavor, record_of};
use crate::{Service, Target, Upstream, target};

/// One kind of entity: where it is found, what its objects look like, which keys it has.
#[derive(Debug)]
pub struct EntityType {
    /// Kong's name of the collection (`key_sets`).
    pub name: &'static str,
    /// The segment of the URL (`key-sets`).
    pub path: &'static str,
    /// The unique field that can stand for the id in a URL.
    pub endpoint_key: Option<&'static str>,
    /// The fields that are unique together, null included, joined by commas.
    pub composite_key: Option<&'static str>,
    /// Whether an entity can expire (option `ttl`).
    pub ttl: bool,
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

static ENTITIES: [EntityType; 4] = [
    EntityType {
        name: "services",
        path: "services",
        endpoint_key: Some("name"),
        composite_key: None,
        ttl: false,
        record: |_| Service::record(),
        prepare: |_| Ok(()),
    },
    EntityType {
        name: "routes",
        path: "routes",
        endpoint_key: Some("name"),
        composite_key: None,
        ttl: false,
        record: record_of,
        prepare: |_| Ok(()),
    },
    EntityType {
        name: "upstreams",
        path: "upstreams",
        endpoint_key: Some("name"),
        composite_key: None,
        ttl: false,
        record: |_| Upstream::record(),
        prepare: |_| Ok(()),
    },
    EntityType {
        name: "targets",
        path: "targets",
        endpoint_key: Some("target"),
        composite_key: Some("upstream,target"),
        ttl: false,
        record: |_| Target::record(),
        prepare: target::prepare,
    },
];

/// All kinds of entities, parents before children.
pub fn entities() -> &'static [EntityType] {
    &ENTITIES
}

/// The kind of that name (`key_sets`).
pub fn entity(name: &str) -> Option<&'static EntityType> {
    ENTITIES.iter().find(|entity| entity.name == name)
}

/// The kind that is found under that segment of a URL (`key-sets`).
pub fn entity_by_path(segment: &str) -> Option<&'static EntityType> {
    ENTITIES.iter().find(|entity| entity.path == segment)
}

impl EntityType {
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
    ///
    /// # Errors
    /// Everything that is wrong with what comes out.
    pub fn update(&self, stored: &Object, patch: Object, env: &Env) -> Result<Object, Violations> {
        self.record(env.router_flavor).process_update(patch, stored, env)
    }

    /// Says what is wrong with an entity and stores nothing (`/schemas/…/validate`).
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn validate_only(&self, input: Object, env: &Env) -> Result<(), Violations> {
        self.record(env.router_flavor).process(input, env).map(|_| ())
    }

    /// A stored entity as answers show it: complete, with the deprecated inputs of its plugin.
    pub fn shown(&self, stored: &Object, env: &Env) -> Object {
        let record = self.record(env.router_flavor);
        let mut shown = stored.clone();
        record.complete(&mut shown, env);
        record.show_deprecated(&mut shown, env);
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
