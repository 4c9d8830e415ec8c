//! Everything that can go wrong in this crate. A variant says what was being done; the cause is its source.
//! Never carries a secret, nor the text of a file that may hold one.

use std::{io, net::SocketAddr, path::PathBuf};

use crate::config::ConfigError;

/// The one error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Settings could not be read.
    #[error(transparent)]
    Config(#[from] ConfigError),

    /// An operation on a file or folder failed; `doing` is a verb phrase such as "write".
    #[error("{doing} {}", path.display())]
    File {
        /// What was being done, as a verb.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },

    /// Another process holds the lock of a folder.
    #[error("folder {} is in use by another process{holder}", path.display())]
    FolderInUse {
        /// The folder.
        path: PathBuf,
        /// " (pid 123)" when the holder left its number, else empty.
        holder: String,
    },

    /// The limit of open files could not be raised.
    #[error("raise the limit of open files")]
    OpenFiles(#[source] io::Error),

    /// Core dumps could not be forbidden.
    #[error("forbid core dumps")]
    Dumps(#[source] io::Error),

    /// The master key is missing or malformed.
    #[error("master key from {from}: {reason}")]
    MasterKey {
        /// The key source as it is written in settings.
        from: String,
        /// What is wrong, never what was read.
        reason: &'static str,
    },

    /// A secret could not be sealed.
    #[error("seal a secret: {0}")]
    Seal(&'static str),

    /// A sealed secret could not be opened.
    #[error("open a sealed secret: {0}")]
    Open(&'static str),

    /// The envelope was sealed under another master key.
    #[error("open a sealed secret: it was sealed under master key {sealed_under}, this process has {ours}")]
    OtherMasterKey {
        /// Id of the key that sealed it, hexadecimal.
        sealed_under: String,
        /// Id of the key at hand, hexadecimal.
        ours: String,
    },

    /// A socket could not be opened.
    #[error("listen on {address}")]
    Listen {
        /// Where we tried to listen.
        address: SocketAddr,
        /// The operating system's answer.
        source: io::Error,
    },

    /// A running server stopped with an error.
    #[error("serve on {address}")]
    Serve {
        /// Where the server listens.
        address: SocketAddr,
        /// What stopped it.
        source: io::Error,
    },

    /// The handlers of SIGINT and SIGTERM could not be installed.
    #[error("listen for signals")]
    Signals(#[source] io::Error),

    /// A PEM file holds something else than what was looked for.
    #[error("{} holds no {wanted} in PEM form", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
    },

    /// rustls refused what it was given.
    #[error("{doing}")]
    Tls {
        /// What was being done.
        doing: String,
        /// Its reason.
        source: rustls::Error,
    },

    /// The log filter cannot be understood.
    #[error("log filter {filter:?}")]
    LogFilter {
        /// The filter as configured.
        filter: String,
        /// Where it goes wrong.
        source: tracing_subscriber::filter::ParseError,
    },

    /// The OTLP settings cannot be used.
    #[error("send traces to {endpoint}: {reason}")]
    Otlp {
        /// The configured endpoint.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },

    /// Logging was set up twice in one process.
    #[error("set up logging: it is set up already")]
    TelemetryTwice,

    /// A metric was registered under a name or with labels that Prometheus refuses.
    #[error("register metric {name}: {reason}")]
    Metric {
        /// The metric's name.
        name: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
}

impl Error {
    /// Attaches what was being done to an I/O error; for `map_err`.
    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }
}
