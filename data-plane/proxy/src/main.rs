//! One proxy as a program of its own: read the settings, serve until a signal.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use proxy::{Settings, config::ENVIRONMENT_PREFIX};
use runtime::{config, files, shutdown::Shutdown, telemetry, tls};

/// The data plane of Tollgate.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Settings in TOML; every setting is also an environment variable `TOLLGATE_PROXY_…`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the merged settings without secrets, and end.
    #[arg(long)]
    print_config: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let settings: Settings =
        config::load(options.config.as_deref(), ENVIRONMENT_PREFIX, config::process_environment())?;
    if options.print_config {
        print!("{}", config::to_toml(&settings)?);
        return Ok(());
    }
    tls::install_crypto();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the main runtime")?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let guard = telemetry::init(&settings.telemetry, "tollgate-proxy", std::io::stderr)?;
    files::raise_open_files()?;
    let shutdown = Shutdown::on_signals()?;
    let running = proxy::start(settings, shutdown).await?;
    tracing::info!(metrics = %running.metrics_address(), "metrics on {}", running.metrics_address());
    let ended = running.finished().await;
    guard.shutdown(Duration::from_secs(2)).await;
    anyhow::ensure!(ended == proxy::Ended::Left, "the controller lends this process nothing any more: start it anew");
    Ok(())
}
