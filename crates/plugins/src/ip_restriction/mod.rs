//! `ip-restriction`: only some client addresses, or all but some.

mod config;

use std::net::IpAddr;

use ipnet::IpNet;
use model::PluginProtocols;
use plugin::{Access, Admission, Answer, BuildError, Client, Exchange, Instance, Phases, Plugin};
use schema::{Record, Subschema};

use crate::declared::Declared;
use crate::settings;
use config::Config;

/// Kong checks addresses of streams, too, and says so by default.
const PROTOCOLS: [&str; 6] = ["http", "https", "tcp", "tls", "grpc", "grpcs"];

/// A running instance of `ip-restriction`.
#[derive(Debug)]
pub(crate) struct IpRestriction {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    status: u16,
    message: Option<String>,
}

impl Declared for IpRestriction {
    const NAME: &str = "ip-restriction";
    const PRIORITY: i32 = 990;
    const PROTOCOLS: PluginProtocols = PluginProtocols::Any;
    const PHASES: Phases = Phases { preread: true, access: true, ..Phases::NONE };
    const EXAMPLE: &str = include_str!("example.md");

    fn config() -> &'static Record {
        Config::record()
    }

    fn rules(subschema: Subschema) -> Subschema {
        subschema
            .field("protocols", PluginProtocols::Any.field().default(PROTOCOLS.to_vec()))
            .rule(schema::Check::AtLeastOneOf(vec!["config.allow", "config.deny"]))
    }

    fn build(instance: &Instance<'_>, _: Option<&Self>) -> Result<Self, BuildError> {
        let config: Config = settings::read(instance)?;
        Ok(IpRestriction {
            allow: networks(config.allow.as_deref())?,
            deny: networks(config.deny.as_deref())?,
            status: config.status.map_or(403, |status| status as u16),
            message: config.message,
        })
    }
}

fn networks(texts: Option<&[String]>) -> Result<Vec<IpNet>, BuildError> {
    let network = |text: &String| {
        text.parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| BuildError(format!("invalid ip or cidr range: '{text}'")))
    };
    texts.unwrap_or_default().iter().map(network).collect()
}

impl Plugin for IpRestriction {
    fn preread(&self, client: &Client) -> Admission {
        match self.refusal(client.address) {
            None => Admission::Admit,
            Some(message) => Admission::Refuse(message),
        }
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange<'_>) -> Access<'a> {
        match self.refusal(exchange.client.address) {
            None => Access::CONTINUE,
            Some(message) => Answer::error(self.status, message).into(),
        }
    }
}

impl IpRestriction {
    /// What a client at this address is told, if it is not admitted.
    fn refusal(&self, address: IpAddr) -> Option<String> {
        let usual = || format!("IP address not allowed: {address}");
        (!self.admits(address)).then(|| self.message.clone().unwrap_or_else(usual))
    }

    /// `deny` is asked first.
    fn admits(&self, address: IpAddr) -> bool {
        let among = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
        !among(&self.deny) && (self.allow.is_empty() || among(&self.allow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(allow: &[&str], deny: &[&str], address: &str, admitted: bool) {
        let list = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let restriction = IpRestriction {
            allow: networks(Some(&list(allow))).unwrap(),
            deny: networks(Some(&list(deny))).unwrap(),
            status: 403,
            message: None,
        };
        let address = address.parse().unwrap();
        assert_eq!(restriction.admits(address), admitted, "{allow:?} {deny:?} {address}");
    }

    #[test]
    fn deny_comes_before_allow() {
        check(&[], &["127.0.0.1"], "127.0.0.1", false);
        check(&[], &["127.0.0.0/24"], "127.0.0.9", false);
        check(&["127.0.0.2"], &[], "127.0.0.1", false);
        check(&["127.0.0.0/24"], &[], "127.0.0.1", true);
        check(&["127.0.0.1"], &["127.0.0.1"], "127.0.0.1", false);
        check(&["::1"], &[], "::1", true);
        check(&["10.0.0.0/8"], &[], "::1", false);
    }
}
