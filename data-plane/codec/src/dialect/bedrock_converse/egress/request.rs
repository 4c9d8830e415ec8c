//! A request as Converse takes it. Everything is written, noted as a loss, or refused.

use super::ANSWER_TOOL;
use super::plan::{Choice, Plan, Shape, Thinking, Tools, offered, root_type};
use super::talk::{Talk, mark_tool};
use crate::bridge::RequestEdits;
use crate::dialect::bedrock_converse::model::{Maker, Model};
use crate::error::BodyFault;
use crate::json::{Tape, Writer};
use crate::loss::{Loss, Losses};
use crate::model::{Format, Params, Request, Tool, ToolKind};
use crate::refusal;

pub(super) fn write(
    request: &Request<'_>,
    wanted: &RequestEdits<'_>,
    out: &mut Writer,
    losses: &mut Losses,
) -> Result<(), BodyFault> {
    let model = Model::of(wanted);
    let talk = Talk::new(request, &model, losses)?;
    let plan = Plan::new(request, wanted, &model, &talk, losses)?;
    out.begin_object();
    talk.write_system(plan.shape, out);
    tools(request, &plan, &model, out, losses)?;
    inference(&request.params, &plan, &model, out, losses);
    output(&request.params, &plan, out);
    additional(&plan, &model, out);
    tier(&request.params, out, losses);
    metadata(&request.params, out, losses);
    leave_out(request, losses);
    talk.write_messages(out);
    out.end_object();
    Ok(())
}

