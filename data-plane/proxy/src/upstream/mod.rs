//! Connections to providers: one thin pool of HTTP/1 connections for each worker, on that worker's thread only.
//! Never decides whether to try again and never reads what passes; its errors carry no address and no text.
//! Next room: the provider.

pub mod auth;
mod body;
mod client;
mod connect;
mod dns;
mod echo;
mod line;
mod pool;
pub mod reading;
mod route;
mod stream;
#[cfg(test)]
mod tests;

pub use body::{HttpBody, ReplyBody};
pub use client::{Reply, Shared, Target, Upstream};
pub use echo::EchoBody;
pub use route::Route;

/// What keeps the room from being opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Certificates could not be read.
    #[error(transparent)]
    Tls(#[from] runtime::Error),
    /// The proxy on the way out is not one we can use.
    #[error("upstream.proxy `{0}` is not like http://host:port")]
    Proxy(String),
    /// HTTP/2 to providers was asked for.
    #[error("upstream.http2 is not supported yet: providers are spoken to in HTTP/1.1")]
    Http2,
    /// A provider's address cannot be used.
    #[error("`{0}` is not an address of a provider")]
    BaseUrl(String),
}

/// Why a provider did not answer, or not to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// The provider's name has no address.
    #[error("the provider's name cannot be resolved")]
    Dns,
    /// Nobody listens there.
    #[error("the provider refuses connections")]
    Refused,
    /// No way leads there.
    #[error("the provider cannot be reached")]
    Unreachable,
    /// Connecting took too long.
    #[error("connecting to the provider took too long")]
    ConnectTimeout,
    /// The TLS handshake failed.
    #[error("no secure connection to the provider")]
    Tls,
    /// The proxy on the way out did not let us through.
    #[error("the proxy on the way to the provider refuses")]
    Proxy,
    /// As many connections to this provider as allowed are in use.
    #[error("too many connections to the provider are in use")]
    Crowded,
    /// The route cannot stand in a request line.
    #[error("the route to the provider is malformed")]
    Route,
    /// The connection ended before the head of an answer.
    #[error("the provider closed the connection before it answered")]
    Reset {
        /// The provider may have seen the request.
        sent: bool,
        /// The connection had been kept from an earlier request, so that the provider may have closed it as idle.
        reused: bool,
    },
    /// The answer is not HTTP, or its head is too large.
    #[error("the provider's answer is malformed")]
    Protocol,
    /// The answer ended before it was whole.
    #[error("the provider's answer was cut off")]
    Cut,
}

impl UpstreamError {
    /// Whether the provider may have seen the request, and so may bill it.
    pub fn was_sent(&self) -> bool {
        matches!(self, UpstreamError::Reset { sent: true, .. } | UpstreamError::Protocol | UpstreamError::Cut)
    }
}
