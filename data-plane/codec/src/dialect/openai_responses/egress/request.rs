//! Requests for providers: how the answer is wanted. Always `store: false`, and sealed reasoning is always asked for, since
//! nobody else keeps it.

use super::input;
use crate::bridge::RequestEdits;
use crate::dialect::openai_responses::{ID, quirks};
use crate::error::BodyFault;
use crate::json::{Value, Writer};
use crate::loss::{Loss, Losses};
use crate::model::{Effort, Format, Params, Reasoning, Request, Tool, ToolChoice, ToolKind};
use crate::names;
use crate::refusal;

/// The least that OpenAI takes as a limit.
const LEAST_OUTPUT: u64 = 16;
/// Longest key or name of an end user, in letters.
const MOST_KEY: usize = 64;
/// Tiers that this API knows.
const TIERS: [&str; 6] = ["auto", "default", "flex", "priority", "scale", "fast"];
/// What the text of a schema is called where the client gave it no name.
const SCHEMA_NAME: &str = "response";
/// What a tool without parameters takes.
const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;

/// Writes a request.
pub(super) fn write(
    request: &Request<'_>,
    wanted: &RequestEdits<'_>,
    out: &mut Writer,
    losses: &mut Losses,
) -> Result<(), BodyFault> {
    refuse(request)?;
    let is_own = request.from == ID;
    out.begin_object();
    out.field_str("model", wanted.upstream_model);
    input::write(request, is_own, out, losses)?;
    out.field_bool("store", false);
    if request.stream {
        out.field_bool("stream", true);
    }
    include(request, wanted, is_own, out);
    limit(&request.params, wanted, out, losses);
    sampling(&request.params, wanted, is_own, out, losses);
    text(&request.params, out);
    if let Some(wish) = &request.params.reasoning {
        reasoning(wish, request, wanted, out, losses);
    }
    tools(request, is_own, out, losses);
    words(&request.params, is_own, out, losses);
    for field in request.extra.iter().filter(|field| field.name != "include") {
        match is_own {
            true => out.field_raw(&field.name, field.value.raw()),
            false => losses.note(Loss::Field),
        }
    }
    out.end_object();
    Ok(())
}

/// What cannot be dropped without changing what the answer means.
fn refuse(request: &Request<'_>) -> Result<(), BodyFault> {
    if request.params.choices.is_some_and(|choices| choices > 1) {
        return Err(refusal::unsupported("n", format!("{ID} gives one answer to a request, not several")));
    }
    let native = request.tools.iter().find_map(|tool| match &tool.kind {
        ToolKind::Native { at, .. } if request.from != ID => Some(*at),
        _ => None,
    });
    native.map_or(Ok(()), |at| Err(refusal::native_tool(at)))
}

fn include(request: &Request<'_>, wanted: &RequestEdits<'_>, is_own: bool, out: &mut Writer) {
    let sealed = "reasoning.encrypted_content";
    let logprobs = "message.output_text.logprobs";
    let asks_sealed = !quirks::refuses_sealed_reasoning(wanted.quirks);
    let asks_logprobs = request.params.logprobs == Some(true);
    let more = request.extra.iter().find(|field| is_own && field.name == "include");
    if !(asks_sealed || asks_logprobs || more.is_some()) {
        return;
    }
    out.key("include");
    out.begin_array();
    if asks_sealed {
        out.string(sealed);
    }
    if asks_logprobs {
        out.string(logprobs);
    }
    for word in more.into_iter().flat_map(|field| field.value.items()).filter_map(|item: Value<'_>| item.string()) {
        if word != sealed && word != logprobs {
            out.string(&word);
        }
    }
    out.end_array();
}

/// A limit that the gateway sets for the money's sake is never raised.
fn limit(params: &Params<'_>, wanted: &RequestEdits<'_>, out: &mut Writer, losses: &mut Losses) {
    let asked = params.max_output.map(|limit| {
        losses.note_if(limit < LEAST_OUTPUT && wanted.token_limit.is_none(), Loss::TokenLimit);
        limit.max(LEAST_OUTPUT)
    });
    out.opt_u64("max_output_tokens", wanted.token_limit.or(asked));
}

