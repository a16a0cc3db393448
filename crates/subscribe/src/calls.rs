//! The calls, each with its time limits, turned into what the machine understands.

use std::time::Duration;

use model::{Cursor, Digest};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};
use wire::v1::config_sync_client::ConfigSyncClient;
use wire::v1::watch_frame::Kind;
use wire::{Entities, Malformed, v1};

use crate::machine::{Batch, Event, Failure, Said};

/// Opening a stream and each part of a snapshot are answered within this.
const ANSWER: Duration = Duration::from_secs(15);
/// A poll is answered within this, or the next control plane is asked.
const POLL: Duration = Duration::from_secs(10);
/// A report is answered within this.
const REPORT: Duration = Duration::from_secs(5);
/// A control plane that promises bookmarks more rarely than this is not believed.
const MAX_SILENCE: Duration = Duration::from_secs(300);
/// Nor one that promises them more often: three of them are still this long.
const MIN_SILENCE: Duration = Duration::from_secs(3);

/// Opens a stream and says what comes, until it is over.
pub(crate) async fn watch(
    channel: Channel,
    node: v1::Node,
    from: Cursor,
    stream: u64,
    events: mpsc::Sender<Event>,
) {
    let over = match follow(channel, node, from, stream, &events).await {
        Ok(()) => Failure("the control plane ended it".to_owned()),
        Err(failure) => failure,
    };
    // Nobody listens any more when the client has ended.
    let _ = events.send(Event::Stream(stream, Said::Closed(over))).await;
}

