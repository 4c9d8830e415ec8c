//! HTTP/1.1 by hand: requests in, bytes out.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::lexical;

/// One request as it was read.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub method: String,
    pub path: String,
    pub head: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(present, _)| present.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The raw value of a top-level field of the body; empty when there is none.
    pub fn member(&self, name: &str) -> &[u8] {
        if self.body.first().is_none_or(|_| self.body[lexical::skip_space(&self.body, 0)] != b'{') {
            return b"";
        }
        let (members, _) = lexical::members(&self.body, 0);
        members.into_iter().find(|member| member.name == name).map_or(b"", |member| &self.body[member.value])
    }

    /// A top-level field that is a string.
    pub fn text(&self, name: &str) -> String {
        serde_json::from_slice(self.member(name)).unwrap_or_default()
    }

    /// The model, wherever the family says it.
    pub fn model(&self) -> String {
        let in_path = self.path.split_once("/models/").and_then(|(_, rest)| rest.split_once(':'));
        in_path.map_or_else(|| self.text("model"), |(model, _)| model.to_owned())
    }

    pub fn is_stream(&self) -> bool {
        self.member("stream") == b"true" || self.path.contains(":streamGenerateContent")
    }

    pub fn wants_usage(&self) -> bool {
        let options = self.member("stream_options");
        if !options.starts_with(b"{") {
            return false;
        }
        let (members, _) = lexical::members(options, 0);
        members.iter().any(|member| member.name == "include_usage" && &options[member.value.clone()] == b"true")
    }
}

/// A connection with what was read ahead.
pub(super) struct Wire {
    pub socket: TcpStream,
    ahead: Vec<u8>,
}

impl Wire {
    pub fn new(socket: TcpStream) -> Wire {
        Wire { socket, ahead: Vec::new() }
    }

    /// The next request; none when the client is done.
    pub async fn read(&mut self) -> io::Result<Option<Asked>> {
        let end = loop {
            if let Some(end) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            if self.more().await? == 0 {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&self.ahead[..end]).into_owned();
        self.ahead.drain(..end + 4);
        let mut lines = head.lines();
        let mut first = lines.next().unwrap_or_default().split(' ');
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        let mut asked = Asked {
            method: first.next().unwrap_or_default().to_owned(),
            path: first.next().unwrap_or_default().to_owned(),
            headers: headers.collect(),
            head: head.clone(),
            body: Vec::new(),
        };
        if let Some(length) = asked.header("content-length") {
            let length = length.parse().map_err(io::Error::other)?;
            asked.body = self.exactly(length).await?;
        } else if asked.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
            asked.body = self.chunked().await?;
        }
        Ok(Some(asked))
    }

    async fn more(&mut self) -> io::Result<usize> {
        self.socket.read_buf(&mut self.ahead).await
    }

    async fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.ahead.len() < length {
            if self.more().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let rest = self.ahead.split_off(length);
        Ok(std::mem::replace(&mut self.ahead, rest))
    }

    async fn chunked(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                match self.ahead.windows(2).position(|two| two == b"\r\n") {
                    Some(end) => break end,
                    None if self.more().await? == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    None => {}
                }
            };
            let line = self.exactly(end + 2).await?;
            let digits = std::str::from_utf8(&line[..end]).map_err(io::Error::other)?;
            let length = usize::from_str_radix(digits.split(';').next().unwrap_or_default().trim(), 16)
                .map_err(io::Error::other)?;
            let chunk = self.exactly(length + 2).await?;
            if length == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..length]);
        }
    }

    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await
    }

    /// One piece of a chunked body.
    pub async fn write_chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let framed = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        self.write(&framed).await
    }

    /// Returns when the other side has hung up; never while it is there.
    pub async fn gone(&mut self) {
        let mut one = [0];
        loop {
            match self.socket.peek(&mut one).await {
                Ok(0) | Err(_) => return,
                // Bytes ahead of time: then hanging up cannot be seen.
                Ok(_) => std::future::pending().await,
            }
        }
    }

    /// Makes the close that follows a reset.
    pub fn reset(self) {
        let _ = socket2::SockRef::from(&self.socket).set_linger(Some(std::time::Duration::ZERO));
    }
}

pub(super) fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text =
        format!("HTTP/1.1 {status} Fake\r\nx-request-id: upstream-request\r\nopenai-organization: fake-org\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}
