//! The way to the controller: two connections, so that what is urgent (watching, leases) never waits behind what is
//! bulky (bases, reports, secrets, questions). Both connect by themselves when something is sent.

use std::time::Duration;

use http::uri::PathAndQuery;
use prost::Message;
use proto::sync::sync_service_client::SyncServiceClient;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::Error;
use crate::gate::Identity;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(3);
/// A quiet connection is probed after this, and given up when a probe is not answered for as long.
const PROBE: Duration = Duration::from_secs(5);
/// The largest message that is read; none is meant to be above 1 MiB.
const MESSAGE: usize = 2 << 20;

pub(super) type Client = SyncServiceClient<Channel>;

/// See the module's head.
#[derive(Clone)]
pub(super) struct Wire {
    identity: Identity,
    urgent: Channel,
    bulk: Channel,
}

/// Checks the controller's address.
pub(super) fn endpoint(url: &str) -> Result<Endpoint, Error> {
    let shape = |reason: &str| Error::Url { url: url.chars().take(120).collect(), reason: reason.to_owned() };
    if !url.starts_with("http://") {
        return Err(shape("it must begin with http:// until the planes speak TLS to each other"));
    }
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|_| shape("it is not an address"))?;
    Ok(endpoint
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PROBE)
        .keep_alive_timeout(PROBE)
        .keep_alive_while_idle(true))
}

impl Wire {
    /// To be called inside the control runtime.
    pub(super) fn new(endpoint: &Endpoint, identity: Identity) -> Wire {
        Wire { identity, urgent: endpoint.connect_lazy(), bulk: endpoint.connect_lazy() }
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn proxy_id(&self) -> String {
        self.identity.proxy.to_string()
    }

    /// For watching and leases.
    pub(super) fn urgent(&self) -> Client {
        Client::new(self.urgent.clone()).max_decoding_message_size(MESSAGE)
    }

    /// For everything else.
    pub(super) fn bulk(&self) -> Client {
        Client::new(self.bulk.clone()).max_decoding_message_size(MESSAGE)
    }

    /// A call on the bulky connection with messages of our own, which are on the wire what the contract says.
    pub(super) async fn bulk_call<Q, A>(
        &self,
        method: &'static str,
        request: tonic::Request<Q>,
    ) -> Result<tonic::Response<A>, tonic::Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = Grpc::new(self.bulk.clone()).max_decoding_message_size(MESSAGE);
        grpc.ready().await.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
        grpc.unary(request, PathAndQuery::from_static(method), ProstCodec::<Q, A>::default()).await
    }
}

/// A request with this span in its metadata, so that a trace goes on at the controller.
pub(super) fn traced<T>(span: &tracing::Span, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    runtime::telemetry::inject(span, request.metadata_mut().as_mut());
    request
}

/// A call with a deadline; the controller is told of it too.
pub(super) async fn within<T>(
    deadline: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, tonic::Status> {
    match tokio::time::timeout(deadline, call).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(tonic::Status::deadline_exceeded("no answer in time")),
    }
}

/// How long the controller asks us to wait, if it does.
pub(super) fn retry_after(status: &tonic::Status) -> Option<Duration> {
    let text = status.metadata().get("retry-after-ms")?.to_str().ok()?;
    text.parse().ok().map(Duration::from_millis)
}
