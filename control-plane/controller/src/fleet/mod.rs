//! Connected proxies as operators see them. What is known of them lives in `sync::fleet`.

pub mod rpc;
