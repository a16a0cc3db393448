//! Taking away expired entities, every so often.

use std::convert::Infallible;
use std::time::Duration;

use admin::Api;
use process::Process;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// How often, a quarter more or less: several control planes on one store take turns by chance.
const PERIOD: Duration = Duration::from_secs(60);

/// Deletes what has expired until the process drains. While the database cannot be reached it is
/// said once, and tried again each time.
pub(crate) fn run(process: &Process, api: &Api) {
    let (api, shutdown) = (api.clone(), process.tasks.shutdown().clone());
    let mut random = StdRng::from_os_rng();
    process.tasks.spawn("expiry", async move {
        let mut failing = false;
        loop {
            let pause = PERIOD.mul_f64(random.random_range(0.75..=1.25));
            tokio::select! {
                () = shutdown.draining() => return Ok::<(), Infallible>(()),
                () = tokio::time::sleep(pause) => {}
            }
            match api.delete_expired().await {
                Ok(deleted) => {
                    failing = false;
                    if deleted > 0 {
                        tracing::info!(deleted, "expired entities were deleted");
                    }
                }
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(%error, "expired entities could not be deleted; trying again later");
                }
                Err(_) => {}
            }
        }
    });
}
