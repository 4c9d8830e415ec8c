//! Requests of clients: everything but the conversation itself, which is in `input`.

use super::input;
use crate::carry::Carry;
use crate::dialect::openai_responses::read::{self, At, Object};
use crate::dialect::openai_responses::{ID, fields};
use crate::error::BodyFault;
use crate::json::Value;
use crate::model::{Effort, Extra, Format, Part, Reasoning, Request, Role, Tool, ToolChoice, ToolKind, Turn};
use crate::scan::Scan;

/// What `include` asks for and other dialects can say.
const SEALED: &str = "reasoning.encrypted_content";
const LOGPROBS: &str = "message.output_text.logprobs";

/// Fields that are read here.
const READ: [&str; 24] = [
    "instructions",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "top_a",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "seed",
    "stop",
    "logit_bias",
    "top_logprobs",
    "text",
    "reasoning",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "service_tier",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "metadata",
    "modalities",
];

/// Reads a request.
pub(super) fn request<'a>(value: Value<'a>, scan: &Scan, carry: &Carry) -> Result<Request<'a>, BodyFault> {
    let body = Object::of(value, At::default())?;
    let mut request = Request { from: ID, conversation: "input", stream: scan.stream, ..Request::default() };
    if let Some(text) = body.text("instructions")?.filter(|text| !text.is_empty()) {
        request.turns.push(Turn { at: 0, role: Role::System, parts: vec![Part::text(text)], name: None });
    }
    input::turns(value, carry, &mut request.turns)?;
    numbers(&body, &mut request)?;
    words(&body, &mut request)?;
    text(&body, &mut request)?;
    request.params.reasoning = reasoning(&body)?;
    tools(&body, &mut request)?;
    tool_choice(&body, &mut request)?;
    extra(&body, &mut request)?;
    Ok(request)
}

fn numbers<'a>(body: &Object<'a, '_>, request: &mut Request<'a>) -> Result<(), BodyFault> {
    let params = &mut request.params;
    params.max_output = body.count("max_output_tokens")?;
    params.temperature = body.number("temperature")?;
    params.top_p = body.number("top_p")?;
    params.top_k = body.number("top_k")?;
    params.min_p = body.number("min_p")?;
    params.top_a = body.number("top_a")?;
    params.frequency_penalty = body.number("frequency_penalty")?;
    params.presence_penalty = body.number("presence_penalty")?;
    params.repetition_penalty = body.number("repetition_penalty")?;
    params.seed = body.number("seed")?;
    params.logit_bias = body.raw_object("logit_bias")?;
    params.top_logprobs = body.count("top_logprobs")?;
    Ok(())
}

fn words<'a>(body: &Object<'a, '_>, request: &mut Request<'a>) -> Result<(), BodyFault> {
    let params = &mut request.params;
    params.stop = match body.value.get("stop").and_then(|stop| stop.string()) {
        Some(stop) => vec![stop],
        None => body.texts("stop")?,
    };
    params.service_tier = body.text("service_tier")?;
    // The first is the newer name of the second.
    let (identifier, user) = (body.text("safety_identifier")?, body.text("user")?);
    params.user = identifier.or(user);
    params.prompt_cache_key = body.text("prompt_cache_key")?;
    params.metadata = body.raw_object("metadata")?;
    params.modalities = body.texts("modalities")?;
    request.parallel_tools = body.flag("parallel_tool_calls")?;
    Ok(())
}

fn text<'a>(body: &Object<'a, '_>, request: &mut Request<'a>) -> Result<(), BodyFault> {
    let Some(text) = body.object("text")? else { return Ok(()) };
    let text = Object::of(text, At::top("text"))?;
    request.params.verbosity = text.text("verbosity")?;
    let Some(format) = text.object("format")? else { return Ok(()) };
    let format = Object::of(format, At::top("text.format"))?;
    request.params.format = Some(match &*format.required_text("type")? {
        "text" => Format::Text,
        "json_object" => Format::Json,
        "json_schema" => Format::Schema {
            name: format.text("name")?,
            description: format.text("description")?,
            schema: format.raw_object("schema")?.ok_or_else(|| read::missing(At::top("text.format.schema")))?.into(),
            strict: format.flag("strict")?,
        },
        _ => return Err(read::unknown_word(At::top("text.format.type"), "text, json_object, json_schema")),
    });
    Ok(())
}

fn reasoning<'a>(body: &Object<'a, '_>) -> Result<Option<Reasoning<'a>>, BodyFault> {
    let Some(value) = body.object("reasoning")? else { return Ok(None) };
    let object = Object::of(value, At::top("reasoning"))?;
    let effort = object.text("effort")?.map(|word| effort(&word)).transpose()?;
    let summary = match object.text("summary")? {
        None => object.text("generate_summary")?,
        summary => summary,
    };
    let excluded = object.flag("exclude")?.filter(|excluded| *excluded);
    let reasoning = Reasoning {
        enabled: object.flag("enabled")?,
        effort,
        budget: object.count("max_tokens")?,
        shown: excluded.map(|_| false).or(summary.is_some().then_some(true)),
        summary,
    };
    Ok(Some(reasoning))
}

