//! One binary: both planes, alone or together, and the command line that operates them.

mod admin;
mod planes;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    Version,
}

fn main() -> ExitCode {
    let command = Tollgate::parse().command;
    runtime::tls::install_crypto();
    let started = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("control").build();
    let done = match started {
        Ok(runtime) => runtime.block_on(run(command)),
        Err(error) => Err(format!("start the runtime: {error}")),
    };
    done.unwrap_or_else(|error| {
        eprintln!("tollgate: {error}");
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
        Command::Version => {
            println!("tollgate {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// An error with its causes in one line, each said once.
fn in_one_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let text = deeper.to_string();
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = deeper.source();
    }
    line.replace('\n', " ")
}
