//! Declarations that the tests of this crate share.

use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Deprecation, Field, Object, Record, Shorthand, Subschema, Surroundings, Transformation,
};

crate::choice! {
    /// Where counters live.
    pub(crate) enum Policy {
        /// In the process.
        Local = "local",
        /// In a database.
        Redis = "redis",
    }
}

crate::record! {
    /// A database.
    pub(crate) struct Database {
        /// Its host.
        pub(crate) host: Option<String> = Field::string(),
        /// Its port.
        pub(crate) port: Option<u16> = Field::integer().between(0, 65535).default(6379),
    }
}

crate::record! {
    /// A limit.
    pub(crate) struct Limit in "limits" {
        /// The primary key.
        pub(crate) id: Uuid = Field::string().uuid().auto(),
        /// When it was made.
        pub(crate) created_at: Option<i64> = Field::integer().timestamp().auto(),
        /// When it was written.
        pub(crate) updated_at: Option<i64> = Field::integer().timestamp().auto().unvalidated(),
        /// Its name.
        pub(crate) name: String = Field::string().required().unique(),
        /// Where counters live.
        pub(crate) policy: Policy = Field::string().required().one_of(Policy::WORDS).default("local"),
        /// How many.
        pub(crate) minute: Option<f64> = Field::number().greater_than(0),
        /// How many.
        pub(crate) hour: Option<f64> = Field::number().greater_than(0),
        /// How many at a time.
        pub(crate) burst: Option<u32> = Field::integer().between(0, 255).default(5),
        /// Whether it is on.
        pub(crate) enabled: bool = Field::boolean().required().default(true),
        /// The database.
        pub(crate) redis: Database = Field::record(Database::record().clone()),
        /// Words.
        pub(crate) tags: Option<Vec<String>> = Field::set(Field::string()),
        /// Words in order.
        pub(crate) list: Option<Vec<u16>> = Field::array(Field::integer().between(100, 999)),
        /// Names to lists.
        pub(crate) headers: Option<Value> = Field::map(
            Field::string().matches("^[a-z-]+$"),
            Field::array(Field::string()),
        ),
        /// A secret.
        pub(crate) secret: Option<String> = Field::string().auto().referenceable().encrypted()
            .starts_with("s"),
        /// Whose it is.
        pub(crate) owner: Option<Value> = Field::foreign("owners").cascade(),
    }
    rules |record| record
        .shorthand(
            Shorthand::new("redis_port", Field::integer(), |port| {
                json!({ "redis": { "port": port } }).as_object().cloned().unwrap_or_default()
            })
            .deprecated(Deprecation {
                message: "limits: use redis.port",
                removal_in_version: "4.0",
                replaced_with: vec!["redis.port"],
            }),
        )
        .shorthand(Shorthand::new("every", Field::number(), |every| {
            json!({ "minute": every, "hour": every }).as_object().cloned().unwrap_or_default()
        }))
        .at_least_one_of(&["minute", "hour"])
        .conditional(
            "policy",
            |f| f.equal("redis"),
            "redis.host",
            Field::required,
        )
}

/// A record of which one field decides what else there is.
pub(crate) fn shapes() -> Record {
    let round = Subschema::new()
        .field("config", Field::record(Record::new("").field("radius", Field::number().default(1))))
        .at_least_one_of(&["config.radius"]);
    let square = Subschema::new()
        .field("config", Field::record(Record::new("").field("side", Field::number().required())))
        .field("note", Field::string().must_be_null().error("squares have no notes"));
    Record::new("shapes")
        .field("kind", Field::string().required())
        .field("config", Field::subschema())
        .field("note", Field::string())
        .subschemas(
            "kind",
            vec![("round", Arc::new(round)), ("square", Arc::new(square))],
            |name| format!("no shape {name}"),
        )
}

/// A record that stores something else than what is written.
pub(crate) fn login() -> Record {
    Record::new("logins")
        .field("name", Field::string())
        .field("realm", Field::string().required())
        .field("password", Field::string().required())
        .transformation(Transformation {
            inputs: &["password"],
            needs: &["realm"],
            apply: |login, _| {
                let hash = format!("{}@{}", login["password"], login["realm"]);
                login.insert("password".to_owned(), hash.into());
            },
        })
}

/// A fixed clock and predictable ids.
pub(crate) struct Fixed;

impl Surroundings for Fixed {
    fn now_ms(&self) -> u64 {
        1_700_000_000_123
    }

    fn new_id(&self) -> Uuid {
        Uuid::from_u128(7)
    }

    fn random_string(&self) -> String {
        "secret".to_owned()
    }

    fn random_bytes(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }

    fn subschema(&self, _: &str, _: &str) -> Option<&Subschema> {
        None
    }

    fn entity(&self, name: &str) -> Option<&Record> {
        (name == "owners").then(Limit::record)
    }
}

/// The members of a JSON object.
pub(crate) fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        other => panic!("not an object: {other}"),
    }
}
