//! A thin HTTP/1.1 client that hides nothing: every header as it came, every event of a stream with the moment it
//! arrived, and a hang-up that closes the socket at once. Retries nothing, follows nothing.
//! `stream` reads events.

mod line;
mod stream;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

pub use line::{Line, Lost, Open};
pub use stream::{Event, Stream};

use crate::wait;

/// Where to ask and with which key.
#[derive(Clone)]
pub struct Client {
    /// `http://127.0.0.1:8080`, or `https://…` with `tls`.
    base: String,
    /// Sent as `Authorization: Bearer` unless empty.
    key: String,
    tls: Option<Arc<rustls::ClientConfig>>,
}

/// One request.
#[derive(Clone)]
pub struct Ask {
    pub method: Method,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Ask {
    pub fn get(path: &str) -> Ask {
        Ask { method: Method::GET, path: path.to_owned(), headers: Vec::new(), body: Bytes::new() }
    }

    /// A JSON body as it is.
    pub fn post(path: &str, body: impl Into<Bytes>) -> Ask {
        Ask { method: Method::POST, body: body.into(), ..Ask::get(path) }.header("content-type", "application/json")
    }

    pub fn json(path: &str, body: &Value) -> Ask {
        Ask::post(path, body.to_string())
    }

    /// Adds a header, or changes it.
    pub fn header(mut self, name: &str, value: &str) -> Ask {
        self.headers.retain(|(present, _)| !present.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header in ASCII"))
    }

    /// `error.code`.
    pub fn code(&self) -> String {
        match &self.json()["error"]["code"] {
            Value::String(code) => code.clone(),
            other => other.to_string(),
        }
    }

    /// The answer, which must have this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Reply {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

impl Client {
    pub fn new(base: &str, key: &str) -> Client {
        Client { base: base.to_owned(), key: key.to_owned(), tls: None }
    }

    /// The same place with another key.
    pub fn with_key(&self, key: &str) -> Client {
        Client { key: key.to_owned(), ..self.clone() }
    }

    /// The same over TLS with these settings.
    pub fn with_tls(&self, tls: Arc<rustls::ClientConfig>) -> Client {
        Client { base: self.base.replace("http://", "https://"), tls: Some(tls), ..self.clone() }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        self.base.split_once("://").map_or(self.base.as_str(), |(_, rest)| rest)
    }

    /// A connection that is kept from request to request.
    pub fn line(&self) -> Line {
        Line::new(self.clone())
    }

    /// Asks on a new connection; no answer at all is an error.
    pub async fn try_send(&self, ask: Ask) -> Result<Reply, Lost> {
        self.line().send(ask).await
    }

    /// Asks on a new connection.
    pub async fn send(&self, ask: Ask) -> Reply {
        let what = format!("{} {}", ask.method, ask.path);
        match wait::within(&what, wait::SOON * 2, self.try_send(ask)).await {
            Ok(reply) => reply,
            Err(error) => panic!("{what}: {error}"),
        }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Ask::get(path)).await
    }

    /// A chat completion on `/v1`.
    pub async fn chat(&self, body: &Value) -> Reply {
        self.send(Ask::json("/v1/chat/completions", body)).await
    }

    /// A streamed answer, from its head on.
    pub async fn open(&self, ask: Ask) -> Open {
        let what = format!("{} {}", ask.method, ask.path);
        match wait::within(&what, wait::SOON * 2, self.line().open(ask)).await {
            Ok(open) => open,
            Err(error) => panic!("{what}: {error}"),
        }
    }

    /// A streamed chat completion on `/v1`, which must begin well.
    pub async fn stream(&self, body: &Value) -> Stream {
        self.open(Ask::json("/v1/chat/completions", body)).await.stream().await
    }
}
