//! Reads a request. Strict about the types of fields that it knows; what it does not know rides along for a provider of
//! the same dialect. Null is the same as absent.

use std::borrow::Cow;

use super::turns;
use crate::Carry;
use crate::dialect::openai_chat::{FIELDS, ID, expect};
use crate::error::BodyFault;
use crate::json::Value;
use crate::model::{
    CacheMark, Effort, Extra, Format, Params, PartBody, Reasoning, Request, Role, Tool, ToolChoice, ToolKind,
};
use crate::scan::Scan;

pub(super) fn decode<'a>(body: Value<'a>, scan: &Scan, carry: &Carry) -> Result<Request<'a>, BodyFault> {
    let mut request = Request { from: ID, conversation: "messages", stream: scan.stream, ..Request::default() };
    request.params.max_output = scan.output_limit();
    request.params.choices = body.get("n").map(|_| scan.choices);
    let mut automatic = None;
    for (name, value) in body.fields().filter(|(_, value)| !value.is_null()) {
        match &*name {
            "messages" => request.turns = turns::decode(value, carry)?,
            "cache_control" => automatic = cache_mark(value, "cache_control")?,
            _ => field(&mut request, name, value)?,
        }
    }
    if let Some(mark) = automatic {
        mark_last(&mut request, mark);
    }
    Ok(request)
}

/// A mark at the top asks for one behind everything that was said so far.
fn mark_last(request: &mut Request<'_>, mark: CacheMark) {
    let last = request.turns.last_mut().and_then(|turn| turn.parts.last_mut());
    if let Some(part) = last.filter(|part| !matches!(part.body, PartBody::Thought(_))) {
        part.cache.get_or_insert(mark);
    }
}

fn field<'a>(request: &mut Request<'a>, name: Cow<'a, str>, value: Value<'a>) -> Result<(), BodyFault> {
    let params = &mut request.params;
    if let Some(place) = number_field(params, &name) {
        *place = Some(expect::number(value, &name)?);
        return Ok(());
    }
    if let Some(place) = text_field(params, &name) {
        *place = Some(expect::text(value, &name)?);
        return Ok(());
    }
    match &*name {
        // Read by the scan.
        "model" | "stream" | "stream_options" | "max_tokens" | "max_completion_tokens" | "n" | "usage" => {}
        "logit_bias" => params.logit_bias = Some(expect::object(value, &name)?.raw()),
        "metadata" => params.metadata = Some(expect::object(value, &name)?.raw()),
        "logprobs" => params.logprobs = Some(expect::flag(value, &name)?),
        "top_logprobs" => params.top_logprobs = Some(expect::count(value, &name)?),
        "stop" => params.stop = one_or_more(value, &name, "a string or an array of strings")?,
        "modalities" => params.modalities = one_or_more(value, &name, "an array of strings")?,
        "parallel_tool_calls" => request.parallel_tools = Some(expect::flag(value, &name)?),
        "tools" => request.tools.append(&mut tools(value)?),
        "functions" => functions(request, value)?,
        "tool_choice" => match tool_choice(value)? {
            Some(choice) => request.tool_choice = Some(choice),
            None => request.extra.push(Extra { name, value }),
        },
        "function_call" => {
            let choice = function_choice(value)?;
            request.tool_choice.get_or_insert(choice);
        }
        "response_format" => match format(value)? {
            Some(format) => params.format = Some(format),
            None => request.extra.push(Extra { name, value }),
        },
        "reasoning_effort" => match Effort::parse(&expect::text(value, &name)?) {
            Some(effort) => {
                params.reasoning.get_or_insert_default().effort.get_or_insert(effort);
            }
            None => request.extra.push(Extra { name, value }),
        },
        "include_reasoning" => {
            let shown = expect::flag(value, &name)?;
            params.reasoning.get_or_insert_default().shown.get_or_insert(shown);
        }
        "reasoning" => match reasoning(value, params.reasoning.take())? {
            Some(reasoning) => params.reasoning = Some(reasoning),
            None => request.extra.push(Extra { name, value }),
        },
        // The gateway's own fields have done their work.
        name if FIELDS.iter().any(|acted| acted.own && acted.name == name) => {}
        _ => request.extra.push(Extra { name, value }),
    }
    Ok(())
}

