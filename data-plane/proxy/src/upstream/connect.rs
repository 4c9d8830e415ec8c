//! From a host and a port to a stream: addresses in turns, a proxy's CONNECT, TLS. Deadlines are the caller's.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::UpstreamError;
use super::dns::Dns;
use super::stream::Stream;

/// How long one address is tried before the next is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);
/// Quiet time after which the other side is probed, and between probes.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// The longest answer of a proxy to CONNECT.
const CONNECT_ANSWER: usize = 8 * 1024;

/// An HTTP proxy on the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
}

/// Everything needed to reach providers, shared by all workers.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) dns: Dns,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) proxy: Option<Arc<Proxy>>,
}

impl Connector {
    /// A stream to `host:port`, through TLS when asked for.
    pub(super) async fn connect(&self, host: &str, port: u16, is_tls: bool) -> Result<Stream, UpstreamError> {
        let stream = match self.proxy.as_deref().filter(|_| is_tls) {
            Some(proxy) => {
                let mut stream = self.reach(&proxy.host, proxy.port).await?;
                tunnel(&mut stream, host, port).await?;
                stream
            }
            None => self.reach(host, port).await?,
        };
        if !is_tls {
            return Ok(Stream::Plain(stream));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| UpstreamError::Tls)?;
        let secured = TlsConnector::from(self.tls.clone()).connect(name, stream).await;
        secured.map(|stream| Stream::Tls(Box::new(stream))).map_err(|_| UpstreamError::Tls)
    }

    async fn reach(&self, host: &str, port: u16) -> Result<TcpStream, UpstreamError> {
        let addresses = self.dns.resolve(host).await?;
        let stream = first_of(&addresses, port).await?;
        prepare(&stream);
        Ok(stream)
    }
}

type Attempt = Pin<Box<dyn Future<Output = std::io::Result<TcpStream>> + Send>>;

/// The first address that answers: each has a head start on the next, and a refusal ends its head start.
async fn first_of(addresses: &[IpAddr], port: u16) -> Result<TcpStream, UpstreamError> {
    let mut left = addresses.iter().map(|address| SocketAddr::new(*address, port));
    let mut attempts: FuturesUnordered<Attempt> = FuturesUnordered::new();
    let mut failure = UpstreamError::Unreachable;
    loop {
        let next = left.next();
        let is_last = next.is_none();
        if let Some(address) = next {
            attempts.push(Box::pin(TcpStream::connect(address)));
        } else if attempts.is_empty() {
            return Err(failure);
        }
        let outcome = if is_last {
            attempts.next().await
        } else {
            match tokio::time::timeout(HEAD_START, attempts.next()).await {
                Ok(outcome) => outcome,
                Err(_) => continue,
            }
        };
        match outcome {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                failure = UpstreamError::Refused;
            }
            Some(Err(_)) | None => {}
        }
    }
}

/// Small writes go out at once, and a peer that vanished is noticed. A socket that refuses either still works.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

async fn tunnel(stream: &mut TcpStream, host: &str, port: u16) -> Result<(), UpstreamError> {
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let ask = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.map_err(|_| UpstreamError::Proxy)?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0u8; 1];
        // One byte at a time: what follows the head belongs to the tunnel.
        let read = stream.read(&mut byte).await.map_err(|_| UpstreamError::Proxy)?;
        if read == 0 || answer.len() >= CONNECT_ANSWER {
            return Err(UpstreamError::Proxy);
        }
        answer.extend_from_slice(&byte);
    }
    let is_open = answer.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(1..5)).is_some_and(|code| code == b" 200");
    if is_open { Ok(()) } else { Err(UpstreamError::Proxy) }
}
