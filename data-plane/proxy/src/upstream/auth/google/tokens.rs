//! The access tokens of all accounts of one proxy. Whoever needs one asks once; from then on a task of its own fetches it,
//! fetches it anew before it ends, and tries again later and later when that fails. One exchange at a time for each account,
//! none for one whose credential is gone. Workers read without a lock. Next room: `exchange`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use runtime::Secret;
use runtime::backoff::Backoff;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::SignError;
use super::exchange::{Exchange, Grant};

/// Accounts that may be new at the same time.
const NEW_MOST: usize = 1024;
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(60);
/// How long before its end a token is fetched anew, and how long before it is used no more.
const AHEAD: Duration = Duration::from_secs(300);
const SPARE: Duration = Duration::from_secs(20);
/// How long a task sleeps at most before it looks at the clock and at its credential: a timer stands still while the
/// machine sleeps, a token does not.
const LOOK: Duration = Duration::from_secs(1);

/// A token, as it stands in a header.
pub(super) struct Token {
    pub(super) header: Secret,
}

/// How it stands with the token of an account.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Asked,
    Here,
    Failed(SignError),
}

/// The place of one account's token.
pub(super) struct Slot {
    /// Weak: whoever handed it in says how long it is good.
    secret: Weak<Secret>,
    is_local: bool,
    token: ArcSwapOption<Token>,
    state: watch::Sender<State>,
}

impl Slot {
    fn of(secret: &Arc<Secret>, is_local: bool) -> Slot {
        let (token, state) = (ArcSwapOption::empty(), watch::Sender::new(State::Asked));
        Slot { secret: Arc::downgrade(secret), is_local, token, state }
    }

    /// The token, while it is good.
    pub(super) fn token(&self) -> Guard<Option<Arc<Token>>> {
        self.token.load()
    }

    /// Why there is none.
    pub(super) fn why(&self) -> SignError {
        match *self.state.borrow() {
            State::Failed(why) => why,
            State::Asked | State::Here => SignError::Unready,
        }
    }

    pub(super) fn wait(&self) -> Option<Wait> {
        let state = self.state.subscribe();
        let is_asked = *state.borrow() == State::Asked;
        is_asked.then_some(Wait { state })
    }

    fn is_forgotten(&self) -> bool {
        self.secret.strong_count() == 0
    }

    fn put(&self, header: Secret) {
        self.token.store(Some(Arc::new(Token { header })));
        self.state.send_replace(State::Here);
    }

    fn fail(&self, why: SignError) {
        // While the last token is good, a failure is nobody's business yet.
        if self.token.load().is_none() {
            self.state.send_replace(State::Failed(why));
        }
    }

    fn expire(&self) {
        self.token.store(None);
        self.state.send_replace(State::Failed(SignError::Token));
    }
}

/// Waits for the first token of an account.
pub struct Wait {
    state: watch::Receiver<State>,
}

impl Wait {
    /// Returns when there is a token, or when there will be none for a while. Has no deadline of its own.
    ///
    /// # Errors
    /// [`SignError`], which signing would give as well.
    pub async fn over(mut self) -> Result<(), SignError> {
        match self.state.wait_for(|state| *state != State::Asked).await.as_deref() {
            Ok(State::Failed(why)) => Err(*why),
            Ok(_) => Ok(()),
            Err(_) => Err(SignError::Token),
        }
    }
}

/// Where a credential is and whether its provider is local. The place is not used again while its slot is here.
type Place = (usize, bool);

/// See the module's head. Clones share the tokens.
#[derive(Clone)]
pub(in crate::upstream) struct Tokens {
    inner: Arc<Inner>,
}

struct Inner {
    slots: Mutex<HashMap<Place, Arc<Slot>>>,
    ask: mpsc::Sender<Arc<Slot>>,
    /// Taken by whoever keeps the tokens.
    asked: Mutex<Option<mpsc::Receiver<Arc<Slot>>>>,
}

impl Default for Tokens {
    fn default() -> Tokens {
        let (ask, asked) = mpsc::channel(NEW_MOST);
        Tokens { inner: Arc::new(Inner { slots: Mutex::default(), ask, asked: Mutex::new(Some(asked)) }) }
    }
}

