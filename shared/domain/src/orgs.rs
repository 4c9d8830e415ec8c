//! Organisations: who pays.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{OrgId, PlanId};
use crate::routing::{Names, Rules};
use crate::time::Timestamp;

/// How an organisation pays. One mode is in use; the field is in every format so that another changes none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BillingMode {
    /// From credits that were bought before.
    #[default]
    Prepaid,
}

impl BillingMode {
    /// The word in books and messages.
    pub fn name(self) -> &'static str {
        match self {
            BillingMode::Prepaid => "prepaid",
        }
    }

    /// The mode with this word.
    pub fn parse(word: &str) -> Option<BillingMode> {
        (word == "prepaid").then_some(BillingMode::Prepaid)
    }
}

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Org {
    pub id: OrgId,
    /// The name that apply files know it by; unique where set.
    pub slug: Option<String>,
    pub name: String,
    pub billing: BillingMode,
    pub plan: PlanId,
    /// A frozen organisation's keys are refused.
    pub frozen: bool,
    pub created_at: Timestamp,
    /// Where its requests may go; binds all of its keys.
    pub routing: Option<Arc<Rules>>,
    /// Its own names for models.
    pub names: Option<Arc<Names>>,
}
