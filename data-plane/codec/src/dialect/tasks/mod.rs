//! What models do besides chatting, each a dialect of its own: embeddings, completions, images, speech and transcriptions,
//! moderations, rerankings, counts of tokens. Bytes pass from a client to a provider of the same dialect and back; only the
//! model's name and the cost are edited. Nothing here is translated.
//!
//! `whole`, `events` and `opaque` are the three ways answers pass, `form` reads multipart bodies, `usage` the numbers.

mod completions;
mod events;
mod form;
mod opaque;
mod tables;
mod usage;
mod whole;

use bytes::Bytes;
use domain::usage::TokenUsage;

pub(crate) use form::{Form, scan as scan_form};
pub use opaque::Opaque;
pub use tables::{
    ANTHROPIC_COUNT, AUDIO, COMPLETIONS, EMBEDDINGS, GEMINI_COUNT, GEMINI_EMBED, IMAGES, MODERATIONS, RERANK,
};

use super::{Pass, Same};
use crate::bridge::{AnswerEdits, Outbound, RequestEdits, Whole};
use crate::error::{BodyFault, Error};
use crate::json::{self, Tape, Value};
use crate::patch::{self, Edits};
use crate::receipt::Pricer;
use crate::same::NewFields;
use crate::scan::{Meaning, Scan};

/// One operation.
#[derive(Debug)]
struct Task {
    /// Whether bodies may be multipart forms.
    takes_form: bool,
    /// What is billed by the piece and known from the request alone.
    units: fn(&Scan) -> TokenUsage,
    /// Whether counts of tokens are all that the answer says, so that nothing of it is billed.
    is_count: bool,
    /// Whether a request is estimated where the provider tells no usage.
    is_estimated: bool,
    /// Whether answers may be something else than JSON.
    is_opaque: bool,
    /// Whether the model is named once more in the body, where it must be that of the path.
    repeats_model: bool,
}

/// Google's bodies may name the model at their top and in each of their requests.
fn rename(body: &[u8], upstream_model: &str, edits: &mut Edits) {
    let mut tape = Tape::default();
    let Ok(top) = tape.read(body) else { return };
    let inner = top.get("requests").into_iter().flat_map(|requests| requests.items());
    let inner = inner.chain(top.get("generateContentRequest"));
    for model in std::iter::once(top).chain(inner).filter_map(|value| value.get("model")).filter(Value::is_string) {
        edits.replace_with(model.span(), |out| json::write_string(out, &format!("models/{upstream_model}")));
    }
}

impl Same for Task {
    fn request(&self, body: &Bytes, scan: &Scan, wanted: &RequestEdits<'_>) -> Result<Outbound, BodyFault> {
        let mut edits = Edits::default();
        if let Some(form) = &scan.form {
            form.edit(body, wanted.upstream_model, &mut edits);
            return Ok(edits.apply(body).into());
        }
        let own = scan.fields.iter().filter(|field| field.acted.own);
        for (removed, field) in own.enumerate() {
            edits.remove(patch::removal(body, field.whole, field.ordinal, removed));
        }
        let mut new = NewFields::default();
        match scan.field(Meaning::Model) {
            Some(field) => edits.replace_with(field.value, |out| json::write_string(out, wanted.upstream_model)),
            None if self.repeats_model => rename(body, wanted.upstream_model, &mut edits),
            // `models` named it.
            None => new.add("model", |out| json::write_string(out, wanted.upstream_model)),
        }
        new.put(scan, &mut edits);
        Ok(edits.apply(body).into())
    }

    fn stream(&self, wanted: &AnswerEdits) -> Box<dyn Pass> {
        Box::new(events::Events::new(wanted))
    }

    fn whole(&self, body: Bytes, wanted: &AnswerEdits, pricer: &mut dyn Pricer) -> Result<Whole, Error> {
        whole::pass(self, body, wanted, pricer)
    }

    fn takes_form(&self) -> bool {
        self.takes_form
    }

    fn is_opaque(&self) -> bool {
        self.is_opaque
    }

    fn units(&self, scan: &Scan) -> TokenUsage {
        (self.units)(scan)
    }
}
