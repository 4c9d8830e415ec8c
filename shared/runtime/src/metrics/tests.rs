use std::thread;

use super::*;

#[test]
fn the_text_is_what_prometheus_reads() {
    let registry = Registry::new();
    registry.counter("tg_requests_total", "Requests.").unwrap().add(3);
    registry.gauge("tg_open", "Open connections.").unwrap().add(-2);
    let family = registry.counters("tg_attempts_total", "Attempts.", ["provider", "status"], 10).unwrap();
    family.with(["openai", "200"]).increment();
    family.with(["groq", "429"]).add(2);
    let seconds = registry.histograms("tg_seconds", "Time.", ["route"], 4, &[0.005, 0.1, 1.0]).unwrap();
    for value in [0.001, 0.005, 0.05, 7.0] {
        seconds.with(["chat"]).observe(value);
    }
    registry
        .collect("tg_age_seconds", "Age.", Kind::Gauge, ["of"], |samples| samples.number(["snapshot"], 1.5))
        .unwrap();
    assert_eq!(
        registry.render(),
        r#"# HELP tg_age_seconds Age.
# TYPE tg_age_seconds gauge
tg_age_seconds{of="snapshot"} 1.5
# HELP tg_attempts_total Attempts.
# TYPE tg_attempts_total counter
tg_attempts_total{provider="groq",status="429"} 2
tg_attempts_total{provider="openai",status="200"} 1
# HELP tg_open Open connections.
# TYPE tg_open gauge
tg_open -2
# HELP tg_requests_total Requests.
# TYPE tg_requests_total counter
tg_requests_total 3
# HELP tg_seconds Time.
# TYPE tg_seconds histogram
tg_seconds_bucket{route="chat",le="0.005"} 2
tg_seconds_bucket{route="chat",le="0.1"} 3
tg_seconds_bucket{route="chat",le="1"} 3
tg_seconds_bucket{route="chat",le="+Inf"} 4
tg_seconds_sum{route="chat"} 7.056
tg_seconds_count{route="chat"} 4
"#
    );
}

#[test]
fn label_values_and_help_are_escaped() {
    let registry = Registry::new();
    let family = registry.counters("m", "say \"a\\b\"\nnow", ["l"], 10).unwrap();
    family.with(["q\"b\\n\nü{},="]).increment();
    assert_eq!(registry.render(), "# HELP m say \"a\\\\b\"\\nnow\n# TYPE m counter\nm{l=\"q\\\"b\\\\n\\nü{},=\"} 1\n");
}

#[test]
fn a_histogram_without_labels_and_special_numbers_are_spelled_right() {
    let registry = Registry::new();
    registry.histogram("h", "H.", &[2.0]).unwrap().observe(2.0);
    registry
        .collect("n", "N.", Kind::Gauge, ["v"], |samples| {
            samples.number(["nan"], f64::NAN);
            samples.number(["inf"], f64::NEG_INFINITY);
        })
        .unwrap();
    let text = registry.render();
    assert!(text.contains("h_bucket{le=\"2\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 2\nh_count 1\n"), "{text}");
    assert!(text.contains("n{v=\"inf\"} -Inf\nn{v=\"nan\"} NaN\n"), "{text}");
}

#[test]
fn a_full_family_puts_the_rest_into_other() {
    let registry = Registry::new();
    let family = registry.counters("m", "M.", ["model", "status"], 2).unwrap();
    for n in 0..100 {
        family.with([&format!("model-{n}"), "200"]).increment();
    }
    family.with(["model-1", "200"]).increment();
    let text = registry.render();
    let series: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        series,
        [
            r#"m{model="model-0",status="200"} 1"#,
            r#"m{model="model-1",status="200"} 2"#,
            r#"m{model="other",status="other"} 98"#
        ]
    );
}

#[test]
fn endless_label_values_are_cut_between_characters() {
    let registry = Registry::new();
    registry.counters("m", "M.", ["l"], 2).unwrap().with([&"ü".repeat(100_000)]).increment();
    assert!(registry.render().contains(&format!("m{{l=\"{}\"}} 1", "ü".repeat(64))));
}

#[test]
fn counters_of_many_workers_are_added_up_at_the_scrape() {
    let registry = Arc::new(Registry::new());
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let registry = Arc::clone(&registry);
            thread::spawn(move || {
                let counter = registry.counter("m", "M.").unwrap();
                let histogram = registry.histogram("h", "H.", &[1.0]).unwrap();
                for _ in 0..10_000 {
                    counter.increment();
                    histogram.observe(0.5);
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    registry.collect("m", "M.", Kind::Counter, [], |samples| samples.count([], 2)).unwrap();
    let text = registry.render();
    assert!(text.contains("\nm 40002\n"), "{text}");
    assert!(text.contains("h_bucket{le=\"1\"} 40000\n") && text.contains("h_sum 20000\n"), "{text}");
}

#[test]
fn one_histogram_shared_by_threads_loses_no_observation() {
    let histogram = Histogram::new(Arc::from([1.0, 2.0]));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5_000).for_each(|_| histogram.observe(1.5)));
        }
    });
    let reading = histogram.read();
    assert_eq!((reading.counts, reading.sum), (vec![0, 20_000, 0], 30_000.0));
}

#[test]
fn a_nan_is_not_observed() {
    let histogram = Histogram::new(Arc::from([1.0]));
    histogram.observe(f64::NAN);
    assert_eq!((histogram.read().counts, histogram.read().sum), (vec![0, 0], 0.0));
}

#[test]
fn malformed_or_taken_names_are_refused() {
    let registry = Registry::new();
    registry.counter("m", "M.").unwrap();
    let refused = [
        registry.counter("", "M.").err(),
        registry.counter("9m", "M.").err(),
        registry.counter("m-m", "M.").err(),
        registry.gauge("m", "M.").err(),
        registry.counter("m", "another help").err(),
        registry.counters("m", "M.", ["l"], 2).err(),
        registry.counters("x", "X.", ["a:b"], 2).err(),
        registry.counters("x", "X.", ["le"], 2).err(),
        registry.histogram("x", "X.", &[2.0, 1.0]).err(),
        registry.histogram("x", "X.", &[1.0, f64::INFINITY]).err(),
    ];
    for (n, error) in refused.iter().enumerate() {
        assert!(matches!(error, Some(Error::Metric { .. })), "case {n}");
    }
    assert_eq!(registry.render().lines().count(), 3, "a refused metric leaves nothing behind");
}

#[test]
fn a_process_reports_its_own_use() {
    let registry = Registry::new();
    registry.add_process(1_700_000_000_250_000).unwrap();
    let text = registry.render();
    let value = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(value("process_cpu_seconds_total") > 0.0);
    assert!(value("process_resident_memory_bytes") > 100_000.0);
    assert!(value("process_open_fds") >= 3.0 && value("process_max_fds") >= value("process_open_fds"));
    assert!((value("process_start_time_seconds") - 1_700_000_000.25).abs() < 1e-3);
}
