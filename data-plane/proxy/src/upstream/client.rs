//! Sends one request to one provider and hands back the head of its answer with the body still to come. A kept
//! connection that turns out closed is replaced without the caller noticing, as long as nothing was sent on it.
//! Sets no timer but for connecting; never follows a redirect, never tries twice what a provider may have seen.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use codec::Segments;
use domain::providers::AuthScheme;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use runtime::clock::Clock;
use tokio_util::sync::CancellationToken;

use super::auth::{Exchange, Signer, Tokens};
use super::body::{HttpBody, ReplyBody};
use super::connect::{Connector, Proxy};
use super::dns::Dns;
use super::line::{Count, Line, Opening};
use super::pool::Pool;
use super::reading::Fields;
use super::route::{Route, Routes};
use super::{Error, UpstreamError, echo};
use crate::config::UpstreamSettings;

/// How often unused connections are looked at.
const REAP_EVERY: Duration = Duration::from_secs(10);

/// Scheme, host and port: who shares connections.
type Key = (bool, Box<str>, u16);

/// What all workers share: TLS settings, known addresses, counts of connections, access tokens.
#[derive(Clone)]
pub struct Shared {
    connector: Connector,
    settings: Arc<UpstreamSettings>,
    counts: Arc<Mutex<HashMap<Key, Arc<AtomicUsize>>>>,
    tokens: Tokens,
}

impl Shared {
    /// Reads the private authority and checks the settings.
    ///
    /// # Errors
    /// When a file cannot be read, or something is asked for that is not there.
    pub fn new(settings: &UpstreamSettings) -> Result<Shared, Error> {
        if settings.http2 {
            return Err(Error::Http2);
        }
        let proxy = settings.proxy.as_deref().filter(|text| !text.is_empty()).map(parse_proxy).transpose()?;
        let connector = Connector {
            dns: Dns::new(settings.dns_ttl.get()),
            tls: runtime::tls::client_config(settings.ca_file.as_deref(), &["http/1.1"])?,
            proxy: proxy.map(Arc::new),
        };
        let tokens = Tokens::default();
        Ok(Shared { connector, settings: Arc::new(settings.clone()), counts: Arc::default(), tokens })
    }

    /// Fetches the access tokens that requests are signed with, and fetches them anew before they end. To be run once, on
    /// the control runtime; until it runs, there are none.
    pub async fn keep_tokens(self, clock: Arc<dyn Clock>, stop: CancellationToken) {
        self.tokens.keep(Exchange::over(self.connector, clock), stop).await;
    }

    fn count(&self, key: &Key) -> Arc<AtomicUsize> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default().clone()
    }
}

fn parse_proxy(text: &str) -> Result<Proxy, Error> {
    let bad = || Error::Proxy(text.split('@').next_back().unwrap_or_default().chars().take(120).collect());
    let address = text.strip_prefix("http://").ok_or_else(bad)?.trim_end_matches('/');
    if address.contains(['@', '/', '?', '#']) {
        return Err(bad());
    }
    let (host, port) = split_authority(address).ok_or_else(bad)?;
    Ok(Proxy { host: host.to_owned(), port: port.ok_or_else(bad)? })
}

/// Host (without brackets) and port of an authority.
fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(v6) => v6.split_once(']')?,
        None => authority.find(':').map_or((authority, ""), |at| authority.split_at(at)),
    };
    let port = match rest.strip_prefix(':') {
        Some(digits) => Some(digits.parse().ok()?),
        None if rest.is_empty() => None,
        None => return None,
    };
    (!host.is_empty()).then_some((host, port))
}

/// A provider's address, made ready. Clones are the same target.
#[derive(Clone)]
pub struct Target {
    inner: Rc<TargetInner>,
}

struct TargetInner {
    place: Place,
    routes: Routes,
}

enum Place {
    Echo,
    Http(Box<HttpPlace>),
}

struct HttpPlace {
    is_tls: bool,
    host: Box<str>,
    port: u16,
    /// The value of the Host header.
    authority: HeaderValue,
    pool: Pool,
}

impl Target {
    /// What stands in the request line of an operation: its route behind the base URL's path, each `{model}` replaced.
    /// Made once, then remembered.
    ///
    /// # Errors
    /// [`UpstreamError::Route`] when it cannot stand there.
    pub fn route(&self, route: &str, model: &str) -> Result<Route, UpstreamError> {
        self.inner.routes.find(route, model)
    }

    /// What the Host header says; nothing for the built-in provider.
    pub(super) fn authority(&self) -> &[u8] {
        match &self.inner.place {
            Place::Echo => b"",
            Place::Http(place) => place.authority.as_bytes(),
        }
    }

    /// Whether it is on this machine, in the clear: where tests are.
    pub(super) fn is_local(&self) -> bool {
        match &self.inner.place {
            Place::Echo => false,
            Place::Http(place) => !place.is_tls && is_loopback(&place.host),
        }
    }
}

