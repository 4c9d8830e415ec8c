//! The planes alone, the migration job, and the settings in force.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use runtime::config::{load, process_environment, to_toml};
use runtime::shutdown::Shutdown;
use serde_json::json;

use crate::in_one_line;

#[derive(Debug, Args)]
pub struct Options {
    /// Settings in TOML; every setting is also an environment variable (see `tollgate config print`).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one line of JSON with the addresses on stdout when everything is ready.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Migrate {
    /// Settings of the control plane.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The database, in place of the one in the settings.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the settings in force, without secrets, as a file that would give them.
    Print {
        /// Which plane's; both when none is named.
        #[arg(value_enum)]
        plane: Option<Plane>,
        /// The file to start from.
        #[arg(long, value_name = "FILE", requires = "plane")]
        config: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Plane {
    ControlPlane,
    DataPlane,
}

/// The control plane's settings.
pub fn controller_settings(file: Option<&Path>) -> Result<controller::Config, String> {
    load(file, controller::config::PREFIX, process_environment()).map_err(|error| in_one_line(&error))
}

/// A proxy's settings.
pub fn proxy_settings(file: Option<&Path>) -> Result<proxy::Settings, String> {
    load(file, proxy::config::ENVIRONMENT_PREFIX, process_environment()).map_err(|error| in_one_line(&error))
}

/// Runs the control plane until a signal.
pub async fn control_plane(options: Options) -> Result<ExitCode, String> {
    let config = controller_settings(options.config.as_deref())?;
    let telemetry = runtime::telemetry::init(&config.telemetry, "tollgate-control-plane", std::io::stderr);
    let telemetry = telemetry.map_err(|error| in_one_line(&error))?;
    runtime::files::raise_open_files().map_err(|error| in_one_line(&error))?;
    let shutdown = Shutdown::on_signals().map_err(|error| in_one_line(&error))?;
    let started = controller::start(&config, std::env::var("TOLLGATE_ADMIN_TOKEN").ok()).await;
    let running = started.map_err(|error| in_one_line(&error))?;
    if options.json {
        let scheme = if running.admin_is_tls { "https" } else { "http" };
        println!(
            "{}",
            json!({
                "admin_url": format!("{scheme}://{}", running.admin_address),
                "sync_url": format!("http://{}", running.sync_address),
                "metrics_url": format!("http://{}/metrics", running.metrics_address),
                "admin_token": running.admin_token.expose_text(),
            })
        );
    }
    tracing::info!(admin = %running.admin_address, sync = %running.sync_address, "the control plane serves");
    shutdown.signalled().await;
    running.stop().await;
    telemetry.shutdown(Duration::from_secs(2)).await;
    Ok(ExitCode::SUCCESS)
}

/// Runs one proxy until a signal.
pub async fn data_plane(options: Options) -> Result<ExitCode, String> {
    let settings = proxy_settings(options.config.as_deref())?;
    let telemetry = runtime::telemetry::init(&settings.telemetry, "tollgate-data-plane", std::io::stderr);
    let telemetry = telemetry.map_err(|error| in_one_line(&error))?;
    runtime::files::raise_open_files().map_err(|error| in_one_line(&error))?;
    let shutdown = Shutdown::on_signals().map_err(|error| in_one_line(&error))?;
    let running = proxy::start(settings, shutdown.clone()).await.map_err(|error| in_one_line(&error))?;
    tokio::select! {
        () = running.ready() => {
            if options.json {
                println!(
                    "{}",
                    json!({
                        "inference_url": format!("{}://{}", running.scheme(), running.address()),
                        "metrics_url": format!("http://{}/metrics", running.metrics_address()),
                    })
                );
            }
        }
        () = shutdown.signalled() => {}
    }
    running.finished().await;
    telemetry.shutdown(Duration::from_secs(2)).await;
    Ok(ExitCode::SUCCESS)
}

/// Brings the schema up to date.
pub async fn migrate(options: Migrate) -> Result<ExitCode, String> {
    let mut config = controller_settings(options.config.as_deref())?;
    if let Some(database) = options.database {
        config.database = database;
    }
    eprintln!("tollgate: migrating …");
    controller::migrate(&config).await.map_err(|error| in_one_line(&error))?;
    eprintln!("tollgate: the schema is up to date");
    Ok(ExitCode::SUCCESS)
}

/// Prints settings.
pub fn config(command: ConfigCommand) -> Result<ExitCode, String> {
    let ConfigCommand::Print { plane, config } = command;
    let file = config.as_deref();
    let print = |title: &str, text: Result<String, runtime::config::ConfigError>| {
        text.map(|text| println!("# {title}\n{text}")).map_err(|error| in_one_line(&error))
    };
    if !matches!(plane, Some(Plane::DataPlane)) {
        print("settings of the control plane", to_toml(&controller_settings(file)?))?;
    }
    if !matches!(plane, Some(Plane::ControlPlane)) {
        print("settings of the data plane", to_toml(&proxy_settings(file)?))?;
    }
    Ok(ExitCode::SUCCESS)
}
