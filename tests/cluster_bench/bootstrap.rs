//! A data plane that starts with nothing, or with what it kept.

use anyhow::{Result, ensure};

use crate::planes::{ControlPlane, DataPlane, memory};
use crate::table;

/// Half services, half routes.
const ENTITIES: usize = 100_000;

/// Starts against a large configuration, with and without a control plane.
pub(crate) fn measure() -> Result<()> {
    let control_plane = ControlPlane::start()?;
    control_plane.load(ENTITIES / 2, 9)?;
    let folder = control_plane.dir.path().join("data");
    // The first one has the control plane make the snapshot that all others of these seconds get.
    for (what, folder) in [("first", &folder), ("next", &folder.with_extension("next"))] {
        let data_plane = DataPlane::start(&control_plane, folder, ENTITIES / 2)?;
        let (now, most) = memory(&data_plane.program)?;
        table::row(
            &format!("bootstrap with {ENTITIES} entities, the {what} data plane"),
            &report(&data_plane, now, most),
            "≤ 2 s, ≤ 300 MB",
        );
        // In good order, so that it keeps what it serves.
        data_plane.program.signal("TERM")?;
        let (status, said) = data_plane.program.wait()?;
        ensure!(status.success(), "{said}");
    }
    control_plane.program.signal("KILL")?;
    let data_plane = DataPlane::start(&control_plane, &folder, ENTITIES / 2)?;
    let (now, most) = memory(&data_plane.program)?;
    let figures = report(&data_plane, now, most);
    table::row("the same from its disk, without a control plane", &figures, "");
    Ok(())
}

fn report(data_plane: &DataPlane, now: u64, most: u64) -> String {
    format!(
        "{:.2} s, {} MB when ready (at most {} MB)",
        data_plane.ready_after.as_secs_f64(),
        now / 1_000_000,
        most / 1_000_000
    )
}
