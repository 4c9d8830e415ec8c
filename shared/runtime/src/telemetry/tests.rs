use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};

use axum::{Router, body::Bytes, extract::State, response::Response};
use http::HeaderMap;
use http_body_util::{BodyExt as _, Full};
use tokio::sync::mpsc;
use tracing::{Level, Span, info, info_span, subscriber::with_default, warn};

use super::*;

/// A writer whose text can be read.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Paper {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

fn config(log: &str, format: LogFormat) -> TelemetryConfig {
    TelemetryConfig { log: log.to_owned(), format, ..TelemetryConfig::default() }
}

fn request_span() -> Span {
    info_span!(target: TRACE, "request", request.id = "req_1")
}

#[test]
fn without_a_collector_trace_callsites_are_switched_off() {
    let span = with_default(tracing_subscriber::registry(), request_span);
    let metadata = span.metadata().unwrap();
    for log in ["info", "trace", "tollgate::trace=trace,debug", "info,[{request.id}]=trace"] {
        let (subscriber, _guard) = subscriber(&config(log, LogFormat::Text), "test", Paper::default(), false).unwrap();
        assert!(subscriber.register_callsite(metadata).is_never(), "{log}");
    }
}

// What `init` sets up is the process's, so this test binary starts itself again to look at it.

const INITIATE: &str = "TOLLGATE_TEST_TELEMETRY_INITIATE";

/// Does nothing in a normal run.
#[test]
fn initiate() {
    if std::env::var_os(INITIATE).is_none() {
        return;
    }
    let config = config("info", LogFormat::Json);
    let _guard = init(&config, "test", io::stderr).unwrap();
    assert!(request_span().is_disabled());
    assert!(matches!(init(&config, "test", io::stderr), Err(Error::TelemetryTwice)));
    info!("logged");
    let _ = std::thread::Builder::new()
        .name("worker".to_owned())
        .spawn(|| panic!("canary {}", std::env::args().count()))
        .unwrap()
        .join();
}

#[test]
fn a_process_logs_to_stderr_only_and_its_panics_too() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "telemetry::tests::initiate", "--nocapture"])
        .env(INITIATE, "1")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{out}{err}");
    let lines: Vec<serde_json::Value> = err.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(lines.iter().map(|line| line["message"] == "logged").collect::<Vec<_>>(), [true, false], "{err}");
    assert_eq!(lines[1]["thread"], "worker", "{err}");
    assert!(lines[1]["place"].as_str().unwrap().contains("telemetry/tests.rs:"), "{err}");
    assert!(!err.contains("canary") && !out.contains("logged"), "{out}{err}");
}

#[test]
fn the_log_heeds_the_filter_and_never_shows_trace_spans() {
    let paper = Paper::default();
    let config = config("warn,chosen=info,tollgate::trace=trace", LogFormat::Text);
    let (subscriber, _guard) = subscriber(&config, "test", paper.clone(), false).unwrap();
    with_default(subscriber, || {
        let _entered = request_span().entered();
        info!("hidden");
        info!(target: "chosen", answer = 42, "shown");
        info!(target: TRACE, "an event of the trace");
        warn!("warned");
    });
    let text = paper.text();
    assert!(text.contains("shown answer=42") && text.contains("warned"), "{text}");
    assert!(!text.contains("hidden") && !text.contains("request") && !text.contains("event of the trace"), "{text}");
}

#[test]
fn json_lines_are_objects_with_fields_at_the_top() {
    let paper = Paper::default();
    let (subscriber, _guard) = subscriber(&config("info", LogFormat::Json), "test", paper.clone(), true).unwrap();
    with_default(subscriber, || warn!(provider = "openai", status = 503, "attempt \"failed\""));
    let line: serde_json::Value = serde_json::from_str(paper.text().trim()).unwrap();
    assert_eq!(line["message"], "attempt \"failed\"");
    assert_eq!((&line["provider"], &line["status"], &line["level"]), (&"openai".into(), &503.into(), &"WARN".into()));
}

#[test]
fn a_filter_that_cannot_be_read_is_refused_by_its_text() {
    let refused = subscriber(&config("info,=nonsense=", LogFormat::Text), "test", Paper::default(), false);
    assert_eq!(refused.err().unwrap().to_string(), "log filter \"info,=nonsense=\"");
}

/// A collector that hands on the headers and the raw body of every export.
struct Collector {
    endpoint: String,
    exports: mpsc::UnboundedReceiver<(HeaderMap, Vec<u8>)>,
}

type Exports = mpsc::UnboundedSender<(HeaderMap, Vec<u8>)>;

impl Collector {
    async fn start() -> Self {
        let (send, exports) = mpsc::unbounded_channel();
        let router = Router::new()
            .route("/opentelemetry.proto.collector.trace.v1.TraceService/Export", axum::routing::post(export))
            .with_state(send);
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint, exports }
    }

    fn config(&self, sample_ratio: f64) -> TelemetryConfig {
        let headers = [("authorization".to_owned(), Secret::from("Bearer t"))].into();
        let otlp = OtlpConfig { endpoint: self.endpoint.clone(), sample_ratio, headers, ..OtlpConfig::default() };
        TelemetryConfig { otlp, ..TelemetryConfig::default() }
    }

    fn received(&mut self) -> Vec<(HeaderMap, Vec<u8>)> {
        std::iter::from_fn(|| self.exports.try_recv().ok()).collect()
    }
}

