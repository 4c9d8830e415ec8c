//! The series of one metric, told apart by label values and bounded in number.
//! Values come from outside (a provider's id, a status), so a bound is what keeps a scrape small.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

/// The value of every label once a family is full.
pub const OTHER: &str = "other";
/// Longer label values are cut, in bytes.
const LONGEST_VALUE: usize = 128;

type Values<const N: usize> = [Box<str>; N];

/// Series of one metric with `N` labels. Clones share the series.
pub struct Family<M, const N: usize> {
    inner: Arc<Inner<M, N>>,
}

struct Inner<M, const N: usize> {
    cap: usize,
    make: Box<dyn Fn() -> M + Send + Sync>,
    series: RwLock<HashMap<Values<N>, Arc<M>>>,
}

impl<M, const N: usize> Clone for Family<M, N> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<M, const N: usize> Family<M, N> {
    pub(super) fn new(cap: usize, make: impl Fn() -> M + Send + Sync + 'static) -> Self {
        let inner = Inner { cap, make: Box::new(make), series: RwLock::default() };
        Self { inner: Arc::new(inner) }
    }

    /// The series with these label values, in the order of the labels. Keep what is returned: the lookup takes a lock and
    /// allocates.
    #[must_use]
    pub fn with(&self, values: [&str; N]) -> Arc<M> {
        let values = values.map(|value| Box::from(cut(value)));
        if let Some(series) = self.inner.series.read().unwrap_or_else(PoisonError::into_inner).get(&values) {
            return Arc::clone(series);
        }
        let mut all = self.inner.series.write().unwrap_or_else(PoisonError::into_inner);
        // The series for the rest does not count against the cap, or a cap of one would have no room for it.
        let full = all.len() >= self.inner.cap && !all.contains_key(&values);
        let values = if full { values.map(|_| Box::from(OTHER)) } else { values };
        Arc::clone(all.entry(values).or_insert_with(|| Arc::new((self.inner.make)())))
    }

    pub(super) fn each(&self, mut see: impl FnMut([&str; N], &M)) {
        for (values, series) in self.inner.series.read().unwrap_or_else(PoisonError::into_inner).iter() {
            see(std::array::from_fn(|i| values.get(i).map_or("", |value| &**value)), series);
        }
    }
}

fn cut(value: &str) -> &str {
    value.get(..value.floor_char_boundary(LONGEST_VALUE)).unwrap_or(value)
}
