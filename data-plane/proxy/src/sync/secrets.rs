//! The platform's credentials at providers: fetched when the snapshot names a version that is not here, sealed to a key
//! made at this start, kept in memory only. The last good one is used until a newer one has come.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use domain::ids::ProviderId;
use domain::snapshot::Snapshot;
use proto::convert::secret_info;
use proto::sync as wire;
use runtime::Secret;
use runtime::backoff::Backoff;
use runtime::seal::BootKey;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::status::Status;
use super::wire::{Wire, traced, within};

/// How long a call may take; the controller itself waits up to two seconds for our stream.
const DEADLINE: Duration = Duration::from_secs(5);
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LAST: Duration = Duration::from_secs(10);
/// How often a credential that the controller does not have is asked for again.
const MISSING: Duration = Duration::from_secs(30);

#[derive(Clone)]
struct Held {
    version: u64,
    secret: Arc<Secret>,
}

/// The credentials at hand. Clones share them.
#[derive(Clone, Default)]
pub struct Secrets {
    held: Arc<ArcSwap<HashMap<ProviderId, Held>>>,
    bell: Arc<Notify>,
}

impl Secrets {
    /// The credential of a provider; without a lock. While `version` is on its way, the one before it.
    pub fn get(&self, provider: &ProviderId, version: u64) -> Option<Arc<Secret>> {
        let held = self.held.load();
        held.get(provider).filter(|_| version > 0).map(|held| held.secret.clone())
    }

    /// The snapshot or the stream has changed: there may be something to fetch.
    pub(super) fn wake(&self) {
        self.bell.notify_one();
    }

    /// Providers that the snapshot wants signed for and whose version is not here; forgets those it does not name.
    fn reconcile(&self, snapshot: &Snapshot) -> Vec<(ProviderId, u64)> {
        let wanted: HashMap<ProviderId, u64> = snapshot
            .catalogue()
            .providers()
            .filter(|provider| provider.credential_version > 0)
            .map(|provider| (provider.id.clone(), provider.credential_version))
            .collect();
        let held = self.held.load_full();
        if held.keys().any(|provider| !wanted.contains_key(provider)) {
            let kept = held.iter().filter(|(provider, _)| wanted.contains_key(*provider));
            self.held.store(Arc::new(kept.map(|(provider, held)| (provider.clone(), held.clone())).collect()));
        }
        let is_missing =
            |(provider, version): &(ProviderId, u64)| held.get(provider).is_none_or(|held| held.version < *version);
        wanted.into_iter().filter(is_missing).collect()
    }

    fn put(&self, provider: ProviderId, version: u64, secret: Secret) {
        let mut next = HashMap::clone(&self.held.load());
        next.insert(provider, Held { version, secret: Arc::new(secret) });
        self.held.store(Arc::new(next));
    }
}

/// Fetches what is missing until it is told to stop.
pub(super) struct Fetcher {
    pub(super) secrets: Secrets,
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) wire: Wire,
    pub(super) status: Arc<Status>,
    pub(super) key: BootKey,
}

impl Fetcher {
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LAST);
        loop {
            let pause = self.round(&mut backoff).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.secrets.bell.notified() => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// Fetches once, and says when to look again by itself.
    async fn round(&self, backoff: &mut Backoff) -> Option<Duration> {
        let snapshot = self.snapshot.load_full();
        let missing = self.secrets.reconcile(&snapshot);
        if missing.is_empty() {
            self.status.set_secrets();
            return None;
        }
        if !self.status.connected() {
            // Nobody would be answered; the stream wakes us when it stands.
            return None;
        }
        match self.fetch(&missing).await {
            Ok(()) => {
                backoff.reset();
                self.status.answered();
                self.status.set_secrets();
                let is_complete = self.secrets.reconcile(&self.snapshot.load_full()).is_empty();
                (!is_complete).then_some(MISSING)
            }
            Err(status) => {
                tracing::warn!(code = ?status.code(), "providers' secrets could not be fetched");
                Some(backoff.next_wait(rand::random))
            }
        }
    }

    async fn fetch(&self, missing: &[(ProviderId, u64)]) -> Result<(), tonic::Status> {
        let identity = self.wire.identity();
        let message = wire::SecretsRequest {
            proxy_id: self.wire.proxy_id(),
            boot_epoch: identity.epoch.0,
            boot_key: self.key.public_key().to_vec().into(),
            providers: missing.iter().map(|(provider, _)| provider.to_string()).collect(),
        };
        let mut client = self.wire.bulk();
        let span = tracing::info_span!("secrets", providers = missing.len());
        let response = within(DEADLINE, client.secrets(traced(&span, message))).instrument(span).await?;
        for sealed in response.secrets {
            self.take_in(&sealed);
        }
        Ok(())
    }

    fn take_in(&self, sealed: &wire::SealedSecret) {
        let Ok(provider) = sealed.provider.parse::<ProviderId>() else { return };
        let identity = self.wire.identity();
        let info = secret_info(&identity.proxy, identity.epoch, &provider, sealed.version);
        match self.key.open(&info, &sealed.sealed) {
            Ok(secret) => self.secrets.put(provider, sealed.version, secret),
            Err(error) => tracing::error!(%provider, %error, "a provider's secret cannot be opened"),
        }
    }
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}
