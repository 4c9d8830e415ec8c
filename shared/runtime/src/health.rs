//! The private port: `/livez` (the process answers), `/readyz` (it can do its work, or why not), `/metrics`.
//! Never reachable from outside, never asks for a key; what "ready" means is decided by whoever starts it.

use std::{future::Future, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::{
    Error, Result,
    metrics::{self, Registry},
};

/// Whether a process can do its work, asked anew each time.
#[derive(Clone)]
pub struct Readiness {
    check: Arc<dyn Fn() -> Result<(), Vec<String>> + Send + Sync>,
}

/// The answer of `/readyz`.
#[derive(Serialize)]
struct Answer {
    ready: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

impl Readiness {
    /// `check` must be quick and not block; it gives the reasons for not being ready, in words for an operator.
    pub fn new(check: impl Fn() -> Result<(), Vec<String>> + Send + Sync + 'static) -> Self {
        Self { check: Arc::new(check) }
    }

    /// Asks.
    ///
    /// # Errors
    /// The reasons for not being ready.
    pub fn check(&self) -> Result<(), Vec<String>> {
        (self.check)()
    }

    /// Status and JSON body of the answer, for servers that show it on another port too.
    #[must_use]
    pub fn answer(&self) -> (StatusCode, String) {
        let (status, answer) = match self.check() {
            Ok(()) => (StatusCode::OK, Answer { ready: true, reasons: Vec::new() }),
            Err(reasons) => (StatusCode::SERVICE_UNAVAILABLE, Answer { ready: false, reasons }),
        };
        (status, serde_json::to_string(&answer).unwrap_or_default())
    }
}

/// The private port, open but not yet served.
pub struct PrivatePort {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

struct Shown {
    readiness: Readiness,
    registry: Arc<Registry>,
}

impl PrivatePort {
    /// Opens the port; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(listen: SocketAddr, readiness: Readiness, registry: Arc<Registry>) -> Result<Self> {
        let failed = |source| Error::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let router = Router::new()
            .route("/livez", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(scrape))
            .with_state(Arc::new(Shown { readiness, registry }));
        Ok(Self { listener, address, router })
    }

    /// Where it listens, with the port that was really taken.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is ready; best the very last phase, so that a drain can be watched.
    ///
    /// # Errors
    /// When the listener breaks.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let address = self.address;
        axum::serve(self.listener, self.router)
            .with_graceful_shutdown(stop)
            .await
            .map_err(|source| Error::Serve { address, source })
    }
}

async fn readyz(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    let (status, body) = shown.readiness.answer();
    (status, [(CONTENT_TYPE, "application/json")], body)
}

async fn scrape(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], shown.registry.render())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// The whole answer to one request on a connection of its own.
    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_private_port_tells_life_readiness_and_metrics() {
        let ready = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&ready);
        let readiness = Readiness::new(move || {
            let reasons = || vec!["no \"snapshot\" yet".to_owned()];
            asked.load(Ordering::SeqCst).then_some(()).ok_or_else(reasons)
        });
        let registry = Arc::new(Registry::new());
        registry.counter("tg_requests_total", "Requests.").unwrap().add(5);
        let port = PrivatePort::bind(([127, 0, 0, 1], 0).into(), readiness, registry).await.unwrap();
        let (address, stop) = (port.address(), CancellationToken::new());
        assert_ne!(address.port(), 0);
        let server = tokio::spawn(port.serve(stop.clone().cancelled_owned()));

        assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200 "));
        let not_ready = get(address, "/readyz").await;
        assert!(not_ready.starts_with("HTTP/1.1 503 "), "{not_ready}");
        assert!(not_ready.ends_with(r#"{"ready":false,"reasons":["no \"snapshot\" yet"]}"#), "{not_ready}");
        ready.store(true, Ordering::SeqCst);
        let is_ready = get(address, "/readyz").await;
        assert!(is_ready.starts_with("HTTP/1.1 200 ") && is_ready.ends_with(r#"{"ready":true}"#), "{is_ready}");
        let scraped = get(address, "/metrics").await;
        assert!(scraped.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{scraped}");
        assert!(scraped.ends_with("# TYPE tg_requests_total counter\ntg_requests_total 5\n"), "{scraped}");
        assert!(get(address, "/else").await.starts_with("HTTP/1.1 404 "));

        stop.cancel();
        server.await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let refused = PrivatePort::bind(address, Readiness::new(|| Ok(())), Arc::default()).await.err().unwrap();
        assert_eq!(refused.to_string(), format!("listen on {address}"));
    }
}
