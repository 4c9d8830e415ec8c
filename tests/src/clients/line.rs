//! One connection: made when it is needed, kept while the server keeps it, closed at once when it is dropped.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use super::{Ask, Client, Reply, Stream};

/// Why there was no answer, or no end of one.
#[derive(Debug, Clone)]
pub struct Lost(pub String);

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Lost {
    fn at(what: &str, error: &dyn std::error::Error) -> Lost {
        let mut text = format!("{what}: {error}");
        let mut cause = error.source();
        while let Some(deeper) = cause {
            text = format!("{text}: {deeper}");
            cause = deeper.source();
        }
        Lost(text)
    }
}

/// A connection to one place.
pub struct Line {
    client: Client,
    wire: Option<Wire>,
}

struct Wire {
    sender: SendRequest<Full<Bytes>>,
    task: Hold,
}

/// Ends the connection's task, and so closes the socket, when it is dropped.
#[derive(Debug)]
pub(super) struct Hold(AbortHandle);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The head of an answer whose body is still to come. Dropping it hangs up.
pub struct Open {
    pub status: u16,
    pub headers: HeaderMap,
    pub(super) body: Incoming,
    pub(super) hold: Hold,
}

impl Line {
    pub(super) fn new(client: Client) -> Line {
        Line { client, wire: None }
    }

    /// Asks and reads the whole answer. The connection is kept if the server keeps it.
    pub async fn send(&mut self, ask: Ask) -> Result<Reply, Lost> {
        let mut wire = self.take().await?;
        let answer =
            wire.sender.send_request(self.request(ask)).await.map_err(|error| Lost::at("no answer", &error))?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| Lost::at("the answer broke off", &error))?.to_bytes();
        if head.headers.get(header::CONNECTION).is_none_or(|value| value != "close") {
            self.wire = Some(wire);
        }
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Asks and returns with the head of the answer; the connection goes with it.
    pub async fn open(&mut self, ask: Ask) -> Result<Open, Lost> {
        let mut wire = self.take().await?;
        let answer =
            wire.sender.send_request(self.request(ask)).await.map_err(|error| Lost::at("no answer", &error))?;
        let (head, body) = answer.into_parts();
        Ok(Open { status: head.status.as_u16(), headers: head.headers, body, hold: wire.task })
    }

    fn request(&self, ask: Ask) -> Request<Full<Bytes>> {
        let mut request =
            Request::builder().method(ask.method).uri(ask.path).header(header::HOST, self.client.authority());
        let has_key = ask.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        if !self.client.key.is_empty() && !has_key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.client.key));
        }
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(ask.body)).expect("a request that can be written")
    }

    async fn take(&mut self) -> Result<Wire, Lost> {
        if let Some(mut wire) = self.wire.take()
            && wire.sender.ready().await.is_ok()
        {
            return Ok(wire);
        }
        let tcp = TcpStream::connect(self.client.authority()).await.map_err(|error| Lost::at("connect", &error))?;
        tcp.set_nodelay(true).map_err(|error| Lost::at("connect", &error))?;
        match &self.client.tls {
            None => handshake(TokioIo::new(tcp)).await,
            Some(tls) => {
                let host = self.client.authority().split(':').next().unwrap_or_default().to_owned();
                let name = rustls::pki_types::ServerName::try_from(host).expect("a host name");
                let connector = tokio_rustls::TlsConnector::from(Arc::clone(tls));
                let tls = connector.connect(name, tcp).await.map_err(|error| Lost::at("TLS", &error))?;
                handshake(TokioIo::new(tls)).await
            }
        }
    }
}

async fn handshake<I>(io: I) -> Result<Wire, Lost>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) =
        http1::Builder::new().max_headers(200).handshake(io).await.map_err(|error| Lost::at("handshake", &error))?;
    let task = tokio::spawn(async move {
        // Its errors come out at the request as well.
        let _ = connection.await;
    });
    Ok(Wire { sender, task: Hold(task.abort_handle()) })
}

impl Open {
    /// A header's text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header in ASCII"))
    }

    /// The events of an answer that must be a stream.
    pub async fn stream(self) -> Stream {
        if self.status != 200 || !self.header("content-type").starts_with("text/event-stream") {
            let reply = self.whole().await.expect("the rest of an answer that is no stream");
            panic!("no stream but {}: {}", reply.status, reply.text());
        }
        Stream::new(self)
    }

    /// The rest of the answer.
    pub async fn whole(self) -> Result<Reply, Lost> {
        let body = self.body.collect().await.map_err(|error| Lost::at("the answer broke off", &error))?.to_bytes();
        drop(self.hold);
        Ok(Reply { status: self.status, headers: self.headers, body })
    }

    /// The next bytes of the body; none at its end.
    pub async fn bytes(&mut self) -> Result<Option<Bytes>, Lost> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| Lost::at("the answer broke off", &error))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}
