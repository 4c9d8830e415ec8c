//! The control plane: owns keys, organisations, credits, prices and the fleet, and pushes numbered changes to proxies.
//! Decides; all SQL is in `store`, every rule of money and distribution in `link`.
//!
//! | room | what happens there |
//! | --- | --- |
//! | `access` | who is calling, and whether they may: the one function that says yes or no |
//! | `orgs names keys tokens providers catalog credits usage fleet audit` | one noun each: `mod.rs` decides, `rpc.rs` is the wire |
//! | `routes` | where requests would have gone under other rules |
//! | `routing` | rules of where requests go: read, and odd names told |
//! | `health` | how providers' endpoints do, as all proxies tell |
//! | `sync` | the proxy-facing side |
//! | `tasks` | what runs in the background |
//! | `server` | the ports |

mod access;
mod app;
mod audit;
pub mod catalog;
pub mod config;
mod credits;
mod error;
mod fault;
mod fleet;
mod health;
mod keys;
mod names;
mod orgs;
mod providers;
mod root_token;
mod routes;
mod routing;
mod run;
mod server;
mod sync;
mod tasks;
mod telemetry;
mod tokens;
mod usage;

pub use config::Config;
pub use error::{Error, Result, in_one_line};
pub use run::{Demo, First, Running, migrate, start};
