//! The Prometheus text format, version 0.0.4: one block per family, values escaped, buckets cumulative.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use super::Kind;

/// The content type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A histogram as read at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Upper bounds, rising.
    pub bounds: Arc<[f64]>,
    /// One count per bound and one above the last, not cumulative.
    pub counts: Vec<u64>,
    /// Sum of all observations.
    pub sum: f64,
}

/// The value of one series.
enum Value {
    Count(u64),
    Level(i64),
    Number(f64),
    Histogram(Histogram),
}

impl Value {
    /// Adds a value of the same series; histograms of other buckets cannot be added and are left out.
    fn add(&mut self, other: Self) {
        match (self, other) {
            (Self::Count(a), Self::Count(b)) => *a = a.wrapping_add(b),
            (Self::Level(a), Self::Level(b)) => *a = a.saturating_add(b),
            (Self::Histogram(a), Self::Histogram(b)) if a.bounds == b.bounds => {
                a.counts.iter_mut().zip(b.counts).for_each(|(a, b)| *a = a.wrapping_add(b));
                a.sum += b.sum;
            }
            (a, b) => {
                if let (Some(x), Some(y)) = (a.as_number(), b.as_number()) {
                    *a = Self::Number(x + y);
                }
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "mixed kinds meet only in floats, which is what Prometheus keeps")]
    const fn as_number(&self) -> Option<f64> {
        match self {
            Self::Count(n) => Some(*n as f64),
            Self::Level(n) => Some(*n as f64),
            Self::Number(n) => Some(*n),
            Self::Histogram(_) => None,
        }
    }
}

/// The series of one family while it is scraped, by their rendered labels.
#[derive(Default)]
pub struct Sheet {
    series: BTreeMap<String, Value>,
}

/// Where a collector puts its numbers; label values are in the order in which the labels were registered.
pub struct Samples<'a, const N: usize> {
    sheet: &'a mut Sheet,
    labels: &'a [&'static str; N],
}

impl<'a, const N: usize> Samples<'a, N> {
    pub(super) const fn of(sheet: &'a mut Sheet, labels: &'a [&'static str; N]) -> Self {
        Self { sheet, labels }
    }

    /// A whole number that only grows.
    pub fn count(&mut self, values: [&str; N], n: u64) {
        self.put(values, Value::Count(n));
    }

    /// A whole number that goes up and down.
    pub fn level(&mut self, values: [&str; N], n: i64) {
        self.put(values, Value::Level(n));
    }

    /// Any number, such as seconds.
    pub fn number(&mut self, values: [&str; N], n: f64) {
        self.put(values, Value::Number(n));
    }

    /// A histogram.
    pub fn histogram(&mut self, values: [&str; N], reading: &Histogram) {
        self.put(values, Value::Histogram(reading.clone()));
    }

    fn put(&mut self, values: [&str; N], value: Value) {
        let mut labels = String::new();
        for (name, text) in self.labels.iter().zip(values) {
            let comma = if labels.is_empty() { "" } else { "," };
            let _ = write!(labels, "{comma}{name}=\"{}\"", Escaped(text, true));
        }
        match self.sheet.series.get_mut(&labels) {
            Some(there) => there.add(value),
            None => _ = self.sheet.series.insert(labels, value),
        }
    }
}

impl Sheet {
    /// Appends the family; nothing when it has no series yet.
    pub(super) fn write(&self, name: &str, help: &str, kind: Kind, out: &mut String) {
        if self.series.is_empty() {
            return;
        }
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", Escaped(help, false));
        for (labels, value) in &self.series {
            let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
            let _ = match value {
                Value::Count(n) => writeln!(out, "{name}{braced} {n}"),
                Value::Level(n) => writeln!(out, "{name}{braced} {n}"),
                Value::Number(n) => writeln!(out, "{name}{braced} {}", Number(*n)),
                Value::Histogram(reading) => write_histogram(out, name, labels, &braced, reading),
            };
        }
    }
}

fn write_histogram(out: &mut String, name: &str, labels: &str, braced: &str, reading: &Histogram) -> std::fmt::Result {
    let comma = if labels.is_empty() { "" } else { "," };
    let bounds = reading.bounds.iter().copied().chain([f64::INFINITY]);
    let mut total = 0_u64;
    for (bound, count) in bounds.zip(&reading.counts) {
        total = total.wrapping_add(*count);
        writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{}\"}} {total}", Number(bound))?;
    }
    writeln!(out, "{name}_sum{braced} {}", Number(reading.sum))?;
    writeln!(out, "{name}_count{braced} {total}")
}

/// A float as Prometheus spells it.
struct Number(f64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            n if n.is_nan() => f.write_str("NaN"),
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            n => write!(f, "{n}"),
        }
    }
}

/// Text with backslash and line feed escaped, and the quote too in label values.
struct Escaped<'a>(&'a str, bool);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '"' if self.1 => f.write_str("\\\"")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
