//! The benchmarks of one engine alone: an example of its crate, built as it is shipped.

use anyhow::Result;
use clap::Subcommand;

use crate::run::{cargo, run};

/// One engine, without a gateway around it.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum Engine {
    /// Finding the route and changing one, beside Kong's own router
    Router,
    /// Picking a target and changing one, each algorithm
    Balancer,
    /// What active health checks of many targets cost
    Probes,
    /// Writes through the Admin API on both stores, beside plain SQL
    Admin,
    /// A thousand data planes, a large configuration, and how soon changes reach traffic
    Cluster,
}

impl Engine {
    /// Builds and runs it; it prints its own table.
    pub(super) fn run(self, profile: &str) -> Result<()> {
        let (package, example) = self.example();
        let arguments = ["run", "--quiet", "--locked", "--profile", profile];
        run(cargo().args(arguments).args(["--package", package, "--example", example]))
    }

    fn example(self) -> (&'static str, &'static str) {
        match self {
            Engine::Router => ("router", "router_bench"),
            Engine::Balancer => ("balancer", "balancer_bench"),
            Engine::Probes => ("upstream", "probe_bench"),
            Engine::Admin => ("end-to-end", "admin_bench"),
            Engine::Cluster => ("end-to-end", "cluster_bench"),
        }
    }
}
