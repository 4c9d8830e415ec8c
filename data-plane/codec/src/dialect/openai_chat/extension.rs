//! OpenRouter's fields in a request of `/api/v1` on their way to an endpoint of this dialect that does not know them. What
//! the endpoint has a word for is said in that word, the rest is left out and named as a loss: such an endpoint would
//! refuse the whole request. Requests of other paths are never looked at.

use bytes::Bytes;

use super::{egress, ingress, quirks};
use crate::bridge::RequestEdits;
use crate::error::BodyFault;
use crate::fault::Surface;
use crate::json::{Kind, Tape, Writer};
use crate::loss::{Loss, Losses};
use crate::model::{Params, Request};
use crate::same::NewFields;
use crate::scan::{Field, Meaning, Scan};

const REASONING: &str = "reasoning";

/// Whether the field is one that the endpoint would refuse.
pub(super) fn goes(field: &Field, wanted: &RequestEdits<'_>) -> bool {
    let is_asked = wanted.surface == Surface::ApiV1 && field.acted.meaning == Meaning::Extension;
    is_asked
        && match field.acted.name {
            "reasoning_effort" => false,
            REASONING => !quirks::is_openrouter(wanted.quirks),
            _ => !quirks::samples_more(wanted.quirks),
        }
}

/// Says in the endpoint's words what is left out, where it has some.
pub(super) fn say(
    body: &Bytes,
    scan: &Scan,
    wanted: &RequestEdits<'_>,
    new: &mut NewFields,
) -> Result<Losses, BodyFault> {
    let mut losses = Losses::default();
    for field in scan.fields.iter().filter(|field| goes(field, wanted) && field.kind != Kind::Null) {
        match field.acted.name {
            "top_k" => losses.note(Loss::TopK),
            "top_a" => losses.note(Loss::TopA),
            "min_p" => losses.note(Loss::MinP),
            "repetition_penalty" => losses.note(Loss::RepetitionPenalty),
            _ => say_reasoning(field.value.of(body), scan, wanted, new, &mut losses)?,
        }
    }
    Ok(losses)
}

fn say_reasoning(
    value: &[u8],
    scan: &Scan,
    wanted: &RequestEdits<'_>,
    new: &mut NewFields,
    losses: &mut Losses,
) -> Result<(), BodyFault> {
    let mut tape = Tape::default();
    let Some(mut reasoning) = ingress::reasoning(tape.read_strictly(value)?, None)? else {
        losses.note(Loss::ReasoningEffort);
        return Ok(());
    };
    let has = |name: &str| scan.fields.iter().any(|field| field.acted.name == name && field.kind != Kind::Null);
    // The endpoint's own words stay as they are, and are not said twice.
    if has("reasoning_effort") {
        (reasoning.effort, reasoning.budget, reasoning.enabled) = (None, None, None);
    }
    if has("include_reasoning") {
        reasoning.shown = None;
    }
    let params = Params { reasoning: Some(reasoning), max_output: scan.output_limit(), ..Params::default() };
    let request = Request { params, ..Request::default() };
    let mut out = Writer::new(&Bytes::new());
    egress::write_reasoning(&request, wanted, &mut out, losses);
    new.add_members(&out.finish().into_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Carry;
    use crate::dialect::openai_chat::DIALECT;

    const M: &str = r#""messages":[1]"#;

    /// What arrives for these fields, and what was lost.
    fn sent(fields: &str, surface: Surface, quirks: &[&str]) -> (String, String) {
        let body = Bytes::from(format!(r#"{{"model":"up",{M}{fields}}}"#));
        let scan = DIALECT.scan(&body).unwrap();
        let carry = Carry::default();
        let quirks = DIALECT.parse_quirks(quirks).unwrap();
        let wanted = RequestEdits { surface, quirks, ..RequestEdits::new("up", &carry) };
        let outbound = DIALECT.same.request(&body, &scan, &wanted).unwrap();
        let arrived = String::from_utf8(outbound.body.into_bytes().to_vec()).unwrap();
        serde_json::from_str::<serde_json::Value>(&arrived).unwrap();
        (arrived.replace(M, "M"), outbound.losses.to_string())
    }

    #[test]
    fn extensions_are_said_in_the_endpoints_words_or_named_as_lost() {
        for (fields, quirks, arrived, lost) in [
            (r#","reasoning":{"effort":"low"}"#, &[][..], r#"{"reasoning_effort":"low","model":"up",M}"#, ""),
            (r#","reasoning":{"enabled":true}"#, &[], r#"{"reasoning_effort":"medium","model":"up",M}"#, ""),
            (r#","reasoning":null,"top_k":null"#, &[], r#"{"model":"up",M}"#, ""),
            (r#","reasoning":{}"#, &[], r#"{"model":"up",M}"#, ""),
            (r#","reasoning":{"effort":"strange"}"#, &[], r#"{"model":"up",M}"#, "reasoning_effort"),
            (r#","reasoning":{"effort":"low"}"#, &["no-reasoning-effort"], r#"{"model":"up",M}"#, "reasoning_effort"),
            (
                r#","reasoning":{"effort":"low","exclude":true},"reasoning_effort":"high""#,
                &[],
                r#"{"model":"up",M,"reasoning_effort":"high"}"#,
                "reasoning_switch",
            ),
            (
                r#","max_tokens":1000,"reasoning":{"max_tokens":100}"#,
                &[],
                r#"{"reasoning_effort":"minimal","model":"up",M,"max_tokens":1000}"#,
                "reasoning_budget",
            ),
            (r#","top_k":4,"x":1,"min_p":0.1"#, &[], r#"{"model":"up",M,"x":1}"#, "top_k, min_p"),
            (r#","top_k":4,"top_a":0.1"#, &["extended-sampling"], r#"{"model":"up",M,"top_k":4,"top_a":0.1}"#, ""),
            (
                r#","reasoning":{"effort":"low"},"top_k":4"#,
                &["openrouter-fields"],
                r#"{"model":"up",M,"reasoning":{"effort":"low"},"top_k":4}"#,
                "",
            ),
        ] {
            let (got, losses) = sent(fields, Surface::ApiV1, quirks);
            assert_eq!((got.as_str(), losses.as_str()), (arrived, lost), "{fields}");
        }
    }

    #[test]
    fn on_v1_everything_passes_as_it_is() {
        let fields = r#","reasoning":{"effort":"strange"},"top_k":[],"min_p":{},"repetition_penalty":1"#;
        let (got, losses) = sent(fields, Surface::V1, &[]);
        assert_eq!((got, losses), (format!(r#"{{"model":"up",M{fields}}}"#), String::new()));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let body = Bytes::from(format!(r#"{{"model":"up",{M},"reasoning":{{"max_tokens":"x"}}}}"#));
        let scan = DIALECT.scan(&body).unwrap();
        let carry = Carry::default();
        let wanted = RequestEdits { surface: Surface::ApiV1, ..RequestEdits::new("up", &carry) };
        let fault = DIALECT.same.request(&body, &scan, &wanted).unwrap_err();
        assert_eq!(fault.param.as_deref(), Some("reasoning.max_tokens"));
    }
}
