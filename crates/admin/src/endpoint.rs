//! Which paths exist, and which methods each of them knows (admin-api.md §5, §6).

use std::collections::HashMap;

use http::Method;
use model::{EntityType, ForeignField};

use crate::entity;
use crate::path::Segment;

/// What a path stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Endpoint {
    /// `/services`
    Collection(&'static EntityType),
    /// `/services/{services}`
    Item(&'static EntityType),
    /// `/services/{services}/routes`
    Children(Family),
    /// `/services/{services}/routes/{routes}`
    Child(Family),
    /// `/routes/{routes}/service`
    Parent(Family),
    /// `/upstreams/{upstreams}/targets/all`
    AllTargets(Family),
    /// `/upstreams/{upstreams}/targets/active`: those that get traffic, as Kong 0.10 listed them.
    ActiveTargets(Family),
    /// `…/targets/{targets}/healthy` and `/unhealthy`, also with an address before it.
    SetHealth {
        /// Whose health is set.
        family: Family,
        /// What it is set to.
        healthy: bool,
    },
    /// `/upstreams/{upstreams}/health`
    UpstreamHealth(Family),
    /// `/upstreams/{upstreams}/preview`: what other targets would do.
    Preview(Family),
    /// `/apis` of Kong 0.10.
    Apis,
    /// `/apis/{apis}`
    Api,
    /// `/`
    Root,
    /// `/status`
    Status,
    /// `/metrics`
    Metrics,
    /// `/endpoints`
    Endpoints,
    /// `/openapi.json`
    OpenApi,
    /// `/schemas/{name}`
    EntitySchema,
    /// `/schemas/{db_entity_name}/validate`
    Validate,
    /// `/schemas/plugins/{name}`
    PluginSchema,
    /// `/schemas/vaults/{name}`
    VaultSchema,
    /// `/schemas/filters/{name}`
    FilterSchema,
    /// `/plugins/enabled`
    EnabledPlugins,
    /// `/plugins/schema/{name}`
    PluginConfigSchema,
    /// `/tags`
    Tags,
    /// `/tags/{tags}`
    Tag,
    /// `/cache`
    Cache,
    /// `/cache/{key}`
    CacheKey,
    /// `/config`
    Config,
    /// `/declarative`: the whole configuration as text, of a gateway with a database.
    Declarative,
    /// `/explain`: what would become of a request.
    Explain,
    /// `/clustering/data-planes`
    DataPlanes,
    /// `/clustering/data-planes/{id}`
    DataPlane,
    /// `/clustering/revocations`: certificates that are not taken any more.
    Revocations,
    /// `/clustering/revocations/{fingerprint}`
    Revocation,
    /// `/clustering/revisions/{revision}/wait`: until enough data planes serve it.
    RevisionWait,
    /// `/rollouts`: the one that is open.
    Rollouts,
    /// `/rollouts/promote`: release everything to all data planes.
    PromoteRollout,
    /// `/rollouts/revert`: put everything back.
    RevertRollout,
    /// `/clustering/status`
    ClusteringStatus,
    /// `/debug/node/log-level`
    LogLevel,
    /// `/debug/node/log-level/{log_level}`
    SetLogLevel,
    /// Everything of filter chains, which need WebAssembly.
    FilterChains,
    /// `/default/workspaces/default`: whether the workspace exists.
    Workspace,
}

/// An entity type, the one that it refers to, and the field by which it does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family {
    pub(crate) parent: &'static EntityType,
    pub(crate) child: &'static EntityType,
    pub(crate) field: ForeignField,
}

