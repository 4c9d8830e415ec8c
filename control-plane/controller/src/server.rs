//! The two ports of this plane: admin (gRPC, gRPC-Web, health, reflection) for people, sync for proxies.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proto::admin::audit_service_server::AuditServiceServer;
use proto::admin::catalog_service_server::CatalogServiceServer;
use proto::admin::credits_service_server::CreditsServiceServer;
use proto::admin::fleet_service_server::FleetServiceServer;
use proto::admin::keys_service_server::KeysServiceServer;
use proto::admin::names_service_server::NamesServiceServer;
use proto::admin::orgs_service_server::OrgsServiceServer;
use proto::admin::providers_service_server::ProvidersServiceServer;
use proto::admin::routes_service_server::RoutesServiceServer;
use proto::admin::tokens_service_server::TokensServiceServer;
use proto::admin::usage_service_server::UsageServiceServer;
use proto::sync::sync_service_server::SyncServiceServer;
use runtime::tls::CertificateFiles;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;

use crate::app::App;
use crate::error::{Error, Result};
use crate::{audit, catalog, credits, fleet, keys, names, orgs, providers, routes, sync, tokens, usage};

/// The largest admin message: an apply file with every model there is.
const LARGEST_MESSAGE: usize = 32 << 20;
/// How long a TLS handshake may take, and how many may be under way.
const HANDSHAKE: Duration = Duration::from_secs(5);
const HANDSHAKES: usize = 256;

/// How many rows a page has: the wish, the default when none is said, and never more than `most`.
pub fn page_size(wanted: u32, default: u32, most: u32) -> u32 {
    if wanted == 0 { default } else { wanted.min(most) }
}

/// Opens a port before anything is promised about it.
pub async fn listen(what: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let failed = |source: std::io::Error| Error::Start(format!("listen for {what} on {address}: {source}"));
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn admin_routes(app: &Arc<App>) -> Result<Routes> {
    let (health, health_service) = tonic_health::server::health_reporter();
    tokio::spawn(async move { health.set_service_status("", tonic_health::ServingStatus::Serving).await });
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let failed = |error| Error::Start(format!("describe the admin API: {error}"));
    // Many tools still ask in the older form alone.
    let (reflection, older_reflection) =
        (described().build_v1().map_err(failed)?, described().build_v1alpha().map_err(failed)?);
    let catalogue =
        CatalogServiceServer::new(catalog::rpc::Rpc(app.clone())).max_decoding_message_size(LARGEST_MESSAGE);
    let mut services = Routes::builder();
    services
        .add_service(health_service)
        .add_service(reflection)
        .add_service(older_reflection)
        .add_service(OrgsServiceServer::new(orgs::rpc::Rpc(app.clone())))
        .add_service(NamesServiceServer::new(names::rpc::Rpc(app.clone())))
        .add_service(KeysServiceServer::new(keys::rpc::Rpc(app.clone())))
        .add_service(TokensServiceServer::new(tokens::rpc::Rpc(app.clone())))
        .add_service(CreditsServiceServer::new(credits::rpc::Rpc(app.clone())))
        .add_service(catalogue.max_encoding_message_size(LARGEST_MESSAGE))
        .add_service(ProvidersServiceServer::new(providers::rpc::Rpc(app.clone())))
        .add_service(UsageServiceServer::new(usage::rpc::Rpc(app.clone())).max_encoding_message_size(LARGEST_MESSAGE))
        .add_service(RoutesServiceServer::new(routes::rpc::Rpc(app.clone())))
        .add_service(FleetServiceServer::new(fleet::rpc::Rpc(app.clone())))
        .add_service(AuditServiceServer::new(audit::rpc::Rpc(app.clone())));
    Ok(services.routes())
}

/// Serves the admin port until `stop`.
pub async fn serve_admin(
    app: Arc<App>,
    listener: TcpListener,
    tls: Option<Arc<CertificateFiles>>,
    stop: CancellationToken,
) -> Result<()> {
    let router = Server::builder()
        .accept_http1(true)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .layer(tonic_web::GrpcWebLayer::new())
        .add_routes(admin_routes(&app)?);
    let over = stop.clone().cancelled_owned();
    let served = match tls {
        None => router.serve_with_incoming_shutdown(TcpListenerStream::new(listener), over).await,
        Some(certificates) => {
            let config = runtime::tls::server_config(certificates, &["h2", "http/1.1"])?;
            let incoming = handshakes(listener, TlsAcceptor::from(config), stop);
            router.serve_with_incoming_shutdown(incoming, over).await
        }
    };
    served.map_err(|source| Error::Serve { what: "the admin port", source: source.into() })
}

/// Accepts and shakes hands side by side, so that one slow client keeps nobody waiting.
fn handshakes(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    stop: CancellationToken,
) -> ReceiverStream<std::io::Result<TlsStream<TcpStream>>> {
    let (done, ready) = tokio::sync::mpsc::channel(16);
    let under_way = Arc::new(tokio::sync::Semaphore::new(HANDSHAKES));
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((socket, _)) = accepted else {
                // Out of file descriptors, most likely: wait for some to come back.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let Ok(permit) = under_way.clone().acquire_owned().await else { return };
            let (acceptor, done) = (acceptor.clone(), done.clone());
            tokio::spawn(async move {
                if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(socket)).await {
                    let _ = done.send(Ok(stream)).await;
                }
                drop(permit);
            });
        }
    });
    ReceiverStream::new(ready)
}

/// Serves the sync port until `stop`.
pub async fn serve_sync(app: Arc<App>, listener: TcpListener, stop: CancellationToken) -> Result<()> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let service = SyncServiceServer::new(sync::Service::new(app))
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE);
    Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .add_service(health_service)
        .add_service(service)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.cancelled_owned())
        .await
        .map_err(|source| Error::Serve { what: "the sync port", source: source.into() })
}
