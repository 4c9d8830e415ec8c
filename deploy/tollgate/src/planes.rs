//! The planes alone, the migration job, and the settings in force.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use controller::First;
use runtime::config::{ConfigError, load, process_environment, to_toml};
use runtime::shutdown::Shutdown;
use serde::Serialize;
use serde_json::json;

use crate::{in_one_line, print};

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
        /// Which plane's. When none is named: the one that the file is for, and both without a file.
        #[arg(value_enum)]
        plane: Option<Plane>,
        /// The file to start from.
        #[arg(long, value_name = "FILE")]
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

/// What `work` comes to, or nothing when a signal ends the process before that.
pub async fn unless_signalled<T>(shutdown: &Shutdown, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = shutdown.signalled() => None,
    }
}

/// Runs the control plane until a signal.
pub async fn control_plane(options: Options) -> Result<ExitCode, String> {
    let config = controller_settings(options.config.as_deref())?;
    let telemetry = runtime::telemetry::init(&config.telemetry, "tollgate-control-plane", std::io::stderr);
    let telemetry = telemetry.map_err(|error| in_one_line(&error))?;
    runtime::files::raise_open_files().map_err(|error| in_one_line(&error))?;
    let shutdown = Shutdown::on_signals().map_err(|error| in_one_line(&error))?;
    let Some(started) = unless_signalled(&shutdown, controller::start(&config, First::of_environment())).await else {
        return Ok(ExitCode::SUCCESS);
    };
    let running = started.map_err(|error| in_one_line(&error))?;
    if options.json {
        let scheme = if running.admin_is_tls { "https" } else { "http" };
        let line = json!({
            "admin_url": format!("{scheme}://{}", running.admin_address),
            "sync_url": format!("http://{}", running.sync_address),
            "metrics_url": format!("http://{}/metrics", running.metrics_address),
            "admin_token": running.admin_token.expose_text(),
        });
        print::data(&line.to_string())?;
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
                let line = json!({
                    "inference_url": format!("{}://{}", running.scheme(), running.address()),
                    "metrics_url": format!("http://{}/metrics", running.metrics_address()),
                });
                print::data(&line.to_string())?;
            }
        }
        () = shutdown.signalled() => {}
    }
    let ended = running.finished().await;
    telemetry.shutdown(Duration::from_secs(2)).await;
    Ok(exit_code(ended))
}

/// A proxy that the controller lends nothing any more has to be started anew, which is for whoever looks after it.
pub fn exit_code(ended: proxy::Ended) -> ExitCode {
    match ended {
        proxy::Ended::Left => ExitCode::SUCCESS,
        proxy::Ended::Fenced => ExitCode::FAILURE,
    }
}

/// Brings the schema up to date.
pub async fn migrate(options: Migrate) -> Result<ExitCode, String> {
    let mut config = controller_settings(options.config.as_deref())?;
    if let Some(database) = options.database {
        config.database = database;
    }
    print::aside("migrating …");
    controller::migrate(&config).await.map_err(|error| in_one_line(&error))?;
    print::aside("the schema is up to date");
    Ok(ExitCode::SUCCESS)
}

/// Both planes' settings side by side, each in a table of its own so that the whole is one document.
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Part<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    control_plane: Option<&'a controller::Config>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_plane: Option<&'a proxy::Settings>,
}

/// Prints settings.
pub fn config(command: ConfigCommand) -> Result<ExitCode, String> {
    let ConfigCommand::Print { plane, config } = command;
    let file = config.as_deref();
    let plane = match (plane, file) {
        (None, Some(file)) => plane_of(file)?,
        (plane, _) => plane,
    };
    let text = match plane {
        Some(Plane::ControlPlane) => {
            format!("# settings of the control plane\n{}", toml(&controller_settings(file)?)?)
        }
        Some(Plane::DataPlane) => format!("# settings of the data plane\n{}", toml(&proxy_settings(file)?)?),
        None => both(&controller_settings(file)?, &proxy_settings(file)?)?,
    };
    print::data(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn toml<T: Serialize>(settings: &T) -> Result<String, String> {
    to_toml(settings).map_err(|error| in_one_line(&error))
}

fn both(control: &controller::Config, data: &proxy::Settings) -> Result<String, String> {
    let head = |plane: &str, name: &str| {
        format!("# settings of the {plane}; as a file of its own: tollgate config print {name}\n")
    };
    let control = toml(&Part { control_plane: Some(control), ..Part::default() })?;
    let data = toml(&Part { data_plane: Some(data), ..Part::default() })?;
    Ok(format!("{}{control}\n{}{data}", head("control plane", "control-plane"), head("data plane", "data-plane")))
}

/// Whose settings a file is; none when it would do for both.
fn plane_of(file: &Path) -> Result<Option<Plane>, String> {
    let nothing = || std::iter::empty::<(String, String)>();
    let control = load::<controller::Config>(Some(file), controller::config::PREFIX, nothing());
    let data = load::<proxy::Settings>(Some(file), proxy::config::ENVIRONMENT_PREFIX, nothing());
    match (control, data) {
        (Ok(_), Ok(_)) => Ok(None),
        (Ok(_), Err(_)) => Ok(Some(Plane::ControlPlane)),
        (Err(_), Ok(_)) => Ok(Some(Plane::DataPlane)),
        (Err(error @ ConfigError::Read { .. }), Err(_)) => Err(in_one_line(&error)),
        (Err(control), Err(data)) => Err(format!(
            "neither plane takes this file; the control plane: {}; the data plane: {}",
            in_one_line(&control),
            in_one_line(&data)
        )),
    }
}