impl Endpoint {
    /// The methods that it knows, besides HEAD (where there is GET) and OPTIONS.
    pub(crate) fn methods(&self) -> &'static [Method] {
        match self {
            Endpoint::Collection(_) | Endpoint::Children(_) | Endpoint::Rollouts => {
                &[Method::GET, Method::POST]
            }
            Endpoint::Item(_) | Endpoint::Child(_) | Endpoint::Parent(_) => {
                &[Method::DELETE, Method::GET, Method::PATCH, Method::PUT]
            }
            Endpoint::Api => &[Method::DELETE, Method::GET, Method::PATCH],
            Endpoint::Apis => &[Method::GET, Method::POST, Method::PUT],
            Endpoint::Declarative => &[Method::GET, Method::POST],
            Endpoint::Cache => &[Method::DELETE],
            Endpoint::Revocation => &[Method::DELETE, Method::GET, Method::PUT],
            Endpoint::CacheKey | Endpoint::DataPlane => &[Method::DELETE, Method::GET],
            Endpoint::Config | Endpoint::FilterChains => {
                &[Method::DELETE, Method::GET, Method::PATCH, Method::POST, Method::PUT]
            }
            Endpoint::SetHealth { .. } | Endpoint::SetLogLevel => &[Method::PUT],
            Endpoint::Explain
            | Endpoint::Preview(_)
            | Endpoint::PromoteRollout
            | Endpoint::RevertRollout
            | Endpoint::Validate => &[Method::POST],
            _ => &[Method::GET],
        }
    }

    /// The method that it had in earlier versions of Kong and answers to still: health is also set
    /// by POST, as clients written for Kong before 3.0 do (go-kong, Konga). OPTIONS does not tell.
    pub(crate) fn former_method(&self) -> Option<&'static Method> {
        matches!(self, Endpoint::SetHealth { .. }).then_some(&Method::POST)
    }

    /// Whether it answers to the method.
    pub(crate) fn knows(&self, method: &Method) -> bool {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.methods().contains(method) || self.former_method() == Some(method)
    }

    /// The `Allow` header, without a method that was just refused.
    pub(crate) fn allow(&self, refused: Option<&Method>) -> String {
        let allowed = self.methods().iter().filter(|method| Some(*method) != refused);
        let mut names: Vec<&str> = allowed.map(Method::as_str).collect();
        names.push("OPTIONS");
        if names.contains(&"GET") {
            names.push("HEAD");
        }
        names.sort_unstable();
        names.join(", ")
    }
}

/// One path, as a pattern.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) pattern: Vec<Part>,
    pub(crate) endpoint: Endpoint,
}

/// One segment of a pattern. Fixed ones sort before parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// This segment.
    Fixed(&'static str),
    /// Any segment that is not empty; the name is for the reader.
    Parameter(&'static str),
}

impl Route {
    /// As `GET /endpoints` shows it: `/services/{services}`.
    pub(crate) fn shown(&self) -> String {
        if self.pattern.is_empty() {
            return "/".to_owned();
        }
        let part = |part: &Part| match part {
            Part::Fixed(name) => format!("/{name}"),
            Part::Parameter(name) => format!("/{{{name}}}"),
        };
        self.pattern.iter().map(part).collect()
    }

    fn takes(&self, segments: &[Segment<'_>]) -> bool {
        self.pattern.len() == segments.len()
            && self.pattern.iter().zip(segments).all(|(part, segment)| match part {
                Part::Fixed(name) => *name == segment.name(),
                Part::Parameter(_) => !segment.raw.is_empty(),
            })
    }
}

/// All paths.
#[derive(Debug)]
pub(crate) struct Routes {
    /// Sorted, fixed segments before parameters, so that the first that fits is the right one.
    all: Vec<Route>,
    /// Where in `all` the paths with this first segment are; the one without segments is under
    /// the empty name.
    by_first: HashMap<&'static str, Vec<usize>>,
}

impl Routes {
    /// The paths of the declared entity types, and those that are no entities.
    pub(crate) fn new() -> Routes {
        let mut all: Vec<Route> = FIXED
            .iter()
            .map(|(path, endpoint)| Route { pattern: parts(path), endpoint: *endpoint })
            .collect();
        for entity in model::entities() {
            entity_routes(entity, &mut all);
        }
        all.sort_by(|a, b| a.pattern.cmp(&b.pattern));
        let mut by_first: HashMap<&'static str, Vec<usize>> = HashMap::new();
        for (at, route) in all.iter().enumerate() {
            let first = match route.pattern.first() {
                Some(Part::Fixed(name)) => name,
                _ => "",
            };
            by_first.entry(first).or_default().push(at);
        }
        Routes { all, by_first }
    }

    /// What the path stands for.
    pub(crate) fn find(&self, segments: &[Segment<'_>]) -> Option<Endpoint> {
        let first = segments.first().map_or("", Segment::name);
        let candidates = |name: &str| self.by_first.get(name).into_iter().flatten();
        candidates(first)
            .filter_map(|at| self.all.get(*at))
            .find(|route| route.takes(segments))
            .map(|route| route.endpoint)
    }

    /// All paths, sorted by segment, fixed before parameters.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.all.iter()
    }
}

const FIXED: &[(&str, Endpoint)] = &[
    ("/", Endpoint::Root),
    ("/apis", Endpoint::Apis),
    ("/apis/{apis}", Endpoint::Api),
    ("/cache", Endpoint::Cache),
    ("/cache/{key}", Endpoint::CacheKey),
    ("/clustering/data-planes", Endpoint::DataPlanes),
    ("/clustering/data-planes/{id}", Endpoint::DataPlane),
    ("/clustering/revisions/{revision}/wait", Endpoint::RevisionWait),
    ("/clustering/revocations", Endpoint::Revocations),
    ("/clustering/revocations/{fingerprint}", Endpoint::Revocation),
    ("/clustering/status", Endpoint::ClusteringStatus),
    ("/config", Endpoint::Config),
    ("/declarative", Endpoint::Declarative),
    ("/debug/node/log-level", Endpoint::LogLevel),
    ("/debug/node/log-level/{log_level}", Endpoint::SetLogLevel),
    ("/endpoints", Endpoint::Endpoints),
    ("/explain", Endpoint::Explain),
    ("/filter-chains", Endpoint::FilterChains),
    ("/filter-chains/{filter_chains}", Endpoint::FilterChains),
    ("/filter-chains/{filter_chains}/route", Endpoint::FilterChains),
    ("/filter-chains/{filter_chains}/service", Endpoint::FilterChains),
    ("/metrics", Endpoint::Metrics),
    ("/openapi.json", Endpoint::OpenApi),
    ("/plugins/enabled", Endpoint::EnabledPlugins),
    ("/plugins/schema/{name}", Endpoint::PluginConfigSchema),
    ("/rollouts", Endpoint::Rollouts),
    ("/rollouts/promote", Endpoint::PromoteRollout),
    ("/rollouts/revert", Endpoint::RevertRollout),
    ("/routes/{routes}/filter-chains", Endpoint::FilterChains),
    ("/routes/{routes}/filter-chains/{filter_chains}", Endpoint::FilterChains),
    ("/routes/{routes}/filters/all", Endpoint::FilterChains),
    ("/routes/{routes}/filters/disabled", Endpoint::FilterChains),
    ("/routes/{routes}/filters/enabled", Endpoint::FilterChains),
    ("/schemas/filters/{name}", Endpoint::FilterSchema),
    ("/schemas/plugins/validate", Endpoint::Validate),
    ("/schemas/plugins/{name}", Endpoint::PluginSchema),
    ("/schemas/vaults/validate", Endpoint::Validate),
    ("/schemas/vaults/{name}", Endpoint::VaultSchema),
    ("/schemas/{db_entity_name}/validate", Endpoint::Validate),
    ("/schemas/{name}", Endpoint::EntitySchema),
    ("/services/{services}/filter-chains", Endpoint::FilterChains),
    ("/services/{services}/filter-chains/{filter_chains}", Endpoint::FilterChains),
    ("/status", Endpoint::Status),
    ("/tags", Endpoint::Tags),
    ("/tags/{tags}", Endpoint::Tag),
];

/// The segments of a path in [`FIXED`].
fn parts(path: &'static str) -> Vec<Part> {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
            Some(name) => Part::Parameter(name),
            None => Part::Fixed(segment),
        })
        .collect()
}

