//! `generationConfig`: how the answer is wanted, as far as Google and the model know it.

use super::ask::Ask;
use crate::dialect::gemini::{quirks, schema};
use crate::error::BodyFault;
use crate::json::Writer;
use crate::loss::{Loss, Losses};
use crate::model::{Effort, Format, Params, Reasoning};
use crate::refusal;

/// Stop sequences that are taken.
const MOST_STOPS: usize = 5;
/// Answers to one request that are given.
const MOST_CHOICES: u64 = 8;
/// The most tokens of answer where nobody said.
const USUAL_LIMIT: u64 = 65_536;

pub(super) fn write(ask: &Ask<'_, '_>, out: &mut Writer, losses: &mut Losses) -> Result<(), BodyFault> {
    let params = &ask.request.params;
    // Written aside first: without a field there is no object.
    let mut fields = Writer::into(Vec::new());
    fields.begin_object();
    limits(ask, params, &mut fields, losses)?;
    sampling(ask, params, &mut fields, losses);
    format(ask, params, &mut fields, losses)?;
    if let Some(reasoning) = &params.reasoning {
        thinking(ask, reasoning, &mut fields, losses);
    }
    modalities(params, &mut fields);
    for (name, raw) in ask.extras("generationConfig.") {
        fields.field_raw(name, raw);
    }
    fields.end_object();
    let fields = String::from_utf8(fields.into_buffer()).unwrap_or_default();
    if fields != "{}" {
        out.field_raw("generationConfig", &fields);
    }
    Ok(())
}

/// The gateway's limit where it sets one, else the client's.
fn wished(ask: &Ask<'_, '_>) -> Option<u64> {
    ask.wanted.token_limit.or(ask.request.params.max_output)
}

/// What is wished, never above what the endpoint gives.
fn limit(ask: &Ask<'_, '_>) -> Option<u64> {
    Some(wished(ask)?.min(ask.wanted.max_output.unwrap_or(u64::MAX)))
}

fn limits(ask: &Ask<'_, '_>, params: &Params<'_>, out: &mut Writer, losses: &mut Losses) -> Result<(), BodyFault> {
    // A limit that nobody asked for is none to lose.
    losses.note_if(params.max_output.is_some() && limit(ask) != wished(ask), Loss::TokenLimit);
    out.opt_u64("maxOutputTokens", limit(ask));
    match params.choices {
        None | Some(1) => {}
        Some(choices) if choices <= MOST_CHOICES => out.field_u64("candidateCount", choices),
        Some(_) => return Err(refusal::unsupported("n", "the endpoint gives at most 8 answers to one request")),
    }
    Ok(())
}

fn sampling(ask: &Ask<'_, '_>, params: &Params<'_>, out: &mut Writer, losses: &mut Losses) {
    let is_high = |text: &&str| text.parse::<f64>().is_ok_and(|number| number > 2.0);
    losses.note_if(params.temperature.as_ref().is_some_and(is_high), Loss::TemperatureRange);
    out.opt_raw("temperature", params.temperature.map(|text| if is_high(&text) { "2" } else { text }));
    out.opt_raw("topP", params.top_p);
    // OpenRouter's word for all of them is 0, which Google refuses.
    out.opt_raw("topK", params.top_k.filter(|top| *top != "0"));
    for (name, value, loss) in [
        ("frequencyPenalty", params.frequency_penalty, Loss::FrequencyPenalty),
        ("presencePenalty", params.presence_penalty, Loss::PresencePenalty),
    ] {
        let is_taken = ask.is_own || ask.is_vertex || !ask.model.refuses_penalties();
        match value {
            Some(text) if is_taken => out.field_raw(name, text),
            // No penalty is what there is without one.
            Some(text) => losses.note_if(text.parse::<f64>().is_ok_and(|number| number != 0.0), loss),
            None => {}
        }
    }
    // Google's seeds have 32 bits.
    match params.seed {
        Some(seed) if seed.parse::<i32>().is_ok() => out.field_raw("seed", seed),
        seed => losses.note_if(seed.is_some(), Loss::Seed),
    }
    for (is_said, loss) in [
        (params.min_p.is_some(), Loss::MinP),
        (params.top_a.is_some(), Loss::TopA),
        (params.repetition_penalty.is_some(), Loss::RepetitionPenalty),
        (params.logit_bias.is_some(), Loss::LogitBias),
    ] {
        losses.note_if(is_said, loss);
    }
    let stops: Vec<&str> = params.stop.iter().map(AsRef::as_ref).filter(|stop: &&str| !stop.is_empty()).collect();
    losses.note_if(stops.len() > MOST_STOPS, Loss::StopCount);
    if !stops.is_empty() {
        out.key("stopSequences");
        out.begin_array();
        stops.into_iter().take(MOST_STOPS).for_each(|stop| out.string(stop));
        out.end_array();
    }
    if params.logprobs == Some(true) || params.top_logprobs.is_some_and(|top| top > 0) {
        out.field_bool("responseLogprobs", true);
        out.opt_u64("logprobs", params.top_logprobs.filter(|top| *top > 0));
    }
}

