//! A server's certificate and key, read again when their files change. A new pair takes effect with the next handshake;
//! a broken one is reported once and the old pair stays.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use ring::digest::{Context, SHA256};
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_util::sync::CancellationToken;

use super::{certificates, private_key, provider, read, refused};
use crate::{Error, Result};

/// A certificate chain and its key in two PEM files; hand it to [`super::server_config`].
pub struct CertificateFiles {
    chain: PathBuf,
    key: PathBuf,
    current: ArcSwap<CertifiedKey>,
    /// What was looked at last, good or bad: a digest of both files, or the text of the error that kept us from it.
    seen: Mutex<Seen>,
}

#[derive(PartialEq, Eq)]
enum Seen {
    Content([u8; 32]),
    Unreadable(String),
}

/// What a look at the files found.
#[derive(Debug)]
pub enum Reload {
    /// The same as at the last look.
    Unchanged,
    /// A new pair, used from now on.
    Changed,
    /// Something new that cannot be used; the old pair stays. Reported once per content.
    Refused(Error),
}

impl CertificateFiles {
    /// Reads both files; `chain` begins with the server's own certificate.
    ///
    /// # Errors
    /// When a file cannot be read, is not PEM, or the key does not belong to the certificate.
    pub fn load(chain: &Path, key: &Path) -> Result<Arc<Self>> {
        let (content, certified) = Self::read(chain, key)?;
        Ok(Arc::new(Self {
            chain: chain.to_owned(),
            key: key.to_owned(),
            current: ArcSwap::from_pointee(certified?),
            seen: Mutex::new(content),
        }))
    }

    /// Looks at the files, and takes a new pair over if there is one. Blocks on file access.
    pub fn reload_if_changed(&self) -> Reload {
        let (content, pair) = match Self::read(&self.chain, &self.key) {
            Ok((content, pair)) => (content, pair),
            Err(error) => (Seen::Unreadable(format!("{error:?}")), Err(error)),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == content {
            return Reload::Unchanged;
        }
        *seen = content;
        match pair {
            Ok(pair) => {
                self.current.store(Arc::new(pair));
                Reload::Changed
            }
            Err(error) => Reload::Refused(error),
        }
    }

    /// Looks every `every` until `stop` is cancelled; for a background task.
    pub async fn watch(self: Arc<Self>, every: Duration, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
            let files = Arc::clone(&self);
            let Ok(reload) = tokio::task::spawn_blocking(move || files.reload_if_changed()).await else { continue };
            let chain = self.chain.display();
            match reload {
                Reload::Unchanged => {}
                Reload::Changed => tracing::info!(%chain, "took over the new certificate in {chain}"),
                Reload::Refused(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    tracing::warn!(%chain, %error, cause, "the new certificate cannot be used, the old one stays");
                }
            }
        }
    }

    /// The outer error means that there is nothing to look at, the inner one that it cannot be used.
    fn read(chain: &Path, key: &Path) -> Result<(Seen, Result<CertifiedKey>)> {
        let (chain_pem, key_pem) = (read(chain)?, read(key)?);
        let mut digest = Context::new(&SHA256);
        digest.update(&(chain_pem.len() as u64).to_be_bytes());
        digest.update(&chain_pem);
        digest.update(&key_pem);
        let digest = digest.finish().as_ref().try_into().unwrap_or_default();
        let pair = || {
            let doing = format!("use {} with the key in {}", chain.display(), key.display());
            CertifiedKey::from_der(certificates(chain, &chain_pem)?, private_key(key, &key_pem)?, &provider())
                .map_err(refused(doing))
        };
        Ok((Seen::Content(digest), pair()))
    }
}

impl ResolvesServerCert for CertificateFiles {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl fmt::Debug for CertificateFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateFiles").field("chain", &self.chain).finish_non_exhaustive()
    }
}
