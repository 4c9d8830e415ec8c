//! The proxy-facing side: the service of the sync contract, each method handed to a room of its own. Served on loopback
//! only, until the planes have mutual TLS.
//!
//! | to see | read |
//! | --- | --- |
//! | how a committed change reaches every stream | `publisher.rs` |
//! | one proxy's stream, from hello to its end | `hello.rs`, then `stream.rs` |
//! | what others may say to a stream, and what it owes | `connection.rs` |
//! | who is connected and what they have applied | `fleet.rs`; as rows for other controllers: `register.rs` |
//! | whole states, provider credentials, questions to the books | `base.rs`, `secrets.rs`, `query.rs` |

mod base;
mod connection;
pub mod fleet;
mod flights;
mod hello;
mod publisher;
mod query;
mod register;
mod rows;
mod secrets;
mod stream;
#[cfg(test)]
pub(crate) mod tests;

pub use connection::Connection;

use std::sync::Arc;

use domain::ids::{BootEpoch, ProxyId};
use proto::sync::{self as wire, sync_service_server::SyncService};
use runtime::tasks::Tasks;
use runtime::telemetry::{TRACE, adopt};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};
use tracing::{Instrument as _, Span};

use crate::app::App;
use crate::error::{Error, Result};
use crate::fault::invalid;
use crate::{credits, usage};

/// Most asks in one call; a batch of a borrower holds at most this many.
const MOST_ASKS: usize = 1_000;
/// Most records in one report.
const MOST_RECORDS: usize = 10_000;

/// Starts what brings changes to the streams. What was committed until now is known to whoever connects later.
pub async fn start(app: &Arc<App>, tasks: &Tasks) -> Result<()> {
    app.fleet.begin(store::revisions::head(&app.store).await?);
    publisher::start(app, tasks);
    register::start(app, tasks);
    Ok(())
}

/// The service.
pub struct Service(Arc<App>);

impl Service {
    /// The service of one controller.
    pub fn new(app: Arc<App>) -> Service {
        Service(app)
    }
}

#[tonic::async_trait]
impl SyncService for Service {
    type WatchStream = ReceiverStream<Result<wire::WatchResponse, Status>>;
    type BaseStream = ReceiverStream<Result<wire::BaseResponse, Status>>;

    async fn watch(
        &self,
        request: Request<Streaming<wire::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        stream::serve(&self.0, request.into_inner()).map(Response::new)
    }

    async fn base(&self, request: Request<wire::BaseRequest>) -> Result<Response<Self::BaseStream>, Status> {
        let span = span("sync base", request.metadata());
        base::serve(&self.0, request.get_ref()).instrument(span).await.map(Response::new)
    }

    async fn lease(&self, request: Request<wire::LeaseRequest>) -> Result<Response<wire::LeaseResponse>, Status> {
        let span = span("sync lease", request.metadata());
        Ok(Response::new(lease(&self.0, request.into_inner()).instrument(span).await?))
    }

    async fn report(&self, request: Request<wire::ReportRequest>) -> Result<Response<wire::ReportResponse>, Status> {
        let span = span("sync report", request.metadata());
        Ok(Response::new(report(&self.0, request.into_inner()).instrument(span).await?))
    }

    async fn secrets(&self, request: Request<wire::SecretsRequest>) -> Result<Response<wire::SecretsResponse>, Status> {
        let span = span("sync secrets", request.metadata());
        Ok(Response::new(secrets::seal(&self.0, request.get_ref()).instrument(span).await?))
    }

    async fn query(&self, request: Request<wire::QueryRequest>) -> Result<Response<wire::QueryResponse>, Status> {
        let span = span("sync query", request.metadata());
        Ok(Response::new(query::answer(&self.0, request.into_inner()).instrument(span).await?))
    }
}

async fn lease(app: &App, request: wire::LeaseRequest) -> Result<wire::LeaseResponse> {
    if request.asks.len() > MOST_ASKS {
        return Err(invalid("asks", format!("at most {MOST_ASKS} in one call")).into());
    }
    let (proxy, epoch) = who(&request.proxy_id, request.boot_epoch)?;
    let mut asks = Vec::with_capacity(request.asks.len());
    for ask in request.asks {
        match link::lease::Ask::try_from(ask) {
            Ok(ask) => asks.push(ask),
            // A pool that is left out of the answer counts as not answered; the others need not wait for it.
            Err(error) => tracing::warn!(%proxy, %error, "an ask cannot be understood"),
        }
    }
    let call = credits::lend::Call { proxy, epoch, sequence: request.sequence, asks };
    Ok((&credits::lend::lease(app, call).await?).into())
}

async fn report(app: &App, request: wire::ReportRequest) -> Result<wire::ReportResponse> {
    if request.records.len() > MOST_RECORDS {
        return Err(invalid("records", format!("at most {MOST_RECORDS} in one report")).into());
    }
    let (proxy, epoch) = who(&request.proxy_id, request.boot_epoch)?;
    let records = request.records.into_iter().map(TryInto::try_into).collect::<Result<Vec<_>, _>>();
    let records = records.map_err(|error: proto::convert::InvalidUsageRecord| {
        // Nothing is left out of a sequence: the spool keeps the record until somebody has looked.
        tracing::error!(%proxy, %epoch, %error, "a usage record cannot be understood; this report is not booked");
        invalid("records", error.to_string())
    })?;
    let first_sequence = request.first_sequence;
    let report = usage::ingest::Report { proxy, epoch, first_sequence, records, drained: request.drained };
    Ok(wire::ReportResponse { high_water_mark: usage::ingest::report(app, report).await? })
}

/// Who is calling, as every message of a proxy says.
fn who(proxy: &str, epoch: u64) -> Result<(ProxyId, BootEpoch)> {
    let proxy =
        proxy.parse().map_err(|error: domain::ids::BadId| Error::from(invalid("proxy_id", error.to_string())))?;
    Ok((proxy, BootEpoch(epoch)))
}

/// The span of one call, as a child of the caller's.
fn span(name: &'static str, metadata: &MetadataMap) -> Span {
    let span = tracing::info_span!(target: TRACE, "sync", otel.name = name, otel.kind = "server");
    adopt(&span, metadata.as_ref());
    span
}

/// The refusal of something that there is too much of right now, with a hint when to come back.
fn busy(what: &'static str, retry_after_ms: u64) -> Status {
    let mut status = Status::unavailable(what);
    status.metadata_mut().insert("retry-after-ms", retry_after_ms.into());
    status
}