fn number_field<'p, 'a>(params: &'p mut Params<'a>, name: &str) -> Option<&'p mut Option<&'a str>> {
    Some(match name {
        "temperature" => &mut params.temperature,
        "top_p" => &mut params.top_p,
        "top_k" => &mut params.top_k,
        "min_p" => &mut params.min_p,
        "top_a" => &mut params.top_a,
        "frequency_penalty" => &mut params.frequency_penalty,
        "presence_penalty" => &mut params.presence_penalty,
        "repetition_penalty" => &mut params.repetition_penalty,
        "seed" | "random_seed" => &mut params.seed,
        _ => return None,
    })
}

fn text_field<'p, 'a>(params: &'p mut Params<'a>, name: &str) -> Option<&'p mut Option<Cow<'a, str>>> {
    Some(match name {
        "verbosity" => &mut params.verbosity,
        "service_tier" => &mut params.service_tier,
        "user" => &mut params.user,
        "prompt_cache_key" => &mut params.prompt_cache_key,
        _ => return None,
    })
}

fn one_or_more<'a>(value: Value<'a>, at: &str, expected: &str) -> Result<Vec<Cow<'a, str>>, BodyFault> {
    if let Some(text) = value.string() {
        return Ok(vec![text]);
    }
    if !value.is_array() {
        return Err(expect::wrong(at, expected));
    }
    value.items().enumerate().map(|(place, item)| expect::text(item, format_args!("{at}[{place}]"))).collect()
}

/// OpenRouter's and Anthropic's mark: `{"type":"ephemeral","ttl":"1h"}`.
pub(super) fn cache_mark(value: Value<'_>, at: impl std::fmt::Display) -> Result<Option<CacheMark>, BodyFault> {
    let object = expect::object(value, &at)?;
    let ttl = expect::opt_text(object, "ttl", &at)?;
    Ok(Some(if ttl.as_deref() == Some("1h") { CacheMark::Hour } else { CacheMark::Minutes }))
}

fn tools<'a>(value: Value<'a>) -> Result<Vec<Tool<'a>>, BodyFault> {
    let list = expect::array(value, "tools")?;
    list.items().enumerate().map(|(at, tool)| self::tool(tool, at)).collect()
}

fn tool<'a>(tool: Value<'a>, place: usize) -> Result<Tool<'a>, BodyFault> {
    let at = format_args!("tools[{place}]");
    expect::object(tool, at)?;
    let cache = match tool.get("cache_control") {
        Some(mark) => cache_mark(mark, format_args!("{at}.cache_control"))?,
        None => None,
    };
    let kind = expect::opt_text(tool, "type", at)?.unwrap_or("function".into());
    if kind != "function" {
        return Ok(Tool { kind: ToolKind::Native { at: place, name: kind, raw: tool.raw() }, cache });
    }
    let function = tool.get("function").ok_or_else(|| expect::missing(format_args!("{at}.function")))?;
    Ok(Tool { kind: function_kind(function, format_args!("{at}.function"))?, cache })
}

fn function_kind<'a>(function: Value<'a>, at: std::fmt::Arguments<'_>) -> Result<ToolKind<'a>, BodyFault> {
    expect::object(function, at)?;
    let schema = function.get("parameters").map(|schema| expect::object(schema, format_args!("{at}.parameters")));
    let strict = function.get("strict").map(|strict| expect::flag(strict, format_args!("{at}.strict")));
    Ok(ToolKind::Function {
        name: expect::named_text(function, "name", at)?,
        description: expect::opt_text(function, "description", at)?,
        schema: schema.transpose()?.map(|schema| schema.raw().into()),
        strict: strict.transpose()?,
    })
}

/// The form from before there were tools: one call in an answer at most.
fn functions<'a>(request: &mut Request<'a>, value: Value<'a>) -> Result<(), BodyFault> {
    for (at, function) in expect::array(value, "functions")?.items().enumerate() {
        let kind = function_kind(function, format_args!("functions[{at}]"))?;
        request.tools.push(Tool { kind, cache: None });
    }
    request.parallel_tools.get_or_insert(false);
    Ok(())
}

fn function_choice<'a>(value: Value<'a>) -> Result<ToolChoice<'a>, BodyFault> {
    match value.string().as_deref() {
        Some("none") => Ok(ToolChoice::None),
        Some("auto") => Ok(ToolChoice::Auto),
        Some(_) => Err(expect::out_of_range("function_call", "`none`, `auto` or an object")),
        None => {
            let object = expect::object(value, "function_call")?;
            Ok(ToolChoice::Named(expect::named_text(object, "name", "function_call")?))
        }
    }
}

