use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use codec::Segments;
use http::{HeaderMap, Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use super::*;
use crate::config::UpstreamSettings;

const LIMIT: Duration = Duration::from_secs(10);

/// Runs a test as a worker would, with a deadline.
fn worker(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async { tokio::time::timeout(LIMIT, test).await.expect("in time") });
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    (listener, url)
}

fn upstream() -> Upstream {
    Upstream::new(Shared::new(&UpstreamSettings::default()).unwrap())
}

async fn post(upstream: &Upstream, target: &Target, body: &[&'static str]) -> Result<Reply, UpstreamError> {
    let parts: Vec<Bytes> = body.iter().map(|part| Bytes::from_static(part.as_bytes())).collect();
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    // Whoever signs may set any header; where a request goes and ends is not theirs to say.
    for (name, value) in [("host", "elsewhere"), ("content-length", "1"), ("transfer-encoding", "chunked")] {
        headers.insert(name, value.parse().unwrap());
    }
    upstream.send(target, &Method::POST, &target.route("/chat/completions", "")?, &headers, parts.into()).await
}

async fn whole(mut reply: Reply) -> Result<Vec<u8>, UpstreamError> {
    let mut whole = Vec::new();
    while let Some(data) = reply.body.data().await {
        whole.extend_from_slice(&data?);
    }
    Ok(whole)
}

async fn text(reply: Reply) -> String {
    String::from_utf8(whole(reply).await.unwrap()).unwrap()
}

/// Reads one request with a content length.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut seen = Vec::new();
    loop {
        let mut part = [0u8; 4096];
        let count = stream.read(&mut part).await.ok().filter(|count| *count > 0)?;
        seen.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&seen).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
            if length.is_none_or(|length| body.len() >= length.parse::<usize>().unwrap()) {
                return Some(text);
            }
        }
    }
}

async fn answer(stream: &mut TcpStream, body: &str) {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
}

#[test]
fn a_request_arrives_as_it_was_segmented_with_one_host_and_length() {
    worker(async {
        let (listener, url) = listen().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let seen = read_request(&mut stream).await.unwrap();
            answer(&mut stream, "ok").await;
            seen
        });
        let upstream = upstream();
        let target = upstream.target(&url).unwrap();
        let reply = post(&upstream, &target, &["{\"a\":", "", "1}"]).await.unwrap();
        assert_eq!((reply.status, text(reply).await.as_str()), (StatusCode::OK, "ok"));
        let seen = server.await.unwrap();
        let (head, body) = seen.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{head}");
        let host = url.strip_prefix("http://").unwrap().strip_suffix("/v1").unwrap();
        assert_eq!(head.matches(&format!("host: {host}")).count(), 1, "{head}");
        assert_eq!((head.matches("host: ").count(), head.matches("content-length: ").count()), (1, 1), "{head}");
        assert!(head.contains("content-length: 7") && !head.contains("transfer-encoding"), "{head}");
        assert_eq!(body, "{\"a\":1}");
    });
}

#[test]
fn a_request_goes_to_the_model_and_with_the_query_that_the_base_url_names() {
    worker(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/deployments/{{model}}?api-version=1", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let seen = read_request(&mut stream).await.unwrap();
            answer(&mut stream, "ok").await;
            seen
        });
        let upstream = upstream();
        let target = upstream.target(&base).unwrap();
        assert_eq!(target.route("/chat", "").err(), Some(UpstreamError::Route), "which model is not said");
        let route = target.route("/chat?alt=sse", "my gpt").unwrap();
        let reply = upstream.send(&target, &Method::POST, &route, &HeaderMap::new(), Segments::default()).await;
        assert_eq!(text(reply.unwrap()).await, "ok");
        let seen = server.await.unwrap();
        assert!(seen.starts_with("POST /deployments/my%20gpt/chat?api-version=1&alt=sse HTTP/1.1\r\n"), "{seen}");
    });
}

