//! Ports that a process may come back to after a restart: below those that the system hands out by itself, and in blocks
//! that one test process holds alone, so that nobody takes a port while its owner is down.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};

const FIRST: u16 = 18_000;
const BLOCKS: u16 = 140;
const BLOCK: u16 = 100;

/// A block of ports; its lock ends with the process.
struct Block {
    number: u16,
    used: u16,
    _lock: File,
}

/// A free port on loopback that nobody else gets while this process runs.
pub fn take() -> SocketAddr {
    static BLOCKS_HELD: Mutex<Vec<Block>> = Mutex::new(Vec::new());
    let mut held = BLOCKS_HELD.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if held.last().is_none_or(|block| block.used == BLOCK) {
            held.push(lock_one());
        }
        let block = held.last_mut().expect("a block");
        let port = FIRST + block.number * BLOCK + block.used;
        block.used += 1;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

fn lock_one() -> Block {
    let folder = std::env::temp_dir().join("tollgate-it-ports");
    std::fs::create_dir_all(&folder).expect("a folder for the locks of ports");
    for number in 0..BLOCKS {
        let lock = File::create(folder.join(number.to_string())).expect("a lock of ports");
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Block { number, used: 0, _lock: lock };
        }
    }
    panic!("all ports between {FIRST} and {} are taken", FIRST + BLOCKS * BLOCK)
}
