//! Credits: the accounts of the ledger, the kinds of its entries, and an organisation's balance.
//!
//! The ledger is append-only double entry: the postings of one entry sum to nothing. Amounts on an account are signed;
//! `funding` and `revenue` are the outside world and so run the other way.

use std::fmt;
use std::str::FromStr;

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

/// A text that names no account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an account")]
pub struct BadAccount(String);

impl FromStr for Account {
    type Err = BadAccount;
    fn from_str(text: &str) -> Result<Self, BadAccount> {
        parse(text).ok_or_else(|| BadAccount(text.chars().take(80).collect()))
    }
}

fn parse(text: &str) -> Option<Account> {
    let (kind, rest) = text.split_once(':')?;
    match kind {
        "funding" => Some(Account::Funding(rest.to_owned())),
        "writeoff" => Some(Account::WriteOff(rest.to_owned())),
        "payable" => (rest == "providers").then_some(Account::Payable),
        "org" => {
            let (org, part) = rest.split_once(':')?;
            let org = org.parse().ok()?;
            match part {
                "available" => Some(Account::Available(org)),
                "leased" => Some(Account::Leased(org)),
                "quarantine" => Some(Account::Quarantine(org)),
                "settled" => Some(Account::Settled(org)),
                "refunded" => Some(Account::Refunded(org)),
                _ => None,
            }
        }
        _ => None,
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

    /// Every kind.
    pub const ALL: &[EntryKind] = &[
        EntryKind::Grant,
        EntryKind::Refund,
        EntryKind::Lease,
        EntryKind::Return,
        EntryKind::Quarantine,
        EntryKind::Release,
        EntryKind::Charge,
        EntryKind::WriteOff,
    ];

    /// The kind with this word.
    pub fn parse(word: &str) -> Option<EntryKind> {
        EntryKind::ALL.iter().copied().find(|kind| kind.name() == word)
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

    #[test]
    fn an_account_and_a_kind_survive_their_text_forms() {
        let org = OrgId::new(1, 2);
        for account in [
            Account::Funding("grant".into()),
            Account::Available(org),
            Account::Leased(org),
            Account::Quarantine(org),
            Account::Settled(org),
            Account::Refunded(org),
            Account::WriteOff("crash".into()),
            Account::Payable,
        ] {
            assert_eq!(account.to_string().parse(), Ok(account));
        }
        assert!("org:org_0:available".parse::<Account>().is_err());
        for kind in EntryKind::ALL {
            assert_eq!(EntryKind::parse(kind.name()), Some(*kind));
        }
    }
}