#[test]
fn one_connection_serves_many_requests_and_streams_chunk_by_chunk() {
    worker(async {
        let (listener, url) = listen().await;
        let (next, mut chunks) = tokio::sync::mpsc::channel::<&'static str>(1);
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            drop(listener);
            for _ in 0..3 {
                read_request(&mut stream).await.unwrap();
                answer(&mut stream, "whole").await;
            }
            read_request(&mut stream).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
            while let Some(chunk) = chunks.recv().await {
                stream.write_all(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes()).await.unwrap();
            }
            stream.write_all(b"0\r\n\r\n").await.unwrap();
            read_request(&mut stream).await.unwrap();
            answer(&mut stream, "last").await;
        });
        let upstream = upstream();
        let target = upstream.target(&url).unwrap();
        for _ in 0..3 {
            assert_eq!(text(post(&upstream, &target, &["{}"]).await.unwrap()).await, "whole");
        }
        let mut streamed = post(&upstream, &target, &["{}"]).await.unwrap();
        for chunk in ["one", "two", "three"] {
            next.send(chunk).await.unwrap();
            assert_eq!(streamed.body.data().await.unwrap().unwrap(), chunk);
        }
        drop(next);
        assert!(streamed.body.data().await.is_none());
        drop(streamed);
        assert_eq!(text(post(&upstream, &target, &["{}"]).await.unwrap()).await, "last");
    });
}

#[test]
fn a_kept_connection_that_was_closed_is_replaced_without_the_caller_noticing() {
    worker(async {
        let (listener, url) = listen().await;
        let (closed, is_closed) = tokio::sync::oneshot::channel();
        let server = tokio::spawn(async move {
            let (mut first, _) = listener.accept().await.unwrap();
            read_request(&mut first).await.unwrap();
            answer(&mut first, "first").await;
            drop(first);
            closed.send(()).unwrap();
            let (mut second, _) = listener.accept().await.unwrap();
            let seen = read_request(&mut second).await.unwrap();
            answer(&mut second, "second").await;
            seen
        });
        let upstream = upstream();
        let target = upstream.target(&url).unwrap();
        assert_eq!(text(post(&upstream, &target, &["{}"]).await.unwrap()).await, "first");
        is_closed.await.unwrap();
        assert_eq!(text(post(&upstream, &target, &["{\"n\":2}"]).await.unwrap()).await, "second");
        assert!(server.await.unwrap().ends_with("{\"n\":2}"));
    });
}

#[test]
fn what_a_provider_may_have_seen_is_not_sent_twice() {
    worker(async {
        let (listener, url) = listen().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await.unwrap();
            answer(&mut stream, "first").await;
            read_request(&mut stream).await.unwrap();
            drop(stream);
            // A third connection would be a second try.
            tokio::time::timeout(Duration::from_millis(200), listener.accept()).await.is_err()
        });
        let upstream = upstream();
        let target = upstream.target(&url).unwrap();
        assert_eq!(text(post(&upstream, &target, &["{}"]).await.unwrap()).await, "first");
        let error = post(&upstream, &target, &["{}"]).await.err().unwrap();
        assert_eq!(error, UpstreamError::Reset { sent: true, reused: true });
        assert!(error.was_sent());
        assert!(server.await.unwrap());
    });
}

#[test]
fn a_dropped_answer_closes_its_connection_unless_the_end_is_there() {
    worker(async {
        let (listener, url) = listen().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\ndone\r\n0\r\n\r\n")
                .await
                .unwrap();
            // The same connection again, since the end was already there.
            read_request(&mut stream).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nmore\r\n").await.unwrap();
            stream.read(&mut [0u8; 16]).await.unwrap_or(0)
        });
        let upstream = upstream();
        let target = upstream.target(&url).unwrap();
        let mut first = post(&upstream, &target, &["{}"]).await.unwrap();
        assert!(first.body.data().await.unwrap().is_ok());
        drop(first);
        let mut second = post(&upstream, &target, &["{}"]).await.unwrap();
        assert!(second.body.data().await.unwrap().is_ok());
        drop(second);
        assert_eq!(server.await.unwrap(), 0, "the provider sees that nobody listens");
    });
}

#[test]
fn cut_and_malformed_answers_are_told_apart() {
    worker(async {
        for (said, early) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", None),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", None),
            ("SSH-2.0-nothing here\r\n\r\n", Some(UpstreamError::Protocol)),
            ("", Some(UpstreamError::Reset { sent: true, reused: false })),
        ] {
            let (listener, url) = listen().await;
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                read_request(&mut stream).await.unwrap();
                stream.write_all(said.as_bytes()).await.unwrap();
            });
            let upstream = upstream();
            let target = upstream.target(&url).unwrap();
            match (post(&upstream, &target, &["{}"]).await, early) {
                (Ok(reply), None) => assert_eq!(whole(reply).await.err(), Some(UpstreamError::Cut)),
                (Err(error), Some(expected)) => assert_eq!(error, expected),
                (got, _) => panic!("{said:?}: {:?}", got.map(|reply| reply.status)),
            }
        }
    });
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    worker(async {
        let (listener, url) = listen().await;
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await.unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(200 * 1024));
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.read(&mut [0u8; 1]).await;
        });
        let upstream = upstream();
        let target = upstream.target(&url).unwrap();
        assert_eq!(post(&upstream, &target, &["{}"]).await.err(), Some(UpstreamError::Protocol));
    });
}

