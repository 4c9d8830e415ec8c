//! Carries terminals from the spool to the controller until they are booked: earlier epochs first, then this one, in
//! sequence, one call at a time. A record is never skipped and never changed here, not even decoded: it was encoded when
//! the request ended.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::ids::BootEpoch;
use link::reports::{Outbox, Span};
use proto::sync as wire;
use runtime::backoff::Backoff;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::status::Status;
use super::wire::{Wire, traced, within};
use crate::spool::{Replay, Spool};

/// How long a call may take.
const DEADLINE: Duration = Duration::from_secs(5);
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LAST: Duration = Duration::from_secs(5);
/// Bytes of records in one message.
const MESSAGE: usize = 900 * 1024;

/// The method that takes reports.
const REPORT: &str = "/tollgate.sync.v1.SyncService/Report";

/// A `ReportRequest` whose records are encoded already; on the wire it is the same.
#[derive(Clone, PartialEq, prost::Message)]
struct EncodedReport {
    #[prost(string, tag = "1")]
    proxy_id: String,
    #[prost(uint64, tag = "2")]
    boot_epoch: u64,
    #[prost(uint64, tag = "3")]
    first_sequence: u64,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    records: Vec<Bytes>,
    #[prost(bool, tag = "5")]
    drained: bool,
}

/// Asks the reporter to bring everything and say that this epoch is over.
pub(super) type Finish = mpsc::Sender<oneshot::Sender<()>>;

/// The task that reports.
pub(super) struct Reporter {
    wire: Wire,
    status: Arc<Status>,
    spool: Spool,
    interval: Duration,
    old: VecDeque<(BootEpoch, Outbox)>,
    own: Outbox,
    synced: watch::Receiver<u64>,
    finish: mpsc::Receiver<oneshot::Sender<()>>,
    finishing: Option<oneshot::Sender<()>>,
    sent_at: Option<Instant>,
}

/// What a round came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Something was booked, and more may wait.
    Progress,
    /// There is nothing to bring.
    Idle,
    /// The controller was not reached, or refused.
    Failed,
}

