//! The mock provider: bare hyper on one thread, as cheap as it can be, so that it is never what is measured.
//! It honours `"stream":true` and the model's name and nothing else; both must stand in the first kilobyte of the body.
//! Each chunk of a stream is a write of its own and carries the nanosecond at which it left (`"t=…`), which `load` reads.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use memchr::memmem;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::clock::{Ticker, now_ns};
use crate::family::Family;
use crate::limits;
use crate::pattern::Pattern;

/// How much of a request body is looked at.
const PEEK: usize = 1024;

#[derive(clap::Args)]
pub struct Options {
    /// Where to listen; repeat to be several providers.
    #[arg(long, required = true)]
    listen: Vec<SocketAddr>,
    /// How long to think before an answer begins.
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
}

/// What all connections share.
struct Mock {
    delay: Duration,
    answers: AtomicU64,
}

pub async fn run(options: Options) -> anyhow::Result<()> {
    limits::raise_open_files();
    let mock = Arc::new(Mock { delay: Duration::from_millis(options.delay_ms), answers: AtomicU64::new(0) });
    let mut doors = JoinSet::new();
    for at in options.listen {
        let listener = TcpListener::bind(at).await.with_context(|| format!("listen on {at}"))?;
        doors.spawn(accept(listener, Arc::clone(&mock)));
    }
    while let Some(ended) = doors.join_next().await {
        ended??;
    }
    Ok(())
}

async fn accept(listener: TcpListener, mock: Arc<Mock>) -> anyhow::Result<()> {
    loop {
        let (socket, _) = listener.accept().await.context("accept")?;
        tokio::spawn(serve(socket, Arc::clone(&mock)));
    }
}

async fn serve(socket: TcpStream, mock: Arc<Mock>) {
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let answer = service_fn(|request| answer(request, &mock));
    // An error here is a client that left: the load ends its streams that way.
    drop(http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(socket), answer).await);
}

async fn answer(
    request: Request<Incoming>,
    mock: &Mock,
) -> Result<Response<Either<Full<Bytes>, Chunks>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let (path, family) = (head.uri.path(), Family::of_path(head.uri.path()));
    let body = read_to_the_end(body).await?;
    if !mock.delay.is_zero() {
        tokio::time::sleep(mock.delay).await;
    }
    let number = mock.answers.fetch_add(1, Ordering::Relaxed);
    let is_streamed = asks_for_a_stream(&body) || path.contains(":stream");
    let model = model(&body).or_else(|| path.rsplit('/').next()?.split(':').next());
    Ok(if is_streamed { stream(family, model, number) } else { whole(family, number) })
}

/// Reads the body through and keeps its beginning.
async fn read_to_the_end(mut body: Incoming) -> Result<BytesMut, hyper::Error> {
    let mut head = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            let missing = PEEK.saturating_sub(head.len()).min(data.len());
            head.extend_from_slice(data.get(..missing).unwrap_or_default());
        }
    }
    Ok(head)
}

fn asks_for_a_stream(head: &[u8]) -> bool {
    memmem::find(head, b"\"stream\":true").is_some() || memmem::find(head, b"\"stream\": true").is_some()
}

/// The text of the `model` field.
fn model(head: &[u8]) -> Option<&str> {
    let after = head.get(memmem::find(head, b"\"model\"")? + b"\"model\"".len()..)?;
    std::str::from_utf8(after.split(|byte| *byte == b'"').nth(1)?).ok()
}

/// The number of an answer, as the digits of its id.
fn digits(number: u64) -> [u8; 18] {
    let mut digits = [b'0'; 18];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    digits
}

fn whole(family: Family, number: u64) -> Response<Either<Full<Bytes>, Chunks>> {
    response("application/json", Either::Left(Full::new(family.whole(text(&digits(number))))))
}

fn stream(family: Family, model: Option<&str>, number: u64) -> Response<Either<Full<Bytes>, Chunks>> {
    let pattern = model.and_then(Pattern::of_model).unwrap_or(Pattern::DEFAULT);
    response("text/event-stream", Either::Right(Chunks::new(family, pattern, number)))
}

fn text(digits: &[u8]) -> &str {
    std::str::from_utf8(digits).unwrap_or_default()
}

fn response<B>(content_type: &'static str, body: B) -> Response<B> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert("x-request-id", HeaderValue::from_static("req_bench"));
    headers.insert("openai-processing-ms", HeaderValue::from_static("1"));
    response
}

