//! Every setting of the data plane, documented on its field: defaults < file < environment (`runtime::config`).
//! Never checks a port or a folder; whoever uses a setting does. Next room: `start`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use runtime::{
    config::{Bytes, Span},
    telemetry::TelemetryConfig,
};
use serde::{Deserialize, Serialize};

/// What the environment variables of this plane begin with.
pub const ENVIRONMENT_PREFIX: &str = "TOLLGATE_PROXY_";

/// The settings of one proxy.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where inference is served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The private port: `/livez`, `/readyz`, `/metrics`; port 0 takes a free one.
    pub metrics_listen: SocketAddr,
    /// The controller's sync port.
    pub sync_url: String,
    /// Spool, snapshot cache and the proxy's own id.
    pub data_dir: PathBuf,
    /// The proxy's name in the fleet; empty makes one at the first start and keeps it in the data folder.
    pub proxy_id: String,
    /// Where this proxy stands, as the fleet list shows it.
    pub region: String,
    /// Worker threads; 0 is one per core.
    pub workers: usize,
    /// How it leaves.
    pub drain: DrainSettings,
    /// What one client may ask of it.
    pub limits: LimitSettings,
    /// How long it waits for whom.
    pub timeouts: TimeoutSettings,
    /// Signs of life while a provider thinks.
    pub keepalive: KeepaliveSettings,
    /// Which web pages may call it.
    pub cors: CorsSettings,
    /// The certificate of the inference port.
    pub tls: TlsSettings,
    /// Connections to providers.
    pub upstream: UpstreamSettings,
    /// Usage records on disk until they are reported.
    pub spool: SpoolSettings,
    /// The link to the controller.
    pub sync: SyncSettings,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            metrics_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9464)),
            sync_url: "http://127.0.0.1:8082".to_owned(),
            data_dir: PathBuf::from("tollgate-data"),
            proxy_id: String::new(),
            region: String::new(),
            workers: 0,
            drain: DrainSettings::default(),
            limits: LimitSettings::default(),
            timeouts: TimeoutSettings::default(),
            keepalive: KeepaliveSettings::default(),
            cors: CorsSettings::default(),
            tls: TlsSettings::default(),
            upstream: UpstreamSettings::default(),
            spool: SpoolSettings::default(),
            sync: SyncSettings::default(),
            telemetry: TelemetryConfig::default(),
        }
    }
}

/// How a proxy leaves.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DrainSettings {
    /// How long it says that it is not ready while it still accepts; at least two intervals of the balancer's checks.
    pub lame_duck: Span,
    /// How long streams may go on after it has stopped accepting; what is still open then is cut and free.
    pub deadline: Span,
    /// How long it then waits for the controller to take its leases and records.
    pub report: Span,
}

impl Default for DrainSettings {
    fn default() -> Self {
        DrainSettings { lame_duck: Span::from_secs(4), deadline: Span::from_secs(30), report: Span::from_secs(5) }
    }
}

/// What one client may ask of a proxy.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// Request line and headers together. There may be 100 headers.
    pub head: Bytes,
    /// A JSON body as it is sent.
    pub body: Bytes,
    /// A JSON body after decompression; beyond 1 MiB it may also not be more than 20 times what was sent.
    pub decompressed: Bytes,
    /// A provider's answer.
    pub answer: Bytes,
    /// Client connections of the whole proxy; what comes on top waits in the listen backlog.
    pub connections: usize,
    /// Requests at once on one HTTP/2 connection.
    pub http2_streams: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        LimitSettings {
            head: Bytes::from_kib(32),
            body: Bytes::from_mib(32),
            decompressed: Bytes::from_mib(64),
            answer: Bytes::from_mib(64),
            connections: 100_000,
            http2_streams: 100,
        }
    }
}

/// How long a proxy waits for whom.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutSettings {
    /// From accepting a connection to its first byte.
    pub first_byte: Span,
    /// For the TLS handshake.
    pub handshake: Span,
    /// From the first byte of a request head to its last.
    pub head: Span,
    /// Between two requests on one connection.
    pub idle: Span,
    /// For a request body as a whole.
    pub body: Span,
    /// What a client must send of its body on average, per second, after the first ten.
    pub body_rate: Bytes,
    /// How long a client may take nothing of an answer that is there.
    pub write_stall: Span,
    /// From sending a request to a provider to the head of its answer.
    pub provider_first_byte: Span,
    /// Between two pieces of a provider's answer.
    pub provider_stall: Span,
    /// For a request as a whole, all attempts together. Leases of dead proxies come back the later for it.
    pub request: Span,
}