#[test]
fn large_bodies_go_both_ways_at_once() {
    worker(async {
        let (listener, url) = listen().await;
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // Answers before it has read everything, and then echoes.
            let mut head = [0u8; 64];
            stream.read_exact(&mut head).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8000000\r\n\r\n").await.unwrap();
            let (mut read, mut write) = stream.split();
            let upload = async { tokio::io::copy(&mut read, &mut tokio::io::sink()).await };
            let download = async { write.write_all(&vec![b'x'; 8_000_000]).await.unwrap() };
            let _ = tokio::join!(upload, download);
        });
        let upstream = upstream();
        let target = upstream.target(&url).unwrap();
        let parts: Vec<Bytes> = (0..80).map(|_| Bytes::from(vec![b'y'; 100_000])).collect();
        let reply = upstream
            .send(&target, &Method::POST, &target.route("/x", "").unwrap(), &HeaderMap::new(), parts.into())
            .await
            .unwrap();
        assert_eq!(whole(reply).await.unwrap().len(), 8_000_000);
    });
}

#[test]
fn connections_are_counted_over_workers_and_given_back() {
    worker(async {
        let (listener, url) = listen().await;
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                read_request(&mut stream).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n").await.unwrap();
                open.push(stream);
            }
        });
        let shared = Shared::new(&UpstreamSettings { max_connections: 2, ..UpstreamSettings::default() }).unwrap();
        let (one, two) = (Upstream::new(shared.clone()), Upstream::new(shared));
        let (first, second) = (one.target(&url).unwrap(), two.target(&url).unwrap());
        let a = post(&one, &first, &["{}"]).await.unwrap();
        let _b = post(&two, &second, &["{}"]).await.unwrap();
        assert_eq!(post(&one, &first, &["{}"]).await.err(), Some(UpstreamError::Crowded));
        drop(a);
        assert!(post(&two, &second, &["{}"]).await.is_ok());
    });
}

#[test]
fn unreachable_providers_say_why_and_were_not_sent_anything() {
    worker(async {
        let (listener, url) = listen().await;
        drop(listener);
        let upstream = upstream();
        let refused = post(&upstream, &upstream.target(&url).unwrap(), &["{}"]).await.err().unwrap();
        assert_eq!((refused, refused.was_sent()), (UpstreamError::Refused, false));
        let nameless = upstream.target("http://no-such-host.invalid/v1").unwrap();
        let error = post(&upstream, &nameless, &["{}"]).await.err().unwrap();
        assert!(matches!(error, UpstreamError::Dns | UpstreamError::ConnectTimeout), "{error}");
        let slow = UpstreamSettings {
            connect_timeout: runtime::config::Span::from_millis(100),
            ..UpstreamSettings::default()
        };
        let (silent, url) = listen().await;
        let secure = url.replace("http://", "https://");
        let upstream = Upstream::new(Shared::new(&slow).unwrap());
        let error = post(&upstream, &upstream.target(&secure).unwrap(), &["{}"]).await.err().unwrap();
        assert_eq!(error, UpstreamError::ConnectTimeout, "the handshake counts");
        drop(silent);
    });
}

/// Counts how often a task is polled.
struct Polls<F>(F, Rc<Cell<usize>>);

impl<F: Future + Unpin> Future for Polls<F> {
    type Output = F::Output;
    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<F::Output> {
        self.1.set(self.1.get() + 1);
        std::pin::Pin::new(&mut self.0).poll(cx)
    }
}

#[test]
fn a_piece_of_an_answer_costs_one_wake_up() {
    worker(async {
        let (listener, url) = listen().await;
        let (next, mut chunks) = tokio::sync::mpsc::channel::<()>(1);
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
            while chunks.recv().await.is_some() {
                stream.write_all(b"2\r\nhi\r\n").await.unwrap();
            }
        });
        let upstream = upstream();
        let target = upstream.target(&url).unwrap();
        let mut reply = post(&upstream, &target, &["{}"]).await.unwrap();
        let polls = Rc::new(Cell::new(0));
        const CHUNKS: usize = 50;
        for _ in 0..CHUNKS {
            let asked = next.clone();
            tokio::task::spawn_local(async move { asked.send(()).await.unwrap() });
            let data = Polls(std::pin::pin!(reply.body.data()), polls.clone()).await.unwrap().unwrap();
            assert_eq!(data, "hi");
        }
        // One poll that finds nothing, one after the socket became readable.
        assert!(polls.get() <= CHUNKS * 2 + 5, "{} polls for {CHUNKS} pieces", polls.get());
    });
}

