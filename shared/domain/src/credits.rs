//! Credits: the accounts of the ledger, the kinds of its entries, and an organisation's balance.
//!
//! The ledger is append-only double entry: the postings of one entry sum to nothing. Amounts on an account are signed;
//! `funding` and `revenue` are the outside world and so run the other way.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::OrgId;
use crate::money::Money;

/// One account of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// Where money came from: `grant`, `apply`, `demo`, later a payment processor.
    Funding(String),
    /// Free to be lent or refunded.
    Available(OrgId),
    /// Out on leases to proxies.
    Leased(OrgId),
    /// On leases of proxies that are thought dead.
    Quarantine(OrgId),
    /// Charged for use.
    Settled(OrgId),
    /// Given back.
    Refunded(OrgId),
    /// What providers were paid, or will be, for answers nobody was charged for.
    WriteOff(String),
    /// The other side of write-offs: what we owe providers for them.
    Payable,
}

impl Account {
    /// The organisation whose balance this account is part of.
    pub fn org(&self) -> Option<OrgId> {
        match self {
            Account::Available(org)
            | Account::Leased(org)
            | Account::Quarantine(org)
            | Account::Settled(org)
            | Account::Refunded(org) => Some(*org),
            Account::Funding(_) | Account::WriteOff(_) | Account::Payable => None,
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Account::Funding(source) => write!(f, "funding:{source}"),
            Account::Available(org) => write!(f, "org:{org}:available"),
            Account::Leased(org) => write!(f, "org:{org}:leased"),
            Account::Quarantine(org) => write!(f, "org:{org}:quarantine"),
            Account::Settled(org) => write!(f, "org:{org}:settled"),
            Account::Refunded(org) => write!(f, "org:{org}:refunded"),
            Account::WriteOff(why) => write!(f, "writeoff:{why}"),
            Account::Payable => f.write_str("payable:providers"),
        }
    }
}

/// Why money moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// Credits given by the operator, an apply file or the demo.
    Grant,
    /// Credits taken back.
    Refund,
    /// Lent to a proxy.
    Lease,
    /// Returned by a proxy.
    Return,
    /// A dead proxy's lease set aside.
    Quarantine,
    /// A set-aside lease given back.
    Release,
    /// Usage charged.
    Charge,
    /// Cost that nobody is charged for.
    WriteOff,
}

impl EntryKind {
    /// The word in the books.
    pub fn name(self) -> &'static str {
        match self {
            EntryKind::Grant => "grant",
            EntryKind::Refund => "refund",
            EntryKind::Lease => "lease",
            EntryKind::Return => "return",
            EntryKind::Quarantine => "quarantine",
            EntryKind::Release => "release",
            EntryKind::Charge => "charge",
            EntryKind::WriteOff => "write_off",
        }
    }
}

/// One leg of an entry: `amount` is added to `account`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    pub account: Account,
    pub amount: Money,
}

/// Moves `amount` from one account to another: two legs that sum to nothing.
pub fn transfer(from: Account, to: Account, amount: Money) -> [Leg; 2] {
    [Leg { account: from, amount: Money::from_nano(amount.nano().saturating_neg()) }, Leg { account: to, amount }]
}

/// Whether legs sum to nothing.
pub fn is_balanced(legs: &[Leg]) -> bool {
    legs.iter().map(|leg| i128::from(leg.amount.nano())).sum::<i128>() == 0
}

/// Where an organisation's money is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    pub available: Money,
    pub leased: Money,
    pub quarantined: Money,
    pub settled: Money,
    pub refunded: Money,
}

impl Balance {
    /// All that was ever put in: the sum of where it is now.
    pub fn funded(&self) -> Money {
        let parts = [self.available, self.leased, self.quarantined, self.settled, self.refunded];
        Money::from_nano(parts.iter().fold(0i64, |sum, part| sum.saturating_add(part.nano())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_creates_nothing() {
        let org = OrgId::new(1, 1);
        let legs = transfer(Account::Available(org), Account::Leased(org), Money::from_nano(5));
        assert!(is_balanced(&legs));
        assert!(!is_balanced(&legs[..1]));
    }
}