/// Numbers that this API has, and those that it has not: a client of its own that sends one knows why.
fn sampling(params: &Params<'_>, wanted: &RequestEdits<'_>, is_own: bool, out: &mut Writer, losses: &mut Losses) {
    let is_refused = quirks::refuses_sampling(wanted.quirks);
    for (name, value, loss) in
        [("temperature", params.temperature, Loss::Temperature), ("top_p", params.top_p, Loss::TopP)]
    {
        out.opt_raw(name, value.filter(|_| !is_refused));
        losses.note_if(is_refused && value.is_some(), loss);
    }
    let foreign = [
        ("top_k", params.top_k, Loss::TopK),
        ("min_p", params.min_p, Loss::MinP),
        ("top_a", params.top_a, Loss::TopA),
        ("frequency_penalty", params.frequency_penalty, Loss::FrequencyPenalty),
        ("presence_penalty", params.presence_penalty, Loss::PresencePenalty),
        ("repetition_penalty", params.repetition_penalty, Loss::RepetitionPenalty),
        ("seed", params.seed, Loss::Seed),
        ("logit_bias", params.logit_bias, Loss::LogitBias),
    ];
    for (name, value, loss) in foreign {
        match is_own {
            true => out.opt_raw(name, value),
            false => losses.note_if(value.is_some_and(|value| !says_nothing(name, value)), loss),
        }
    }
    if is_own && !params.stop.is_empty() {
        strings("stop", &params.stop, out);
    }
    losses.note_if(!is_own && !params.stop.is_empty(), Loss::Stop);
    if params.logprobs == Some(true) || is_own {
        out.opt_u64("top_logprobs", params.top_logprobs);
    }
}

/// A penalty of nothing is no penalty, and an empty bias none.
fn says_nothing(name: &str, value: &str) -> bool {
    let number = value.parse::<f64>().ok();
    match name {
        "frequency_penalty" | "presence_penalty" | "min_p" | "top_a" => number == Some(0.0),
        "repetition_penalty" => number == Some(1.0),
        "logit_bias" => value.trim_matches(['{', '}']).trim().is_empty(),
        _ => false,
    }
}