#[test]
fn https_is_verified_against_the_private_authority_and_goes_through_a_proxy() {
    runtime::tls::install_crypto();
    worker(async {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, made.cert.pem()).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
        let secure = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = secure.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = secure.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
                    let _ = stream.read(&mut [0u8; 4096]).await;
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret").await;
                    let _ = stream.read(&mut [0u8; 1]).await;
                });
            }
        });
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy_url = format!("http://{}", proxy.local_addr().unwrap());
        let asked = tokio::spawn(async move {
            let (mut inner, _) = proxy.accept().await.unwrap();
            let mut ask = Vec::new();
            while !ask.ends_with(b"\r\n\r\n") {
                ask.push(inner.read_u8().await.unwrap());
            }
            inner.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
            let mut outer = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut inner, &mut outer).await;
            String::from_utf8(ask).unwrap()
        });
        let url = format!("https://localhost:{port}/v1");
        let stranger = upstream();
        let error = post(&stranger, &stranger.target(&url).unwrap(), &["{}"]).await.err();
        assert_eq!(error, Some(UpstreamError::Tls), "an unknown authority");
        let trusting = UpstreamSettings { ca_file: Some(ca), ..UpstreamSettings::default() };
        let direct = Upstream::new(Shared::new(&trusting).unwrap());
        assert_eq!(text(post(&direct, &direct.target(&url).unwrap(), &["{}"]).await.unwrap()).await, "secret");
        let around = UpstreamSettings { proxy: Some(proxy_url), ..trusting };
        let around = Upstream::new(Shared::new(&around).unwrap());
        let reply = post(&around, &around.target(&url).unwrap(), &["{}"]).await.unwrap();
        assert_eq!(text(reply).await, "secret");
        drop(around);
        let asked = asked.await.unwrap();
        assert!(asked.starts_with(&format!("CONNECT localhost:{port} HTTP/1.1\r\n")), "{asked}");
    });
}

#[test]
fn addresses_that_are_none_are_refused_when_they_are_made_ready() {
    worker(async {
        let upstream = upstream();
        for bad in [
            "ftp://x",
            "http://",
            "http://[::1",
            "http://h:port/",
            "http://h:99999",
            "x",
            "echo://other",
            "http://a b/",
        ] {
            assert!(upstream.target(bad).is_err(), "{bad}");
        }
        for good in ["http://[::1]:8080/v1/", "https://api.example.com", "echo://local"] {
            assert!(upstream.target(good).is_ok(), "{good}");
        }
        for bad in ["https://p:1", "p:1", "http://p", "http://user:canary@p:1"] {
            let settings = UpstreamSettings { proxy: Some(bad.to_owned()), ..UpstreamSettings::default() };
            let error = Shared::new(&settings).err().unwrap().to_string();
            assert!(!error.contains("canary"), "{error}");
        }
        assert!(Shared::new(&UpstreamSettings { http2: true, ..UpstreamSettings::default() }).is_err());
    });
}

#[test]
fn an_idle_pool_lets_its_connections_go() {
    worker(async {
        let (listener, url) = listen().await;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    while read_request(&mut stream).await.is_some() {
                        answer(&mut stream, "ok").await;
                    }
                });
            }
        });
        let upstream = upstream();
        let target = upstream.target(&url).unwrap();
        let (one, other) = tokio::join!(post(&upstream, &target, &["{}"]), post(&upstream, &target, &["{}"]));
        text(one.unwrap()).await;
        text(other.unwrap()).await;
        let pool = upstream.pool_of(&target);
        assert_eq!(pool.count().load(Ordering::SeqCst), 2);
        pool.reap(Duration::from_secs(60), Duration::from_secs(10));
        assert_eq!(pool.count().load(Ordering::SeqCst), 2, "young and open");
        pool.reap(Duration::from_secs(10), Duration::from_secs(10));
        assert_eq!(pool.count().load(Ordering::SeqCst), 0);
    });
}