impl Tokens {
    /// The place of an account's token, which is asked for if nobody has yet; none when too many are new, or nobody keeps
    /// tokens any more.
    pub(super) fn slot(&self, secret: &Arc<Secret>, is_local: bool) -> Option<Arc<Slot>> {
        let place = (Arc::as_ptr(secret).addr(), is_local);
        let mut slots = self.inner.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(&place).filter(|slot| !slot.is_forgotten()) {
            return Some(slot.clone());
        }
        let slot = Arc::new(Slot::of(secret, is_local));
        self.inner.ask.try_send(slot.clone()).ok()?;
        slots.insert(place, slot.clone());
        Some(slot)
    }

    /// Keeps tokens for all who ask, until it is told to stop. Whoever comes second returns at once.
    pub(in crate::upstream) async fn keep(self, exchange: Exchange, stop: CancellationToken) {
        let asked = self.inner.asked.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut asked) = asked else { return };
        let exchange = Arc::new(exchange);
        // Ends all of them when it is dropped.
        let mut keepers = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                slot = asked.recv() => match slot {
                    Some(slot) => drop(keepers.spawn(keep(self.clone(), exchange.clone(), slot))),
                    None => return,
                },
                Some(_) = keepers.join_next() => {}
            }
        }
    }

    fn forget(&self, slot: &Arc<Slot>) {
        let place = (slot.secret.as_ptr().addr(), slot.is_local);
        let mut slots = self.inner.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.get(&place).is_some_and(|known| Arc::ptr_eq(known, slot)) {
            slots.remove(&place);
        }
    }
}

#[cfg(test)]
impl Tokens {
    pub(super) fn is_empty(&self) -> bool {
        self.inner.slots.lock().unwrap().is_empty()
    }
}

/// Keeps the token of one account for as long as its credential is there.
async fn keep(tokens: Tokens, exchange: Arc<Exchange>, slot: Arc<Slot>) {
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LAST);
    let mut end = None;
    loop {
        let Some(secret) = slot.secret.upgrade() else { break };
        let got = exchange.fetch(&secret, slot.is_local).await;
        drop(secret);
        let now = exchange.now();
        let next = match got {
            Ok(Grant { header, lifetime }) => {
                backoff.reset();
                slot.put(header);
                let times = Times::of(lifetime);
                end = Some(now + times.last);
                Some(now + times.next)
            }
            Err(error) => {
                tracing::warn!(%error, "no access token for a service account");
                slot.fail(if error.is_final() { SignError::Malformed } else { SignError::Token });
                // A credential that is none does not become one.
                (!error.is_final()).then(|| now + backoff.next_wait(rand::random))
            }
        };
        if !sleep_until(&exchange, &slot, next, &mut end).await {
            break;
        }
    }
    slot.expire();
    tokens.forget(&slot);
}

/// Sleeps until it is time for the next exchange, and takes the token away when it has ended before. Whether the credential
/// is still there.
async fn sleep_until(exchange: &Exchange, slot: &Slot, next: Option<Duration>, end: &mut Option<Duration>) -> bool {
    loop {
        let now = exchange.now();
        if end.is_some_and(|end| now >= end) {
            *end = None;
            slot.expire();
        }
        if slot.is_forgotten() {
            return false;
        }
        if next.is_some_and(|next| now >= next) {
            return true;
        }
        let due = [next, *end].into_iter().flatten().min().map(|due| due.saturating_sub(now));
        tokio::time::sleep(due.unwrap_or(LOOK).min(LOOK)).await;
    }
}

/// When a token is fetched anew and when it is used no more, counted from when it came.
struct Times {
    next: Duration,
    last: Duration,
}

impl Times {
    fn of(lifetime: Duration) -> Times {
        let next = lifetime.saturating_sub(AHEAD.min(lifetime / 4));
        let last = lifetime.saturating_sub(SPARE.min(lifetime / 8));
        Times { next, last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_fetched_anew_before_it_is_used_no_more_and_that_before_it_ends() {
        for (lifetime, next, last) in [(3600, 3300.0, 3580.0), (8, 6.0, 7.0), (160, 120.0, 140.0)] {
            let times = Times::of(Duration::from_secs(lifetime));
            assert_eq!((times.next.as_secs_f64(), times.last.as_secs_f64()), (next, last), "{lifetime}");
        }
    }
}
