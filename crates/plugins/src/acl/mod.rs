//! `acl`: only consumers of some groups, or all but those of some groups.

mod config;

use model::Scope;
use plugin::{Access, Answer, BuildError, Exchange, Instance, Phases, Plugin};
use schema::{Record, Subschema};
use smallvec::SmallVec;

use crate::declared::Declared;
use crate::{fields, settings};
use config::Config;

/// A running instance of `acl`.
#[derive(Debug)]
pub(crate) struct Acl {
    config: Config,
}

impl Declared for Acl {
    const NAME: &str = "acl";
    const PRIORITY: i32 = 950;
    const WITHOUT: &[Scope] = &[Scope::Consumer];
    const PHASES: Phases = Phases { access: true, ..Phases::NONE };
    const EXAMPLE: &str = include_str!("example.md");

    fn config() -> &'static Record {
        Config::record()
    }

    fn rules(subschema: Subschema) -> Subschema {
        subschema
            .rule(schema::Check::OnlyOneOf(vec!["config.allow", "config.deny"]))
            .rule(schema::Check::AtLeastOneOf(vec!["config.allow", "config.deny"]))
    }

    fn build(instance: &Instance<'_>, _: Option<&Self>) -> Result<Self, BuildError> {
        Ok(Acl { config: settings::read(instance)? })
    }
}

impl Plugin for Acl {
    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Access<'a> {
        let identity = &*exchange.identity;
        let vouched = identity.authenticated_groups.as_deref();
        let has_credential = identity.credential.is_some();
        let refused = || match has_credential {
            true => Answer::error(403, "You cannot consume this service"),
            false => Answer::error(401, "Unauthorized"),
        };
        let own = identity.consumer.as_ref().map(|consumer| exchange.directory.groups(consumer.id));
        let use_vouched = vouched.is_some()
            && (own.is_none()
                || self.config.always_use_authenticated_groups
                || identity.credential.is_none());
        let (header, groups): (&str, SmallVec<[&str; 8]>) = if use_vouched {
            let groups = vouched.unwrap_or_default().iter().map(String::as_str).collect();
            ("X-Authenticated-Groups", groups)
        } else {
            let Some(own) = own else { return refused().into() };
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
                refused().into()
            } else {
                Answer::error(403, "You cannot consume this service").into()
            };
        }
        // Hidden, the upstream is told nothing by us: what the client says of itself stays, as in
        // Kong.
        if !self.config.hide_groups_header {
            fields::set(&mut exchange.request.fields, header, &groups.join(", "));
        }
        Access::CONTINUE
    }
}
