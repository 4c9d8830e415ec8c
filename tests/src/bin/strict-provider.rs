//! The strict provider by itself, to try a client against by hand. One line of JSON says where it is; violations go to
//! stderr as they come.

use clap::Parser;
use tollgate_tests::fake::Fake;

/// A provider of all four families that refuses what the real ones refuse.
#[derive(Parser)]
struct Arguments {
    /// The port on loopback; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let fake = Fake::start_at(Arguments::parse().port);
    println!("{{\"url\":\"{}\"}}", fake.strict().origin());
    tokio::signal::ctrl_c().await
}
