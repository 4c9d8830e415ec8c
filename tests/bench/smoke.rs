//! That the bench still works: every step once, in its smallest form, with the development build. No time is looked at.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at its first surprise")]

use std::process::Command;

use serde_json::Value;

/// What is compared with nginx, which need not be installed here.
const AGAINST: &str = "nginx";

#[test]
fn every_step_of_the_bench_measures_what_it_is_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    // Beside the bench, unless the tests were told of another one. Building the tests with `cargo test --workspace`
    // builds the product's program too.
    let tollgate = tollgate_tests::house::program::tollgate();
    let mut bench = Command::new(env!("CARGO_BIN_EXE_bench"));
    bench.args(["run", "--smoke", "--rounds", "1", "--only", "floor,tollgate"]);
    bench.args(["--steps", "requests,slow-streams,families,cold-start,scale"]);
    bench.arg("--folder").arg(folder.path()).arg("--json").arg(&file).arg("--tollgate").arg(tollgate);
    let said = bench.output().unwrap();
    let errors = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{errors}");

    let report: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    // Of steps that are left out; and a run is too short for a chunk that could be late.
    let left_out = ["chunk_cpu_us", "large_cpu_us", "stream_kb", "slow_late_ms"];
    for bar in report["bars"].as_array().unwrap() {
        let figure = bar["figure"].as_str().unwrap();
        let is_due = bar["against"] != AGAINST && !left_out.contains(&figure);
        assert_eq!(bar["value"].is_number(), is_due, "{bar}\n{errors}");
    }
    let figures = &report["medians"]["tollgate"];
    assert_eq!(figures["slow_broken"], 0.0, "{figures}");
    for figure in ["cold_whole_us", "cold_lease_us", "cold_warm_us", "scale_many_cpu_us", "slow_p99_us"] {
        assert!(figures[figure].is_number(), "no {figure} in {figures}");
    }
    let left = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["report.json"], "the bench leaves nothing behind");
}
