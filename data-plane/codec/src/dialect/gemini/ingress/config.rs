//! `generationConfig`: how the answer is wanted. Fields without a canonical word ride along under their full path.

use std::borrow::Cow;

use super::fault::{At, count, flag, number, object, text, texts, wrong};
use crate::dialect::gemini::schema;
use crate::dialect::gemini::spelling::camel;
use crate::error::BodyFault;
use crate::json::Value;
use crate::model::{Effort, Extra, Format, Params, Reasoning, Request};

pub(super) fn read<'a>(value: Value<'a>, at: At<'_>, request: &mut Request<'a>) -> Result<(), BodyFault> {
    let mut wanted = Shape::default();
    for (name, value) in object(value, at)?.fields().filter(|(_, value)| !value.is_null()) {
        let name = camel(name);
        if !one(&name, value, at.name(&name), &mut request.params, &mut wanted)? {
            request.extra.push(Extra { name: Cow::Owned(format!("generationConfig.{name}")), value });
        }
    }
    request.params.format = wanted.format();
    Ok(())
}

/// What the answer's text is to look like.
#[derive(Default)]
struct Shape<'a> {
    mime: Option<Cow<'a, str>>,
    schema: Option<Cow<'a, str>>,
}

impl<'a> Shape<'a> {
    fn format(self) -> Option<Format<'a>> {
        match (self.schema, self.mime.as_deref()) {
            (Some(schema), _) => Some(Format::Schema { name: None, description: None, schema, strict: None }),
            (None, Some("application/json")) => Some(Format::Json),
            (None, Some("text/plain")) => Some(Format::Text),
            _ => None,
        }
    }
}

/// False where the field has no canonical word.
fn one<'a>(
    name: &str,
    value: Value<'a>,
    at: At<'_>,
    params: &mut Params<'a>,
    shape: &mut Shape<'a>,
) -> Result<bool, BodyFault> {
    match name {
        "maxOutputTokens" => params.max_output = Some(count(value, at)?),
        "temperature" => params.temperature = Some(number(value, at)?),
        "topP" => params.top_p = Some(number(value, at)?),
        "topK" => params.top_k = Some(number(value, at)?),
        "frequencyPenalty" => params.frequency_penalty = Some(number(value, at)?),
        "presencePenalty" => params.presence_penalty = Some(number(value, at)?),
        "seed" => params.seed = Some(number(value, at)?),
        "stopSequences" => params.stop = texts(value, at)?,
        "candidateCount" => params.choices = Some(count(value, at)?),
        "responseLogprobs" => params.logprobs = Some(flag(value, at)?),
        "logprobs" => params.top_logprobs = Some(count(value, at)?),
        "responseMimeType" => {
            let mime = text(value, at)?;
            let is_known = matches!(&*mime, "" | "application/json" | "text/plain");
            shape.mime = Some(mime);
            return Ok(is_known);
        }
        "responseSchema" => shape.schema = Some(schema::read(object(value, at)?.raw())),
        "responseJsonSchema" | "_responseJsonSchema" => shape.schema = Some(Cow::Borrowed(value.raw())),
        "thinkingConfig" => params.reasoning = Some(thinking(object(value, at)?, at)?),
        "responseModalities" => {
            let words = texts(value, at)?.into_iter().filter(|word| *word != "MODALITY_UNSPECIFIED");
            params.modalities = words.map(|word| Cow::Owned(word.to_ascii_lowercase())).collect();
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Thoughts are shown when they are asked for, and only then.
fn thinking<'a>(value: Value<'a>, at: At<'_>) -> Result<Reasoning<'a>, BodyFault> {
    let mut reasoning = Reasoning { shown: Some(false), ..Reasoning::default() };
    for (name, value) in value.fields().filter(|(_, value)| !value.is_null()) {
        let name = camel(name);
        let at = at.name(&name);
        match &*name {
            "includeThoughts" => reasoning.shown = Some(flag(value, at)?),
            "thinkingBudget" => match number(value, at)?.parse::<i64>() {
                Ok(0) => reasoning.enabled = Some(false),
                // -1: as much as the model likes.
                Ok(budget) if budget < 0 => reasoning.enabled = Some(true),
                Ok(budget) => reasoning.budget = u64::try_from(budget).ok(),
                Err(_) => return Err(wrong(at, "a whole number")),
            },
            "thinkingLevel" => reasoning.effort = Effort::parse(&text(value, at)?.to_ascii_lowercase()),
            _ => {}
        }
    }
    let is_asked = reasoning.enabled.is_some() || reasoning.budget.is_some() || reasoning.effort.is_some();
    if !is_asked && reasoning.shown == Some(true) {
        reasoning.enabled = Some(true);
    }
    Ok(reasoning)
}
