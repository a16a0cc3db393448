//! What a data plane says of itself, checked.

use model::{Cursor, Digest};
use uuid::Uuid;
use wire::v1;
use wire::v1::status_report::State as WireState;

use crate::fleet::{Node, Rejection, State};

/// A [`v1::StatusReport`] whose fields have been checked.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) node: Node,
    pub(crate) received: Option<Cursor>,
    pub(crate) serving: Option<Cursor>,
    pub(crate) digest: Option<Digest>,
    pub(crate) state: State,
    pub(crate) rejections: Vec<Rejection>,
    pub(crate) rejections_total: u64,
}

impl TryFrom<v1::StatusReport> for Report {
    type Error = wire::Malformed;

    fn try_from(report: v1::StatusReport) -> Result<Report, wire::Malformed> {
        let state = match report.state() {
            WireState::Unspecified => State::Unknown,
            WireState::Booting => State::Booting,
            WireState::Streaming => State::Streaming,
            WireState::Polling => State::Polling,
            WireState::Stale => State::Stale,
        };
        let digest = (!report.digest.is_empty())
            .then(|| wire::digest_from("digest", &report.digest))
            .transpose()?;
        let rejections = report
            .rejections
            .into_iter()
            .map(|rejection| {
                Ok(Rejection {
                    revision: rejection.revision,
                    id: wire::uuid_from("id", &rejection.id)?,
                    kind: rejection.kind,
                    reason: rejection.reason,
                    in_part: rejection.in_part,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Report {
            node: Node::try_from(report.node)?,
            received: wire::cursor_from(report.received)?,
            serving: wire::cursor_from(report.serving)?,
            digest,
            state,
            rejections,
            rejections_total: report.rejections_total,
        })
    }
}

impl TryFrom<Option<v1::Node>> for Node {
    type Error = wire::Malformed;

    fn try_from(node: Option<v1::Node>) -> Result<Node, wire::Malformed> {
        let v1::Node { id, hostname, version, labels, plugins } =
            node.ok_or_else(|| wire::Malformed("the data plane does not say who it is".into()))?;
        let id = Uuid::try_parse(&id)
            .map_err(|_| wire::Malformed("the data plane's id is not a UUID".into()))?;
        Ok(Node { id, hostname, version, labels, plugins })
    }
}
