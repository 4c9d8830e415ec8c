//! Waiting for events, each with a deadline. Never waits for time to pass.

use std::future::Future;
use std::time::{Duration, Instant};

/// How often a condition that cannot call back is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What most things may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

/// The value of `future`, which must come within `limit`.
pub async fn within<F: Future>(what: &str, limit: Duration, future: F) -> F::Output {
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing within {limit:?}"),
    }
}

/// A little time between two looks at something that cannot call back.
pub async fn moment() {
    tokio::time::sleep(LOOK_EVERY).await;
}

/// Looks until there is something; panics when there is nothing within `limit`.
pub async fn until<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        moment().await;
    }
}

/// Looks until it is so.
pub async fn until_true(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> bool) {
    until(what, limit, async || look().await.then_some(())).await;
}
