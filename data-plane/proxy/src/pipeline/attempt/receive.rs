//! What an endpoint answers, as far as it must be read before the client gets a byte: a whole answer, the first output of a
//! stream, the first bytes of a sound, or why there is none. Bounded in size and time. Next room: `relay`.

use std::{collections::VecDeque, pin::pin, time::Duration};

use codec::{AnswerEdits, Settled, StreamEnd, UpstreamError, Whole, dialect::tasks::Opaque};

use super::{Attempts, Flow, miss, pricer};
use crate::{
    alarm::TimeUp,
    fair,
    offers::Lane,
    pipeline::{
        judge::{Miss, Trouble},
        reply::{Pieces, read, retry_after},
        settle::Reached,
        sound::Begun,
    },
    upstream::{Reply, reading::Fields},
};

/// How much of an error body is read, and for how long.
const ERROR_MOST: usize = 64 * 1024;
const ERROR_PATIENCE: Duration = Duration::from_secs(5);

impl Attempts {
    pub(super) async fn collect(&mut self, lane: &Lane, reply: Reply) -> Result<Box<Whole>, Box<Miss>> {
        let limit = self.visit.worker.gate.settings.limits.answer.as_usize();
        let Reply { fields, mut body, .. } = reply;
        let mut pieces = Pieces::default();
        loop {
            let due = self.due(self.visit.worker.timeouts.provider_stall.get());
            match self.alarm.limit(due, body.data()).await {
                Ok(Some(Ok(data))) if pieces.len() + data.len() <= limit => pieces.add(data),
                Ok(None) => break,
                Ok(Some(Ok(_))) => return Err(self.miss(lane, Trouble::BadReply, None)),
                Ok(Some(Err(error))) => return Err(self.lost(lane, error)),
                Err(TimeUp) => return Err(self.miss(lane, Trouble::Slow, None)),
            }
        }
        let edits = self.edits(lane);
        let whole = lane.bridge.whole(pieces.join(), &edits, &mut pricer(lane.prices()));
        let Ok(whole) = whole else { return Err(self.miss(lane, Trouble::BadReply, None)) };
        if let Some(error) = whole.tap.upstream_error().cloned() {
            return Err(self.reported(lane, error, self.asked_to_wait(&fields)));
        }
        match whole.settled {
            Settled::Fits => {}
            Settled::Healed => self.visit.heals(),
            Settled::Broken => return Err(self.miss(lane, Trouble::Broken, Some(&whole.tap))),
        }
        if lane.dialect.is_opaque() {
            self.visit.answers_with(fields.get("content-type").unwrap_or_default());
        }
        match whole.tap.has_output() || whole.tap.has_finish() {
            true => Ok(Box::new(whole)),
            false => Err(self.miss(lane, Trouble::Empty, Some(&whole.tap))),
        }
    }

    /// Waits for the first bytes of an answer that nobody here reads. What fails before them can still fall over.
    pub(super) async fn listen(&mut self, lane: &Lane, reply: Reply) -> Result<Box<Begun>, Box<Miss>> {
        let Reply { fields, mut body, .. } = reply;
        let first = loop {
            let due = self.due(self.visit.worker.timeouts.provider_stall.get());
            match self.alarm.limit(due, body.data()).await {
                Ok(Some(Ok(data))) if data.is_empty() => {}
                Ok(Some(Ok(data))) => break data,
                Ok(Some(Err(error))) => return Err(self.lost(lane, error)),
                Ok(None) => return Err(self.miss(lane, Trouble::BadReply, None)),
                Err(TimeUp) => return Err(self.miss(lane, Trouble::Slow, None)),
            }
        };
        self.visit.answers_with(fields.get("content-type").unwrap_or_default());
        let told = Opaque::begun(lane.bridge.units(&self.arrival.scan));
        Ok(Box::new(Begun { first, body, told }))
    }

