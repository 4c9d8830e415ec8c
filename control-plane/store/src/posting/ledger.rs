//! The ledger's own rules: legs of an entry sum to nothing, balances move with them, each entry carries the hash of the
//! one before it in its organisation's chain. Pure: `write.rs` brings it to the tables.

use std::collections::BTreeMap;

use domain::credits::{Account, Balance, EntryKind, Leg, is_balanced};
use domain::ids::{EntryId, OrgId};
use domain::money::Money;
use domain::time::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

/// An organisation's books, under lock.
pub(crate) struct Book {
    pub(crate) balance: Balance,
    pub(crate) entries: u64,
    pub(crate) head: [u8; 32],
    pub(crate) frozen: bool,
}

/// What is to be written.
#[derive(Default)]
pub(crate) struct Ledger {
    books: BTreeMap<OrgId, Book>,
    /// One entry per organisation and kind, however many moves it gathers.
    drafts: BTreeMap<(OrgId, &'static str), Draft>,
}

struct Draft {
    kind: EntryKind,
    legs: BTreeMap<Account, i64>,
}

/// An entry ready to be written.
pub(crate) struct Sealed {
    pub(crate) id: EntryId,
    pub(crate) org: OrgId,
    pub(crate) sequence: u64,
    pub(crate) kind: EntryKind,
    pub(crate) legs: Vec<Leg>,
    pub(crate) prev: [u8; 32],
    pub(crate) hash: [u8; 32],
}

/// What entries of one posting have in common.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) key: Option<&'a str>,
    pub(crate) actor: &'a str,
    pub(crate) at: Timestamp,
    pub(crate) note: &'a str,
}

impl Ledger {
    /// Whether no organisation is locked yet.
    pub(crate) fn is_unlocked(&self) -> bool {
        self.books.is_empty()
    }

    pub(crate) fn lock(&mut self, org: OrgId, book: Book) {
        self.books.insert(org, book);
    }

    /// Where the money of a locked organisation is, with what was added since.
    pub(crate) fn balance(&self, org: OrgId) -> Option<Balance> {
        self.books.get(&org).map(|book| book.balance)
    }

    /// Whether a locked organisation is frozen.
    pub(crate) fn is_frozen(&self, org: OrgId) -> Option<bool> {
        self.books.get(&org).map(|book| book.frozen)
    }

    pub(crate) fn books(&self) -> impl Iterator<Item = (&OrgId, &Book)> {
        self.books.iter()
    }

    /// Gathers balanced legs into the organisation's entry of this kind and moves its balance.
    pub(crate) fn add(&mut self, org: OrgId, kind: EntryKind, legs: &[Leg]) -> Result<()> {
        let book = self.books.get_mut(&org).ok_or(Error::Misuse { what: "an organisation that is not locked" })?;
        if !is_balanced(legs) {
            return Err(Error::Misuse { what: "legs that do not sum to nothing" });
        }
        let mut balance = book.balance;
        let draft = self.drafts.entry((org, kind.name())).or_insert(Draft { kind, legs: BTreeMap::new() });
        for leg in legs {
            if leg.account.org().is_some_and(|other| other != org) {
                return Err(Error::Misuse { what: "an account of another organisation" });
            }
            if let Some(slot) = slot(&mut balance, &leg.account) {
                *slot = plus(*slot, leg.amount)?;
            }
            let sum = draft.legs.entry(leg.account.clone()).or_default();
            *sum = plus(Money::from_nano(*sum), leg.amount)?.nano();
        }
        book.balance = balance;
        Ok(())
    }

    /// Closes the entries: numbers, chains and hashes them. What came to nothing is left out.
    pub(crate) fn seal(&mut self, origin: Origin<'_>) -> Vec<Sealed> {
        let mut entries = Vec::new();
        for ((org, _), draft) in std::mem::take(&mut self.drafts) {
            let moved = draft.legs.into_iter().filter(|(_, amount)| *amount != 0);
            let legs: Vec<Leg> =
                moved.map(|(account, amount)| Leg { account, amount: Money::from_nano(amount) }).collect();
            let Some(book) = self.books.get_mut(&org).filter(|_| !legs.is_empty()) else { continue };
            book.entries += 1;
            let (prev, sequence) = (book.head, book.entries);
            book.head = hash(prev, org, sequence, draft.kind, origin, &legs);
            let id = entry_id(origin.at, &book.head);
            entries.push(Sealed { id, org, sequence, kind: draft.kind, legs, prev, hash: book.head });
        }
        entries
    }
}

fn plus(sum: Money, amount: Money) -> Result<Money> {
    sum.plus(amount).ok_or(Error::Overflow { what: "an account" })
}

