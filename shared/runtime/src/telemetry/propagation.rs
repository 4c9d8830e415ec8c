//! Trace context over the wire, as W3C `traceparent` and `tracestate`. For gRPC the headers are those behind a
//! request's metadata: `request.metadata_mut().as_mut()`. Costs nothing while traces are off.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::TraceContextExt as _,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACEPARENT: &str = "traceparent";

/// Makes `span` a child of the caller's span, if the headers name one. To be called before the span is entered.
pub fn adopt(span: &Span, headers: &HeaderMap) {
    // Two parents are none; the standard says to start anew.
    if span.is_disabled() || headers.get_all(TRACEPARENT).iter().count() != 1 {
        return;
    }
    let context = TraceContextPropagator::new().extract(&From(headers));
    if context.span().span_context().is_valid() {
        // Fails only when the span has begun or is not ours; then it stays without that parent.
        let _ = span.set_parent(context);
    }
}

/// Writes `span` into the headers of a call that is made for it; leaves them alone while traces are off.
pub fn inject(span: &Span, headers: &mut HeaderMap) {
    if !span.is_disabled() {
        TraceContextPropagator::new().inject_context(&span.context(), &mut Into(headers));
    }
}

struct From<'a>(&'a HeaderMap);

impl Extractor for From<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct Into<'a>(&'a mut HeaderMap);

impl Injector for Into<'_> {
    fn set(&mut self, key: &str, value: String) {
        // Empty values (a trace state of nobody) only cost bytes.
        if value.is_empty() {
            return;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