fn effort(word: &str) -> Result<Effort, BodyFault> {
    let known = "none, minimal, low, medium, high, xhigh, max";
    Effort::parse(word).ok_or_else(|| read::unknown_word(At::top("reasoning.effort"), known))
}

fn tools<'a>(body: &Object<'a, '_>, request: &mut Request<'a>) -> Result<(), BodyFault> {
    let Some(tools) = body.array("tools")? else { return Ok(()) };
    for (at, value) in tools.items().enumerate() {
        request.tools.push(Tool { kind: tool(value, at)?, cache: input::mark(value) });
    }
    Ok(())
}

/// A function, or a tool that only providers of this dialect have.
fn tool<'a>(value: Value<'a>, at: usize) -> Result<ToolKind<'a>, BodyFault> {
    let tool = Object::of(value, At::top("tools").item(at))?;
    let kind = tool.required_text("type")?;
    if kind != "function" {
        return Ok(ToolKind::Native { at, name: kind, raw: value.raw() });
    }
    Ok(ToolKind::Function {
        name: tool.required_text("name")?,
        description: tool.text("description")?,
        schema: tool.raw_object("parameters")?.map(Into::into),
        strict: tool.flag("strict")?,
    })
}

fn tool_choice<'a>(body: &Object<'a, '_>, request: &mut Request<'a>) -> Result<(), BodyFault> {
    let Some(value) = body.value.get("tool_choice") else { return Ok(()) };
    let known = "auto, none, required";
    if let Some(word) = value.string() {
        request.tool_choice = Some(match &*word {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Required,
            _ => return Err(read::unknown_word(At::top("tool_choice"), known)),
        });
        return Ok(());
    }
    let choice = Object::of(value, At::top("tool_choice"))
        .map_err(|_| read::wrong_type(At::top("tool_choice"), "a string or an object"))?;
    request.tool_choice = match &*choice.required_text("type")? {
        "function" => Some(ToolChoice::Named(choice.required_text("name")?)),
        "allowed_tools" => among(&choice)?,
        _ => None,
    };
    if request.tool_choice.is_none() {
        // A tool of the provider's own is forced: whoever does not know it refuses it among the tools.
        request.extra.push(Extra { name: "tool_choice".into(), value });
    }
    Ok(())
}

/// Some tools of those that are given; none when there is one among them that is no function.
fn among<'a>(choice: &Object<'a, '_>) -> Result<Option<ToolChoice<'a>>, BodyFault> {
    let required = match choice.text("mode")?.as_deref() {
        None | Some("auto") => false,
        Some("required") => true,
        Some(_) => return Err(read::unknown_word(At::top("tool_choice.mode"), "auto, required")),
    };
    let tools = choice.array("tools")?.ok_or_else(|| read::missing(At::top("tool_choice.tools")))?;
    let mut names = Vec::new();
    for (at, tool) in tools.items().enumerate() {
        let tool = Object::of(tool, At::top("tool_choice.tools").item(at))?;
        if tool.required_text("type")? != "function" {
            return Ok(None);
        }
        names.push(tool.required_text("name")?);
    }
    Ok(Some(ToolChoice::Among { names, required }))
}

/// What no other dialect can say, and what says nothing beyond what everybody does anyway.
fn extra<'a>(body: &Object<'a, '_>, request: &mut Request<'a>) -> Result<(), BodyFault> {
    let includes_more = include(body, request)?;
    for (name, value) in body.value.fields().filter(|(_, value)| !value.is_null()) {
        let keeps = match &*name {
            name if READ.contains(&name) || fields::is_known(name) => false,
            "include" => includes_more,
            "truncation" => !value.is_text("disabled"),
            // Padding against eavesdroppers, which only OpenAI sends.
            "stream_options" => value.fields().any(|(name, _)| name != "include_obfuscation"),
            "prompt" => {
                let why = "prompts that another provider stores cannot be used; send the text itself";
                return Err(read::unsupported(At::top("prompt"), why));
            }
            _ => true,
        };
        if keeps {
            request.extra.push(Extra { name, value });
        }
    }
    Ok(())
}

/// Reads what is to be included; whether there is something that others cannot say.
fn include<'a>(body: &Object<'a, '_>, request: &mut Request<'a>) -> Result<bool, BodyFault> {
    let wanted = body.texts("include")?;
    if wanted.iter().any(|word| word == LOGPROBS) {
        request.params.logprobs = Some(true);
    }
    Ok(wanted.iter().any(|word| word != LOGPROBS && word != SEALED))
}
