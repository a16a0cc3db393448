//! The machine, and what this process takes of it, as Linux tells.

use std::fs;

use lifecycle::Tasks;
use telemetry::build_info;
use telemetry::metrics::{Kind, Registry};
use uuid::Uuid;

/// Resident memory of this process in bytes; 0 where the system does not tell.
pub fn resident_memory() -> u64 {
    // Pages: total, resident, shared… Linux has 4 KiB pages on the machines we build for.
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// The machine's memory in bytes; 0 where the system does not tell.
pub fn total_memory() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
    kib.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// The machine's name; `localhost` where the system does not tell.
pub fn hostname() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// The figures that Prometheus's client libraries give for every process, and the build.
pub(crate) fn register(metrics: &Registry) {
    metrics.collect(|text| {
        text.family(
            "weir_build_info",
            Kind::Gauge,
            "Weir's version, and the version of Kong that it answers as",
        );
        let labels = [("version", build_info::VERSION), ("kong_version", build_info::KONG_VERSION)];
        text.whole("weir_build_info", &labels, 1);
        text.family("process_resident_memory_bytes", Kind::Gauge, "Resident memory size in bytes");
        text.whole("process_resident_memory_bytes", &[], resident_memory());
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            text.family("process_open_fds", Kind::Gauge, "Number of open file descriptors");
            text.whole("process_open_fds", &[], open.count() as u64);
        }
    });
}

/// The figures that Kong gives for every node, under Kong's names, so that its dashboards work.
/// What is Lua's or nginx's there is told of what takes its place here.
pub(crate) fn register_node(metrics: &Registry, id: Uuid, tasks: Tasks) {
    let id = id.to_string();
    metrics.collect(move |text| {
        text.family("kong_node_info", Kind::Gauge, "Kong Node metadata information");
        let labels = [("node_id", &*id), ("version", build_info::KONG_VERSION)];
        text.whole("kong_node_info", &labels, 1);
        text.family("kong_nginx_timers", Kind::Gauge, "Number of background tasks");
        for (state, number) in [("running", tasks.running() as u64), ("pending", 0)] {
            text.whole("kong_nginx_timers", &[("state", state)], number);
        }
        let resident = resident_memory();
        let name = "kong_memory_workers_lua_vms_bytes";
        text.family(name, Kind::Gauge, "Resident memory of the process in bytes");
        let pid = std::process::id().to_string();
        let labels = [("node_id", &*id), ("pid", &*pid), ("kong_subsystem", "http")];
        text.whole(name, &labels, resident);
        let shared = [("node_id", &*id), ("shared_dict", "process"), ("kong_subsystem", "http")];
        for (name, help, bytes) in [
            (
                "kong_memory_lua_shared_dict_bytes",
                "Resident memory of the process in bytes; there are no shared dictionaries",
                resident,
            ),
            (
                "kong_memory_lua_shared_dict_total_bytes",
                "Memory of the machine in bytes; there are no shared dictionaries",
                total_memory(),
            ),
        ] {
            text.family(name, Kind::Gauge, help);
            text.whole(name, &shared, bytes);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_tells() {
        assert!(resident_memory() > 100_000);
        assert!(total_memory() > resident_memory());
        let metrics = Registry::new();
        register(&metrics);
        assert!(metrics.render().contains("\nweir_build_info{version=\""));
    }
}
