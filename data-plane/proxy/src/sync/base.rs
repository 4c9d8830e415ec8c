//! Fetches a whole state beside the stream: chunks are checked against their digests and read here, and handed over one
//! by one, so that urgent changes are never behind them.

use std::time::Duration;

use domain::ids::Revision;
use domain::snapshot::Change;
use link::base::BaseDigest;
use prost::Message as _;
use proto::convert::read_changes;
use proto::sync as wire;
use proto::sync::base_response::Message as Body;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::wire::{Wire, retry_after, traced};

/// Resources of unknown kinds that are named in the acknowledgement at most.
const STRANGE: usize = 100;
/// How long the next piece may take.
const PIECE: Duration = Duration::from_secs(15);

/// What comes of a transfer, in order.
pub(super) enum Piece {
    Changes(Vec<Change>),
    /// The last piece. `objects` are those of kinds known here, `strange` some of the others; `fits`: every chunk and
    /// the whole had their digests.
    End {
        revision: Revision,
        objects: u64,
        strange: Vec<wire::Refusal>,
        fits: bool,
    },
    /// The transfer broke off; when to try again, if the controller said so.
    Failed(Option<Duration>),
}

/// A transfer under way. Dropping it ends it.
pub(super) struct Transfer {
    pieces: mpsc::Receiver<Piece>,
    task: JoinHandle<()>,
}

impl Transfer {
    /// Asks for a base; `force` may replace a much larger state.
    pub(super) fn begin(wire: &Wire, force: bool) -> Transfer {
        // One piece is read ahead: more would only hold memory.
        let (sender, pieces) = mpsc::channel(1);
        let task = tokio::spawn(fetch(wire.clone(), force, sender));
        Transfer { pieces, task }
    }

    /// The next piece.
    pub(super) async fn next(&mut self) -> Piece {
        self.pieces.recv().await.unwrap_or(Piece::Failed(None))
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn fetch(wire: Wire, force: bool, pieces: mpsc::Sender<Piece>) {
    let last = match receive(&wire, force, &pieces).await {
        Ok(end) => end,
        Err(status) => {
            tracing::warn!(code = ?status.code(), reason = status.message(), "a whole state could not be fetched");
            Piece::Failed(retry_after(&status))
        }
    };
    let _ = pieces.send(last).await;
}

async fn receive(wire: &Wire, force: bool, pieces: &mpsc::Sender<Piece>) -> Result<Piece, tonic::Status> {
    let span = tracing::info_span!("base", force);
    let request = traced(&span, wire::BaseRequest { proxy_id: wire.proxy_id(), force });
    let mut client = wire.bulk();
    let mut stream = within_piece(client.base(request)).await?.into_inner();
    let (mut digest, mut fits) = (BaseDigest::new(), true);
    let (mut strange, mut skipped) = (Vec::new(), 0u64);
    loop {
        let message = within_piece(stream.message()).await?.and_then(|message| message.message);
        match message {
            Some(Body::Chunk(chunk)) => {
                fits &= digest.check(&chunk.payload, &chunk.digest);
                let list = wire::Changes::decode(chunk.payload)
                    .map_err(|_| tonic::Status::data_loss("a chunk cannot be read"))?;
                let read = read_changes(list.changes);
                skipped = skipped.saturating_add(read.strange.len() as u64);
                strange.extend(read.strange);
                strange.truncate(STRANGE);
                if pieces.send(Piece::Changes(read.changes)).await.is_err() {
                    return Ok(Piece::Failed(None));
                }
            }
            Some(Body::End(end)) => {
                fits &= digest.finish().as_slice() == &*end.digest;
                let objects = end.objects.saturating_sub(skipped);
                return Ok(Piece::End { revision: Revision(end.revision), objects, strange, fits });
            }
            None => return Err(tonic::Status::data_loss("the state ended before it was whole")),
        }
    }
}

async fn within_piece<T>(next: impl Future<Output = Result<T, tonic::Status>>) -> Result<T, tonic::Status> {
    let waited = tokio::time::timeout(PIECE, next).await;
    waited.unwrap_or_else(|_| Err(tonic::Status::deadline_exceeded("nothing came in time")))
}
