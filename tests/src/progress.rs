//! Signs of life of the long forms: a line every ten seconds, on stdout. The short forms say nothing.

use std::time::{Duration, Instant};

use crate::is_long;

const EVERY: Duration = Duration::from_secs(10);

/// Counts towards an end, and says now and then how far it has come.
pub struct Progress {
    what: &'static str,
    began: Instant,
    next: Instant,
}

impl Progress {
    pub fn of(what: &'static str) -> Progress {
        let began = Instant::now();
        Progress { what, began, next: began + EVERY }
    }

    /// Says that so many of so many are done, when it is time to.
    pub fn at(&mut self, done: usize, all: usize) {
        self.say(|| format!("{done} of {all}"));
    }

    /// The same where nobody knows how many there will be.
    pub fn so_far(&mut self, done: usize) {
        self.say(|| done.to_string());
    }

    fn say(&mut self, how_far: impl FnOnce() -> String) {
        let now = Instant::now();
        if is_long() && now >= self.next {
            self.next = now + EVERY;
            println!("  {}: {} after {} s", self.what, how_far(), self.began.elapsed().as_secs());
        }
    }
}
