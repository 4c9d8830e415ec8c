//! Who changed what, for people to read. Entries are written by every edit; nothing here can change one.

pub mod rpc;
