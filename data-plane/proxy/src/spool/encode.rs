//! Intents and terminals as the messages of the contract, written straight from the domain: a worker does this once for
//! each, and the same bytes go to the disk and to the controller. Says exactly what `proto::convert` says, which the
//! tests hold it to; whoever reads goes through that door. Next room: `ring`.

use domain::usage::{Intent, TokenUsage, UsageRecord};

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
    fields.usage(15, &record.usage);
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

    fn usage(&mut self, field: u64, usage: &TokenUsage) {
        if *usage == TokenUsage::default() {
            return;
        }
        self.key(field, BYTES);
        // Ten fields of at most eleven bytes: one byte is enough for the length, which is known afterwards.
        let at = self.0.len();
        self.0.push(0);
        self.number(1, usage.prompt);
        self.number(2, usage.cache_read);
        self.number(3, usage.cache_write);
        self.number(4, usage.cache_write_1h);
        self.number(5, usage.completion);
        self.number(6, usage.reasoning);
        self.number(7, usage.audio_input);
        self.number(8, usage.audio_output);
        self.number(9, usage.images);
        self.number(10, usage.web_searches);
        self.number(11, usage.characters);
        let len = self.0.len() - at - 1;
        if let Some(slot) = self.0.get_mut(at) {
            *slot = len as u8;
        }
    }
}
