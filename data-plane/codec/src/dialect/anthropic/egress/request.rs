//! A request as Anthropic takes it. Everything is written, noted as a loss, or refused.

use std::collections::HashMap;

use super::plan::{Choice, Mode, Plan, Thinking, offered, root_type};
use super::shape::{self, Shape};
use super::turns::Talk;
use super::{ANSWER_TOOL, part};
use crate::bridge::RequestEdits;
use crate::dialect::anthropic::fields::VERSION;
use crate::dialect::anthropic::ingress::tool_path;
use crate::dialect::anthropic::quirks::{self, Cloud};
use crate::error::BodyFault;
use crate::json::{Value, Writer};
use crate::loss::{Loss, Losses};
use crate::model::{Params, Request, Tool, ToolKind};
use crate::refusal;

/// Tools of one request that can be enforced strictly.
const STRICT_TOOLS: usize = 20;

pub(super) fn write(
    request: &Request<'_>,
    wanted: &RequestEdits<'_>,
    out: &mut Writer,
    losses: &mut Losses,
) -> Result<(), BodyFault> {
    let talk = Talk::new(request, wanted, losses)?;
    let plan = Plan::new(request, wanted, talk.can_think(), losses)?;
    let cloud = Cloud::of(wanted.quirks);
    out.begin_object();
    match cloud {
        None => out.field_str("model", wanted.upstream_model),
        Some(cloud) => out.field_str(VERSION, cloud.version()),
    }
    out.field_u64("max_tokens", plan.max_tokens);
    talk.write_system(&plan.shape, out);
    tools(request, (&plan, &talk), wanted, out, losses)?;
    tool_choice(request, &plan, out);
    thinking(request, &plan, out);
    params(request, &plan, out, losses);
    extras(request, out, losses);
    if request.stream && cloud.is_none_or(Cloud::takes_stream) {
        out.field_bool("stream", true);
    }
    talk.write_messages(out);
    out.end_object();
    Ok(())
}

