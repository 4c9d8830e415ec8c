//! The floor: what a proxy costs in this language when it does nothing but pass on. hyper's server, hyper-util's pooled
//! client, one single-threaded runtime, TCP_NODELAY on both sides, bodies streamed both ways.
//! No keys, no money, no records: whatever Tollgate costs above this is the price of being a gateway.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use crate::limits;

#[derive(clap::Args)]
pub struct Options {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// Where to send everything.
    #[arg(long)]
    upstream: SocketAddr,
}

struct Floor {
    client: Client<HttpConnector, Incoming>,
    upstream: Authority,
}

pub async fn run(options: Options) -> anyhow::Result<()> {
    limits::raise_open_files();
    let listener = TcpListener::bind(options.listen).await.with_context(|| format!("listen on {}", options.listen))?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
    let floor = Arc::new(Floor { client, upstream: options.upstream.to_string().parse().context("upstream")? });
    loop {
        let (socket, _) = listener.accept().await.context("accept")?;
        tokio::spawn(serve(socket, Arc::clone(&floor)));
    }
}

async fn serve(socket: TcpStream, floor: Arc<Floor>) {
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let forward = service_fn(|request| forward(request, &floor));
    // An error here is a client that left: the load ends its streams that way.
    drop(http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(socket), forward).await);
}

async fn forward(
    mut request: Request<Incoming>,
    floor: &Floor,
) -> Result<Response<Either<Incoming, Full<Bytes>>>, http::uri::InvalidUriParts> {
    let mut target = std::mem::take(request.uri_mut()).into_parts();
    target.scheme = Some(Scheme::HTTP);
    target.authority = Some(floor.upstream.clone());
    *request.uri_mut() = Uri::from_parts(target)?;
    Ok(match floor.client.request(request).await {
        Ok(response) => response.map(Either::Left),
        Err(error) => bad_gateway(&error.to_string()),
    })
}

fn bad_gateway(reason: &str) -> Response<Either<Incoming, Full<Bytes>>> {
    let mut response = Response::new(Either::Right(Full::new(Bytes::copy_from_slice(reason.as_bytes()))));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
