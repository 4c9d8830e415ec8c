//! Both planes in one process, over real sockets: the quickest way to a first answer. Makes what is missing in its data
//! folder, and shows a key and a line that works at once.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use controller::Demo;
use proto::admin::ApplyRequest;
use runtime::config::Span;
use runtime::shutdown::Shutdown;
use serde_json::json;

use crate::admin::apply;
use crate::in_one_line;
use crate::planes::{controller_settings, proxy_settings};

/// How long the proxies may take to become ready.
const READY_DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub struct Options {
    /// Folder for everything that is kept: database, keys, spools, caches.
    #[arg(long, value_name = "DIR", default_value = "./tollgate-data")]
    data: PathBuf,
    /// A PostgreSQL database in place of the SQLite file in the data folder.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Where inference is served.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the admin API is served.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    admin_listen: SocketAddr,
    /// Where the planes talk to each other.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8082")]
    sync_listen: SocketAddr,
    /// Where health and metrics are served: the control plane's on this port, the proxies' on the next ones.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    metrics_listen: SocketAddr,
    /// How many proxies; they listen on the inference port and the next ones.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    proxies: u16,
    /// An apply file to apply before anything is ready; repeat for more.
    #[arg(long, value_name = "FILE")]
    apply: Vec<PathBuf>,
    /// No built-in echo provider and no demo organisation.
    #[arg(long)]
    no_demo: bool,
    /// Print one line of JSON on stdout when everything is ready.
    #[arg(long)]
    json: bool,
}

/// Runs both planes until a signal.
pub async fn run(options: Options) -> Result<ExitCode, String> {
    let wishes =
        options.apply.iter().map(apply::read).collect::<Result<Vec<_>, _>>().map_err(|error| in_one_line(&error))?;
    let config = controller_config(&options)?;
    let telemetry = runtime::telemetry::init(&config.telemetry, "tollgate", std::io::stderr);
    let telemetry = telemetry.map_err(|error| in_one_line(&error))?;
    runtime::files::raise_open_files().map_err(|error| in_one_line(&error))?;
    check_ports(&options)?;
    let shutdown = Shutdown::on_signals().map_err(|error| in_one_line(&error))?;
    let started = controller::start(&config, std::env::var("TOLLGATE_ADMIN_TOKEN").ok()).await;
    let control = started.map_err(|error| in_one_line(&error))?;
    let (demo, proxies) = match prepare(&options, &control, wishes, &shutdown).await {
        Ok(prepared) => prepared,
        Err(error) => {
            control.stop().await;
            return Err(error);
        }
    };
    say_ready(&options, &control, &proxies, demo.as_ref());
    shutdown.signalled().await;
    for proxy in proxies {
        proxy.finished().await;
    }
    control.stop().await;
    telemetry.shutdown(Duration::from_secs(2)).await;
    Ok(ExitCode::SUCCESS)
}

fn controller_config(options: &Options) -> Result<controller::Config, String> {
    let mut config = controller_settings(None)?;
    config.data_dir.clone_from(&options.data);
    if let Some(database) = &options.database {
        config.database.clone_from(database);
    }
    config.admin_listen = options.admin_listen;
    config.sync_listen = options.sync_listen;
    config.metrics_listen = options.metrics_listen;
    Ok(config)
}

fn next(address: SocketAddr, by: u16) -> Result<SocketAddr, String> {
    if address.port() == 0 {
        return Ok(address);
    }
    let port = address.port().checked_add(by).ok_or_else(|| format!("there is no port {} after {address}", by))?;
    Ok(SocketAddr::new(address.ip(), port))
}

/// A proxy's port that is in use must be known before anything is written.
fn check_ports(options: &Options) -> Result<(), String> {
    for number in 0..options.proxies {
        let address = next(options.listen, number)?;
        std::net::TcpListener::bind(address).map_err(|error| format!("listen for inference on {address}: {error}"))?;
    }
    Ok(())
}

