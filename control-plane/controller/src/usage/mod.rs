//! What was used: booked as proxies report it, listed for people.

pub mod ingest;
pub mod rpc;
