//! The list of all kinds of entities.

use crate::entity::EntityType;
use crate::route::record_of;
use crate::target;
use crate::{
    Acl, BasicAuthCredential, CaCertificate, Certificate, Consumer, HmacAuthCredential, JwtSecret,
    Key, KeyAuthCredential, KeySet, OAuth2Credential, OAuth2Token, Plugin, Service, Sni, Target,
    Upstream, Vault,
};

/// Parents stand before their children.
static ENTITIES: [EntityType; 19] = [
    EntityType::new("consumers", "consumers", |_| Consumer::record()).by("username"),
    EntityType::new("certificates", "certificates", |_| Certificate::record())
        .not_stored(&["snis"]),
    EntityType::new("ca_certificates", "ca_certificates", |_| CaCertificate::record()),
    EntityType::new("key_sets", "key-sets", |_| KeySet::record()).by("name"),
    EntityType::new("vaults", "vaults", |_| Vault::record()).by("prefix"),
    EntityType::new("upstreams", "upstreams", |_| Upstream::record()).by("name"),
    EntityType::new("services", "services", |_| Service::record()).by("name"),
    EntityType::new("routes", "routes", record_of).by("name"),
    EntityType::new("targets", "targets", |_| Target::record())
        .by("target")
        .unique_together("upstream,target")
        .only_nested()
        .prepared(target::prepare),
    EntityType::new("snis", "snis", |_| Sni::record()).by("name"),
    EntityType::new("keys", "keys", |_| Key::record()).by("name").unique_together("kid,set"),
    EntityType::new("plugins", "plugins", |_| Plugin::record())
        .by("instance_name")
        .unique_together("name,route,service,consumer"),
    EntityType::new("keyauth_credentials", "key-auths", |_| KeyAuthCredential::record())
        .by("key")
        .nested("key-auth")
        .expiring(),
    EntityType::new("basicauth_credentials", "basic-auths", |_| BasicAuthCredential::record())
        .by("username")
        .nested("basic-auth"),
    EntityType::new("hmacauth_credentials", "hmac-auths", |_| HmacAuthCredential::record())
        .by("username")
        .nested("hmac-auth"),
    EntityType::new("jwt_secrets", "jwts", |_| JwtSecret::record()).by("key").nested("jwt"),
    EntityType::new("acls", "acls", |_| Acl::record()).unique_together("consumer,group"),
    EntityType::new("oauth2_credentials", "oauth2", |_| OAuth2Credential::record()).by("client_id"),
    EntityType::new("oauth2_tokens", "oauth2_tokens", |_| OAuth2Token::record())
        .by("access_token")
        .expiring(),
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