async fn follow(
    channel: Channel,
    node: v1::Node,
    from: Cursor,
    stream: u64,
    events: &mpsc::Sender<Event>,
) -> Result<(), Failure> {
    let own_version = node.version.clone();
    let request = v1::WatchRequest { node: Some(node), from: Some(wire::cursor_to(from)) };
    let mut client = client(channel);
    let mut frames = within(ANSWER, client.watch(request)).await?.into_inner();
    let mut silence = ANSWER;
    let mut parts = wire::Assembler::default();
    while let Some(frame) = within(silence, frames.message()).await? {
        let said = match frame.kind {
            Some(Kind::Hello(hello)) => {
                if hello.version != own_version {
                    tracing::info!(
                        control_plane = hello.version,
                        data_plane = own_version,
                        "the planes run different versions; what this one does not know is \
                         reported by name and kept out"
                    );
                }
                let bookmarks = Duration::from_millis(hello.bookmark_ms.into());
                silence = (bookmarks * 3).clamp(MIN_SILENCE, MAX_SILENCE);
                Said::Hello { head: head(hello.head)? }
            }
            Some(Kind::Transaction(part)) => match parts.push(part)? {
                Some(transaction) => Said::Transaction(transaction),
                None => continue,
            },
            Some(Kind::Bookmark(v1::Bookmark { revision, digest })) => {
                Said::Bookmark { revision, digest: wire::digest_from("digest", &digest)? }
            }
            Some(Kind::Resync(resync)) => Said::Resync(resync.reason()),
            Some(Kind::Goodbye(goodbye)) => {
                Said::Goodbye { retry_after: Duration::from_millis(goodbye.retry_after_ms.into()) }
            }
            // A newer control plane says something that need not be understood.
            None => continue,
        };
        if events.send(Event::Stream(stream, said)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Asks once for the changes after `from`.
pub(crate) async fn poll(channel: Channel, node: v1::Node, from: Cursor) -> Result<Batch, Failure> {
    let request = v1::GetChangesRequest { node: Some(node), from: Some(wire::cursor_to(from)) };
    let batch = within(POLL, client(channel).get_changes(request)).await?.into_inner();
    let outcome = match batch.resync {
        Some(resync) => Err(resync.reason()),
        None => Ok(batch
            .transactions
            .into_iter()
            .map(wire::transaction_from)
            .collect::<Result<_, _>>()?),
    };
    let digest = wire::digest_from("digest", &batch.digest)?;
    Ok(Batch { head: head(batch.head)?, digest, outcome })
}

/// Takes a snapshot that is not older than `from`.
pub(crate) async fn snapshot(
    channel: Channel,
    node: v1::Node,
    from: Option<Cursor>,
) -> Result<(Cursor, Entities), Failure> {
    let request = v1::SnapshotRequest { node: Some(node), from: from.map(wire::cursor_to) };
    let mut client = client(channel);
    let mut chunks = within(ANSWER, client.get_snapshot(request)).await?.into_inner();
    let mut entities = Entities::default();
    let mut first: Option<(Cursor, u32, Digest, u64)> = None;
    let mut next = 0;
    while let Some(chunk) = within(ANSWER, chunks.message()).await? {
        let digest = wire::digest_from("digest", &chunk.digest)?;
        let of = (head(chunk.at)?, chunk.total, digest, chunk.entities);
        if *first.get_or_insert(of) != of || chunk.index != next || next >= of.1 {
            return Err(Failure("its parts do not belong together".to_owned()));
        }
        wire::unpack(&chunk.zstd, chunk.raw_len, &mut entities)?;
        next += 1;
    }
    let (at, total, digest, len) =
        first.ok_or_else(|| Failure("the snapshot has no parts".to_owned()))?;
    if next != total || entities.len() as u64 != len {
        return Err(Failure(format!(
            "the snapshot is incomplete: {next} of {total} parts, {} of {len} entities",
            entities.len()
        )));
    }
    if entities.digest() != digest {
        return Err(Failure(format!(
            "the snapshot at {at} has the digest {}, not {digest} as announced",
            entities.digest()
        )));
    }
    Ok((at, entities))
}

/// The answer to a report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    /// How long the next report may take.
    pub(crate) next: Duration,
    /// The number of the report of health that the control plane holds; 0 is none.
    pub(crate) health_held: u64,
}

/// Reports.
pub(crate) async fn report(channel: Channel, report: v1::StatusReport) -> Result<Reply, Failure> {
    let reply = within(REPORT, client(channel).report_status(report)).await?.into_inner();
    let next = Duration::from_millis(reply.next_ms.into());
    Ok(Reply { next, health_held: reply.health_held })
}

/// Tells of the health of targets; gives the number of the report that is held then, `None` when
/// the control plane does not take any.
pub(crate) async fn report_health(
    channel: Channel,
    report: v1::HealthReport,
) -> Result<Option<u64>, Failure> {
    let mut client = client(channel);
    let call = async {
        match client.report_health(report).await {
            Ok(reply) => Ok(Some(reply.into_inner().held)),
            Err(status) if status.code() == Code::Unimplemented => Ok(None),
            Err(status) => Err(status),
        }
    };
    within(REPORT, call).await
}

/// Adds to counters; gives what they then stand at.
pub(crate) async fn count(
    channel: Channel,
    request: v1::CountRequest,
    limit: Duration,
) -> Result<Vec<i64>, Failure> {
    Ok(within(limit, client(channel).count(request)).await?.into_inner().totals)
}

fn client(channel: Channel) -> ConfigSyncClient<Channel> {
    ConfigSyncClient::new(channel)
        .max_decoding_message_size(wire::MAX_MESSAGE)
        .max_encoding_message_size(wire::MAX_MESSAGE)
}

fn head(cursor: Option<v1::Cursor>) -> Result<Cursor, Failure> {
    wire::cursor_from(cursor)?.ok_or_else(|| Failure("a cursor is missing".to_owned()))
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Failure> {
    match timeout(limit, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(status)) => Err(Failure::from(status)),
        Err(_) => Err(Failure(format!("nothing came for {} s", limit.as_secs()))),
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Failure {
        Failure(malformed.to_string())
    }
}

impl From<Status> for Failure {
    /// What failed, and what made it fail.
    fn from(status: Status) -> Failure {
        let mut text = match status.code() {
            Code::Unknown | Code::Unavailable | Code::Internal => status.message().to_owned(),
            Code::Unimplemented => format!(
                "it does not know this call ({}); it runs another version, or is no control plane",
                status.message()
            ),
            code => format!("{code:?}: {}", status.message()),
        };
        let mut cause = std::error::Error::source(&status);
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            cause = error.source();
        }
        Failure(text)
    }
}