/// None for a choice of another kind, which is the provider's business.
fn tool_choice<'a>(value: Value<'a>) -> Result<Option<ToolChoice<'a>>, BodyFault> {
    const AT: &str = "tool_choice";
    if let Some(word) = value.string() {
        return match &*word {
            "auto" => Ok(Some(ToolChoice::Auto)),
            "none" => Ok(Some(ToolChoice::None)),
            "required" | "any" => Ok(Some(ToolChoice::Required)),
            _ => Err(expect::out_of_range(AT, "`none`, `auto`, `required` or an object")),
        };
    }
    let object = value.is_object().then_some(value).ok_or_else(|| expect::wrong(AT, "a string or an object"))?;
    match &*expect::named_text(object, "type", AT)? {
        "function" => {
            let function = object.get("function").unwrap_or(object);
            let at = if object.get("function").is_some() { "tool_choice.function" } else { AT };
            Ok(Some(ToolChoice::Named(expect::named_text(expect::object(function, at)?, "name", at)?)))
        }
        "allowed_tools" => allowed_tools(object.get("allowed_tools").unwrap_or(object)),
        _ => Ok(None),
    }
}

fn allowed_tools<'a>(allowed: Value<'a>) -> Result<Option<ToolChoice<'a>>, BodyFault> {
    const AT: &str = "tool_choice.allowed_tools";
    let allowed = expect::object(allowed, AT)?;
    let mode = expect::opt_text(allowed, "mode", AT)?;
    let list = allowed.get("tools").ok_or_else(|| expect::missing(format_args!("{AT}.tools")))?;
    let mut names = Vec::new();
    for (at, tool) in expect::array(list, format_args!("{AT}.tools"))?.items().enumerate() {
        let function = tool.get("function").unwrap_or(tool);
        match function.str("name") {
            Some(name) if tool.str("type").is_none_or(|kind| kind == "function") => names.push(name),
            // A tool of another kind is among them: only the provider can tell.
            _ if tool.is_object() => return Ok(None),
            _ => return Err(expect::wrong(format_args!("{AT}.tools[{at}]"), "an object")),
        }
    }
    Ok(Some(ToolChoice::Among { names, required: mode.as_deref() == Some("required") }))
}

/// None for a format of another kind, which is the provider's business.
fn format<'a>(value: Value<'a>) -> Result<Option<Format<'a>>, BodyFault> {
    const AT: &str = "response_format";
    const INNER: &str = "response_format.json_schema";
    let object = expect::object(value, AT)?;
    Ok(match &*expect::named_text(object, "type", AT)? {
        "text" => Some(Format::Text),
        "json_object" => Some(Format::Json),
        "json_schema" => {
            let inner = object.get("json_schema").ok_or_else(|| expect::missing(INNER))?;
            let inner = expect::object(inner, INNER)?;
            let schema = inner.get("schema").map(|schema| expect::object(schema, format_args!("{INNER}.schema")));
            let strict = inner.get("strict").map(|strict| expect::flag(strict, format_args!("{INNER}.strict")));
            Some(Format::Schema {
                name: expect::opt_text(inner, "name", INNER)?,
                description: expect::opt_text(inner, "description", INNER)?,
                schema: schema.transpose()?.map_or("{}", |schema| schema.raw()).into(),
                strict: strict.transpose()?,
            })
        }
        _ => None,
    })
}

/// OpenRouter's object. None when it has an effort that nobody here knows.
pub(in crate::dialect::openai_chat) fn reasoning<'a>(
    value: Value<'a>,
    before: Option<Reasoning<'a>>,
) -> Result<Option<Reasoning<'a>>, BodyFault> {
    const AT: &str = "reasoning";
    let object = expect::object(value, AT)?;
    let mut reasoning = before.unwrap_or_default();
    if let Some(word) = expect::opt_text(object, "effort", AT)? {
        let Some(effort) = Effort::parse(&word) else { return Ok(None) };
        reasoning.effort = Some(effort);
    }
    if let Some(budget) = object.get("max_tokens") {
        reasoning.budget = Some(expect::count(budget, "reasoning.max_tokens")?);
    }
    if let Some(enabled) = object.get("enabled") {
        reasoning.enabled = Some(expect::flag(enabled, "reasoning.enabled")?);
    }
    if let Some(hidden) = object.get("exclude") {
        reasoning.shown = Some(!expect::flag(hidden, "reasoning.exclude")?);
    }
    reasoning.summary = expect::opt_text(object, "summary", AT)?.or(reasoning.summary);
    Ok(Some(reasoning))
}

/// The role of a message.
pub(super) fn role(word: &str) -> Option<Role> {
    Some(match word {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" | "tool" | "function" => Role::User,
        "assistant" => Role::Assistant,
        _ => return None,
    })
}
