use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
};

use rustix::process::{Pid, Signal as Kill, kill_process};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn phases_follow_each_other_and_the_drain_ends_with_the_last_hold() {
    let shutdown = Shutdown::new();
    let hold = shutdown.hold();
    assert_eq!(shutdown.phase(), Phase::Serving);
    let start = tokio::time::Instant::now();
    let winding = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { shutdown.wind_down(4 * SECOND, 30 * SECOND).await }
    });
    shutdown.signalled().await;
    assert_eq!((shutdown.phase(), start.elapsed()), (Phase::LameDuck, Duration::ZERO));
    shutdown.reached(Phase::Draining).await;
    assert_eq!((shutdown.phase(), start.elapsed()), (Phase::Draining, 4 * SECOND));
    drop(hold);
    assert_eq!(winding.await.unwrap(), 0);
    assert_eq!((shutdown.phase(), start.elapsed()), (Phase::Over, 4 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_a_drain_that_does_not_finish() {
    let shutdown = Shutdown::new();
    let _holds = (shutdown.hold(), shutdown.hold());
    let start = tokio::time::Instant::now();
    assert_eq!(shutdown.wind_down(Duration::ZERO, 30 * SECOND).await, 2);
    assert_eq!((shutdown.phase(), start.elapsed()), (Phase::Over, 30 * SECOND));
    shutdown.reached(Phase::Over).await;
}

#[tokio::test(start_paused = true)]
async fn work_that_begins_during_the_drain_is_waited_for_too() {
    let shutdown = Shutdown::new();
    let first = shutdown.hold();
    let winding = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { shutdown.wind_down(Duration::ZERO, 30 * SECOND).await }
    });
    shutdown.reached(Phase::Draining).await;
    let second = shutdown.hold();
    drop(first);
    tokio::time::sleep(SECOND).await;
    assert!(!winding.is_finished());
    drop(second);
    assert_eq!(winding.await.unwrap(), 0);
}

#[tokio::test]
async fn a_child_goes_with_its_parent_but_not_the_other_way_round() {
    let parent = Shutdown::new();
    let (one, two) = (parent.child(), parent.child());
    one.trigger("test");
    assert!(one.is_signalled() && !two.is_signalled() && !parent.is_signalled());
    parent.trigger("test");
    two.signalled().await;
    assert_eq!((parent.phase(), two.phase()), (Phase::LameDuck, Phase::LameDuck));
}

// A process can be signalled only as a whole, so this test binary starts itself again as a victim.

const VICTIM: &str = "TOLLGATE_TEST_SHUTDOWN_VICTIM";

/// Does nothing in a normal run. As the victim it drains: for ever, or not at all.
#[tokio::test]
async fn victim() {
    let Ok(kind) = std::env::var(VICTIM) else { return };
    let shutdown = Shutdown::on_signals().unwrap();
    println!("\nvictim is up");
    shutdown.signalled().await;
    println!("\nvictim drains");
    let _hold = (kind == "stuck").then(|| shutdown.hold());
    let open = shutdown.wind_down(Duration::ZERO, 60 * SECOND).await;
    std::process::exit(if open == 0 { 0 } else { 99 });
}

/// Starts a victim and takes care that it never outlives the test.
struct Victim {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Victim {
    fn start(kind: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "shutdown::tests::victim", "--nocapture"])
            .env(VICTIM, kind)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut victim = Self { child, lines };
        victim.says("victim is up");
        victim
    }

    fn says(&mut self, wanted: &str) {
        assert!(self.lines.any(|line| line.unwrap() == wanted), "the victim ended without saying: {wanted}");
    }

    fn gets(&self, signal: Kill) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn ends(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_first_signal_drains_and_ends_with_0() {
    for signal in [Kill::INT, Kill::TERM] {
        let mut victim = Victim::start("quick");
        victim.gets(signal);
        victim.says("victim drains");
        assert_eq!(victim.ends(), Some(0));
    }
}

#[test]
fn the_second_signal_ends_at_once_with_the_status_of_its_signal() {
    for (second, status) in [(Kill::INT, 130), (Kill::TERM, 143)] {
        let mut victim = Victim::start("stuck");
        victim.gets(Kill::TERM);
        victim.says("victim drains");
        victim.gets(second);
        assert_eq!(victim.ends(), Some(status));
    }
}
