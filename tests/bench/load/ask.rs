//! What is sent, prepared once, and the connection it is sent over.
//! A connection that fails is opened again for the next request; the failed request itself is never repeated.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tokio::net::TcpStream;

use super::Aim;
use crate::crowd;
use crate::family::Family;

/// How much of a refusal is kept for the report.
const REFUSAL: usize = 300;

/// One request, ready to be sent any number of times.
pub struct Ask {
    pub to: SocketAddr,
    pub family: Family,
    parts: http::request::Parts,
    body: Bytes,
    /// Who asks, in turns; nobody when the one key of `parts` does.
    callers: Vec<HeaderValue>,
    turn: AtomicUsize,
    wanted: StatusCode,
}

/// Whose keys requests are sent with.
#[derive(clap::Args)]
pub struct Callers {
    /// Ask with so many keys of the bench's own numbering, one after the other, in place of the one key.
    #[arg(long, default_value_t = 0)]
    callers: u64,
    /// With keys that nobody was given.
    #[arg(long)]
    strangers: bool,
    /// With a typo in each key.
    #[arg(long)]
    typo: bool,
    /// The status that every answer must have; only a 200 is looked into.
    #[arg(long, default_value_t = 200)]
    expect: u16,
}

impl Ask {
    pub fn new(aim: &Aim, streamed: bool) -> Result<Self> {
        let body = Bytes::from(aim.family.body(&aim.model, streamed, aim.body_bytes));
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(aim.family.path(&aim.model, streamed))
            .header(header::HOST, aim.to.to_string())
            .header(header::USER_AGENT, "tollgate-bench")
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .body(())
            .context("build the request")?;
        if let Some(key) = &aim.key {
            request.headers_mut().insert(header::AUTHORIZATION, bearer(key)?);
        }
        let (parts, ()) = request.into_parts();
        Ok(Self {
            to: aim.to,
            family: aim.family,
            parts,
            body,
            callers: Vec::new(),
            turn: AtomicUsize::new(0),
            wanted: StatusCode::OK,
        })
    }

    /// The same request from many callers, and what they are to be answered.
    pub fn by(mut self, callers: &Callers) -> Result<Self> {
        let first = if callers.strangers { crowd::STRANGERS } else { 0 };
        let text = if callers.typo { crowd::with_a_typo } else { crowd::text };
        self.callers = (first..first + callers.callers).map(|number| bearer(&text(number))).collect::<Result<_>>()?;
        self.wanted = StatusCode::from_u16(callers.expect).context("--expect is no status")?;
        Ok(self)
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut parts = self.parts.clone();
        if !self.callers.is_empty() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.callers.len();
            if let Some(caller) = self.callers.get(turn) {
                parts.headers.insert(header::AUTHORIZATION, caller.clone());
            }
        }
        Request::from_parts(parts, Full::new(self.body.clone()))
    }
}

fn bearer(key: &str) -> Result<HeaderValue> {
    let mut bearer = HeaderValue::try_from(format!("Bearer {key}")).context("the key is no header text")?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

/// One keep-alive connection.
pub struct Connection {
    to: SocketAddr,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    pub fn to(to: SocketAddr) -> Self {
        Self { to, sender: None }
    }

    /// Sends and reads one whole answer.
    pub async fn answer(&mut self, ask: &Ask) -> Result<()> {
        let mut body = self.begin(ask).await?;
        let mut understood = ask.wanted != StatusCode::OK;
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.context("read the answer")?.into_data() {
                understood |= memmem::find(&data, ask.family.mark()).is_some();
            }
        }
        ensure!(understood, "the answer is not the mock's");
        Ok(())
    }

    /// Sends, and returns the body of a good answer.
    pub async fn begin(&mut self, ask: &Ask) -> Result<Incoming> {
        // Taken out and put back only after a good head: a connection that failed is not used again.
        let mut sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => self.connect().await?,
        };
        sender.ready().await.context("the connection is not ready")?;
        let response = sender.send_request(ask.request()).await.context("send the request")?;
        if response.status() != ask.wanted {
            anyhow::bail!(refusal(response).await);
        }
        self.sender = Some(sender);
        Ok(response.into_body())
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let socket = TcpStream::connect(self.to).await.context("connect")?;
        socket.set_nodelay(true).context("set TCP_NODELAY")?;
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await.context("handshake")?;
        // Its errors come back through the sender.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }
}

async fn refusal(response: Response<Incoming>) -> String {
    let status = response.status();
    let body = response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let text: String = String::from_utf8_lossy(&body).chars().take(REFUSAL).collect();
    format!("status {}: {text}", status.as_u16())
}
