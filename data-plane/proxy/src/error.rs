//! Everything that can keep a proxy from starting or running. A variant says what was being done; the cause is its source.
//! What a client may see is a `Fault` and never one of these.

use std::{io, net::SocketAddr};

/// The error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that every process needs.
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    /// The spool could not be opened.
    #[error(transparent)]
    Spool(#[from] crate::spool::Error),
    /// The link to the controller could not be prepared.
    #[error(transparent)]
    Sync(#[from] crate::sync::Error),
    /// Connections to providers could not be prepared.
    #[error(transparent)]
    Upstream(#[from] crate::upstream::Error),
    /// The proxy's name cannot be one.
    #[error("proxy id from {from}")]
    ProxyId {
        /// The setting or file.
        from: String,
        /// What is wrong with it.
        source: domain::ids::BadId,
    },
    /// The inference port could not be opened.
    #[error("listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("start thread {name}")]
    Thread {
        /// Its name.
        name: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Only one of the two files of the certificate is set.
    #[error("tls.cert and tls.key belong together: set both or none")]
    HalfCertificate,
    /// The main thread of the proxy ended before it said how it started.
    #[error("the proxy ended while it was starting")]
    Vanished,
}
