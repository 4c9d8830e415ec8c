//! Edits as a proxy asks for them, and a pricer, for all the other files.

use std::sync::LazyLock;

use bytes::Bytes;
use codec::{AnswerEdits, Carry, Dialect, Framing, Pricer, Quirks, Receipt, RequestEdits, Surface};
use domain::money::Money;
use domain::usage::TokenUsage;

static CARRY: LazyLock<Carry> = LazyLock::new(|| Carry::new(b"a credential", "org", "provider", "model"));

/// The only organisation, provider and model of these tests.
pub fn carry() -> &'static Carry {
    &CARRY
}

pub fn request(model: &str, limit: Option<u64>) -> RequestEdits<'_> {
    RequestEdits {
        upstream_model: model,
        token_limit: limit,
        quirks: Quirks::default(),
        max_output: Some(4_096),
        input_modalities: &[],
        require_parameters: false,
        surface: codec::Surface::V1,
        carry: carry(),
    }
}

pub fn answer(model: &str, wants_usage: bool) -> AnswerEdits {
    AnswerEdits {
        public_model: model.to_owned(),
        wants_usage,
        surface: Surface::V1,
        framing: Framing::Events,
        request_id: "req_0001".to_owned(),
        created: 1_700_000_000,
        carry: carry().clone(),
        names: codec::Names::default(),
        request: Bytes::new(),
        ..AnswerEdits::default()
    }
}

/// Everything costs the same.
pub fn pricer() -> impl Pricer {
    |_: &TokenUsage| Receipt { cost: Money::from_nano(412_000), is_byok: false, upstream_cost: None }
}

/// The dialect of a name that is served.
pub fn dialect(id: &str) -> &'static Dialect {
    codec::dialect::find(id).unwrap()
}