fn strings(name: &str, texts: &[std::borrow::Cow<'_, str>], out: &mut Writer) {
    out.key(name);
    out.begin_array();
    texts.iter().for_each(|text| out.string(text));
    out.end_array();
}

fn text(params: &Params<'_>, out: &mut Writer) {
    if params.format.is_none() && params.verbosity.is_none() {
        return;
    }
    out.key("text");
    out.begin_object();
    if let Some(format) = &params.format {
        out.key("format");
        out.begin_object();
        match format {
            Format::Text => out.field_str("type", "text"),
            Format::Json => out.field_str("type", "json_object"),
            Format::Schema { name, description, schema, strict } => {
                out.field_str("type", "json_schema");
                let name = name.as_deref().filter(|name| names::is_plain(name));
                out.field_str("name", name.unwrap_or(SCHEMA_NAME));
                out.opt_str("description", description.as_deref());
                out.field_raw("schema", schema);
                out.opt_bool("strict", *strict);
            }
        }
        out.end_object();
    }
    out.opt_str("verbosity", params.verbosity.as_deref());
    out.end_object();
}

fn reasoning(
    wish: &Reasoning<'_>,
    request: &Request<'_>,
    wanted: &RequestEdits<'_>,
    out: &mut Writer,
    losses: &mut Losses,
) {
    let effort = effort(wish, request, wanted, losses);
    // Other families show thoughts unless they are asked not to; here they have to be asked for.
    let is_off = effort == Some(Effort::None) || wish.enabled == Some(false);
    let shows = wish.shown == Some(true)
        || (wish.shown.is_none() && effort.is_some() && !is_off && request.from != super::super::ID);
    let summary = wish.summary.as_deref().or(shows.then_some("auto"));
    if effort.is_none() && summary.is_none() {
        return;
    }
    out.key("reasoning");
    out.begin_object();
    out.opt_str("effort", effort.map(Effort::word));
    out.opt_str("summary", summary);
    out.end_object();
}

/// The effort that is nearest to what is wished; `max` is another dialect's.
fn effort(
    wish: &Reasoning<'_>,
    request: &Request<'_>,
    wanted: &RequestEdits<'_>,
    losses: &mut Losses,
) -> Option<Effort> {
    if wish.enabled == Some(false) {
        return Some(Effort::None);
    }
    let mut of_budget = || {
        losses.note(Loss::ReasoningBudget);
        let limit = request.params.max_output.or(wanted.max_output).unwrap_or(32_768);
        Effort::of_budget(wish.budget.unwrap_or(0), limit)
    };
    let effort = match (wish.effort, wish.budget) {
        (Some(effort), _) => effort,
        (None, Some(_)) => of_budget(),
        (None, None) => return None,
    };
    match effort {
        Effort::Max if request.from != ID => {
            losses.note(Loss::ReasoningEffort);
            Some(Effort::XHigh)
        }
        effort => Some(effort),
    }
}

fn tools(request: &Request<'_>, is_own: bool, out: &mut Writer, losses: &mut Losses) {
    // A choice without tools is an error there.
    if request.tools.is_empty() {
        return;
    }
    out.key("tools");
    out.begin_array();
    for Tool { kind, cache } in &request.tools {
        losses.note_if(cache.is_some(), Loss::CacheMark);
        match kind {
            ToolKind::Native { raw, .. } => out.raw(raw),
            ToolKind::Function { name, description, schema, strict } => {
                out.begin_object();
                out.field_str("type", "function");
                out.field_str("name", name);
                out.opt_str("description", description.as_deref());
                out.field_raw("parameters", schema.as_deref().unwrap_or(NO_PARAMETERS));
                // Strict is what this API does unless told otherwise, and only this one.
                out.opt_bool("strict", strict.or((!is_own).then_some(false)));
                out.end_object();
            }
        }
    }
    out.end_array();
    if let Some(choice) = &request.tool_choice {
        out.key("tool_choice");
        tool_choice(choice, out);
    }
    out.opt_bool("parallel_tool_calls", request.parallel_tools);
}

fn tool_choice(choice: &ToolChoice<'_>, out: &mut Writer) {
    match choice {
        ToolChoice::Auto => out.string("auto"),
        ToolChoice::None => out.string("none"),
        ToolChoice::Required => out.string("required"),
        ToolChoice::Named(name) => function(name, out),
        ToolChoice::Among { names, required } => {
            out.begin_object();
            out.field_str("type", "allowed_tools");
            out.field_str("mode", if *required { "required" } else { "auto" });
            out.key("tools");
            out.begin_array();
            names.iter().for_each(|name| function(name, out));
            out.end_array();
            out.end_object();
        }
    }
}

fn function(name: &str, out: &mut Writer) {
    out.begin_object();
    out.field_str("type", "function");
    out.field_str("name", name);
    out.end_object();
}

fn words(params: &Params<'_>, is_own: bool, out: &mut Writer, losses: &mut Losses) {
    if let Some(tier) = &params.service_tier {
        match is_own || TIERS.contains(&&**tier) {
            true => out.field_str("service_tier", tier),
            false => losses.note(Loss::ServiceTier),
        }
    }
    let keys = [
        ("safety_identifier", &params.user, Loss::User),
        ("prompt_cache_key", &params.prompt_cache_key, Loss::CacheKey),
    ];
    for (name, value, loss) in keys {
        let Some(value) = value else { continue };
        match is_own || value.chars().count() <= MOST_KEY {
            true => out.field_str(name, value),
            false => losses.note(loss),
        }
    }
    out.opt_raw("metadata", params.metadata);
    if is_own && !params.modalities.is_empty() {
        strings("modalities", &params.modalities, out);
    }
    losses.note_if(!is_own && params.modalities.iter().any(|word| word != "text"), Loss::Modalities);
}
