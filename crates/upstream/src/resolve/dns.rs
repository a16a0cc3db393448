//! One question to DNS: which addresses a name has, by the rules for targets.

use std::fs::File;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use balancer::{Answer, ServiceAddress};
use futures_util::future::join_all;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{Hosts, TokioResolver, system_conf};
use tokio::time::timeout;

use crate::resolve::{RecordKind, ResolverSettings};

/// The longest that one name may take, all servers, types and search domains together.
const LIMIT: Duration = Duration::from_secs(20);

/// Names inside SRV records that are resolved; more would be a mistake.
const MOST_SERVICES: usize = 256;

/// The life of what stands in the hosts file, which is read once (Kong: ten years).
const FIXED: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// An answer.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) answer: Answer,
    /// How long it holds by its records.
    pub(crate) ttl: Duration,
    /// What kind of record it was.
    pub(crate) kind: RecordKind,
}

/// Why there is none. The texts are Kong's where it has one, as the health view shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The servers say that the name has no addresses.
    NotFound(Arc<str>),
    /// The servers did not say anything of use.
    Broken(Arc<str>),
}

/// Asks the servers and the hosts file.
pub(crate) struct Dns {
    resolver: Result<TokioResolver, Arc<str>>,
    hosts: Hosts,
    order: Vec<RecordKind>,
    search: Vec<Name>,
    dots: usize,
}

