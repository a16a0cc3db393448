//! Plugins: what is done with requests, and for which.

use schema::{Field, Object, Subschema, Violations};
use serde_json::Value;
use uuid::Uuid;

use crate::reference::Reference;
use crate::{Protocol, types};

schema::record! {
    /// Something that is done with requests: all, or those of a service, a route, a consumer.
    pub struct Plugin in "plugins" {
        /// The primary key.
        pub id: Uuid = types::id(),
        /// Which plugin it is.
        pub name: String = Field::string().required(),
        /// A unique name of this instance.
        pub instance_name: Option<String> = types::utf8_name(),
        /// When it was made, in seconds since 1970.
        pub created_at: Option<i64> = types::created_at(),
        /// When it was last written, in seconds since 1970.
        pub updated_at: Option<i64> = types::updated_at(),
        /// The route that it is for; null: any.
        pub route: Option<Reference> = Field::foreign("routes").cascade().default(Value::Null),
        /// The service that it is for; null: any.
        pub service: Option<Reference> = Field::foreign("services").cascade().default(Value::Null),
        /// The consumer that it is for; null: any.
        pub consumer: Option<Reference> =
            Field::foreign("consumers").cascade().default(Value::Null),
        /// How the plugin is set up; its members are the plugin's.
        pub config: Object = Field::subschema(),
        /// The protocols of the requests that it is for.
        pub protocols: Vec<Protocol> = PluginProtocols::Any.field(),
        /// Whether it does anything.
        pub enabled: bool = Field::boolean().required().default(true),
        /// Words to find it by.
        pub tags: Option<Vec<String>> = types::tags(),
    }
    rules |record| record.subschemas_by_name("name", |name| format!(
        "plugin '{name}' not enabled; add it to the 'plugins' configuration property"
    ))
}

/// The protocols that a plugin can be set up for. The default is always those of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginProtocols {
    /// Only protocols of HTTP.
    Http,
    /// Any protocol.
    Any,
}

/// What a plugin can be restricted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A route.
    Route,
    /// A service.
    Service,
    /// A consumer.
    Consumer,
}

impl PluginProtocols {
    const HTTP: [&'static str; 4] = ["grpc", "grpcs", "http", "https"];

    /// The field `protocols` of such a plugin.
    pub fn field(self) -> Field {
        let element = match self {
            PluginProtocols::Http => Field::string().one_of(PluginProtocols::HTTP),
            PluginProtocols::Any => types::protocol(),
        };
        Field::set(element).required().default(PluginProtocols::HTTP.to_vec())
    }
}

impl Scope {
    /// The field that restricts to it.
    pub fn field_name(self) -> &'static str {
        match self {
            Scope::Route => "route",
            Scope::Service => "service",
            Scope::Consumer => "consumer",
        }
    }
}

impl Plugin {
    /// What plugins of one name look like: their `config`, the protocols that they can be for,
    /// and the scopes that make no sense for them. Further rules between their fields
    /// (`config.minute`) are added to what this gives.
    pub fn subschema(config: Field, protocols: PluginProtocols, without: &[Scope]) -> Subschema {
        let subschema =
            Subschema::new().field("config", config).field("protocols", protocols.field());
        without.iter().fold(subschema, |subschema, scope| {
            let name = scope.field_name();
            let field = Plugin::record().get(name).cloned().unwrap_or_else(Field::json);
            subschema.field(name, field.must_be_null())
        })
    }

    /// Whether a plugin can run for its route, or for one of the routes of its service: it must
    /// have a protocol in common with it. `routes` are those routes; a service without routes
    /// takes any plugin.
    ///
    /// # Errors
    /// What is wrong with the plugin's `protocols`.
    pub fn check_protocols(
        plugin: &Object,
        scope: Scope,
        routes: &[Object],
    ) -> Result<(), Violations> {
        let list = |entity: &Object| -> Vec<String> {
            let protocols = entity.get("protocols").and_then(Value::as_array);
            let words = protocols.into_iter().flatten().filter_map(Value::as_str);
            words.map(str::to_owned).collect()
        };
        let own = list(plugin);
        let common = |route: &Object| list(route).iter().any(|protocol| own.contains(protocol));
        if routes.is_empty() || routes.iter().any(common) {
            return Ok(());
        }
        let text = match scope {
            Scope::Route => "must match the associated route's protocols",
            Scope::Service | Scope::Consumer => {
                "must match the protocols of at least one route pointing to this Plugin's service"
            }
        };
        Err(Violations::field("protocols", text))
    }
}

#[cfg(test)]
mod tests;