impl Reporter {
    pub(super) fn new(
        wire: Wire,
        status: Arc<Status>,
        spool: Spool,
        replay: &Replay,
        interval: Duration,
    ) -> (Reporter, Finish) {
        let outbox = |epoch: &BootEpoch| {
            let position = spool.position(*epoch);
            let mut outbox = Outbox::new(position.acked);
            outbox.synced(position.last);
            (*epoch, outbox)
        };
        let old = replay.epochs.iter().map(outbox).collect();
        let (ask, finish) = mpsc::channel(1);
        let synced = spool.synced();
        let own = Outbox::new(0);
        let reporter =
            Reporter { wire, status, spool, interval, old, own, synced, finish, finishing: None, sent_at: None };
        (reporter, ask)
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LAST);
        loop {
            let round = tokio::select! {
                () = stop.cancelled() => return,
                round = self.round() => round,
            };
            let pause = match round {
                Round::Progress => {
                    backoff.reset();
                    continue;
                }
                Round::Failed => Some(backoff.next_wait(rand::random)),
                Round::Idle => self.idle_pause(),
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
                Some(done) = self.finish.recv(), if self.finishing.is_none() => self.finishing = Some(done),
                changed = self.synced.changed(), if round == Round::Idle && pause.is_none() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// How long what has come meanwhile is to be gathered; no end when nothing has.
    fn idle_pause(&self) -> Option<Duration> {
        let waits = *self.synced.borrow() > self.own.acknowledged();
        let since = self.sent_at.map(|at| at.elapsed());
        waits.then(|| since.map_or(Duration::ZERO, |since| self.interval.saturating_sub(since)))
    }

    async fn round(&mut self) -> Round {
        // Both get a turn: an old epoch that the controller refuses must not hold up today's records.
        let old = self.old_round().await;
        let own = self.own_round().await;
        match (old, own) {
            (Round::Progress, _) | (_, Round::Progress) => Round::Progress,
            (Round::Failed, _) | (_, Round::Failed) => Round::Failed,
            (Round::Idle, Round::Idle) => Round::Idle,
        }
    }

    async fn old_round(&mut self) -> Round {
        let Some((epoch, mut outbox)) = self.old.pop_front() else { return Round::Idle };
        let position = self.spool.position(epoch);
        let round = match self.bring(epoch, &mut outbox).await {
            Round::Idle if position.damaged => {
                tracing::error!(epoch = epoch.0, "an earlier epoch has a hole: what is behind it stays in the spool");
                return Round::Progress;
            }
            Round::Idle => self.say_drained(epoch, &mut outbox).await,
            round => round,
        };
        if !self.spool.position(epoch).drained {
            self.old.push_front((epoch, outbox));
        }
        round
    }

    async fn own_round(&mut self) -> Round {
        let synced = *self.synced.borrow_and_update();
        self.own.synced(synced);
        let is_early = self.sent_at.is_some_and(|at| at.elapsed() < self.interval);
        let is_full = synced.saturating_sub(self.own.acknowledged()) >= link::reports::BATCH as u64;
        if is_early && !is_full && self.finishing.is_none() {
            return Round::Idle;
        }
        let epoch = self.spool.epoch();
        let mut own = std::mem::take(&mut self.own);
        let had_work = !own.is_empty();
        let round = self.bring(epoch, &mut own).await;
        if had_work {
            self.sent_at = Some(Instant::now());
        }
        self.own = own;
        if round == Round::Idle && self.finishing.is_some() && self.old.is_empty() {
            return self.finish_own(epoch).await;
        }
        round
    }

    /// Everything is booked and the workers are gone.
    async fn finish_own(&mut self, epoch: BootEpoch) -> Round {
        if self.spool.outstanding() == 0 {
            let mut own = std::mem::take(&mut self.own);
            let said = self.say_drained(epoch, &mut own).await;
            self.own = own;
            if said == Round::Failed {
                return Round::Failed;
            }
        }
        if let Some(done) = self.finishing.take() {
            let _ = done.send(());
        }
        Round::Idle
    }

    /// Brings the next records of an epoch.
    async fn bring(&mut self, epoch: BootEpoch, outbox: &mut Outbox) -> Round {
        let Some(span) = outbox.next() else { return Round::Idle };
        let records = match self.read(epoch, span).await {
            Ok(records) if !records.is_empty() => fit(records),
            Ok(_) => {
                outbox.lost();
                let is_damaged = self.spool.position(epoch).damaged;
                return if is_damaged { Round::Idle } else { Round::Failed };
            }
            Err(error) => {
                tracing::error!(%error, "the spool cannot be read");
                outbox.lost();
                return Round::Failed;
            }
        };
        match self.call(epoch, span.first, records, false).await {
            Ok(mark) => {
                let before = outbox.acknowledged();
                outbox.answered(self.believe(epoch, mark));
                self.spool.acknowledge(epoch, outbox.acknowledged());
                if outbox.acknowledged() == before { Round::Failed } else { Round::Progress }
            }
            Err(()) => {
                outbox.lost();
                Round::Failed
            }
        }
    }

    /// A mark beyond the last record of an earlier epoch books all of it. For this epoch it is not believed: records
    /// to come would count as booked.
    fn believe(&self, epoch: BootEpoch, mark: u64) -> u64 {
        let last = self.spool.position(epoch).last;
        if mark > last {
            tracing::error!(epoch = epoch.0, mark, last, "the controller has booked more than was ever reported");
            if epoch != self.spool.epoch() {
                return last;
            }
        }
        mark
    }

    async fn read(&self, epoch: BootEpoch, span: Span) -> Result<Vec<Bytes>, crate::spool::Error> {
        let after = span.first.saturating_sub(1);
        if let Some(records) = self.spool.recent(epoch, after, span.len) {
            return Ok(records);
        }
        let spool = self.spool.clone();
        let read = tokio::task::spawn_blocking(move || spool.read(epoch, after, span.len));
        read.await.unwrap_or_else(|_| Ok(Vec::new()))
    }

    async fn say_drained(&mut self, epoch: BootEpoch, outbox: &mut Outbox) -> Round {
        match self.call(epoch, outbox.acknowledged().saturating_add(1), Vec::new(), true).await {
            Ok(mark) if mark >= outbox.acknowledged() => {
                self.spool.set_drained(epoch);
                Round::Progress
            }
            Ok(mark) => {
                // The controller has forgotten some: they are brought again from there.
                tracing::warn!(epoch = epoch.0, mark, "the controller's mark went back");
                outbox.answered(mark);
                self.spool.acknowledge(epoch, mark);
                Round::Failed
            }
            Err(()) => Round::Failed,
        }
    }

    async fn call(&self, epoch: BootEpoch, first_sequence: u64, records: Vec<Bytes>, drained: bool) -> Result<u64, ()> {
        let count = records.len();
        let message =
            EncodedReport { proxy_id: self.wire.proxy_id(), boot_epoch: epoch.0, first_sequence, records, drained };
        let span = tracing::info_span!("report", epoch = epoch.0, first_sequence, count);
        let answer = within(DEADLINE, self.wire.bulk_call(REPORT, traced(&span, message)));
        match answer.instrument(span).await {
            Ok(wire::ReportResponse { high_water_mark }) => {
                self.status.answered();
                Ok(high_water_mark)
            }
            Err(status) => {
                tracing::debug!(code = ?status.code(), reason = status.message(), count, "a report was not booked");
                Err(())
            }
        }
    }
}

/// As many of the first records as one message may hold; at least one.
fn fit(mut records: Vec<Bytes>) -> Vec<Bytes> {
    let mut bytes = 0usize;
    let over = records.iter().position(|record| {
        bytes = bytes.saturating_add(record.len());
        bytes > MESSAGE
    });
    if let Some(over) = over {
        records.truncate(over.max(1));
    }
    records
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn an_encoded_report_is_on_the_wire_what_the_contract_says() {
        let records: Vec<wire::UsageRecord> = ["a/b", "", "c/d"]
            .map(|model| wire::UsageRecord { requested_model: model.to_owned(), ..wire::UsageRecord::default() })
            .into();
        let encoded = EncodedReport {
            proxy_id: "prx".to_owned(),
            boot_epoch: 1 << 60,
            first_sequence: 7,
            records: records.iter().map(|record| record.encode_to_vec().into()).collect(),
            drained: true,
        };
        let (proxy_id, boot_epoch) = (encoded.proxy_id.clone(), encoded.boot_epoch);
        let plain = wire::ReportRequest { proxy_id, boot_epoch, first_sequence: 7, records, drained: true };
        assert_eq!(encoded.encode_to_vec(), plain.encode_to_vec());
        assert_eq!(REPORT, format!("/{}/Report", wire::sync_service_server::SERVICE_NAME));
    }
}
