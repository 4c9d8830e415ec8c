//! Opening PostgreSQL: one pool, and limits that keep a stuck client from holding locks.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::error::{Error, Result};

const CONNECTIONS: u32 = 16;

pub(super) async fn open(url: &str) -> Result<PgPool> {
    let options = PgConnectOptions::from_str(url).map_err(|_| Error::BadUrl {
        // The address may carry a password: none of it is repeated.
        url: "postgres://…".to_owned(),
        why: "it cannot be read".to_owned(),
    })?;
    let options = options.application_name("tollgate").statement_cache_capacity(super::PREPARED).options([
        // A controller that stops in mid-transaction must not keep the others waiting for ever.
        ("idle_in_transaction_session_timeout", "60s"),
        ("lock_timeout", "10s"),
        ("synchronous_commit", "on"),
    ]);
    PgPoolOptions::new()
        .min_connections(1)
        .max_connections(CONNECTIONS)
        .acquire_timeout(Duration::from_secs(15))
        .connect_with(options)
        .await
        .map_err(|source| Error::of("open", source))
}
