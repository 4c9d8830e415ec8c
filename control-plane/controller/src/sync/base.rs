//! Whole states: everything at one revision, in chunks of at most 1 MiB with a digest each and one over all. Read, made
//! into messages and sent by three hands with short queues between them, so that memory is bounded and none waits for
//! the others longer than it must.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::ids::{ProxyId, Revision};
use domain::snapshot::Change;
use link::base::{BaseDigest, CHUNK, chunk_digest};
use proto::sync::{self as wire, base_response};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::busy;
use crate::app::App;
use crate::error::Error;

/// Rows that are read at a time.
const PAGE: u32 = 5_000;
/// Pages, and chunks, that wait for the next hand.
const BETWEEN: usize = 2;
/// How long to wait for a place among those that are served at a time.
const PATIENCE: Duration = Duration::from_secs(1);
/// When to come back after that, in milliseconds.
const COME_BACK_MS: u64 = 2_000;
/// A proxy that takes no chunk for this long is not sent any more: the transfer holds a read of the database open.
const DEAF: Duration = Duration::from_secs(30);

type Answer = mpsc::Sender<Result<wire::BaseResponse, Status>>;

/// What the reading hand passes on.
enum Read {
    Began(Revision),
    Page(Vec<Change>),
    Failed(store::Error),
}

/// Sends a whole state.
pub async fn serve(
    app: &Arc<App>,
    request: &wire::BaseRequest,
) -> Result<ReceiverStream<Result<wire::BaseResponse, Status>>, Status> {
    let proxy: ProxyId =
        request.proxy_id.parse().map_err(|error| Status::invalid_argument(format!("proxy_id: {error}")))?;
    let place = tokio::time::timeout(PATIENCE, app.fleet.bases.clone().acquire_owned()).await;
    let Ok(Ok(place)) = place else {
        return Err(busy("other proxies are being brought up to date: try again", COME_BACK_MS));
    };
    tracing::info!(%proxy, forced = request.force, "proxy {proxy} gets a whole state");
    let (pages, read) = mpsc::channel(BETWEEN);
    let (answer, out) = mpsc::channel(BETWEEN);
    let app = app.clone();
    tokio::spawn(async move { fetch(&app, &pages).await });
    tokio::spawn(async move {
        let _place = place;
        if let Err(status) = send(read, &answer).await {
            tracing::warn!(%proxy, why = status.message(), "a whole state was not sent to the end");
            let _ = answer.send_timeout(Err(status), DEAF).await;
        }
    });
    Ok(ReceiverStream::new(out))
}

/// The reading hand. Ends when nobody wants more.
async fn fetch(app: &App, pages: &mpsc::Sender<Read>) {
    let read = async {
        let mut base = store::snapshot::base(&app.store).await?;
        if pages.send(Read::Began(base.revision())).await.is_err() {
            return Ok(());
        }
        while let Some(page) = base.next(PAGE).await? {
            if pages.send(Read::Page(page)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    };
    if let Err(error) = read.await {
        let _ = pages.send(Read::Failed(error)).await;
    }
}

/// The two other hands: makes chunks, and waits for the proxy to take them.
async fn send(mut read: mpsc::Receiver<Read>, answer: &Answer) -> Result<(), Status> {
    let mut whole = Whole::default();
    let mut revision = None;
    while let Some(next) = read.recv().await {
        match next {
            Read::Began(at) => revision = Some(at),
            Read::Page(changes) => {
                for change in &changes {
                    if let Some(chunk) = whole.add(change)? {
                        give(answer, chunk).await?;
                    }
                }
            }
            Read::Failed(error) => return Err(Error::from(error).into()),
        }
    }
    let Some(revision) = revision else { return Err(Status::internal("the state was not read")) };
    if let Some(chunk) = whole.cut() {
        give(answer, chunk).await?;
    }
    give(answer, whole.end(revision)).await
}

async fn give(answer: &Answer, message: base_response::Message) -> Result<(), Status> {
    let message = wire::BaseResponse { message: Some(message) };
    let given = answer.send_timeout(Ok(message), DEAF).await;
    given.map_err(|_| Status::deadline_exceeded("the proxy stopped reading"))
}

/// A whole state as it is made.
#[derive(Default)]
struct Whole {
    /// The present chunk: an encoded list of changes.
    chunk: BytesMut,
    objects: u64,
    digest: BaseDigest,
}

impl Whole {
    /// Adds one change; gives the chunk before it when that is full.
    fn add(&mut self, change: &Change) -> Result<Option<base_response::Message>, Status> {
        let (kind, name) = (change.kind.name(), &change.name);
        let change = wire::Change::from(change);
        let len = prost::encoding::message::encoded_len(1, &change);
        if len > CHUNK {
            return Err(Status::internal(format!("the {kind} {name} is too large to be sent")));
        }
        let full = if self.chunk.len() + len > CHUNK { self.cut() } else { None };
        if self.chunk.capacity() == 0 {
            self.chunk.reserve(CHUNK);
        }
        prost::encoding::message::encode(1, &change, &mut self.chunk);
        self.objects += 1;
        Ok(full)
    }

    /// The chunk so far, unless it is empty.
    fn cut(&mut self) -> Option<base_response::Message> {
        if self.chunk.is_empty() {
            return None;
        }
        let payload = std::mem::take(&mut self.chunk).freeze();
        let digest = chunk_digest(&payload);
        self.digest.add(&digest);
        Some(base_response::Message::Chunk(wire::BaseChunk { payload, digest: Bytes::copy_from_slice(&digest) }))
    }

    fn end(self, revision: Revision) -> base_response::Message {
        base_response::Message::End(wire::BaseEnd {
            revision: revision.0,
            objects: self.objects,
            digest: Bytes::copy_from_slice(&self.digest.finish()),
        })
    }
}

/// Kept beside the encoding that it must agree with.
#[cfg(test)]
mod tests {
    use domain::snapshot::Kind;
    use prost::Message as _;

    use super::*;

    #[test]
    fn a_chunk_is_an_encoded_list_of_changes_and_never_above_its_size() {
        let mut whole = Whole::default();
        let mut chunks = Vec::new();
        for number in 0..30_000 {
            let change = Change::removed(Revision(number), Kind::Key, format!("{number:064x}"));
            chunks.extend(whole.add(&change).unwrap());
        }
        chunks.extend(whole.cut());
        let mut read = 0;
        for chunk in &chunks {
            let base_response::Message::Chunk(chunk) = chunk else { panic!("only chunks before the end") };
            assert!(chunk.payload.len() <= CHUNK);
            assert_eq!(chunk.digest, chunk_digest(&chunk.payload).as_slice());
            for change in wire::Changes::decode(chunk.payload.clone()).unwrap().changes {
                assert_eq!(change.revision, read);
                read += 1;
            }
        }
        assert!(chunks.len() > 2, "{} chunks", chunks.len());
        assert_eq!(read, 30_000);
        let base_response::Message::End(end) = whole.end(Revision(7)) else { panic!("the end") };
        assert_eq!((end.objects, end.revision), (30_000, 7));
    }
}
