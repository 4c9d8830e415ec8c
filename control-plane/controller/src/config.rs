//! Every setting of the control plane.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use runtime::config::Span;
use runtime::telemetry::TelemetryConfig;
use serde::{Deserialize, Serialize};

/// What the names of this plane's environment variables start with: `TOLLGATE_CONTROLLER_DATABASE`, …
pub const PREFIX: &str = "TOLLGATE_CONTROLLER_";

/// The settings of a control plane.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder for the SQLite file, the master key and the root admin token.
    pub data_dir: PathBuf,
    /// `postgres://…`, `sqlite:///path`, or nothing for the file tollgate.db in the data folder.
    #[serde(serialize_with = "without_password")]
    pub database: String,
    /// Whether a schema that is behind is brought up to date at the start. Off, `tollgate migrate` does it.
    pub migrate_at_start: bool,
    /// Where people, the command line and the console call: gRPC and gRPC-Web.
    pub admin_listen: SocketAddr,
    /// Where proxies connect. Loopback only, until the planes have mutual TLS.
    pub sync_listen: SocketAddr,
    /// The private port: /livez, /readyz, /metrics.
    pub metrics_listen: SocketAddr,
    /// TLS of the admin port; plain while both are empty. The files are read again when they change.
    pub admin_tls: TlsFiles,
    /// Where the master key is that secrets are sealed with at rest.
    pub master_key: MasterKeySource,
    /// Whether the seed catalogue of well-known models is put in where it is missing.
    pub seed: bool,
    /// How long a write waits until every connected proxy has applied it.
    pub read_your_writes: Span,
    /// How often the books are re-added in the background.
    pub verify_every: Span,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
}

/// A database's address as it may be shown: a password in it is not.
fn without_password<S: serde::Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let masked = url.split_once("://").and_then(|(scheme, rest)| {
        let (login, place) = rest.rsplit_once('@')?;
        let (user, _) = login.split_once(':')?;
        Some(format!("{scheme}://{user}:***@{place}"))
    });
    serializer.serialize_str(masked.as_deref().unwrap_or(url))
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsFiles {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Whether TLS is wanted.
    pub fn is_set(&self) -> bool {
        !self.certificate.as_os_str().is_empty() || !self.key.as_os_str().is_empty()
    }
}

/// Where the master key comes from.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MasterKeySource {
    /// A file with the key; made at the first start when it is missing. Empty is master-key in the data folder.
    pub file: PathBuf,
    /// The name of an environment variable that holds the key; wins over the file.
    pub env: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            data_dir: PathBuf::from("./tollgate-data"),
            database: String::new(),
            migrate_at_start: true,
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            sync_listen: SocketAddr::from(([127, 0, 0, 1], 8082)),
            metrics_listen: SocketAddr::from(([127, 0, 0, 1], 9081)),
            admin_tls: TlsFiles::default(),
            master_key: MasterKeySource::default(),
            seed: true,
            read_your_writes: Span::from_secs(2),
            verify_every: Span::from_secs(60),
            telemetry: TelemetryConfig::default(),
        }
    }
}

impl Config {
    /// The address of the database.
    pub fn database_url(&self) -> String {
        if self.database.is_empty() {
            self.data_dir.join("tollgate.db").display().to_string()
        } else {
            self.database.clone()
        }
    }

    /// Whether the database certainly has nothing in it: it is a file that is not there. A server's cannot be known
    /// without asking.
    pub fn has_no_database_yet(&self) -> bool {
        let url = self.database_url();
        let path = url.strip_prefix("sqlite:").map_or(url.as_str(), |rest| rest.strip_prefix("//").unwrap_or(rest));
        !path.contains("://") && !Path::new(path).exists()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_is_missing_is_certainly_empty() {
        let folder = tempfile::tempdir().unwrap();
        let is_new = |database: &str| {
            let config =
                Config { data_dir: folder.path().join("data"), database: database.to_owned(), ..Config::default() };
            config.has_no_database_yet()
        };
        let file = folder.path().join("there.db");
        std::fs::write(&file, "").unwrap();
        assert!(is_new("") && is_new("sqlite:///nowhere/x.db"));
        assert!(!is_new(file.to_str().unwrap()) && !is_new(&format!("sqlite://{}", file.display())));
        assert!(!is_new("postgres://me@db/x"));
    }

    #[test]
    fn a_password_in_the_database_address_is_not_shown() {
        let shown = |url: &str| {
            let config = Config { database: url.to_owned(), ..Config::default() };
            runtime::config::to_toml(&config).unwrap()
        };
        assert!(!shown("postgres://me:hunter2@db/x").contains("hunter2"));
        assert!(shown("postgres://me@db/x").contains("postgres://me@db/x"));
        assert!(shown("/var/lib/tollgate.db").contains("/var/lib/tollgate.db"));
    }
}