fn entity_routes(entity: &'static EntityType, all: &mut Vec<Route>) {
    let item = vec![Part::Fixed(entity.path), Part::Parameter(entity.name)];
    let mut add = |pattern, endpoint| all.push(Route { pattern, endpoint });
    if entity.top_level {
        add(vec![Part::Fixed(entity.path)], Endpoint::Collection(entity));
        add(item.clone(), Endpoint::Item(entity));
    }
    for field in entity.foreign_fields() {
        let Some(parent) = model::entity(field.entity) else { continue };
        let family = Family { parent, child: entity, field };
        if entity.top_level && entity::shows_parent(entity, field.name) {
            add(longer(&item, &[Part::Fixed(field.name)]), Endpoint::Parent(family));
        }
        let children = vec![
            Part::Fixed(parent.path),
            Part::Parameter(parent.name),
            Part::Fixed(entity.nested_path),
        ];
        let child = longer(&children, &[Part::Parameter(entity.name)]);
        if entity.name == "targets" {
            add(longer(&children, &[Part::Fixed("all")]), Endpoint::AllTargets(family));
            add(longer(&children, &[Part::Fixed("active")]), Endpoint::ActiveTargets(family));
            let upstream = [Part::Fixed(parent.path), Part::Parameter(parent.name)];
            add(longer(&upstream, &[Part::Fixed("health")]), Endpoint::UpstreamHealth(family));
            add(longer(&upstream, &[Part::Fixed("preview")]), Endpoint::Preview(family));
            for (name, healthy) in [("healthy", true), ("unhealthy", false)] {
                let (name, address) = (Part::Fixed(name), Part::Parameter("address"));
                let endpoint = Endpoint::SetHealth { family, healthy };
                add(longer(&child, &[name]), endpoint);
                add(longer(&child, &[address, name]), endpoint);
            }
        }
        add(children, Endpoint::Children(family));
        add(child, Endpoint::Child(family));
    }
}

fn longer(pattern: &[Part], more: &[Part]) -> Vec<Part> {
    [pattern, more].concat()
}

#[cfg(test)]
mod tests;
