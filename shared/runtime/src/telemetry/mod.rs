//! Where logs and traces go: logs to stderr, always; traces to an OTLP collector, when one is configured.
//! Spans of requests and attempts use the target [`TRACE`]. They never show in the log, and without a collector their
//! callsites are switched off, so that they cost nothing. Never prompt text, never a key, in either.

mod otlp;
mod panics;
mod propagation;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, io::IsTerminal as _, path::PathBuf, time::Duration};

use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::{Deserialize, Serialize};
use tracing::{Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt as _, filter_fn},
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

pub use propagation::{adopt, inject};

use crate::{Error, Result, Secret, secret};

/// The target of spans that are exported as traces; `info_span!(target: TRACE, …)`.
pub const TRACE: &str = "tollgate::trace";

/// How long the guard waits for the collector when it is merely dropped.
const DROP_DEADLINE: Duration = Duration::from_secs(2);

/// Logs and traces of a process.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// What is logged: a level (`error warn info debug trace`), or a list such as `info,tollgate_proxy=debug`.
    pub log: String,
    /// How log lines look.
    pub format: LogFormat,
    /// Where traces go; off while `endpoint` is empty.
    pub otlp: OtlpConfig,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// An OTLP collector, reached by gRPC.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OtlpConfig {
    /// The collector's URL, such as `http://127.0.0.1:4317`; empty switches traces off.
    pub endpoint: String,
    /// The part of requests that is traced, 0 to 1, where the caller has not decided already.
    pub sample_ratio: f64,
    /// Headers sent with every export, such as an authorization.
    #[serde(serialize_with = "secret::mask_map")]
    pub headers: BTreeMap<String, Secret>,
    /// A PEM file with a private certificate authority of the collector; empty uses the public ones.
    pub ca_file: PathBuf,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { log: "info".to_owned(), format: LogFormat::Text, otlp: OtlpConfig::default() }
    }
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self { endpoint: String::new(), sample_ratio: 1.0, headers: BTreeMap::new(), ca_file: PathBuf::new() }
    }
}

/// Keeps traces flowing; what is still buffered is sent when it is shut down or dropped.
#[must_use = "dropping the guard ends the export of traces"]
pub struct Guard {
    provider: Option<SdkTracerProvider>,
}

impl Guard {
    /// Sends what is buffered, within `deadline`. Does not block the runtime, which the export itself needs.
    pub async fn shutdown(mut self, deadline: Duration) {
        if let Some(provider) = self.provider.take() {
            let _ = tokio::task::spawn_blocking(move || close(&provider, deadline)).await;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take() {
            close(&provider, DROP_DEADLINE);
        }
    }
}

fn close(provider: &SdkTracerProvider, deadline: Duration) {
    if let Err(error) = provider.shutdown_with_timeout(deadline) {
        tracing::warn!(%error, "the last traces could not be sent");
    }
}

/// Sets up logs and traces for this process, once, and turns panics into log lines. With a collector configured it must
/// be called inside a tokio runtime (the control one: data workers never export). `service` is the process's name in
/// traces; `stderr` is where logs go.
///
/// # Errors
/// When the filter or the collector's settings cannot be used, or when it was called before.
pub fn init<W>(config: &TelemetryConfig, service: &'static str, stderr: W) -> Result<Guard>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (subscriber, guard) = subscriber(config, service, stderr, std::io::stderr().is_terminal())?;
    subscriber.try_init().map_err(|_| Error::TelemetryTwice)?;
    panics::into_log();
    Ok(guard)
}

/// The subscriber without its installation, which a process can do only once.
fn subscriber<W>(
    config: &TelemetryConfig,
    service: &'static str,
    writer: W,
    ansi: bool,
) -> Result<(impl Subscriber + Send + Sync + 'static, Guard)>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let mut layers = vec![log_layer(config, writer, ansi)?];
    let provider = otlp::provider(&config.otlp, service)?;
    if let Some(provider) = &provider {
        layers.push(otlp::layer(provider));
    }
    Ok((tracing_subscriber::registry().with(layers), Guard { provider }))
}

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

fn log_layer<W>(config: &TelemetryConfig, writer: W, ansi: bool) -> Result<BoxedLayer>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let wanted =
        EnvFilter::try_new(&config.log).map_err(|source| Error::LogFilter { filter: config.log.clone(), source })?;
    let filter = wanted.and(filter_fn(|metadata| !is_trace(metadata)).with_max_level_hint(LevelFilter::TRACE));
    let layer = fmt::layer().with_writer(writer);
    Ok(match config.format {
        LogFormat::Text => layer.with_ansi(ansi).with_filter(filter).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_filter(filter).boxed(),
    })
}

fn is_trace(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with(TRACE)
}
