//! Steady load for promises that must hold under it: a few clients that never stop asking, and what became of every
//! request.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinHandle;
use tollgate_tests::clients::{Ask, Client};
use tollgate_tests::progress::Progress;

/// What became of one request, as the client saw it.
#[derive(Debug, Clone)]
pub struct Fate {
    pub at: Instant,
    pub door: usize,
    /// 0 when no answer came, or none that was whole.
    pub status: u16,
    pub request_id: String,
    /// The answer's own id.
    pub upstream_id: String,
    /// For the message when something is not as it should be.
    #[expect(dead_code, reason = "read when a failing test prints it")]
    pub text: String,
}

/// A running load.
pub struct Load {
    stop: Arc<AtomicBool>,
    fates: Arc<Mutex<Vec<Fate>>>,
    done: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
    progress: Mutex<Progress>,
}

impl Load {
    /// `each` clients at every door, each asking for what `next` says, one request after the other.
    pub fn start(doors: &[Client], each: usize, next: impl Fn(usize) -> Value + Clone + Send + 'static) -> Load {
        let (stop, fates, done) = (Arc::default(), Arc::default(), Arc::default());
        let progress = Mutex::new(Progress::of("requests of the load"));
        let mut load = Load { stop, fates, done, tasks: Vec::new(), progress };
        for (door, client) in doors.iter().enumerate() {
            for _ in 0..each {
                let (stop, fates, done) = (Arc::clone(&load.stop), Arc::clone(&load.fates), Arc::clone(&load.done));
                let (client, next) = (client.clone(), next.clone());
                load.tasks.push(tokio::spawn(async move {
                    let mut line = client.line();
                    while !stop.load(Ordering::Relaxed) {
                        let body = next(done.fetch_add(1, Ordering::Relaxed));
                        let ask = Ask::json("/v1/chat/completions", &body);
                        let limit = Duration::from_secs(60);
                        let answer = tokio::time::timeout(limit, line.send(ask))
                            .await
                            .unwrap_or_else(|_| panic!("no answer in {limit:?}"));
                        let fate = fate(door, answer);
                        let is_lost = fate.status == 0;
                        fates.lock().unwrap().push(fate);
                        if is_lost {
                            // Nobody is there: a client that hammers a closed port teaches nothing.
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                    }
                }));
            }
        }
        load
    }

    /// Returns once so many more requests are done.
    pub async fn more(&self, count: usize) {
        let until = self.fates.lock().unwrap().len() + count;
        tollgate_tests::wait::until_true("the load goes on", Duration::from_secs(60), async || {
            let done = self.fates.lock().unwrap().len();
            self.progress.lock().unwrap().so_far(done);
            done >= until
        })
        .await;
    }

    /// Lets everybody finish, and tells.
    pub async fn stop(self) -> Vec<Fate> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a client of the load");
        }
        let fates = std::mem::take(&mut *self.fates.lock().unwrap());
        assert!(!fates.is_empty(), "a load that asked nothing");
        let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
        fates.iter().for_each(|fate| *statuses.entry(fate.status).or_default() += 1);
        println!("{} requests of the load by status (0 is none): {statuses:?}", fates.len());
        fates
    }
}

fn fate(door: usize, answer: Result<tollgate_tests::clients::Reply, tollgate_tests::clients::Lost>) -> Fate {
    let at = Instant::now();
    match answer {
        Ok(reply) => {
            let text = reply.text();
            let json = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or(&text);
            let body: Value = serde_json::from_str(json).unwrap_or_default();
            Fate {
                at,
                door,
                status: reply.status,
                request_id: reply.header("x-request-id").to_owned(),
                upstream_id: body["id"].as_str().unwrap_or_default().to_owned(),
                text,
            }
        }
        Err(lost) => {
            Fate { at, door, status: 0, request_id: String::new(), upstream_id: String::new(), text: lost.to_string() }
        }
    }
}

/// The value below which this part of `times` is.
pub fn percentile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    let place = ((times.len() as f64 * part).ceil() as usize).clamp(1, times.len());
    times[place - 1]
}
