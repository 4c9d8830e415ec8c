//! The control plane alone.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use controller::config::PREFIX;
use controller::{Config, First, in_one_line};
use runtime::shutdown::Shutdown;

/// The control plane of Tollgate.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Settings in TOML; every setting is also an environment variable, TOLLGATE_CONTROLLER_….
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever has closed stderr does not want to know.
            let _ = writeln!(std::io::stderr(), "tollgate-controller: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), String> {
    let config: Config =
        runtime::config::load(options.config.as_deref(), PREFIX, runtime::config::process_environment())
            .map_err(|error| in_one_line(&error))?;
    serve(&config).await.map_err(|error| in_one_line(&error))
}

async fn serve(config: &Config) -> Result<(), controller::Error> {
    runtime::tls::install_crypto();
    let _telemetry = runtime::telemetry::init(&config.telemetry, "tollgate-control-plane", std::io::stderr)?;
    runtime::files::raise_open_files()?;
    let shutdown = Shutdown::on_signals()?;
    let running = tokio::select! {
        started = controller::start(config, First::of_environment()) => started?,
        () = shutdown.signalled() => return Ok(()),
    };
    tracing::info!(admin = %running.admin_address, sync = %running.sync_address, "the control plane serves");
    shutdown.signalled().await;
    let _ = shutdown.wind_down(Duration::ZERO, Duration::from_secs(5)).await;
    running.stop().await;
    Ok(())
}