impl Dns {
    /// Reads the system's configuration and the hosts file. What is missing or wrong there is
    /// logged, and makes names fail with that as the reason.
    pub(crate) fn new(settings: &ResolverSettings) -> Dns {
        let system = system_conf::read_system_conf();
        let (system, mut options) = match system {
            Ok(system) => system,
            Err(error) if settings.servers.is_empty() => {
                let why: Arc<str> =
                    format!("no DNS servers: {error}; set dns_resolver or fix /etc/resolv.conf")
                        .into();
                tracing::warn!(reason = &*why, "names cannot be resolved");
                let hosts = read_hosts(settings);
                let order = settings.order.clone();
                return Dns { resolver: Err(why), hosts, order, search: Vec::new(), dots: 1 };
            }
            Err(_) => {
                (ResolverConfig::from_parts(None, Vec::new(), Vec::new()), ResolverOpts::default())
            }
        };
        // The answers are kept by whoever asked, the hosts file and the search domains are looked
        // at here, where a failing server does not count as a name that does not exist.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        let servers = if settings.servers.is_empty() {
            system.name_servers().to_vec()
        } else {
            let server = |address: &std::net::SocketAddr| {
                let mut server = NameServerConfig::udp_and_tcp(address.ip());
                server.connections.iter_mut().for_each(|it| it.port = address.port());
                server
            };
            settings.servers.iter().map(server).collect()
        };
        let mut search = system.search().to_vec();
        search.extend(system.domain().filter(|domain| !search.contains(domain)).cloned());
        let dots = options.ndots;
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        let resolver = builder.build().map_err(|error| error.to_string().into());
        Dns { resolver, hosts: read_hosts(settings), order: settings.order.clone(), search, dots }
    }

    /// The addresses of a name, of the first kind of record that it has.
    pub(crate) async fn resolve(
        &self,
        name: &str,
        last: Option<RecordKind>,
    ) -> Result<Found, Failure> {
        match timeout(LIMIT, self.first_of(name, last)).await {
            Ok(result) => result,
            Err(_) => {
                Err(Failure::Broken(format!("no answer within {} s", LIMIT.as_secs()).into()))
            }
        }
    }

    async fn first_of(&self, name: &str, last: Option<RecordKind>) -> Result<Found, Failure> {
        let is_service = is_service_name(name);
        let mut tried = Vec::new();
        let mut not_found = None;
        for kind in &self.order {
            let kind = match kind {
                RecordKind::Last => last,
                kind => Some(*kind),
            };
            let Some(kind) = kind.filter(|kind| !tried.contains(kind)) else { continue };
            if kind == RecordKind::Srv && !is_service {
                continue;
            }
            tried.push(kind);
            let found = match kind {
                RecordKind::Srv => self.services(name).await,
                _ => self.addresses(name, kind).await,
            };
            match found {
                Err(Failure::NotFound(why)) => {
                    // That it does not exist says more than that it has no such record.
                    not_found.get_or_insert(why);
                }
                // A server that fails may fail for one type and not for another: what the name
                // really has would be unknown, so it counts for all.
                decided => return decided,
            }
        }
        Err(Failure::NotFound(not_found.unwrap_or_else(|| EMPTY.into())))
    }

    async fn addresses(&self, name: &str, kind: RecordKind) -> Result<Found, Failure> {
        let record_type = match kind {
            RecordKind::Aaaa => RecordType::AAAA,
            _ => RecordType::A,
        };
        let records = self.records(name, record_type).await?;
        let addresses: Vec<IpAddr> =
            records.iter().filter_map(|record| record.data.ip_addr()).collect();
        if addresses.is_empty() {
            return Err(Failure::NotFound(EMPTY.into()));
        }
        Ok(Found { answer: Answer::Addresses(addresses), ttl: shortest_ttl(&records), kind })
    }

    /// The addresses behind SRV records. Of several priorities the best (lowest) alone counts.
    async fn services(&self, name: &str) -> Result<Found, Failure> {
        let records = self.records(name, RecordType::SRV).await?;
        let services: Vec<&SRV> = records
            .iter()
            .filter_map(|record| match &record.data {
                // A root name says that there is no such service (RFC 2782).
                RData::SRV(service) if !service.target.is_root() => Some(service),
                _ => None,
            })
            .collect();
        let best = services.iter().map(|service| service.priority).min();
        let best = services.into_iter().filter(|service| Some(service.priority) == best);
        let inner = join_all(best.take(MOST_SERVICES).map(|service| self.inside(service))).await;
        let mut ttl = shortest_ttl(&records);
        let mut addresses = Vec::new();
        let mut failure = Failure::NotFound(EMPTY.into());
        for result in inner {
            match result {
                Ok((mut found, inner_ttl)) => {
                    addresses.append(&mut found);
                    ttl = ttl.min(inner_ttl);
                }
                // Without one of them the others would get its share; better all or none.
                Err(broken @ Failure::Broken(_)) => return Err(broken),
                Err(not_found) => failure = not_found,
            }
        }
        if addresses.is_empty() {
            return Err(failure);
        }
        Ok(Found { answer: Answer::Services(addresses), ttl, kind: RecordKind::Srv })
    }

    async fn inside(&self, service: &SRV) -> Result<(Vec<ServiceAddress>, Duration), Failure> {
        let name = service.target.to_utf8();
        let kinds =
            self.order.iter().filter(|kind| matches!(kind, RecordKind::A | RecordKind::Aaaa));
        let mut failure = Failure::NotFound(EMPTY.into());
        for kind in kinds {
            match self.addresses(&name, *kind).await {
                Ok(Found { answer: Answer::Addresses(addresses), ttl, .. }) => {
                    let name: Arc<str> = name.trim_end_matches('.').into();
                    let service = |address| ServiceAddress {
                        address,
                        port: service.port,
                        weight: service.weight,
                        name: Arc::clone(&name),
                    };
                    return Ok((addresses.into_iter().map(service).collect(), ttl));
                }
                Ok(_) => {}
                Err(broken @ Failure::Broken(_)) => return Err(broken),
                Err(not_found) => failure = not_found,
            }
        }
        Err(failure)
    }

    /// The records of a name, from the hosts file or the first name of the search list that has
    /// them.
    async fn records(&self, name: &str, record_type: RecordType) -> Result<Vec<Record>, Failure> {
        let name = Name::from_str(name)
            .map_err(|error| Failure::NotFound(format!("no DNS name: {error}").into()))?;
        let mut rooted = name.clone();
        rooted.set_fqdn(true);
        if let Some(fixed) = self.hosts.lookup_static_host(&Query::query(rooted, record_type)) {
            return Ok(fixed.answers().to_vec());
        }
        let resolver = self.resolver.as_ref().map_err(|why| Failure::Broken(Arc::clone(why)))?;
        let mut failure = Failure::NotFound(EMPTY.into());
        for candidate in self.candidates(&name) {
            match resolver.lookup(candidate, record_type).await {
                Ok(lookup) if !lookup.answers().is_empty() => {
                    return Ok(lookup.answers().to_vec());
                }
                Ok(_) => {}
                Err(error) => match explain(&error) {
                    not_found @ Failure::NotFound(_) => failure = not_found,
                    broken => return Err(broken),
                },
            }
        }
        Err(failure)
    }

    /// The names to ask for: with enough dots as it is first, else in the search domains first.
    fn candidates(&self, name: &Name) -> Vec<Name> {
        let mut rooted = name.clone();
        rooted.set_fqdn(true);
        if name.is_fqdn() {
            return vec![rooted];
        }
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        let mut names: Vec<Name> = self
            .search
            .iter()
            .filter_map(|domain| {
                let mut name = name.clone().append_domain(domain).ok()?;
                name.set_fqdn(true);
                Some(name)
            })
            .collect();
        if dots >= self.dots {
            names.insert(0, rooted);
        } else {
            names.push(rooted);
        }
        names
    }
}