/// An empty protobuf message in a gRPC frame, then the status as a trailer.
async fn export(State(exports): State<Exports>, headers: HeaderMap, body: Bytes) -> Response {
    let _ = exports.send((headers, body.to_vec()));
    let trailers = async { Some(Ok(HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]))) };
    let body = axum::body::Body::new(Full::new(Bytes::from_static(&[0; 5])).with_trailers(trailers));
    Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}

fn holds(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|part| part == text.as_bytes())
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE_ID: [u8; 16] =
    [0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_exported_under_its_callers_trace_and_passes_it_on() {
    let mut collector = Collector::start().await;
    let (subscriber, guard) = subscriber(&collector.config(1.0), "tollgate-test", Paper::default(), false).unwrap();
    let sent = with_default(subscriber, || {
        let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), PARENT.parse().unwrap())]);
        let request = request_span();
        assert!(!request.is_disabled());
        adopt(&request, &headers);
        let _entered = request.enter();
        info!("a log line is no part of the trace");
        let attempt = info_span!(target: TRACE, "attempt");
        let mut sent = HeaderMap::new();
        inject(&attempt, &mut sent);
        sent
    });
    guard.shutdown(Duration::from_secs(10)).await;

    let parent = sent["traceparent"].to_str().unwrap();
    assert!(parent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && parent.ends_with("-01"), "{parent}");
    assert_ne!(parent, PARENT);
    let exports = collector.received();
    let all: Vec<u8> = exports.iter().flat_map(|(_, body)| body.clone()).collect();
    assert!(exports.iter().all(|(headers, _)| headers["authorization"] == "Bearer t") && !exports.is_empty());
    for wanted in ["request", "attempt", "req_1", "tollgate-test"] {
        assert!(holds(&all, wanted), "{wanted}");
    }
    assert!(all.windows(16).any(|part| part == TRACE_ID));
    assert!(!holds(&all, "a log line"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ratio_of_zero_samples_only_what_the_caller_samples() {
    let mut collector = Collector::start().await;
    let (subscriber, guard) = subscriber(&collector.config(0.0), "test", Paper::default(), false).unwrap();
    with_default(subscriber, || {
        drop(info_span!(target: TRACE, "unsampled").entered());
        let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), PARENT.parse().unwrap())]);
        let sampled = info_span!(target: TRACE, "sampled-by-caller");
        adopt(&sampled, &headers);
        drop(sampled.entered());
    });
    guard.shutdown(Duration::from_secs(10)).await;
    let all: Vec<u8> = collector.received().into_iter().flat_map(|(_, body)| body).collect();
    assert!(holds(&all, "sampled-by-caller") && !holds(&all, "unsampled"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_collector_cannot_hold_up_the_shutdown() {
    // Accepts and never answers.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let otlp = OtlpConfig { endpoint, ..OtlpConfig::default() };
    let config = TelemetryConfig { otlp, ..TelemetryConfig::default() };
    let (subscriber, guard) = subscriber(&config, "test", Paper::default(), false).unwrap();
    with_default(subscriber, || drop(request_span().entered()));
    let start = Instant::now();
    guard.shutdown(Duration::from_millis(300)).await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_start() {
    let refusal = |otlp| {
        let config = TelemetryConfig { otlp, ..TelemetryConfig::default() };
        subscriber(&config, "test", Paper::default(), false).err().unwrap().to_string()
    };
    let endpoint = || "http://127.0.0.1:1".to_owned();
    for ratio in [-0.1, 1.1, f64::NAN] {
        let text = refusal(OtlpConfig { endpoint: endpoint(), sample_ratio: ratio, ..OtlpConfig::default() });
        assert!(text.contains("sample_ratio must be from 0 to 1"), "{text}");
    }
    let headers = [("a b".to_owned(), Secret::from("x"))].into();
    let text = refusal(OtlpConfig { endpoint: endpoint(), headers, ..OtlpConfig::default() });
    assert!(text.contains("\"a b\" is no header name"), "{text}");
    let headers = [("authorization".to_owned(), Secret::from("canary\n"))].into();
    let text = refusal(OtlpConfig { endpoint: endpoint(), headers, ..OtlpConfig::default() });
    assert!(text.contains("authorization") && !text.contains("canary"), "{text}");
    let text = refusal(OtlpConfig { endpoint: "not a url".to_owned(), ..OtlpConfig::default() });
    assert!(text.starts_with("send traces to not a url: "), "{text}");
}

#[test]
fn nothing_is_injected_while_traces_are_off() {
    let mut headers = HeaderMap::new();
    inject(&Span::none(), &mut headers);
    adopt(&Span::none(), &headers);
    assert!(headers.is_empty());
}

#[test]
fn a_formatted_panic_message_is_withheld_and_a_fixed_one_shown() {
    // The hook is the process's; other tests that panic meanwhile only add lines to the paper.
    let paper = Paper::default();
    let (subscriber, _guard) = subscriber(&config("error", LogFormat::Text), "test", paper.clone(), false).unwrap();
    let before = std::panic::take_hook();
    panics::into_log();
    with_default(subscriber, || {
        assert!(tracing::enabled!(Level::ERROR));
        let prompt = "canary-prompt";
        let _ = std::panic::catch_unwind(|| panic!("unexpected {prompt}"));
        let _ = std::panic::catch_unwind(|| panic!("a fixed text"));
    });
    std::panic::set_hook(before);
    let text = paper.text();
    assert!(text.contains("(message withheld)") && text.contains("a fixed text"), "{text}");
    assert!(text.contains("telemetry/tests.rs:") && !text.contains("canary-prompt"), "{text}");
}
