//! The command line over the admin API: one file per noun. Data goes to stdout, everything else to stderr.
//! Decides nothing: what may be done is the controller's to say.

mod aliases;
pub mod apply;
mod audit;
mod credits;
mod fleet;
mod keys;
mod ledger;
mod models;
mod orgs;
mod output;
mod presets;
mod providers;
mod routes;
mod routing;
mod session;
mod tokens;
mod usage;
mod version;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use session::Session;

use crate::print;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The admin API said no, and why.
    #[error("{0}")]
    Refused(String),
    /// Nobody answers there.
    #[error("cannot reach the control plane at {url}: {why}")]
    Unreachable { url: String, why: String },
    /// Something of this command is wrong before anything was sent.
    #[error("{0}")]
    Usage(String),
    /// A file that the command names.
    #[error("{path}: {source}")]
    File { path: String, source: std::io::Error },
    /// An apply file with a mistake.
    #[error(transparent)]
    ApplyFile(#[from] controller::catalog::file::BadFile),
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        match status.code() {
            tonic::Code::Unimplemented => {
                Error::Refused("this control plane does not know the call: is it older than this command?".to_owned())
            }
            _ => Error::Refused(status.message().to_owned()),
        }
    }
}

/// Operate an installation through its admin API.
#[derive(Debug, Args)]
pub struct Admin {
    /// Address of the control plane's admin port.
    #[arg(long, env = "TOLLGATE_ADMIN_URL", default_value = "http://127.0.0.1:8081", global = true)]
    admin_url: String,

    /// Admin token; without one, the file tollgate-data/admin-token is read if it is there.
    #[arg(long, env = "TOLLGATE_ADMIN_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,

    /// Certificate authority of an https admin port, when it is not a public one.
    #[arg(long, value_name = "FILE", global = true)]
    ca: Option<PathBuf>,

    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    noun: Noun,
}

#[derive(Debug, Subcommand)]
enum Noun {
    /// Organisations: who pays.
    #[command(subcommand)]
    Orgs(orgs::Command),
    /// An organisation's own names for models.
    #[command(subcommand)]
    Aliases(aliases::Command),
    /// Models and rules of an organisation under one name, in versions.
    #[command(subcommand)]
    Presets(presets::Command),
    /// API keys and their limits.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Admin tokens of an organisation.
    #[command(subcommand)]
    Tokens(tokens::Command),
    /// Balances, grants, refunds and the ledger of an organisation.
    #[command(subcommand)]
    Credits(credits::Command),
    /// What was used and what it cost.
    #[command(subcommand)]
    Usage(usage::Command),
    /// Providers: upstream account families.
    #[command(subcommand)]
    Providers(providers::Command),
    /// Models, endpoints and prices.
    #[command(subcommand)]
    Models(models::Command),
    /// Where requests go, and would go under other rules.
    #[command(subcommand)]
    Routes(routes::Command),
    /// Connected proxies.
    #[command(subcommand)]
    Fleet(fleet::Command),
    /// The books as a whole.
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Who changed what.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Make the catalogue and organisations what a file says.
    Apply(apply::Command),
    /// Which version this command has, and which the control plane.
    Version,
}

/// What a command has to say: data for stdout, and how the process should end.
pub struct Said {
    data: serde_json::Value,
    ok: bool,
}

impl Said {
    fn data(data: serde_json::Value) -> Said {
        Said { data, ok: true }
    }
}

/// Runs one admin command.
pub async fn run(admin: Admin) -> ExitCode {
    match said(&admin).await {
        Ok(said) => {
            let text = output::text(&said.data, admin.json);
            if !text.is_empty()
                && let Err(why) = print::data(&text)
            {
                print::aside(why);
                return ExitCode::from(1);
            }
            if said.ok { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => {
            print::aside(&error);
            ExitCode::from(if matches!(error, Error::Usage(_)) { 2 } else { 1 })
        }
    }
}

async fn said(admin: &Admin) -> Result<Said, Error> {
    let mut session = Session::open(&admin.admin_url, admin.token.as_deref(), admin.ca.as_deref()).await?;
    match &admin.noun {
        Noun::Orgs(command) => orgs::run(&mut session, command).await,
        Noun::Aliases(command) => aliases::run(&mut session, command).await,
        Noun::Presets(command) => presets::run(&mut session, command).await,
        Noun::Keys(command) => keys::run(&mut session, command).await,
        Noun::Tokens(command) => tokens::run(&mut session, command).await,
        Noun::Credits(command) => credits::run(&mut session, command).await,
        Noun::Usage(command) => usage::run(&mut session, command).await,
        Noun::Providers(command) => providers::run(&mut session, command).await,
        Noun::Models(command) => models::run(&mut session, command).await,
        Noun::Routes(command) => routes::run(&mut session, command).await,
        Noun::Fleet(command) => fleet::run(&mut session, command).await,
        Noun::Ledger(command) => ledger::run(&mut session, command).await,
        Noun::Audit(command) => audit::run(&mut session, command).await,
        Noun::Apply(command) => apply::run(&mut session, command).await,
        Noun::Version => version::run(&mut session).await,
    }
}

/// Shows what the control plane wants the operator to know beside the data.
fn note(text: &str) {
    if !text.is_empty() {
        print::aside(format_args!("note: {text}"));
    }
}
