//! Counters, gauges and histograms, and their text for Prometheus (exposition format 0.0.4).
//! A lookup by label takes a lock and belongs at start or behind a cache; what it returns costs one atomic to use.
//! Series that are given more than once under the same labels are added up when scraped, so each worker may keep its
//! own counter. The number of series of a family is bounded. Metric names are chosen in each plane's `telemetry.rs`.

mod family;
mod process;
#[cfg(test)]
mod tests;
mod text;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

pub use family::{Family, OTHER};
pub use text::{CONTENT_TYPE, Histogram as HistogramReading, Samples};

use crate::{Error, Result};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Replaces the number.
    pub fn set(&self, n: i64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts observations in buckets with fixed upper bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: Arc<[f64]>,
    /// One per bound and one above the last; not cumulative, so that an observation touches one of them.
    counts: Box<[AtomicU64]>,
    /// The bits of an f64.
    sum: AtomicU64,
}

impl Histogram {
    /// `bounds` are upper bounds, inclusive, rising.
    pub(crate) fn new(bounds: Arc<[f64]>) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    /// Counts one observation.
    pub fn observe(&self, value: f64) {
        // NaN compares with nothing and would poison the sum for ever.
        if value.is_nan() {
            return;
        }
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let add = |bits| Some((f64::from_bits(bits) + value).to_bits());
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// The counts now.
    #[must_use]
    pub fn read(&self) -> HistogramReading {
        HistogramReading {
            bounds: Arc::clone(&self.bounds),
            counts: self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: f64::from_bits(self.sum.load(Ordering::Relaxed)),
        }
    }
}

/// What a family of metrics is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets.
    Histogram,
}

/// Gives the series of a family at scrape time.
type Source = Box<dyn Fn(&mut text::Sheet) + Send + Sync>;

struct Entry {
    help: &'static str,
    kind: Kind,
    labels: Vec<&'static str>,
    sources: Vec<Source>,
}

/// All metrics of one plane.
#[derive(Default)]
pub struct Registry {
    entries: Mutex<BTreeMap<&'static str, Entry>>,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A counter without labels. A second one of the same name is added to the first when scraped.
    ///
    /// # Errors
    /// When the name is malformed, or taken by something else.
    pub fn counter(&self, name: &'static str, help: &'static str) -> Result<Arc<Counter>> {
        Ok(self.counters(name, help, [], 1)?.with([]))
    }

    /// A gauge without labels.
    ///
    /// # Errors
    /// As for [`Registry::counter`].
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Result<Arc<Gauge>> {
        Ok(self.gauges(name, help, [], 1)?.with([]))
    }

    /// A histogram without labels; `bounds` are the buckets' upper bounds, rising.
    ///
    /// # Errors
    /// As for [`Registry::counter`], and when the bounds do not rise.
    pub fn histogram(&self, name: &'static str, help: &'static str, bounds: &[f64]) -> Result<Arc<Histogram>> {
        Ok(self.histograms(name, help, [], 1, bounds)?.with([]))
    }

    /// Counters told apart by labels, at most `cap` of them; what comes after goes to the series whose labels are all
    /// `other`.
    ///
    /// # Errors
    /// As for [`Registry::counter`], for labels too.
    pub fn counters<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
        cap: usize,
    ) -> Result<Family<Counter, N>> {
        let family = Family::new(cap, Counter::default);
        let series = family.clone();
        self.collect(name, help, Kind::Counter, labels, move |samples| {
            series.each(|values, counter| samples.count(values, counter.get()));
        })?;
        Ok(family)
    }

    /// Gauges told apart by labels, at most `cap` of them.
    ///
    /// # Errors
    /// As for [`Registry::counters`].
    pub fn gauges<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
        cap: usize,
    ) -> Result<Family<Gauge, N>> {
        let family = Family::new(cap, Gauge::default);
        let series = family.clone();
        self.collect(name, help, Kind::Gauge, labels, move |samples| {
            series.each(|values, gauge| samples.level(values, gauge.get()));
        })?;
        Ok(family)
    }

    /// Histograms told apart by labels, at most `cap` of them, all with the same buckets.
    ///
    /// # Errors
    /// As for [`Registry::counters`], and when the bounds do not rise.
    pub fn histograms<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
        cap: usize,
        bounds: &[f64],
    ) -> Result<Family<Histogram, N>> {
        if !bounds.is_sorted_by(|a, b| a < b) || bounds.iter().any(|bound| !bound.is_finite()) {
            return Err(Error::Metric { name, reason: "bounds must be finite and rise" });
        }
        let bounds: Arc<[f64]> = bounds.into();
        let family = Family::new(cap, move || Histogram::new(Arc::clone(&bounds)));
        let series = family.clone();
        self.collect(name, help, Kind::Histogram, labels, move |samples| {
            series.each(|values, histogram| samples.histogram(values, &histogram.read()));
        })?;
        Ok(family)
    }

    /// A function that is asked at every scrape, for numbers that are kept elsewhere. It must not block.
    ///
    /// # Errors
    /// When a name is malformed or taken by something else.
    pub fn collect<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        labels: [&'static str; N],
        give: impl Fn(&mut Samples<'_, N>) + Send + Sync + 'static,
    ) -> Result<()> {
        let wrong = |reason| Err(Error::Metric { name, reason });
        if !is_name(name, true) {
            return wrong("the name must be letters, digits, _ and :, and not begin with a digit");
        }
        if labels.iter().any(|label| !is_name(label, false) || *label == "le") {
            return wrong("labels must be letters, digits and _, not begin with a digit, and not be le");
        }
        let source: Source = Box::new(move |sheet| give(&mut Samples::of(sheet, &labels)));
        let mut entries = self.entries();
        let entry =
            entries.entry(name).or_insert_with(|| Entry { help, kind, labels: labels.to_vec(), sources: vec![] });
        if entry.kind != kind || entry.help != help || entry.labels != labels {
            return wrong("the name is taken by a metric of another kind, help or labels");
        }
        entry.sources.push(source);
        Ok(())
    }

    /// Adds what every process has: CPU time, memory, open files, start time.
    ///
    /// # Errors
    /// When one of their names is taken.
    pub fn add_process(&self, started_us: i64) -> Result<()> {
        process::register(self, started_us)
    }

    /// All metrics as text, families and series in a fixed order.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        for (name, entry) in self.entries().iter() {
            let mut sheet = text::Sheet::default();
            for source in &entry.sources {
                source(&mut sheet);
            }
            sheet.write(name, entry.help, entry.kind, &mut out);
        }
        out
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<&'static str, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names of labels and, with `colon`, of metrics.
fn is_name(name: &str, colon: bool) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colon && c == ':');
    name.chars().next().is_some_and(|first| !first.is_ascii_digit()) && name.chars().all(inner)
}