async fn prepare(
    options: &Options,
    control: &controller::Running,
    wishes: Vec<ApplyRequest>,
    shutdown: &Shutdown,
) -> Result<(Option<Demo>, Vec<proxy::Running>), String> {
    for wish in wishes {
        control.apply(wish).await.map_err(|error| in_one_line(&error))?;
    }
    let demo = match options.no_demo {
        true => None,
        false => Some(control.demo(&options.data).await.map_err(|error| in_one_line(&error))?),
    };
    let mut proxies = Vec::new();
    for number in 0..options.proxies {
        let settings = proxy_config(options, control, number)?;
        proxies.push(proxy::start(settings, shutdown.child()).await.map_err(|error| in_one_line(&error))?);
    }
    let all_ready = async {
        for proxy in &proxies {
            proxy.ready().await;
        }
    };
    tokio::time::timeout(READY_DEADLINE, all_ready)
        .await
        .map_err(|_| format!("the proxies were not ready after {} s; the log says why", READY_DEADLINE.as_secs()))?;
    Ok((demo, proxies))
}

fn proxy_config(options: &Options, control: &controller::Running, number: u16) -> Result<proxy::Settings, String> {
    let mut settings = proxy_settings(None)?;
    settings.listen = next(options.listen, number)?;
    settings.metrics_listen = next(options.metrics_listen, number.saturating_add(1))?;
    settings.sync_url = format!("http://{}", control.sync_address);
    settings.data_dir = options.data.join(format!("proxy-{}", number + 1));
    if settings.drain.lame_duck == proxy::Settings::default().drain.lame_duck {
        // Both planes leave together: there is no balancer to wait for, unless somebody said so.
        settings.drain.lame_duck = Span::from_millis(0);
    }
    Ok(settings)
}

fn say_ready(options: &Options, control: &controller::Running, proxies: &[proxy::Running], demo: Option<&Demo>) {
    let urls: Vec<String> = proxies.iter().map(|proxy| format!("{}://{}", proxy.scheme(), proxy.address())).collect();
    let admin_scheme = if control.admin_is_tls { "https" } else { "http" };
    let admin_url = format!("{admin_scheme}://{}", control.admin_address);
    let key = demo.and_then(|demo| demo.key.expose_text());
    if options.json {
        let metrics =
            std::iter::once(control.metrics_address).chain(proxies.iter().map(proxy::Running::metrics_address));
        let line = json!({
            "inference_urls": urls,
            "admin_url": admin_url,
            "console_url": format!("{admin_url}/"),
            "org": demo.map(|demo| demo.org.to_string()),
            "api_key": key,
            "admin_token": control.admin_token.expose_text(),
            "metrics_urls": metrics.map(|address| format!("http://{address}/metrics")).collect::<Vec<_>>(),
        });
        println!("{line}");
        return;
    }
    println!("{}", welcome(&urls, &admin_url, &options.data, key));
}

fn welcome(urls: &[String], admin_url: &str, data: &Path, key: Option<&str>) -> String {
    let first = urls.first().map_or("", String::as_str);
    let mut lines = vec![
        "Tollgate is ready.".to_owned(),
        String::new(),
        format!("  inference  {}", urls.join("  ")),
        format!("  admin      {admin_url}   (token in {})", data.join("admin-token").display()),
    ];
    if let Some(key) = key {
        lines.extend([
            format!("  key        {key}"),
            String::new(),
            "Try it:".to_owned(),
            String::new(),
            format!("  curl -s {first}/v1/chat/completions \\"),
            format!("    -H 'authorization: Bearer {key}' -H 'content-type: application/json' \\"),
            r#"    -d '{"model":"tollgate/echo","messages":[{"role":"user","content":"Hello"}]}'"#.to_owned(),
        ]);
    }
    lines.push(String::new());
    lines.push("Ctrl-C ends it; what it keeps is in the data folder.".to_owned());
    lines.join("\n")
}