fn slot<'a>(balance: &'a mut Balance, account: &Account) -> Option<&'a mut Money> {
    match account {
        Account::Available(_) => Some(&mut balance.available),
        Account::Leased(_) => Some(&mut balance.leased),
        Account::Quarantine(_) => Some(&mut balance.quarantined),
        Account::Settled(_) => Some(&mut balance.settled),
        Account::Refunded(_) => Some(&mut balance.refunded),
        Account::Funding(_) | Account::WriteOff(_) | Account::Payable => None,
    }
}

/// The hash of an entry: over everything it says and the hash before it. Parts carry their length, so that no two
/// entries read alike.
pub(crate) fn hash(
    prev: [u8; 32],
    org: OrgId,
    sequence: u64,
    kind: EntryKind,
    origin: Origin<'_>,
    legs: &[Leg],
) -> [u8; 32] {
    let mut hasher = Sha256::new();
    let mut part = |text: &str| {
        hasher.update(text.len().to_string());
        hasher.update(":");
        hasher.update(text);
    };
    part("tollgate ledger 1");
    part(&domain::keys::Digest::from_bytes(prev).to_string());
    part(&org.to_string());
    part(&sequence.to_string());
    part(kind.name());
    part(origin.key.unwrap_or(""));
    part(origin.actor);
    part(&origin.at.us().to_string());
    part(origin.note);
    for leg in legs {
        part(&leg.account.to_string());
        part(&leg.amount.nano().to_string());
    }
    hasher.finalize().into()
}

/// An entry's id: its time, and bits of its hash, which no other entry has.
fn entry_id(at: Timestamp, hash: &[u8; 32]) -> EntryId {
    let bits = hash.iter().take(10).fold(0u128, |bits, byte| (bits << 8) | u128::from(*byte));
    EntryId::new(u64::try_from(at.ms()).unwrap_or(0), bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::credits::transfer;

    const ORIGIN: Origin<'_> = Origin { key: None, actor: "root", at: Timestamp::from_us(5), note: "" };

    fn ledger(org: OrgId) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.lock(org, Book { balance: Balance::default(), entries: 0, head: [0; 32], frozen: false });
        ledger
    }

    #[test]
    fn unbalanced_legs_are_refused() {
        let org = OrgId::new(1, 1);
        let legs = transfer(Account::Available(org), Account::Leased(org), Money::from_nano(5));
        assert!(ledger(org).add(org, EntryKind::Lease, &legs[..1]).is_err());
        assert!(ledger(org).add(OrgId::new(1, 2), EntryKind::Lease, &legs).is_err(), "not locked");
    }

    #[test]
    fn moves_of_one_kind_become_one_entry_and_nothing_becomes_none() {
        let org = OrgId::new(1, 1);
        let mut ledger = ledger(org);
        for amount in [5, 7] {
            let legs = transfer(Account::Available(org), Account::Leased(org), Money::from_nano(amount));
            ledger.add(org, EntryKind::Lease, &legs).unwrap();
        }
        let there = transfer(Account::Available(org), Account::Leased(org), Money::from_nano(3));
        let back = transfer(Account::Leased(org), Account::Available(org), Money::from_nano(3));
        ledger.add(org, EntryKind::Return, &there).unwrap();
        ledger.add(org, EntryKind::Return, &back).unwrap();
        let sealed = ledger.seal(ORIGIN);
        assert_eq!(sealed.len(), 1);
        assert_eq!(sealed[0].legs.iter().map(|leg| leg.amount.nano()).collect::<Vec<_>>(), [-12, 12]);
        assert_eq!(ledger.balance(org).map(|balance| balance.leased), Some(Money::from_nano(12)));
    }

    #[test]
    fn a_sum_that_does_not_fit_is_refused() {
        let org = OrgId::new(1, 1);
        let mut ledger = ledger(org);
        let all = transfer(Account::Funding("grant".into()), Account::Available(org), Money::from_nano(i64::MAX));
        ledger.add(org, EntryKind::Grant, &all).unwrap();
        assert!(matches!(ledger.add(org, EntryKind::Grant, &all), Err(Error::Overflow { .. })));
    }

    #[test]
    fn a_hash_covers_everything_and_the_entry_before() {
        let org = OrgId::new(1, 1);
        let legs = transfer(Account::Available(org), Account::Leased(org), Money::from_nano(5));
        let first = hash([0; 32], org, 1, EntryKind::Lease, ORIGIN, &legs);
        assert_ne!(first, hash([1; 32], org, 1, EntryKind::Lease, ORIGIN, &legs));
        assert_ne!(first, hash([0; 32], org, 2, EntryKind::Lease, ORIGIN, &legs));
        assert_ne!(first, hash([0; 32], org, 1, EntryKind::Return, ORIGIN, &legs));
        assert_ne!(first, hash([0; 32], org, 1, EntryKind::Lease, Origin { note: "x", ..ORIGIN }, &legs));
        assert_ne!(first, hash([0; 32], org, 1, EntryKind::Lease, ORIGIN, &legs[..1]));
    }
}
