//! Intents and terminals as the messages of the contract, written straight from the domain: a worker does this once for
//! each, and the same bytes go to the disk and to the controller. Says exactly what `proto::convert` says, which the
//! tests hold it to; whoever reads goes through that door. Next room: `ring`.

use domain::usage::{Intent, Step, TokenUsage, Trail, UsageRecord};

/// Kinds of fields, as the lowest bits of a field's key tell them.
const VARINT: u64 = 0;
const BYTES: u64 = 2;

/// Adds an intent.
pub(super) fn intent(out: &mut Vec<u8>, intent: &Intent) {
    let mut fields = Fields(out);
    fields.id(1, intent.request.to_u128());
    fields.id(2, intent.org.to_u128());
    fields.id(3, intent.key.to_u128());
    if let Some(budget) = &intent.budget {
        fields.text(4, &budget.to_string());
    }
    fields.text(5, intent.billing.name());
    fields.text(6, intent.plan.as_str());
    fields.text(7, &intent.requested_model);
    fields.signed(8, intent.held.nano());
    fields.signed(9, intent.started_at.us());
    fields.number(10, u64::from(intent.streamed));
}

/// Adds a terminal.
pub(super) fn terminal(out: &mut Vec<u8>, record: &UsageRecord) {
    let mut fields = Fields(out);
    fields.id(1, record.request.to_u128());
    fields.id(2, record.org.to_u128());
    fields.id(3, record.key.to_u128());
    if let Some(budget) = &record.budget {
        fields.text(4, &budget.to_string());
    }
    fields.text(5, record.billing.name());
    fields.text(6, record.plan.as_str());
    fields.text(7, &record.requested_model);
    fields.text(8, record.model.as_ref().map_or("", |model| model.as_str()));
    fields.text(9, record.provider.as_ref().map_or("", |provider| provider.as_str()));
    fields.text(10, record.endpoint.as_ref().map_or("", |endpoint| endpoint.as_str()));
    fields.text(11, &record.dialect_in);
    fields.text(12, &record.dialect_out);
    fields.number(13, u64::from(record.attempt));
    fields.text(14, &record.upstream_id);
    if record.usage != TokenUsage::default() {
        fields.message(15, |fields| usage(fields, &record.usage));
    }
    fields.text(16, record.usage_source.name());
    fields.signed(17, record.cost.nano());
    fields.signed(18, record.held.nano());
    fields.signed(19, record.written_off.nano());
    fields.number(20, record.price_version);
    fields.number(21, u64::from(record.is_byok));
    fields.text(22, record.outcome.name());
    fields.text(23, &record.finish_reason);
    fields.number(24, u64::from(record.status));
    fields.number(25, u64::from(record.streamed));
    fields.signed(26, record.started_at.us());
    fields.number(27, record.latency_ms);
    if let Some(ms) = record.ttft_ms {
        fields.present(28, ms);
    }
    if record.trail != Trail::default() {
        fields.message(29, |fields| trail(fields, &record.trail));
    }
}

fn usage(fields: &mut Fields<'_>, usage: &TokenUsage) {
    fields.number(1, usage.prompt);
    fields.number(2, usage.cache_read);
    fields.number(3, usage.cache_write);
    fields.number(4, usage.cache_write_1h);
    fields.number(5, usage.completion);
    fields.number(6, usage.reasoning);
    fields.number(7, usage.audio_input);
    fields.number(8, usage.audio_output);
    fields.number(9, usage.images);
    fields.number(10, usage.web_searches);
    fields.number(11, usage.characters);
}

fn trail(fields: &mut Fields<'_>, trail: &Trail) {
    fields.text(1, trail.unusual_strategy());
    fields.number(2, u64::from(trail.candidates));
    fields.number(3, u64::from(trail.passed_over));
    fields.text(4, &trail.region);
    fields.number(5, trail.begun_ms);
    for missed in trail.missed() {
        fields.message(6, |fields| step(fields, missed));
    }
}

fn step(fields: &mut Fields<'_>, step: &Step) {
    fields.text(1, step.endpoint.as_str());
    fields.number(2, u64::from(step.status));
    fields.text(3, &step.code);
    fields.text(4, &step.trigger);
    fields.number(5, step.ms);
}

/// The fields of one message, by number. What says nothing is left out, as the format wants it.
struct Fields<'a>(&'a mut Vec<u8>);

impl Fields<'_> {
    fn key(&mut self, field: u64, kind: u64) {
        self.varint(field << 3 | kind);
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A number that is written even when it is zero.
    fn present(&mut self, field: u64, value: u64) {
        self.key(field, VARINT);
        self.varint(value);
    }

    fn number(&mut self, field: u64, value: u64) {
        if value != 0 {
            self.present(field, value);
        }
    }

    fn signed(&mut self, field: u64, value: i64) {
        self.number(field, value.cast_unsigned());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.key(field, BYTES);
            self.varint(bytes.len() as u64);
            self.0.extend_from_slice(bytes);
        }
    }

    fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn id(&mut self, field: u64, id: u128) {
        self.bytes(field, &id.to_be_bytes());
    }

    fn message(&mut self, field: u64, write: impl FnOnce(&mut Fields<'_>)) {
        self.key(field, BYTES);
        // Most are short: one byte is enough for the length, which is known afterwards.
        let at = self.0.len();
        self.0.push(0);
        write(&mut Fields(self.0));
        let len = self.0.len() - at - 1;
        match u8::try_from(len).ok().filter(|len| *len < 0x80).zip(self.0.get_mut(at)) {
            Some((len, slot)) => *slot = len,
            None => self.make_room(at, len),
        }
    }

    /// The length of what was written behind `at` takes more than the one byte that was left for it.
    #[cold]
    fn make_room(&mut self, at: usize, len: usize) {
        let written = self.0.split_off(at + 1);
        self.0.truncate(at);
        self.varint(len as u64);
        self.0.extend_from_slice(&written);
    }
}
