//! One request, as the operations see it.

use http::Method;
use model::{EntityType, Env, Plugins};
use plugin::PluginCatalogue;
use schema::{Record, Subschema};
use serde_json::Value;
use uuid::Uuid;

use crate::body::Input;
use crate::entity;
use crate::error::Refusal;
use crate::path::Segment;
use crate::query::Query;
use crate::state::{Object, State, Wait};

/// A request whose path is known and whose body is read.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) state: &'a State,
    /// HEAD counts as GET.
    pub(crate) method: Method,
    /// The path, without the workspace that some clients put before it.
    pub(crate) segments: Vec<Segment<'a>>,
    pub(crate) query: Query,
    /// What a POST, PUT or PATCH carries; empty for other methods.
    pub(crate) input: Input,
    /// Where the client finds this API, such as `http://localhost:8001`: for absolute links.
    pub(crate) base: String,
    /// Until when the answer to a write is held back, if the client said so.
    pub(crate) wait: Option<Wait>,
}

impl<'a> Call<'a> {
    /// The segment at that place; an empty one behind the end, which no pattern lets happen.
    pub(crate) fn segment(&self, at: usize) -> &Segment<'a> {
        const NONE: &Segment<'static> =
            &Segment { raw: "", text: Ok(std::borrow::Cow::Borrowed("")) };
        self.segments.get(at).unwrap_or(NONE)
    }

    /// The body of a POST or PUT with the types that the entity type declares.
    pub(crate) fn typed(&self, entity: &EntityType) -> Result<Typed, Refusal> {
        self.typed_by(entity, None)
    }

    /// The body of a PATCH. Where the types depend on the entity (a plugin's configuration), the
    /// stored one tells what the body does not.
    pub(crate) fn typed_patch(
        &self,
        entity: &EntityType,
        stored: &Object,
    ) -> Result<Typed, Refusal> {
        let key = entity::type_key(entity).filter(|key| !self.input.object.contains_key(*key));
        self.typed_by(entity, key.and_then(|key| Some((key, stored.get(key)?.clone()))))
    }

    fn typed_by(
        &self,
        entity: &EntityType,
        known: Option<(&str, Value)>,
    ) -> Result<Typed, Refusal> {
        let mut object = self.input.object.clone();
        let ttl = if entity.ttl { object.remove("ttl") } else { None };
        let ttl = ttl.map(|ttl| model::parse_ttl(&self.number(ttl))).transpose();
        let ttl = ttl.map_err(|text| Refusal::option("ttl", text))?;
        if !self.input.textual {
            return Ok(Typed { object, ttl });
        }
        if let Some((key, value)) = &known {
            object.insert((*key).to_owned(), value.clone());
        }
        let mut object = self.state.with_env(|env| entity.coerce(object, env));
        if let Some((key, _)) = known {
            object.remove(key);
        }
        Ok(Typed { object, ttl })
    }

    /// An option that is a number, which in a form is text; empty text is null.
    fn number(&self, value: Value) -> Value {
        match &value {
            Value::String(text) if self.input.textual && text.is_empty() => Value::Null,
            Value::String(text) if self.input.textual => {
                text.trim().parse::<f64>().ok().map_or(value, Value::from)
            }
            _ => value,
        }
    }
}

/// What a client wrote, typed, and apart from it the options of the write.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    pub(crate) object: Object,
    /// Seconds until the entity expires (inner `None`: never), if the client wrote them.
    pub(crate) ttl: Option<Option<u32>>,
}

impl Typed {
    /// An entity that Weir itself makes.
    pub(crate) fn of(object: Object) -> Typed {
        Typed { object, ttl: None }
    }
}

impl State {
    /// Runs something that needs clock, randomness and the other declarations.
    pub(crate) fn with_env<T>(&self, run: impl FnOnce(&Env<'_>) -> T) -> T {
        let random = |bytes: &mut [u8]| self.random.fill(bytes);
        run(&Env {
            now_ms: u64::try_from(self.clock.wall_ms()).unwrap_or_default(),
            new_id: &|| self.new_id(),
            random: &random,
            router_flavor: self.about.router_flavor,
            plugins: &Configurable(&*self.plugins),
        })
    }

    /// A random id.
    pub(crate) fn new_id(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// The declaration of an entity type, as the node's routing has it.
    pub(crate) fn record(&self, entity: &EntityType) -> &'static Record {
        entity.record(self.about.router_flavor)
    }
}

/// The catalogue, as the declarations ask it.
struct Configurable<'a>(&'a dyn PluginCatalogue);

impl Plugins for Configurable<'_> {
    fn plugin(&self, name: &str) -> Option<&Subschema> {
        self.0.find(name).map(|listing| &listing.schema)
    }
}