/// A stream in the making: the head, then `pattern.chunks` stamped chunks, then usage and `[DONE]`.
struct Chunks {
    family: Family,
    pattern: Pattern,
    number: u64,
    sent: u32,
    /// Chunks whose time has come; more than one when this process was late.
    owed: u64,
    /// Says once that nothing is ready, which makes hyper write what it has: one write per chunk.
    flush: bool,
    ended: bool,
    ticker: Option<Ticker>,
}

impl Chunks {
    fn new(family: Family, pattern: Pattern, number: u64) -> Self {
        Self { family, pattern, number, sent: 0, owed: 1, flush: true, ended: false, ticker: None }
    }

    /// The second chunk comes after a part of the interval that differs from stream to stream, so that streams which begin
    /// together do not send together for ever. Multiples of the golden ratio fill the interval evenly.
    fn ticker(&mut self) -> std::io::Result<&mut Ticker> {
        if let Some(ref mut ticker) = self.ticker {
            return Ok(ticker);
        }
        let turn = u128::from(self.number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let phase = ((turn * u128::from(self.pattern.interval_ns())) >> 64) as u64;
        Ok(self.ticker.insert(Ticker::every(now_ns() + phase, self.pattern.interval_ns())?))
    }

    fn chunk(&self) -> Bytes {
        let chunk = self.family.chunk(text(&digits(self.number)), text(&digits(now_ns())));
        // The first chunk brings what families say before it.
        match self.sent {
            1 => [self.family.opening(text(&digits(self.number))), chunk].concat().into(),
            _ => chunk,
        }
    }

    fn end(&self) -> Bytes {
        self.family.end(text(&digits(self.number)), self.sent)
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        if std::mem::take(&mut this.flush) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.sent == this.pattern.chunks {
            this.ended = true;
            return Poll::Ready(Some(Ok(Frame::data(this.end()))));
        }
        if this.owed == 0 {
            match this.ticker() {
                Ok(ticker) => this.owed = ready!(ticker.poll_ticks(cx)).unwrap_or(1),
                // Out of descriptors: the stream ends short and without `[DONE]`, which the load counts as an error.
                Err(_) => return Poll::Ready(None),
            }
        }
        this.owed = this.owed.saturating_sub(1);
        this.sent += 1;
        this.flush = this.owed > 0 || this.sent == this.pattern.chunks;
        Poll::Ready(Some(Ok(Frame::data(this.chunk()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_read_with_and_without_spaces() {
        assert_eq!(model(br#"{"model":"bench-json","stream":true}"#), Some("bench-json"));
        assert_eq!(model(br#"{ "model" : "mock/bench-1x1ms" }"#), Some("mock/bench-1x1ms"));
        assert_eq!(model(b"{}"), None);
    }

    #[test]
    fn a_chunk_has_the_size_of_a_real_one_and_carries_its_time() {
        let before = now_ns();
        let chunk = Chunks::new(Family::Chat, Pattern::DEFAULT, 7).chunk();
        assert!((250..=290).contains(&chunk.len()), "{} bytes", chunk.len());
        let text = std::str::from_utf8(&chunk).unwrap();
        let stamp: u64 = text.split("\"t=").nth(1).unwrap()[..18].parse().unwrap();
        assert!((before..=now_ns()).contains(&stamp));
        let event: serde_json::Value = serde_json::from_str(text.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(event["choices"][0]["finish_reason"], serde_json::Value::Null);
    }

    #[tokio::test]
    async fn a_whole_answer_is_json_with_usage_and_about_640_bytes() {
        let body = whole(Family::Chat, 3).into_body().collect().await.unwrap().to_bytes();
        assert!((600..=680).contains(&body.len()), "{} bytes", body.len());
        let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(answer["usage"]["total_tokens"], 145);
    }

    #[tokio::test]
    async fn a_stream_has_all_its_chunks_then_usage_then_done() {
        let pattern = Pattern { chunks: 5, interval: Duration::from_millis(1) };
        let body = Chunks::new(Family::Chat, pattern, 0).collect().await.unwrap().to_bytes();
        let text = std::str::from_utf8(&body).unwrap();
        assert_eq!(text.matches("\"t=").count(), 5);
        assert!(text.contains("\"completion_tokens\":5"));
        assert!(text.ends_with("data: [DONE]\n\n"));
    }
}