fn tools(
    request: &Request<'_>,
    plan: &Plan<'_>,
    model: &Model<'_>,
    out: &mut Writer,
    losses: &mut Losses,
) -> Result<(), BodyFault> {
    let forced = match plan.shape {
        Shape::Forced(schema) => Some(schema),
        _ => None,
    };
    if plan.tools == Tools::None && forced.is_none() {
        return Ok(());
    }
    out.key("toolConfig");
    out.begin_object();
    out.key("tools");
    out.begin_array();
    for tool in offered(request).filter_map(|at| request.tools.get(at)) {
        match (&tool.kind, plan.tools) {
            (_, Tools::None | Tools::Inert) => break,
            (ToolKind::Function { name, .. }, Tools::Only(only)) if name != only => {
                losses.note_if(tool.cache.is_some(), Loss::CacheMark);
            }
            _ => write_tool(tool, model, out, losses)?,
        }
    }
    if plan.tools == Tools::Inert {
        specification("no_tool", Some("There are no tools at this time. Never call this."), None, None, out);
    }
    if let Some(schema) = forced {
        let description = "Gives the answer: what it is given is shown as the answer.";
        specification(ANSWER_TOOL, Some(description), Some(schema), None, out);
    }
    out.end_array();
    // With this switch the choice stands where the switch is, and must not stand here as well.
    if let Some(choice) = plan.choice.filter(|_| !plan.is_single) {
        out.key("toolChoice");
        match choice {
            Choice::Auto => out.raw(r#"{"auto":{}}"#),
            Choice::Any => out.raw(r#"{"any":{}}"#),
            Choice::Tool(name) => {
                out.begin_object();
                out.key("tool");
                out.begin_object();
                out.field_str("name", name);
                out.end_object();
                out.end_object();
            }
        }
    }
    out.end_object();
    Ok(())
}

fn write_tool(tool: &Tool<'_>, model: &Model<'_>, out: &mut Writer, losses: &mut Losses) -> Result<(), BodyFault> {
    match &tool.kind {
        ToolKind::Native { at, .. } => Err(refusal::native_tool(*at)),
        ToolKind::Function { name, description, schema, strict } => {
            let strict = strict.filter(|strict| *strict);
            losses.note_if(strict.is_some() && !model.takes_schemas(), Loss::Strict);
            let strict = strict.filter(|_| model.takes_schemas());
            specification(name, description.as_deref(), schema.as_deref(), strict, out);
            mark_tool(tool.cache, model, out, losses);
            Ok(())
        }
    }
}

fn specification(name: &str, description: Option<&str>, schema: Option<&str>, strict: Option<bool>, out: &mut Writer) {
    out.begin_object();
    out.key("toolSpec");
    out.begin_object();
    out.field_str("name", name);
    out.opt_str("description", description.filter(|text| !text.trim().is_empty()));
    out.key("inputSchema");
    out.begin_object();
    out.key("json");
    input_schema(schema, out);
    out.end_object();
    out.opt_bool("strict", strict);
    out.end_object();
    out.end_object();
}

/// A schema whose root must say that it is an object.
fn input_schema(schema: Option<&str>, out: &mut Writer) {
    let Some(schema) = schema.map(str::trim_start).filter(|schema| schema.starts_with('{')) else {
        return out.raw(r#"{"type":"object","properties":{}}"#);
    };
    if root_type(schema).is_some() {
        return out.raw(schema);
    }
    let inside = schema.get(1..).unwrap_or("}").trim_start();
    let comma = if inside.starts_with('}') { "" } else { "," };
    out.raw(&format!(r#"{{"type":"object"{comma}{inside}"#));
}

fn inference(params: &Params<'_>, plan: &Plan<'_>, model: &Model<'_>, out: &mut Writer, losses: &mut Losses) {
    let stop = stop(params, model, losses);
    if plan.max_tokens.is_none() && plan.temperature.is_none() && plan.top_p.is_none() && stop.is_empty() {
        return;
    }
    out.key("inferenceConfig");
    out.begin_object();
    out.opt_u64("maxTokens", plan.max_tokens);
    out.opt_raw("temperature", plan.temperature.as_deref());
    out.opt_raw("topP", plan.top_p);
    if !stop.is_empty() {
        out.key("stopSequences");
        out.begin_array();
        stop.iter().for_each(|stop| out.string(stop));
        out.end_array();
    }
    out.end_object();
    if !stop.is_empty() && model.is_claude() {
        // Which one was met is told only when it is asked for, at one place in whole answers and at another in streams.
        out.field_raw("additionalModelResponseFieldPaths", r#"["/stop_sequence","/delta/stop_sequence"]"#);
    }
}

/// The stop sequences that are taken.
fn stop<'p>(params: &'p Params<'_>, model: &Model<'_>, losses: &mut Losses) -> Vec<&'p str> {
    if model.refuses_stop() {
        losses.note_if(!params.stop.is_empty(), Loss::Stop);
        return Vec::new();
    }
    let is_taken = |stop: &&str| if model.is_claude() { !stop.trim().is_empty() } else { !stop.is_empty() };
    let taken: Vec<&str> = params.stop.iter().map(AsRef::as_ref).filter(is_taken).collect();
    losses.note_if(taken.len() < params.stop.len(), Loss::StopBlank);
    taken
}

fn output(params: &Params<'_>, plan: &Plan<'_>, out: &mut Writer) {
    let native = match &params.format {
        Some(Format::Schema { name, description, schema, .. }) if plan.shape == Shape::Native => {
            Some((name, description, schema))
        }
        _ => None,
    };
    if native.is_none() && plan.effort.is_none() {
        return;
    }
    out.key("outputConfig");
    out.begin_object();
    out.opt_str("effort", plan.effort.map(|effort| effort.word()));
    if let Some((name, description, schema)) = native {
        out.key("textFormat");
        out.begin_object();
        out.field_str("type", "json_schema");
        out.key("structure");
        out.begin_object();
        out.key("jsonSchema");
        out.begin_object();
        out.field_str("schema", schema);
        out.opt_str("name", name.as_deref());
        out.opt_str("description", description.as_deref());
        out.end_object();
        out.end_object();
        out.end_object();
    }
    out.end_object();
}

/// What only models of one maker know, in that maker's own words.
fn additional(plan: &Plan<'_>, model: &Model<'_>, out: &mut Writer) {
    if plan.top_k.is_none() && plan.thinking.is_none() && !plan.is_single {
        return;
    }
    out.key("additionalModelRequestFields");
    out.begin_object();
    if let Some(thinking) = plan.thinking {
        write_thinking(thinking, model, out);
    }
    match (plan.top_k, model.maker) {
        (None, _) => {}
        (Some(top_k), Maker::Amazon) => {
            out.key("inferenceConfig");
            out.begin_object();
            out.field_raw("topK", top_k);
            out.end_object();
        }
        (Some(top_k), _) => out.field_raw("top_k", top_k),
    }
    if plan.is_single {
        let choice = plan.choice.unwrap_or(Choice::Auto);
        out.key("tool_choice");
        out.begin_object();
        out.field_str(
            "type",
            match choice {
                Choice::Auto => "auto",
                Choice::Any => "any",
                Choice::Tool(_) => "tool",
            },
        );
        if let Choice::Tool(name) = choice {
            out.field_str("name", name);
        }
        out.field_bool("disable_parallel_tool_use", true);
        out.end_object();
    }
    out.end_object();
}

fn write_thinking(thinking: Thinking, model: &Model<'_>, out: &mut Writer) {
    match thinking {
        Thinking::Off => out.field_raw("thinking", r#"{"type":"disabled"}"#),
        Thinking::Adaptive(shown) => {
            out.key("thinking");
            out.begin_object();
            out.field_str("type", "adaptive");
            out.opt_str("display", shown.map(|shown| if shown { "summarized" } else { "omitted" }));
            out.end_object();
        }
        Thinking::Budget(budget) => {
            out.key("thinking");
            out.begin_object();
            out.field_str("type", "enabled");
            out.field_u64("budget_tokens", budget);
            out.end_object();
        }
        Thinking::Effort(effort) if model.maker == Maker::OpenAi => out.field_str("reasoning_effort", effort.word()),
        Thinking::Effort(effort) => {
            out.key("reasoningConfig");
            out.begin_object();
            out.field_str("type", "enabled");
            out.field_str("maxReasoningEffort", effort.word());
            out.end_object();
        }
    }
}

/// The canonical words for tiers are OpenAI's; the usual one needs no word.
fn tier(params: &Params<'_>, out: &mut Writer, losses: &mut Losses) {
    match params.service_tier.as_deref() {
        None | Some("auto" | "default") => {}
        Some(word @ ("flex" | "priority")) => {
            out.key("serviceTier");
            out.begin_object();
            out.field_str("type", word);
            out.end_object();
        }
        Some(_) => losses.note(Loss::ServiceTier),
    }
}

/// Most entries of metadata that Bedrock takes, and the longest of their texts, in bytes.
const METADATA_MOST: usize = 16;
const METADATA_TEXT: usize = 256;

/// Bedrock's metadata are texts of few letters, for the account's own logs; anything else is left out as a whole.
fn metadata(params: &Params<'_>, out: &mut Writer, losses: &mut Losses) {
    let Some(raw) = params.metadata else { return };
    let mut tape = Tape::default();
    let Some(entries) = tape.read(raw.as_bytes()).ok().filter(|value| value.is_object()) else {
        return losses.note(Loss::Metadata);
    };
    let is_letter =
        |letter: char| letter.is_ascii_alphanumeric() || letter.is_whitespace() || "_:@$#=/+,-.".contains(letter);
    let is_text = |text: &str| text.len() <= METADATA_TEXT && text.chars().all(is_letter);
    let is_entry = |name: &str, value: Option<&str>| !name.is_empty() && is_text(name) && value.is_some_and(is_text);
    let count = entries.fields().count();
    let are_taken = entries.fields().all(|(name, value)| is_entry(&name, value.string().as_deref()));
    if count == 0 {
        return;
    }
    if count > METADATA_MOST || !are_taken {
        return losses.note(Loss::Metadata);
    }
    out.key("requestMetadata");
    out.begin_object();
    for (name, value) in entries.fields() {
        out.field_str(&name, &value.string().unwrap_or_default());
    }
    out.end_object();
}

/// What has no place in Converse at all.
fn leave_out(request: &Request<'_>, losses: &mut Losses) {
    let params = &request.params;
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
        (params.user.is_some(), Loss::User),
        (params.prompt_cache_key.is_some(), Loss::CacheKey),
        (params.modalities.iter().any(|kind| kind != "text"), Loss::Modalities),
        (!request.extra.is_empty(), Loss::Field),
    ] {
        losses.note_if(is_asked, loss);
    }
}

/// Whether a number was asked for that is not the one that changes nothing.
fn is_number(asked: Option<&str>, neutral: f64) -> bool {
    asked.is_some_and(|asked| asked.parse() != Ok(neutral))
}
