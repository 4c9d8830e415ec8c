//! The contracts of Tollgate as Rust: generated messages and services, and `convert`, the only door between them and
//! the domain. No logic lives here.

/// The admin API: people, command line and console to the controller.
pub mod admin {
    #![allow(clippy::all, missing_docs)]
    tonic::include_proto!("tollgate.admin.v1");
}

/// The contract between a proxy and the controller.
pub mod sync {
    #![allow(clippy::all, missing_docs)]
    tonic::include_proto!("tollgate.sync.v1");
}

pub mod convert;

/// Descriptors of every message and service, for reflection and for tests that walk all methods.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));

/// The version of the sync contract that this build speaks.
pub const SYNC_SCHEMA: u32 = 1;