/// Whether a host is this machine by its address; a name may lead anywhere.
pub(super) fn is_loopback(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The head of an answer, and its body to come.
pub struct Reply {
    /// The provider's status.
    pub status: StatusCode,
    /// The provider's headers.
    pub fields: Fields,
    /// Read to its end, it gives the connection back; dropped before, it closes it.
    pub body: ReplyBody,
}

/// One worker's connections to providers. Clones are the same.
#[derive(Clone)]
pub struct Upstream {
    inner: Rc<Inner>,
}

struct Inner {
    shared: Shared,
    pools: RefCell<HashMap<Key, Pool>>,
}

impl Upstream {
    /// To be called inside the worker's runtime, which also reaps unused connections.
    pub fn new(shared: Shared) -> Upstream {
        let inner = Rc::new(Inner { shared, pools: RefCell::default() });
        tokio::task::spawn_local(reap(Rc::downgrade(&inner)));
        Upstream { inner }
    }

    /// Makes a provider's base URL ready.
    ///
    /// # Errors
    /// [`Error::BaseUrl`] when it is not one.
    pub fn target(&self, base_url: &str) -> Result<Target, Error> {
        let made = match base_url {
            echo::BASE_URL => Routes::behind("").map(|routes| TargetInner { place: Place::Echo, routes }),
            base_url => self.place(base_url),
        };
        let inner = made.ok_or_else(|| Error::BaseUrl(base_url.chars().take(120).collect()))?;
        Ok(Target { inner: Rc::new(inner) })
    }

    /// Signs for a provider's row; none when this build does not know the scheme.
    pub fn signer(&self, scheme: &AuthScheme, target: &Target) -> Option<Signer> {
        Signer::with(scheme, self.inner.shared.tokens.clone(), target.is_local())
    }

    fn place(&self, base_url: &str) -> Option<TargetInner> {
        let (scheme, rest) = base_url.split_once("://")?;
        let is_tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let (authority, path) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
        http::uri::Authority::try_from(authority).ok()?;
        let (host, port) = split_authority(authority)?;
        let port = port.unwrap_or(if is_tls { 443 } else { 80 });
        let routes = Routes::behind(path)?;
        let key: Key = (is_tls, host.into(), port);
        let place = HttpPlace {
            is_tls,
            host: host.into(),
            port,
            authority: HeaderValue::from_str(authority).ok()?,
            pool: self.pool(&key),
        };
        Some(TargetInner { place: Place::Http(Box::new(place)), routes })
    }

    fn pool(&self, key: &Key) -> Pool {
        let shared = &self.inner.shared;
        let mut pools = self.inner.pools.borrow_mut();
        let made = || Pool::new(shared.settings.max_idle, shared.count(key));
        pools.entry(key.clone()).or_insert_with(made).clone()
    }

    /// Sends a request along a route of this target. Host and length are set here; everything else in `headers` goes as
    /// it is. Dropping the future closes the connection.
    ///
    /// # Errors
    /// [`UpstreamError`], which says whether the provider may have seen the request.
    pub async fn send(
        &self,
        target: &Target,
        method: &Method,
        route: &Route,
        headers: &HeaderMap,
        mut body: Segments,
    ) -> Result<Reply, UpstreamError> {
        let place = match &target.inner.place {
            Place::Echo => return Ok(echo::answer(method, route.as_str(), body.parts())),
            Place::Http(place) => place,
        };
        loop {
            let mut line = match place.pool.take() {
                Some(line) => line,
                None => self.connect(place).await?,
            };
            let is_used = line.is_used();
            line.load((method, route.as_str()), &place.authority, headers, body);
            match line.send().await {
                Ok(Opening { head, first }) => {
                    let body = ReplyBody::Http(HttpBody::new(first, line, place.pool.clone()));
                    return Ok(Reply { status: head.status, fields: head.fields, body });
                }
                Err(error) => match line.unload() {
                    Some(unsent) if is_used => body = unsent,
                    _ => return Err(error),
                },
            }
        }
    }

    async fn connect(&self, place: &HttpPlace) -> Result<Box<Line>, UpstreamError> {
        let shared = &self.inner.shared;
        let count = Count::take(place.pool.count(), shared.settings.max_connections).ok_or(UpstreamError::Crowded)?;
        let connecting = shared.connector.connect(&place.host, place.port, place.is_tls);
        let deadline = shared.settings.connect_timeout.get();
        let stream = tokio::time::timeout(deadline, connecting).await.map_err(|_| UpstreamError::ConnectTimeout)??;
        Ok(Box::new(Line::new(stream, count)))
    }
}

async fn reap(inner: Weak<Inner>) {
    let mut ticks = tokio::time::interval(REAP_EVERY);
    loop {
        ticks.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        let age = inner.shared.settings.idle_timeout.get();
        let pools: Vec<Pool> = inner.pools.borrow().values().cloned().collect();
        pools.iter().for_each(|pool| pool.reap(age, REAP_EVERY));
        drop(pools);
        inner.pools.borrow_mut().retain(|_, pool| !pool.is_forgotten());
    }
}

#[cfg(test)]
impl Shared {
    pub(super) fn connector(&self) -> Connector {
        self.connector.clone()
    }
}

#[cfg(test)]
impl Upstream {
    pub(super) fn pool_of(&self, target: &Target) -> Pool {
        match &target.inner.place {
            Place::Http(place) => place.pool.clone(),
            Place::Echo => panic!("the echo provider has no connections"),
        }
    }
}
