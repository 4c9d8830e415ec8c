//! Walks the ways of a request before the first client comes, so that it does not pay for code and tables that nobody has
//! touched yet: a request of ours to ourselves in memory, and one from our side of a provider's connection to a listener
//! that answers once. Costs about a millisecond of the start. Whether it worked does not matter: what it touched is warm.

use std::{io, rc::Rc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{
    protocol::{Speech, http1},
    socket::Socket,
};
use crate::{connection::Connection, worker::Worker};

/// How long it may take; a machine that is this busy has other worries.
const PATIENCE: Duration = Duration::from_secs(1);
/// What a client asks in memory.
const QUESTION: &[u8] = b"GET /livez HTTP/1.1\r\nhost: tollgate\r\nconnection: close\r\n\r\n";
/// What a provider would be sent, and what it answers.
const ASKED: &[u8] = br#"{"model":"a/b","messages":[{"role":"user","content":"hi"}]}"#;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

/// Does all of it, once.
pub(super) async fn rehearse(worker: &Rc<Worker>, speech: &Speech) {
    worker.prime();
    answer_ourselves(worker, speech).await;
    let _ = tokio::time::timeout(PATIENCE, ask_a_stranger(worker)).await;
}

/// Answers one health check that nobody sent.
async fn answer_ourselves(worker: &Rc<Worker>, speech: &Speech) {
    let (mut client, server) = tokio::io::duplex(4_096);
    worker.load.connected();
    let connection = Connection::accepted(&worker.alarms, &worker.timeouts, worker.load.clone());
    let asking = async move {
        let mut answer = Vec::new();
        let asked = client.write_all(QUESTION).await;
        (asked, client.read_to_end(&mut answer).await)
    };
    let socket = Socket::new(server, &connection);
    let _ = tokio::join!(http1(worker, speech, socket, &connection), asking);
}

/// Sends one request to somebody who answers whatever comes.
async fn ask_a_stranger(worker: &Worker) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let answering = async {
        let (mut socket, _) = listener.accept().await?;
        let mut asked = vec![0; ASKED.len()];
        socket.read_exact(&mut asked).await?;
        socket.write_all(ANSWER).await?;
        socket.shutdown().await
    };
    let asking = async {
        let Ok(target) = worker.upstream.target(&format!("http://{address}")) else { return };
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let body = Bytes::from_static(ASKED).into();
        if let Ok(mut reply) = worker.upstream.send(&target, &Method::POST, "/rehearsal", &headers, body).await {
            while let Some(Ok(_)) = reply.body.data().await {}
        }
    };
    tokio::join!(answering, asking).0
}
