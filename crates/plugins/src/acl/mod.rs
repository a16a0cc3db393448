//! `acl`: only consumers of some groups, or all but those of some groups.

mod config;

use std::sync::Arc;

use model::{PluginProtocols, Scope};
use plugin::{Access, Answer, BuildError, Definition, Exchange, Instance, Listing, Phases, Plugin};
use schema::Field;

use crate::{fields, settings};
use config::Config;

pub(crate) fn definition() -> Definition {
    Definition {
        listing: Listing {
            name: "acl",
            version: crate::VERSION,
            priority: 950,
            schema: model::Plugin::subschema(
                Field::record(Config::record().clone()),
                PluginProtocols::Http,
                &[Scope::Consumer],
            )
            .rule(schema::Check::OnlyOneOf(vec!["config.allow", "config.deny"]))
            .rule(schema::Check::AtLeastOneOf(vec!["config.allow", "config.deny"])),
        },
        phases: Phases { access: true, ..Phases::default() },
        build,
    }
}

fn build(instance: &Instance<'_>) -> Result<Arc<dyn Plugin>, BuildError> {
    Ok(Arc::new(Acl { config: settings::read(instance)? }))
}

#[derive(Debug)]
struct Acl {
    config: Config,
}

impl Plugin for Acl {
    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Access<'a> {
        let identity = &*exchange.identity;
        let vouched = identity.authenticated_groups.as_deref();
        let refused = match (&identity.consumer, identity.credential) {
            (None, None) => Answer::error(401, "Unauthorized"),
            (_, Some(_)) => Answer::error(403, "You cannot consume this service"),
            (Some(_), None) => Answer::error(401, "Unauthorized"),
        };
        let own = identity.consumer.as_ref().map(|consumer| exchange.directory.groups(consumer.id));
        let use_vouched = vouched.is_some()
            && (own.is_none()
                || self.config.always_use_authenticated_groups
                || identity.credential.is_none());
        let (header, groups): (&str, Vec<&str>) = if use_vouched {
            let groups = vouched.unwrap_or_default().iter().map(String::as_str).collect();
            ("X-Authenticated-Groups", groups)
        } else {
            let Some(own) = own else { return refused.into() };
            ("X-Consumer-Groups", own.iter().map(|group| &**group).collect())
        };
        let among = |names: &[String]| names.iter().any(|name| groups.contains(&name.as_str()));
        let blocked = match (&self.config.allow, &self.config.deny) {
            (Some(allow), _) if !allow.is_empty() => !among(allow),
            (_, Some(deny)) => among(deny),
            _ => false,
        };
        if blocked {
            return if groups.is_empty() {
                refused.into()
            } else {
                Answer::error(403, "You cannot consume this service").into()
            };
        }
        let told = groups.join(", ");
        // Hidden, the upstream is told nothing by us: what the client says of itself stays, as in
        // Kong.
        if !self.config.hide_groups_header {
            fields::set(&mut exchange.request.fields, header, &told);
        }
        Access::CONTINUE
    }
}
