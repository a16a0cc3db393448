//! What becomes of requests in this process, in the words in which the control plane asks.

use async_trait::async_trait;
use control_plane::{Explain, Shadow, Unexplained};
use data_plane::Explainer;
use serde_json::{Map, Value};
use uuid::Uuid;

/// The data plane of this process, asked about requests.
pub(crate) struct Explained(Explainer);

impl Explained {
    pub(crate) fn new(explainer: Explainer) -> Explained {
        Explained(explainer)
    }
}

#[async_trait]
impl Explain for Explained {
    async fn explain(&self, described: &Map<String, Value>) -> Result<Value, Unexplained> {
        self.0.explain(described).await.map_err(|why| match why {
            data_plane::Unexplained::Field { field, reason } => {
                Unexplained::Field { field, reason }
            }
            why @ data_plane::Unexplained::Revision { .. } => {
                Unexplained::NotServed { reason: why.to_string() }
            }
        })
    }

    fn shadows(&self, route: Uuid) -> Vec<Shadow> {
        let shadows = self.0.shadows(route).into_iter();
        shadows
            .map(|(shadow, name)| {
                let is_hidden = shadow.by == route;
                let other = if is_hidden { shadow.hidden } else { shadow.by };
                Shadow { other, name, is_hidden, whole: shadow.whole }
            })
            .collect()
    }
}
