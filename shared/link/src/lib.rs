//! The machines that the two planes play with each other, each half a state machine: what happened goes in, what to
//! send or write comes out. No socket, clock, disk or randomness that is not handed in, so the same code runs in
//! production, in unit tests and in simulation.
//!
//! | what travels | controller's half | proxy's half |
//! | --- | --- | --- |
//! | money and budgets, on loan | `lender` | `borrower`, and `cell` on the worker threads |
//! | rate limits, in chunks | `rates` | `borrower`, and `cell` |
//! | usage records | `reports::accept` | `reports::Outbox` |
//! | changes | `feed` | `replica` |
//! | how endpoints do | `health` | `health::coolings`; counting is the proxy's own |
//! | whole states | `base` | `base`, `replica` |
//!
//! # What must always hold
//!
//! Money, at every commit and whatever is lost, doubled, delayed or killed:
//! 1. available + leased + quarantined + settled + refunded = funded.
//! 2. A unit is on one lease at a time: what proxies can spend is never more than what is leased or quarantined.
//! 3. Available falls below zero only by a charge above its hold, by a record that comes after its lease was released,
//!    or by grants that a restored database does not know.
//! 4. Totals only rise within a boot epoch; an epoch that was replaced reports but never borrows, and so does one that
//!    may hold something of a released lease.
//! 5. A record is charged once: the mark moves in the transaction that charges.
//! 6. Nobody is refused for money ("used up") while what is available and recallable covers the request.
//!
//! Rates: in any window of W seconds the fleet admits at most burst + rate × W; exceptions are a change of the owner
//! (one burst) and an outage of the controller (each proxy its share).
//!
//! Distribution:
//! 1. A proxy's snapshot is the fold of all changes up to its revision, plus newer ones.
//! 2. Its revision never goes back, unless a base is forced.
//! 3. What takes rights away is not undone by anything older that arrives later.
//! 4. A base is applied whole or not at all; an empty one is legal.
//! 5. The controller's memory for a proxy is bounded by the names that changed.

pub mod base;
pub mod borrower;
pub mod cell;
pub mod feed;
pub mod health;
pub mod lease;
pub mod lender;
pub mod rates;
pub mod replica;
pub mod reports;