fn tools(
    request: &Request<'_>,
    (plan, talk): (&Plan<'_>, &Talk<'_, '_>),
    wanted: &RequestEdits<'_>,
    out: &mut Writer,
    losses: &mut Losses,
) -> Result<(), BodyFault> {
    let forced = match &plan.shape {
        Shape::Forced(schema) => Some(*schema),
        _ => None,
    };
    if forced.is_none() && offered(request).next().is_none() {
        talk.write_called(out);
        return Ok(());
    }
    let is_strict = |tool: &Tool<'_>| matches!(tool.kind, ToolKind::Function { strict: Some(true), .. });
    let takes_strict = !quirks::forces_tool(wanted.quirks)
        && offered(request).filter(|at| request.tools.get(*at).is_some_and(is_strict)).count() <= STRICT_TOOLS;
    let kept = all_kept(request);
    out.key("tools");
    out.begin_array();
    for (at, tool) in offered(request).filter_map(|at| Some((at, request.tools.get(at)?))) {
        match plan.is_own {
            true => write_own(tool, kept.get(&*tool_path(at)).copied(), out),
            false => write_tool(tool, takes_strict, out, losses)?,
        }
    }
    if let Some(schema) = forced {
        out.begin_object();
        out.field_str("name", ANSWER_TOOL);
        out.field_str("description", "Gives the answer: what it is given is shown as the answer.");
        input_schema(Some(schema), out);
        out.end_object();
    }
    out.end_array();
    Ok(())
}

fn write_own(tool: &Tool<'_>, kept: Option<Value<'_>>, out: &mut Writer) {
    match &tool.kind {
        ToolKind::Native { raw, .. } => out.raw(raw),
        ToolKind::Function { name, description, schema, strict } => {
            out.begin_object();
            out.field_str("name", name);
            out.opt_str("description", description.as_deref());
            out.opt_raw("input_schema", schema.as_deref());
            out.opt_bool("strict", *strict);
            part::cache(tool.cache, out);
            part::rest(kept, &["name", "description", "input_schema", "strict"], out);
            out.end_object();
        }
    }
}

fn write_tool(tool: &Tool<'_>, takes_strict: bool, out: &mut Writer, losses: &mut Losses) -> Result<(), BodyFault> {
    let (name, description, schema, strict) = match &tool.kind {
        ToolKind::Function { name, description, schema, strict } => (name, description, schema, strict),
        ToolKind::Native { at, .. } => return Err(refusal::native_tool(*at)),
    };
    out.begin_object();
    out.field_str("name", name);
    out.opt_str("description", description.as_deref());
    let is_strict = *strict == Some(true);
    let enforced = if is_strict && takes_strict { shape::strict(schema.as_deref()) } else { None };
    losses.note_if(is_strict && enforced.is_none(), Loss::Strict);
    match &enforced {
        Some(schema) => {
            out.field_raw("input_schema", schema);
            out.field_bool("strict", true);
        }
        None => input_schema(schema.as_deref(), out),
    }
    part::cache(tool.cache, out);
    out.end_object();
    Ok(())
}

/// A schema whose root must say that it is an object.
fn input_schema(schema: Option<&str>, out: &mut Writer) {
    out.key("input_schema");
    let Some(schema) = schema.filter(|schema| schema.trim_start().starts_with('{')) else {
        return out.raw(r#"{"type":"object","properties":{}}"#);
    };
    if root_type(schema).is_some() {
        return out.raw(schema);
    }
    let inside = schema.trim_start().get(1..).unwrap_or("}").trim_start();
    let comma = if inside.starts_with('}') { "" } else { "," };
    out.raw(&format!(r#"{{"type":"object"{comma}{inside}"#));
}

fn tool_choice(request: &Request<'_>, plan: &Plan<'_>, out: &mut Writer) {
    let is_single = request.parallel_tools == Some(false);
    let has_tools = offered(request).next().is_some() || plan.choice.is_some();
    let choice = plan.choice.or((is_single && has_tools).then_some(Choice::Auto));
    let Some(choice) = choice else { return };
    out.key("tool_choice");
    out.begin_object();
    out.field_str(
        "type",
        match choice {
            Choice::Auto => "auto",
            Choice::None => "none",
            Choice::Any => "any",
            Choice::Tool(_) => "tool",
        },
    );
    if let Choice::Tool(name) = choice {
        out.field_str("name", name);
    }
    let is_answer = matches!(choice, Choice::Tool(ANSWER_TOOL));
    if (is_single || is_answer) && choice != Choice::None {
        out.field_bool("disable_parallel_tool_use", true);
    }
    out.end_object();
}

fn thinking(request: &Request<'_>, plan: &Plan<'_>, out: &mut Writer) {
    if let Some(Thinking { mode, shown }) = plan.thinking {
        out.key("thinking");
        out.begin_object();
        match mode {
            Mode::Off => out.field_str("type", "disabled"),
            Mode::Adaptive => out.field_str("type", "adaptive"),
            Mode::Budget(budget) => {
                out.field_str("type", "enabled");
                out.field_u64("budget_tokens", budget);
            }
        }
        if mode != Mode::Off {
            out.opt_str("display", shown.map(|shown| if shown { "summarized" } else { "omitted" }));
        }
        out.end_object();
    }
    let native = match &plan.shape {
        Shape::Native(schema) => Some(&**schema),
        _ => None,
    };
    if (plan.effort.is_none() && native.is_none()) || is_kept(request, "output_config") {
        return;
    }
    out.key("output_config");
    out.begin_object();
    out.opt_str("effort", plan.effort.map(|effort| effort.word()));
    if let Some(schema) = native {
        out.key("format");
        out.begin_object();
        out.field_str("type", "json_schema");
        out.field_raw("schema", schema);
        out.end_object();
    }
    out.end_object();
}

fn params(request: &Request<'_>, plan: &Plan<'_>, out: &mut Writer, losses: &mut Losses) {
    let params = &request.params;
    out.opt_raw("temperature", plan.temperature.as_deref());
    out.opt_raw("top_p", plan.top_p);
    out.opt_raw("top_k", plan.top_k);
    stop(params, plan.is_own, out, losses);
    for (is_asked, loss) in [
        (params.min_p.is_some(), Loss::MinP),
        (params.top_a.is_some(), Loss::TopA),
        (is_number(params.frequency_penalty, 0.0), Loss::FrequencyPenalty),
        (is_number(params.presence_penalty, 0.0), Loss::PresencePenalty),
        (is_number(params.repetition_penalty, 1.0), Loss::RepetitionPenalty),
        (params.seed.is_some(), Loss::Seed),
        (params.logprobs == Some(true) || params.top_logprobs.is_some_and(|count| count > 0), Loss::Logprobs),
        (params.logit_bias.is_some_and(|bias| bias.len() > 2), Loss::LogitBias),
        (params.verbosity.is_some(), Loss::Verbosity),
        (params.metadata.is_some_and(|metadata| metadata.len() > 2), Loss::Metadata),
        (params.modalities.iter().any(|kind| kind != "text"), Loss::Modalities),
    ] {
        losses.note_if(is_asked, loss);
    }
    tier(params, plan.is_own, out, losses);
    user(request, plan.is_own, out, losses);
}

/// Whether a number was asked for that is not the one that changes nothing.
fn is_number(asked: Option<&str>, neutral: f64) -> bool {
    asked.is_some_and(|asked| asked.parse() != Ok(neutral))
}

fn stop(params: &Params<'_>, is_own: bool, out: &mut Writer, losses: &mut Losses) {
    let is_taken = |stop: &str| is_own || !stop.trim().is_empty();
    losses.note_if(params.stop.iter().any(|stop| !is_taken(stop)), Loss::StopBlank);
    if params.stop.iter().any(|stop| is_taken(stop)) {
        out.key("stop_sequences");
        out.begin_array();
        params.stop.iter().filter(|stop| is_taken(stop)).for_each(|stop| out.string(stop));
        out.end_array();
    }
}

/// The canonical words for tiers are OpenAI's.
fn tier(params: &Params<'_>, is_own: bool, out: &mut Writer, losses: &mut Losses) {
    let Some(word) = params.service_tier.as_deref() else { return };
    match word {
        "auto" => out.field_str("service_tier", "auto"),
        "default" => out.field_str("service_tier", "standard_only"),
        word if is_own => out.field_str("service_tier", word),
        _ => losses.note(Loss::ServiceTier),
    }
}

fn user(request: &Request<'_>, is_own: bool, out: &mut Writer, losses: &mut Losses) {
    let (user, key) = (&request.params.user, &request.params.prompt_cache_key);
    losses.note_if(!is_own && user.is_some() && key.is_some() && user != key, Loss::CacheKey);
    if let Some(id) = user.as_deref().or(key.as_deref())
        && !is_kept(request, "metadata")
    {
        out.key("metadata");
        out.begin_object();
        out.field_str("user_id", id);
        out.end_object();
    }
}

/// Fields that only this dialect knows. Names with brackets are places of blocks and tools, written where those stand.
fn extras(request: &Request<'_>, out: &mut Writer, losses: &mut Losses) {
    if request.from != crate::dialect::anthropic::ID {
        losses.note_if(!request.extra.is_empty(), Loss::Field);
        return;
    }
    for extra in request.extra.iter().filter(|extra| !extra.name.contains('[')) {
        out.field_raw(&extra.name, extra.value.raw());
    }
}

/// What was kept of blocks, tools and messages, by their places.
pub(super) fn all_kept<'r, 'a>(request: &'r Request<'a>) -> HashMap<&'r str, Value<'a>> {
    let mut kept = HashMap::with_capacity(request.extra.len());
    for extra in &request.extra {
        kept.entry(&*extra.name).or_insert(extra.value);
    }
    kept
}

/// Whether a top-level field is written back as it was.
fn is_kept(request: &Request<'_>, name: &str) -> bool {
    request.from == crate::dialect::anthropic::ID && request.extra.iter().any(|extra| extra.name == name)
}