fn format(ask: &Ask<'_, '_>, params: &Params<'_>, out: &mut Writer, losses: &mut Losses) -> Result<(), BodyFault> {
    const MIME: &str = "responseMimeType";
    // A client's own other media type rides along with its fields.
    let has_mime = ask.extras("generationConfig.").any(|(name, _)| name == MIME);
    match &params.format {
        None | Some(Format::Text) => {}
        Some(Format::Json) => out.field_str(MIME, "application/json"),
        Some(Format::Schema { schema: json_schema, .. }) => {
            if !has_mime {
                out.field_str(MIME, "application/json");
            }
            match quirks::takes_subset(ask.wanted.quirks) {
                true => out.field_raw("responseSchema", &schema::subset(json_schema, "response_format", losses)?),
                false => out.field_raw("responseJsonSchema", json_schema),
            }
        }
    }
    Ok(())
}

/// Only what is more than text has to be said.
fn modalities(params: &Params<'_>, out: &mut Writer) {
    if params.modalities.iter().all(|modality| modality == "text") {
        return;
    }
    out.key("responseModalities");
    out.begin_array();
    params.modalities.iter().for_each(|modality| out.string(&modality.to_ascii_uppercase()));
    out.end_array();
}

/// What is said of thinking.
#[derive(Default)]
struct Thinking {
    level: Option<&'static str>,
    budget: Option<i64>,
    shown: bool,
}

fn thinking(ask: &Ask<'_, '_>, reasoning: &Reasoning<'_>, out: &mut Writer, losses: &mut Losses) {
    let is_off = reasoning.enabled == Some(false) || reasoning.effort == Some(Effort::None);
    let is_asked = reasoning.enabled == Some(true) || reasoning.effort.is_some() || reasoning.budget.is_some();
    if ask.model.is_plain() {
        return losses.note_if(is_asked && !is_off, Loss::ReasoningSwitch);
    }
    let has_kind = reasoning.summary.as_deref().is_some_and(|kind| kind != "auto" && kind != "none");
    losses.note_if(has_kind, Loss::ReasoningSummary);
    let mut thinking = match (is_off, ask.model.takes_level()) {
        (true, true) => Thinking { level: Some(ask.model.least_level()), ..Thinking::default() },
        (true, false) if ask.model.can_be_silent() => Thinking { budget: Some(0), ..Thinking::default() },
        (true, false) => Thinking { budget: i64::try_from(ask.model.budgets().0).ok(), ..Thinking::default() },
        (false, true) => by_level(ask, reasoning, losses),
        (false, false) => by_budget(ask, reasoning, losses),
    };
    losses.note_if(is_off && thinking.budget != Some(0), Loss::ReasoningSwitch);
    thinking.shown = !is_off && reasoning.shown.unwrap_or(is_asked || reasoning.summary.is_some());
    if thinking.level.is_none() && thinking.budget.is_none() && !thinking.shown {
        return;
    }
    out.key("thinkingConfig");
    out.begin_object();
    out.opt_str("thinkingLevel", thinking.level);
    if let Some(budget) = thinking.budget {
        out.field_raw("thinkingBudget", itoa::Buffer::new().format(budget));
    }
    if thinking.shown || reasoning.shown.is_some() {
        out.field_bool("includeThoughts", thinking.shown);
    }
    out.end_object();
}

/// Models of today: a level, or a budget where nothing else was said.
fn by_level(ask: &Ask<'_, '_>, reasoning: &Reasoning<'_>, losses: &mut Losses) -> Thinking {
    let Some(effort) = reasoning.effort else {
        let budget = reasoning.budget.map(|budget| allowed(ask, budget, losses));
        return Thinking { budget, ..Thinking::default() };
    };
    losses.note_if(reasoning.budget.is_some(), Loss::ReasoningBudget);
    let level = match effort {
        Effort::None | Effort::Minimal => ask.model.least_level(),
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High | Effort::XHigh | Effort::Max => "high",
    };
    losses.note_if(level != effort.word(), Loss::ReasoningEffort);
    Thinking { level: Some(level), ..Thinking::default() }
}

/// Models of 2025: a budget, -1 for as much as the model likes.
fn by_budget(ask: &Ask<'_, '_>, reasoning: &Reasoning<'_>, losses: &mut Losses) -> Thinking {
    let limit = limit(ask).or(ask.wanted.max_output).unwrap_or(USUAL_LIMIT);
    let (least, most) = ask.model.budgets();
    let budget = match (reasoning.budget, reasoning.effort) {
        (Some(budget), _) => Some(allowed(ask, budget, losses)),
        (None, Some(effort)) => effort.budget(limit).and_then(|budget| i64::try_from(budget.clamp(least, most)).ok()),
        (None, None) if reasoning.enabled == Some(true) => Some(-1),
        (None, None) => None,
    };
    Thinking { budget, ..Thinking::default() }
}

/// A budget within what the model allows.
fn allowed(ask: &Ask<'_, '_>, budget: u64, losses: &mut Losses) -> i64 {
    let (least, most) = ask.model.budgets();
    let allowed = budget.clamp(least, most);
    losses.note_if(allowed != budget, Loss::ReasoningBudget);
    i64::try_from(allowed).unwrap_or(i64::MAX)
}
