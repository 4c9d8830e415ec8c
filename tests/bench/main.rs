//! The bench: one program that is the mock provider, the bare proxy, the load and the runner that pins and measures them.
//! Never part of the product and never linked by it; it sees Tollgate only through its command line, its ports and the
//! contract between the planes.
//! How to run it and how to read it: `tests/bench/README.md`. Where to begin reading: `run`.

mod child;
mod clock;
mod cold;
mod crowd;
mod families;
mod family;
mod figures;
mod floor;
mod limits;
mod load;
mod measure;
mod nginx;
mod pattern;
mod report;
mod run;
mod scale;
mod stand_in;
mod steps;
mod target;
mod tollgate;
mod upstream;

use std::process::ExitCode;

use clap::Parser;

/// Side-by-side benchmark: a bare hyper proxy, nginx and Tollgate under the same load.
#[derive(Parser)]
#[command(name = "bench")]
enum Command {
    /// A mock OpenAI-compatible provider; the model's name says how it answers.
    Upstream(upstream::Options),
    /// The bare proxy: hyper's server and hyper-util's pooled client, nothing else.
    Floor(floor::Options),
    /// A stand-in for the control plane that has a million keys and no books.
    StandIn(stand_in::Options),
    /// One bounded load; prints one line of JSON.
    #[command(subcommand)]
    Load(load::Mode),
    /// Starts every target, measures them in turns and prints the comparison.
    Run(run::Options),
}

fn main() -> ExitCode {
    let command = Command::parse();
    match one_thread().map_err(Into::into).and_then(|thread| thread.block_on(start(command))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn start(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Upstream(options) => upstream::run(options).await,
        Command::Floor(options) => floor::run(options).await,
        Command::StandIn(options) => stand_in::run(options).await,
        Command::Load(mode) => load::run(mode).await,
        Command::Run(options) => run::run(options).await,
    }
}

/// Every part is one thread, so that pinning a process to a core says all there is to say about its share of the machine.
fn one_thread() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
