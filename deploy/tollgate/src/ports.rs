//! Which ports the proxies of `up` take: one after the other, around those that the control plane has.
//! Never holds a port; the planes open theirs themselves.

use std::net::{SocketAddr, TcpListener};

/// The addresses of both planes.
#[derive(Debug, PartialEq, Eq)]
pub struct Ports {
    pub admin: SocketAddr,
    pub sync: SocketAddr,
    /// The control plane's own.
    pub metrics: SocketAddr,
    pub proxies: Vec<Doors>,
}

/// The addresses of one proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doors {
    pub inference: SocketAddr,
    pub metrics: SocketAddr,
}

impl Ports {
    /// Numbers the ports of `count` proxies: inference from `listen` on, metrics after the control plane's. A port that
    /// the other plane has is left out; what was asked for by name is taken as it is. Port 0 stays 0: any free one.
    pub fn number([listen, admin, sync, metrics]: [SocketAddr; 4], count: u16) -> Result<Ports, String> {
        let count = usize::from(count);
        let inference = row(listen, count, &[admin, sync, metrics])?;
        let others: Vec<_> = [admin, sync].into_iter().chain(inference.iter().copied()).collect();
        let private = row(metrics, count + 1, &others)?.into_iter().skip(1);
        let proxies = inference.into_iter().zip(private).map(|(inference, metrics)| Doors { inference, metrics });
        Ok(Ports { admin, sync, metrics, proxies: proxies.collect() })
    }

    /// Opens every port for a moment, all at once: one that is in use must be known before anything is made.
    pub fn check(&self) -> Result<(), String> {
        let own = [("the admin port", self.admin), ("proxies", self.sync), ("metrics", self.metrics)];
        let proxies =
            self.proxies.iter().flat_map(|doors| [("inference", doors.inference), ("metrics", doors.metrics)]);
        let open = |(what, address): (&str, SocketAddr)| {
            TcpListener::bind(address).map_err(|error| format!("listen for {what} on {address}: {error}"))
        };
        own.into_iter().chain(proxies).map(open).collect::<Result<Vec<_>, _>>().map(drop)
    }
}

/// `count` addresses from `first` on, none of the later ones in the way of `taken`.
fn row(first: SocketAddr, count: usize, taken: &[SocketAddr]) -> Result<Vec<SocketAddr>, String> {
    let mut row = vec![first];
    let mut next = first;
    while row.len() < count {
        if first.port() != 0 {
            let port = next.port().checked_add(1);
            next.set_port(port.ok_or_else(|| format!("there are no {count} ports from {first} on"))?);
        }
        if !taken.iter().any(|other| collide(*other, next)) {
            row.push(next);
        }
    }
    Ok(row)
}

/// Whether two listeners cannot have these addresses at once.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (everywhere || one.ip() == other.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(addresses: [&str; 4], count: u16) -> (Vec<String>, Vec<String>) {
        let ports = Ports::number(addresses.map(|address| address.parse().unwrap()), count).unwrap();
        let of = |door: fn(&Doors) -> SocketAddr| ports.proxies.iter().map(|doors| door(doors).to_string()).collect();
        (of(|doors| doors.inference), of(|doors| doors.metrics))
    }

    #[test]
    fn proxies_listen_on_the_port_and_the_next_ones() {
        let (inference, metrics) = number(["127.0.0.1:9000", "127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:9100"], 3);
        assert_eq!(inference, ["127.0.0.1:9000", "127.0.0.1:9001", "127.0.0.1:9002"]);
        assert_eq!(metrics, ["127.0.0.1:9101", "127.0.0.1:9102", "127.0.0.1:9103"]);
    }

    #[test]
    fn ports_of_the_control_plane_are_left_out() {
        let defaults = ["127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:0"];
        let (inference, metrics) = number(defaults, 3);
        assert_eq!(inference, ["127.0.0.1:8080", "127.0.0.1:8083", "127.0.0.1:8084"]);
        assert_eq!(metrics, ["127.0.0.1:0"; 3]);
        let (inference, metrics) = number(["0.0.0.0:80", "127.0.0.1:81", "[::]:84", "127.0.0.1:82"], 2);
        assert_eq!(inference, ["0.0.0.0:80", "0.0.0.0:83"]);
        assert_eq!(metrics, ["127.0.0.1:85", "127.0.0.1:86"]);
        // On another address the same number is free.
        let (inference, _) = number(["127.0.0.2:8080", "127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:0"], 2);
        assert_eq!(inference, ["127.0.0.2:8080", "127.0.0.2:8081"]);
    }

    #[test]
    fn any_free_port_stays_any_free_port_and_the_last_one_has_no_next() {
        let (inference, _) = number(["127.0.0.1:0"; 4], 3);
        assert_eq!(inference, ["127.0.0.1:0"; 3]);
        let addresses = ["127.0.0.1:65535", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"];
        let refused = Ports::number(addresses.map(|address| address.parse().unwrap()), 2).unwrap_err();
        assert!(refused.contains("127.0.0.1:65535"), "{refused}");
    }

    #[test]
    fn two_planes_on_one_port_are_refused_before_anything_is_made() {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let twice = free();
        let refused = Ports::number([twice, twice, any, any], 1).unwrap().check().unwrap_err();
        assert!(refused.contains(&twice.to_string()), "{refused}");
        // Anybody may take a port between finding it and looking at it, but not one after another.
        assert!((0..10).any(|_| Ports::number([free(), any, any, any], 2).unwrap().check().is_ok()));
    }
}
