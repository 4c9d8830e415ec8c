//! How endpoints do, as all proxies together see it: each says what it met, the controller makes one view of it and gives
//! advice. Pure: observations and a clock in, advice out. Never routes; a proxy does, and without advice it goes by what it
//! has seen itself.

use domain::ids::EndpointId;

use coolings::Cooling;
use view::{Measured, State};

/// What the controller tells a proxy. What is absent stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advice {
    /// Everything that is advised against, and how long that counts, in milliseconds from now.
    pub endpoints: Option<(Vec<(EndpointId, State)>, u64)>,
    /// What is to be left alone.
    pub coolings: Vec<Cooling>,
    /// What all proxies measured.
    pub measures: Vec<Measured>,
}

pub mod buckets;
pub mod coolings;
pub mod view;