impl Default for TimeoutSettings {
    fn default() -> Self {
        TimeoutSettings {
            first_byte: Span::from_secs(10),
            handshake: Span::from_secs(5),
            head: Span::from_secs(10),
            idle: Span::from_secs(75),
            body: Span::from_secs(120),
            body_rate: Bytes::from_kib(1),
            write_stall: Span::from_secs(30),
            provider_first_byte: Span::from_secs(60),
            provider_stall: Span::from_secs(60),
            request: Span::from_mins(10),
        }
    }
}

/// Signs of life on a stream while a provider thinks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeepaliveSettings {
    /// When the first one is sent; it commits the answer to status 200. 0 sends none.
    pub first: Span,
    /// Between further ones.
    pub interval: Span,
    /// The text of the comment.
    pub text: String,
}

impl Default for KeepaliveSettings {
    fn default() -> Self {
        KeepaliveSettings { first: Span::from_secs(10), interval: Span::from_secs(10), text: "tollgate".to_owned() }
    }
}

/// Which web pages may call a proxy. Keys are bearers and never cookies, so any page may by default.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CorsSettings {
    /// Origins such as `https://app.example.com`; empty allows every one.
    pub origins: Vec<String>,
}

/// The certificate of the inference port. Both files or none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// PEM file with the certificate chain; empty serves plain HTTP.
    pub cert: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
    /// How often the files are looked at for a new pair.
    pub reload: Span,
}

impl Default for TlsSettings {
    fn default() -> Self {
        TlsSettings { cert: PathBuf::new(), key: PathBuf::new(), reload: Span::from_secs(10) }
    }
}

/// Connections to providers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamSettings {
    /// For resolving, connecting and the TLS handshake together.
    pub connect_timeout: Span,
    /// How long an unused connection is kept.
    pub idle_timeout: Span,
    /// Unused connections kept for each provider by each worker.
    pub max_idle: usize,
    /// Connections to one provider over all workers.
    pub max_connections: usize,
    /// How long a name's addresses are used before they are asked for again; the last good answer outlives a failure.
    pub dns_ttl: Span,
    /// PEM file with a private certificate authority that is trusted beside the public ones.
    pub ca_file: Option<PathBuf>,
    /// An HTTP proxy, `http://host:port`, through which `https` providers are reached by CONNECT.
    pub proxy: Option<String>,
    /// Offer HTTP/2 to providers.
    pub http2: bool,
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        UpstreamSettings {
            connect_timeout: Span::from_secs(3),
            idle_timeout: Span::from_secs(60),
            max_idle: 256,
            max_connections: 4096,
            dns_ttl: Span::from_secs(30),
            ca_file: None,
            proxy: None,
            http2: false,
        }
    }
}

/// Usage records on disk until they are reported.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolSettings {
    /// Above 95 % of this no more paid requests are admitted; nothing is ever dropped.
    pub cap: Bytes,
    /// Size of one file.
    pub segment: Bytes,
    /// How long records wait for others before they are synced to disk together.
    pub flush: Span,
}

impl Default for SpoolSettings {
    fn default() -> Self {
        SpoolSettings { cap: Bytes::from_mib(1024), segment: Bytes::from_mib(16), flush: Span::from_millis(10) }
    }
}

/// The link to the controller.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyncSettings {
    /// How often finished requests are reported.
    pub report_interval: Span,
    /// How long a question to the controller's books may take.
    pub query_timeout: Span,
    /// The snapshot cache is written anew when its log of changes has grown to this.
    pub cache_compact: Bytes,
    /// A whole new state that would lose more than a fifth of a large old one is taken all the same.
    pub accept_shrunk_base: bool,
}

impl Default for SyncSettings {
    fn default() -> Self {
        SyncSettings {
            report_interval: Span::from_millis(200),
            query_timeout: Span::from_secs(2),
            cache_compact: Bytes::from_mib(64),
            accept_shrunk_base: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_be_printed_and_read_back() {
        let text = runtime::config::to_toml(&Settings::default()).unwrap();
        let again: Settings = runtime::config::load(None, ENVIRONMENT_PREFIX, []).unwrap();
        assert_eq!(runtime::config::to_toml(&again).unwrap(), text);
    }

    #[test]
    fn a_setting_nobody_knows_is_refused_by_name() {
        let variables = [("TOLLGATE_PROXY_LISTNE".to_owned(), "127.0.0.1:1".to_owned())];
        let error = runtime::config::load::<Settings>(None, ENVIRONMENT_PREFIX, variables).err().unwrap();
        assert!(error.to_string().contains("TOLLGATE_PROXY_LISTNE"), "{error}");
    }
}