#[cfg(test)]
impl Dns {
    /// Replaces what the system says.
    pub(crate) fn look_in(&mut self, search: &[&str], dots: usize) {
        self.search = search.iter().filter_map(|domain| Name::from_ascii(domain).ok()).collect();
        self.dots = dots;
    }

    pub(crate) fn candidate_names(&self, name: &str) -> Vec<String> {
        let names = self.candidates(&Name::from_ascii(name).unwrap_or_default());
        names.iter().map(Name::to_ascii).collect()
    }
}

const EMPTY: &str = "dns client error: 101 empty record received";

fn explain(error: &NetError) -> Failure {
    let code = match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => none.response_code,
        NetError::Dns(DnsError::ResponseCode(code)) => *code,
        other => return Failure::Broken(other.to_string().into()),
    };
    match code {
        ResponseCode::NoError => Failure::NotFound(EMPTY.into()),
        ResponseCode::NXDomain => Failure::NotFound("dns server error: 3 name error".into()),
        ResponseCode::ServFail => Failure::Broken("dns server error: 2 server failure".into()),
        ResponseCode::Refused => Failure::Broken("dns server error: 5 refused".into()),
        other => Failure::Broken(format!("dns server error: {} {other}", u16::from(other)).into()),
    }
}

/// Whether a name is one that SRV records are for: `_service._proto.name`.
fn is_service_name(name: &str) -> bool {
    let mut labels = name.split('.');
    let is_tag = |label: Option<&str>| {
        label.and_then(|label| label.strip_prefix('_')).is_some_and(|rest| !rest.is_empty())
    };
    is_tag(labels.next()) && is_tag(labels.next()) && labels.next().is_some()
}

fn shortest_ttl(records: &[Record]) -> Duration {
    records.iter().map(|record| Duration::from_secs(record.ttl.into())).min().unwrap_or(FIXED)
}

fn read_hosts(settings: &ResolverSettings) -> Hosts {
    let mut hosts = Hosts::default();
    // Always known (RFC 6761 §6.3), whatever the file says.
    let fixed: &[u8] = b"127.0.0.1 localhost\n::1 localhost\n";
    let file = settings.hosts_file.as_ref();
    let read = match file.map(File::open) {
        Some(Ok(file)) => hosts.read_hosts_conf(file),
        Some(Err(error)) => Err(error),
        None => Ok(()),
    };
    if let Err(error) = read {
        tracing::warn!(?file, %error, "the hosts file cannot be read (dns_hostsfile)");
    }
    let localhost = Query::query(Name::from_ascii("localhost.").unwrap_or_default(), RecordType::A);
    if hosts.lookup_static_host(&localhost).is_none()
        && let Err(error) = hosts.read_hosts_conf(fixed)
    {
        tracing::warn!(%error, "localhost cannot be added to the fixed names");
    }
    hosts
}
