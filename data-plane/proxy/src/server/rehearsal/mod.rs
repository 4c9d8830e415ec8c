//! Serves some chats before the first client comes, so that it does not pay for code and tables that nobody has touched
//! yet: a client of ours in memory, the whole way through this worker's kind of server and pipeline, and a provider of
//! ours on loopback. Costs a few milliseconds of the start. Everything that could remember it is of the `stage`: no
//! record, no metric, no span and no log line tells of it. Whether it worked does not matter: what it touched is warm.

#[cfg(test)]
mod memory;
mod stage;

use std::{io, net::SocketAddr, rc::Rc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    net::{TcpListener, TcpStream},
};
use tracing::{instrument::WithSubscriber as _, subscriber::NoSubscriber};

use super::{
    protocol::{Speech, http1},
    socket::Socket,
};
use crate::{connection::Connection, worker::Worker};
use stage::Stage;

/// How long it may take; a machine that is this busy has other worries.
const PATIENCE: Duration = Duration::from_secs(1);
/// Chats of each kind: the first of them makes what the second uses again.
const TIMES: usize = 2;
/// What the client asks: a whole answer, and a streamed one.
const QUESTIONS: [&str; 2] = [
    r#"{"model":"tollgate/rehearsal","messages":[{"role":"user","content":"Is this on?"}]}"#,
    r#"{"model":"tollgate/rehearsal","messages":[{"role":"user","content":"Is this on?"}],"stream":true}"#,
];
/// What the provider says.
const WHOLE: &str = r#"{"id":"rehearsal","object":"chat.completion","created":1,"model":"rehearsal","choices":[{"index":0,"message":{"role":"assistant","content":"It is.","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}"#;
const EVENTS: [&str; 3] = [
    "data: {\"id\":\"rehearsal\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"rehearsal\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"It is.\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"rehearsal\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"rehearsal\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: [DONE]\n\n",
];

/// Does all of it, once for each worker.
pub(super) async fn rehearse(worker: &Rc<Worker>, speech: &Speech) {
    worker.prime();
    let _ = tokio::time::timeout(PATIENCE, play(worker, speech).with_subscriber(NoSubscriber::new())).await;
}

/// The whole answers that the client read, for whoever wants to know.
async fn play(worker: &Rc<Worker>, speech: &Speech) -> io::Result<String> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let stage = Stage::set(worker, listener.local_addr()?).ok_or(io::ErrorKind::Other)?;
    let understudy = Worker::new(stage.gate, stage.load).map_err(io::Error::other)?;
    let (client, server) = tokio::io::duplex(64 * 1024);
    understudy.load.connected();
    let connection = Connection::accepted(&understudy.alarms, &understudy.timeouts, understudy.load.clone());
    let serving = async {
        let socket = Socket::new(server, &connection);
        http1(&understudy, speech, socket, &connection).await;
    };
    let (answers, ()) = tokio::select! {
        both = async { tokio::join!(ask(client, &stage.key), serving) } => both,
        failed = provide(&listener) => return Err(failed),
    };
    answers
}

/// The client: every question on one connection, and everything that comes back.
async fn ask(mut client: DuplexStream, key: &str) -> io::Result<String> {
    let questions: Vec<&str> = QUESTIONS.iter().copied().cycle().take(TIMES * QUESTIONS.len()).collect();
    for (place, question) in questions.iter().enumerate() {
        let connection = if place + 1 == questions.len() { "close" } else { "keep-alive" };
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: tollgate\r\nconnection: {connection}\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{question}",
            question.len()
        );
        client.write_all(request.as_bytes()).await?;
    }
    let mut answers = String::new();
    client.read_to_string(&mut answers).await?;
    Ok(answers)
}

/// The provider: takes whatever connections come. Each ends with the client's side of it.
async fn provide(listener: &TcpListener) -> io::Error {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => drop(tokio::task::spawn_local(answer(socket))),
            Err(error) => return error,
        }
    }
}

/// Answers what comes on one connection.
async fn answer(mut socket: TcpStream) -> io::Result<()> {
    // Or each event would wait for a late acknowledgement of the one before.
    socket.set_nodelay(true)?;
    while let Some(is_streamed) = read_question(&mut socket).await? {
        if is_streamed { stream(&mut socket).await? } else { socket.write_all(whole().as_bytes()).await? }
    }
    Ok(())
}

/// One request: whether it asks for a stream; none at the end of the connection.
async fn read_question(socket: &mut TcpStream) -> io::Result<Option<bool>> {
    let mut asked = Vec::new();
    // Its last byte is the end of its body.
    while !asked.ends_with(b"}") {
        if socket.read_buf(&mut asked).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(memchr::memmem::find(&asked, b"\"stream\":true").is_some()))
}

fn whole() -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{WHOLE}", WHOLE.len())
}

/// Event by event, so that the client's side has to wait for some of them.
async fn stream(socket: &mut TcpStream) -> io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).await?;
    for event in EVENTS {
        socket.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
        tokio::task::yield_now().await;
    }
    socket.write_all(b"0\r\n\r\n").await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::ids::BootEpoch;
    use domain::snapshot::Snapshot;
    use runtime::{clock::SystemClock, health::Readiness, metrics::Registry, shutdown::Shutdown};
    use tokio::sync::watch;

    use super::*;
    use crate::{
        config::Settings,
        gate::{Gate, Identity},
        spool::Spool,
        sync::Link,
        upstream::Shared,
    };

    pub(super) fn gate() -> Gate {
        let clock = Arc::new(SystemClock);
        let settings = Settings::default();
        Gate {
            identity: Identity { proxy: "p".parse().unwrap(), epoch: BootEpoch(1), region: String::new(), build: "0" },
            link: Link::apart(Snapshot::default(), clock.clone()),
            spool: Spool::of_nothing(clock.clone()).unwrap(),
            upstream: Shared::new(&settings.upstream).unwrap(),
            metrics: Arc::new(Registry::new()),
            readiness: Readiness::new(|| Ok(())),
            shutdown: Shutdown::new(),
            primed: watch::Sender::new(0),
            clock,
            settings: settings.into(),
        }
    }

    #[tokio::test]
    async fn whole_chats_are_served_and_nothing_tells_of_them() {
        let local = tokio::task::LocalSet::new();
        let gate = Arc::new(gate());
        let play = async {
            let worker = Worker::new(gate.clone(), Arc::default()).unwrap();
            let before = gate.metrics.render();
            let answers = play(&worker, &Speech::new(&worker, None)).await.unwrap();
            assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), TIMES * QUESTIONS.len(), "{answers}");
            assert_eq!(answers.matches("\"cost\":0").count(), TIMES, "{answers}");
            assert_eq!(answers.matches("data: [DONE]").count(), TIMES, "{answers}");
            assert_eq!(gate.metrics.render(), before);
            assert_eq!(gate.spool.outstanding(), 0);
        };
        local.run_until(play).await;
    }
}
