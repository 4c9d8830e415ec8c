//! Export of spans with the target `tollgate::trace` by OTLP over gRPC. A slow or absent collector costs spans, never
//! a request: the queue is bounded and sent by a thread of its own.

use std::fs;

use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{
    SpanExporter, WithExportConfig as _, WithTonicConfig as _,
    tonic_types::{
        metadata::MetadataMap,
        transport::{Certificate, ClientTlsConfig},
    },
};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider},
};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer as _, filter::Targets};

use super::{BoxedLayer, OtlpConfig, TRACE};
use crate::{Error, Result};

/// `None` while no endpoint is configured.
pub(super) fn provider(config: &OtlpConfig, service: &'static str) -> Result<Option<SdkTracerProvider>> {
    if config.endpoint.is_empty() {
        return Ok(None);
    }
    let refuse = |reason: String| Error::Otlp { endpoint: config.endpoint.clone(), reason };
    if !(0.0..=1.0).contains(&config.sample_ratio) {
        return Err(refuse(format!("sample_ratio must be from 0 to 1 and is {}", config.sample_ratio)));
    }
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(refuse("it must be set up inside the tokio runtime that will send".to_owned()));
    }
    let mut builder =
        SpanExporter::builder().with_tonic().with_endpoint(&config.endpoint).with_metadata(metadata(config)?);
    if config.endpoint.starts_with("https://") {
        builder = builder.with_tls_config(tls(config)?);
    }
    let exporter = builder.build().map_err(|error| refuse(error.to_string()))?;
    let resource = Resource::builder()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio)));
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(sampler)
        .with_resource(resource)
        .build();
    Ok(Some(provider))
}

/// Takes spans with our target and nothing else.
pub(super) fn layer(provider: &SdkTracerProvider) -> BoxedLayer {
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("tollgate"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(Targets::new().with_target(TRACE, LevelFilter::INFO))
        .boxed()
}

fn metadata(config: &OtlpConfig) -> Result<MetadataMap> {
    let refuse = |reason: &str, name: &str| Error::Otlp {
        endpoint: config.endpoint.clone(),
        reason: format!("header {name:?} {reason}"),
    };
    let mut headers = http::HeaderMap::new();
    for (name, secret) in &config.headers {
        let key = http::HeaderName::try_from(name).map_err(|_| refuse("is no header name", name))?;
        let mut value = http::HeaderValue::from_bytes(secret.expose())
            .map_err(|_| refuse("has a value that cannot be sent", name))?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(MetadataMap::from_headers(headers))
}

fn tls(config: &OtlpConfig) -> Result<ClientTlsConfig> {
    if config.ca_file.as_os_str().is_empty() {
        return Ok(ClientTlsConfig::new().with_webpki_roots());
    }
    let pem = fs::read(&config.ca_file).map_err(Error::file("read", &config.ca_file))?;
    Ok(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
}
