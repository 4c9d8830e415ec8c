//! One binary: both planes, alone or together, and the command line that operates them.

mod admin;
mod planes;
mod ports;
mod print;
mod up;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use controller::in_one_line;
use serde_json::json;

/// How long the process waits at its very end for blocking work, such as reading a file that nobody writes.
const LAST: Duration = Duration::from_millis(500);

/// This program's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// One gateway to every AI model.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, propagate_version = true)]
struct Tollgate {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start both planes in one process: the quickest way to a first answer.
    Up(up::Options),
    /// Start the control plane alone.
    ControlPlane(planes::Options),
    /// Start a proxy alone.
    DataPlane(planes::Options),
    /// Bring the database schema up to date, and do nothing else.
    Migrate(planes::Migrate),
    /// Settings.
    #[command(subcommand)]
    Config(planes::ConfigCommand),
    /// Operate an installation through its admin API.
    Admin(admin::Admin),
    /// Say which version this is.
    Version {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let command = Tollgate::parse().command;
    runtime::tls::install_crypto();
    let started = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("control").build();
    let done = match started {
        Ok(runtime) => {
            let done = runtime.block_on(run(command));
            runtime.shutdown_timeout(LAST);
            done
        }
        Err(error) => Err(format!("start the runtime: {error}")),
    };
    done.unwrap_or_else(|error| {
        print::aside(&error);
        ExitCode::FAILURE
    })
}

async fn run(command: Command) -> Result<ExitCode, String> {
    match command {
        Command::Up(options) => up::run(options).await,
        Command::ControlPlane(options) => planes::control_plane(options).await,
        Command::DataPlane(options) => planes::data_plane(options).await,
        Command::Migrate(options) => planes::migrate(options).await,
        Command::Config(command) => planes::config(command),
        Command::Admin(command) => Ok(admin::run(command).await),
        Command::Version { json } => {
            print::data(&if json { json!({ "version": VERSION }).to_string() } else { format!("tollgate {VERSION}") })?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
