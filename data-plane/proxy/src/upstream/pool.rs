//! The connections of one worker to one provider: the one used last is used first, so that the others grow old and go.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::line::Line;

/// See the module's head. Clones are the same pool.
#[derive(Clone)]
pub(super) struct Pool {
    inner: Rc<Inner>,
}

struct Inner {
    idle: RefCell<VecDeque<Box<Line>>>,
    max_idle: usize,
    /// Connections of all workers to this provider.
    count: Arc<AtomicUsize>,
}

impl Pool {
    pub(super) fn new(max_idle: usize, count: Arc<AtomicUsize>) -> Pool {
        Pool { inner: Rc::new(Inner { idle: RefCell::default(), max_idle, count }) }
    }

    pub(super) fn count(&self) -> &Arc<AtomicUsize> {
        &self.inner.count
    }

    /// A connection whose other side was there a moment ago.
    pub(super) fn take(&self) -> Option<Box<Line>> {
        loop {
            let mut line = self.inner.idle.borrow_mut().pop_back()?;
            if line.is_free() {
                return Some(line);
            }
        }
    }

    /// Keeps a connection whose answer was read to its end.
    pub(super) fn give_back(&self, mut line: Box<Line>) {
        line.idle_for = Duration::ZERO;
        let mut idle = self.inner.idle.borrow_mut();
        idle.push_back(line);
        if idle.len() > self.inner.max_idle {
            idle.pop_front();
        }
    }

    /// To be called every `passed`: lets go of connections that were not used for `age`, and of those whose other side has
    /// gone.
    pub(super) fn reap(&self, age: Duration, passed: Duration) {
        let mut idle = std::mem::take(&mut *self.inner.idle.borrow_mut());
        idle.retain_mut(|line| {
            let is_young = line.idle_for < age;
            line.idle_for += passed;
            is_young && line.is_free()
        });
        // Nothing was given back meanwhile: this never waits.
        *self.inner.idle.borrow_mut() = idle;
    }

    /// Nobody but the owner of the map of pools knows this one, and it holds nothing.
    pub(super) fn is_forgotten(&self) -> bool {
        Rc::strong_count(&self.inner) == 1 && self.inner.idle.borrow().is_empty()
    }
}
