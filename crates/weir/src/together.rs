//! The two planes, joined by a pipe.

use std::net::SocketAddr;
use std::sync::Arc;

use control_plane::Together;
use process::Process;
use settings::Settings;

use crate::explain::Explained;
use crate::local::Local;

/// Both planes, running; the process's tasks end them.
#[derive(Debug)]
pub struct Running {
    /// The control plane.
    pub control: control_plane::Running,
    /// The data plane.
    pub data: data_plane::Running,
}

impl Running {
    /// The first address of the Admin API.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.control.admin.first().copied()
    }

    /// The first address of the proxy.
    pub fn proxy(&self) -> Option<SocketAddr> {
        self.data.proxy.first().copied()
    }
}

/// Starts both planes in this process. The data plane speaks to the control plane by the same
/// code as across a network.
///
/// # Errors
/// What is in the way, and what to do about it.
pub async fn start(settings: &Settings, process: &Process) -> anyhow::Result<Running> {
    let (dialer, listener) = wire::pipe();
    let data = data_plane::start(settings, process, Some(dialer))?;
    let local = Arc::new(Local::new(data.view.clone()));
    let explain = Arc::new(Explained::new(data.view.explainer().clone()));
    let together = Together { listener, data_plane: local, explain };
    let control = control_plane::start(settings, process, Some(together)).await?;
    Ok(Running { control, data })
}