    /// Reads until the first output, keeping what comes before it.
    pub(super) async fn prime(&mut self, lane: &Lane, reply: Reply) -> Result<Box<Flow>, Box<Miss>> {
        let Reply { fields, mut body, .. } = reply;
        let mut pass = lane.bridge.stream(&self.edits(lane));
        let mut held = VecDeque::new();
        let (mut room, mut error) = (self.visit.worker.gate.settings.limits.answer.as_usize(), None);
        while pass.is_open() {
            let due = self.due(self.visit.worker.timeouts.provider_stall.get());
            match self.alarm.limit(due, body.data()).await {
                Ok(Some(Ok(data))) => {
                    room = room.saturating_sub(data.len());
                    let out = pass.push(data, &mut pricer(lane.prices()));
                    held.extend((!out.is_empty()).then_some(out));
                    if pass.is_open() && pass.tap().has_output() {
                        return Ok(Box::new(Flow { body, pass, held, ended: None }));
                    }
                    if room == 0 {
                        return Err(self.miss(lane, Trouble::BadReply, Some(pass.tap())));
                    }
                }
                Ok(None) => break,
                Ok(Some(Err(failed))) => {
                    error = Some(failed);
                    break;
                }
                Err(TimeUp) => return Err(self.miss(lane, Trouble::Slow, Some(pass.tap()))),
            }
        }
        let (rest, end) = pass.end(&mut pricer(lane.prices()));
        held.extend((!rest.is_empty()).then_some(rest));
        match (end, error) {
            (StreamEnd::Finished, _) => Ok(Box::new(Flow { body, pass, held, ended: Some(StreamEnd::Finished) })),
            (StreamEnd::InBandError(error), _) => Err(self.reported(lane, error, self.asked_to_wait(&fields))),
            (StreamEnd::Broken, _) => Err(self.miss(lane, Trouble::Broken, Some(pass.tap()))),
            (StreamEnd::Empty, _) => Err(self.miss(lane, Trouble::Empty, Some(pass.tap()))),
            (StreamEnd::Truncated, Some(error)) => Err(self.lost(lane, error)),
            (StreamEnd::Truncated | StreamEnd::Oversized, _) => {
                Err(self.miss(lane, Trouble::BadReply, Some(pass.tap())))
            }
        }
    }

    fn edits(&self, lane: &Lane) -> AnswerEdits {
        let wants_usage = self.arrival.scan.wants_usage() || self.visit.surface == codec::Surface::ApiV1;
        let edits = AnswerEdits {
            public_model: self.plan.public_name(lane, &self.arrival),
            wants_usage,
            surface: self.visit.surface,
            framing: self.visit.framing,
            units: lane.bridge.units(&self.arrival.scan),
            expected: self.arrival.expected.clone(),
            ..AnswerEdits::default()
        };
        if lane.bridge.is_same() {
            return edits;
        }
        AnswerEdits {
            request_id: self.visit.id.to_string(),
            provider: lane.route.provider.name.clone(),
            created: u64::try_from(self.visit.started_at.seconds()).unwrap_or(0),
            carry: self.carry.clone(),
            likely_prompt: self.ticket.sizing().map(|sizing| sizing.likely_prompt),
            names: self.names.clone(),
            request: self.arrival.body.clone(),
            ..edits
        }
    }

    /// A stream was asked for and something else came: mostly an error with HTTP 200.
    pub(super) async fn no_stream(&mut self, lane: &Lane, reply: Reply) -> Box<Miss> {
        let retry_after = self.asked_to_wait(&reply.fields);
        let error = self.error_in(lane, reply).await;
        self.reported(lane, error, retry_after)
    }

    pub(super) async fn refusal_of(&mut self, lane: &Lane, reply: Reply) -> Box<Miss> {
        // An error status is not billed.
        self.ticket.reached(Reached::Nothing);
        let status = reply.status.as_u16();
        let retry_after = self.asked_to_wait(&reply.fields);
        let error = self.error_in(lane, reply).await;
        Box::new(Miss { error, retry_after, ..*miss(lane, Trouble::Status(status)) })
    }

    /// What an error body says, as far as it comes in time.
    async fn error_in(&self, lane: &Lane, reply: Reply) -> UpstreamError {
        let due = self.due(ERROR_PATIENCE);
        let body = self.alarm.limit(due, pin!(read(reply.body, ERROR_MOST))).await;
        let name = reply.fields.get(codec::NAME_HEADER).and_then(|name| std::str::from_utf8(name).ok());
        lane.dialect.decode_named_error(name, &body.unwrap_or_default())
    }

    /// A provider that reports an error has not answered, and bills nothing. What cannot be read reports nothing.
    fn reported(&mut self, lane: &Lane, error: UpstreamError, retry_after: Option<Duration>) -> Box<Miss> {
        let is_named = error.code.is_some() || error.status.is_some();
        if !is_named && (error.kind.is_none() || error.message.is_empty()) {
            return self.miss(lane, Trouble::BadReply, None);
        }
        self.ticket.reached(Reached::Nothing);
        let trouble = Trouble::Reported(error.status);
        Box::new(Miss { trouble, error, retry_after, ..*miss(lane, Trouble::BadReply) })
    }

    fn asked_to_wait(&self, fields: &Fields) -> Option<Duration> {
        let worker = &self.visit.worker;
        retry_after(fields, || worker.wall(worker.gate.clock.monotonic()))
    }

    /// Leaves an account alone of which little is left.
    pub(super) fn heed(&self, lane: &Lane, reply: &Reply) {
        let (worker, gate) = (&self.visit.worker, &self.visit.worker.gate);
        if let Some(pause) = fair::pause(|name| reply.fields.get(name), worker.wall(gate.clock.monotonic())) {
            lane.turnstile.pause(pause, gate.now_ms());
        }
    }
}
