//! Names of providers to addresses, for all workers together. An answer is used until it is old, then still used while
//! a fresh one is fetched; a failing resolver never takes away addresses that were good. One lookup at a time for each
//! name, so that a slow resolver is not flooded. Asked only when a connection is made.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::UpstreamError;

/// How long a failure is believed before the resolver is asked again.
const FAILURE_TTL: Duration = Duration::from_secs(1);
/// How long one question may take when nobody waits for it.
const BACKGROUND_DEADLINE: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Known {
    addresses: Arc<[IpAddr]>,
    fetched_at: Option<Instant>,
    failed_at: Option<Instant>,
}

#[derive(Default)]
struct Name {
    known: Mutex<Known>,
    /// Held by whoever is asking the resolver.
    asking: tokio::sync::Mutex<()>,
}

/// See the module's head.
#[derive(Clone)]
pub(super) struct Dns {
    names: Arc<Mutex<HashMap<Box<str>, Arc<Name>>>>,
    ttl: Duration,
}

impl Dns {
    pub(super) fn new(ttl: Duration) -> Dns {
        Dns { names: Arc::default(), ttl }
    }

    /// The addresses of a host, IPv6 and IPv4 in turns. The caller has the deadline.
    pub(super) async fn resolve(&self, host: &str) -> Result<Arc<[IpAddr]>, UpstreamError> {
        if let Ok(address) = host.parse() {
            return Ok(Arc::new([address]));
        }
        let name = self.name(host);
        match self.look(&name) {
            Seen::Fresh(addresses) => return Ok(addresses),
            Seen::Old(addresses) => {
                self.refresh(host, name);
                return Ok(addresses);
            }
            Seen::Failed => return Err(UpstreamError::Dns),
            Seen::Nothing => {}
        }
        let _asking = name.asking.lock().await;
        match self.look(&name) {
            Seen::Fresh(addresses) | Seen::Old(addresses) => Ok(addresses),
            Seen::Failed => Err(UpstreamError::Dns),
            Seen::Nothing => ask(host, &name).await,
        }
    }

    fn name(&self, host: &str) -> Arc<Name> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = names.get(host) {
            return name.clone();
        }
        names.entry(host.into()).or_default().clone()
    }

    fn look(&self, name: &Name) -> Seen {
        let known = name.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: Option<Instant>, within: Duration| at.is_some_and(|at| at.elapsed() < within);
        match (known.addresses.is_empty(), is_recent(known.failed_at, FAILURE_TTL)) {
            (true, true) => Seen::Failed,
            (true, false) => Seen::Nothing,
            // An old answer with a failure behind it is not asked about again at once.
            (false, true) => Seen::Fresh(known.addresses.clone()),
            (false, false) if is_recent(known.fetched_at, self.ttl) => Seen::Fresh(known.addresses.clone()),
            (false, false) => Seen::Old(known.addresses.clone()),
        }
    }

    fn refresh(&self, host: &str, name: Arc<Name>) {
        let host = host.to_owned();
        tokio::spawn(async move {
            let Ok(_asking) = name.asking.try_lock() else { return };
            let _ = tokio::time::timeout(BACKGROUND_DEADLINE, ask(&host, &name)).await;
        });
    }
}

enum Seen {
    Fresh(Arc<[IpAddr]>),
    Old(Arc<[IpAddr]>),
    Failed,
    Nothing,
}

async fn ask(host: &str, name: &Name) -> Result<Arc<[IpAddr]>, UpstreamError> {
    let answer = tokio::net::lookup_host((host, 0)).await;
    keep(name, answer)
}

fn keep(name: &Name, answer: io::Result<impl Iterator<Item = SocketAddr>>) -> Result<Arc<[IpAddr]>, UpstreamError> {
    let addresses = answer.map(|found| in_turns(found.map(|address| address.ip()))).unwrap_or_default();
    let mut known = name.known.lock().unwrap_or_else(PoisonError::into_inner);
    if addresses.is_empty() {
        known.failed_at = Some(Instant::now());
        return Err(UpstreamError::Dns);
    }
    known.addresses = addresses.into();
    known.fetched_at = Some(Instant::now());
    known.failed_at = None;
    Ok(known.addresses.clone())
}

/// The resolver's order within each family, the families in turns, beginning with the one it put first.
fn in_turns(found: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = Vec::new();
    for address in found {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    let starts_with_v6 = all.first().is_some_and(IpAddr::is_ipv6);
    let (first, second): (Vec<IpAddr>, Vec<IpAddr>) =
        all.into_iter().partition(|address| address.is_ipv6() == starts_with_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return turns;
        }
        turns.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(texts: &[&str]) -> io::Result<std::vec::IntoIter<SocketAddr>> {
        Ok(texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect::<Vec<_>>().into_iter())
    }

    #[test]
    fn a_failing_resolver_does_not_take_good_addresses_away() {
        let dns = Dns::new(Duration::ZERO);
        let name = dns.name("provider.example");
        assert!(matches!(dns.look(&name), Seen::Nothing));
        keep(&name, sockets(&["192.0.2.1"])).unwrap();
        assert!(matches!(dns.look(&name), Seen::Old(_)));
        assert!(keep(&name, Err::<std::vec::IntoIter<_>, _>(io::ErrorKind::TimedOut.into())).is_err());
        assert!(matches!(dns.look(&name), Seen::Fresh(_)), "not asked again within the second");
        assert!(keep(&name, sockets(&[])).is_err());
        let Seen::Fresh(kept) = dns.look(&name) else { panic!("gone") };
        assert_eq!(kept.to_vec(), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn families_are_tried_in_turns() {
        let found = sockets(&["2001:db8::1", "2001:db8::2", "192.0.2.1", "2001:db8::1"]).unwrap();
        let turns: Vec<String> = in_turns(found.map(|address| address.ip())).iter().map(ToString::to_string).collect();
        assert_eq!(turns, ["2001:db8::1", "192.0.2.1", "2001:db8::2"]);
    }

    #[tokio::test]
    async fn an_address_needs_no_resolver_and_a_name_that_is_none_fails_once() {
        let dns = Dns::new(Duration::from_secs(30));
        assert_eq!(dns.resolve("127.0.0.1").await.unwrap().len(), 1);
        assert!(matches!(dns.resolve("no name").await, Err(UpstreamError::Dns)));
        assert!(matches!(dns.look(&dns.name("no name")), Seen::Failed));
    }
}
