//! A request in canonical words. Strict about the types of what it knows, and keeps what it does not know for a provider
//! of the same dialect.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use super::SYSTEM;
use super::block::{Blocks, cache};
use super::place::{Place, TOP};
use crate::Carry;
use crate::dialect::anthropic::{ID, fields};
use crate::error::BodyFault;
use crate::json::Value;
use crate::model::{Effort, Extra, Format, Part, PartBody, Reasoning, Request, Role, Tool, ToolChoice, ToolKind, Turn};
use crate::scan::Scan;

/// Longest key for a prompt cache that others take.
const CACHE_KEY: usize = 64;

/// How the line begins that Claude Code writes about its call.
const CALL_MARK: &str = "x-anthropic-billing-header:";

/// The fields of a function that have canonical words.
const FUNCTION: &[&str] = &["name", "description", "input_schema", "strict"];

pub(super) fn request<'a>(body: Value<'a>, scan: &Scan, carry: &Carry) -> Result<Request<'a>, BodyFault> {
    let request = Request { from: ID, conversation: "messages", stream: scan.stream, ..Request::default() };
    let mut reading = Reading { carry, request };
    reading.request.params.max_output = scan.max_tokens;
    if let Some(system) = body.get("system").filter(|system| says_something(*system)) {
        reading.turn(SYSTEM, Role::System, system, &TOP.field("system"))?;
        reading.keep_marks_of_calls(system);
    }
    reading.messages(body)?;
    for (name, value) in body.fields().filter(|(name, value)| !value.is_null() && !fields::is_acted_on(name)) {
        reading.field(name, value)?;
    }
    Ok(reading.request)
}

struct Reading<'c, 'a> {
    carry: &'c Carry,
    request: Request<'a>,
}

impl<'a> Reading<'_, 'a> {
    fn blocks(&mut self) -> Blocks<'_, 'a> {
        Blocks { carry: self.carry, extra: &mut self.request.extra }
    }

    fn turn(&mut self, at: usize, role: Role, content: Value<'a>, place: &Place<'_>) -> Result<(), BodyFault> {
        let parts = self.blocks().content(content, place)?;
        self.request.turns.push(Turn { at, role, parts, name: None });
        Ok(())
    }

    /// Claude Code writes a line about its call before the system text, another one each time. It is meant for Anthropic
    /// alone, and a prompt that begins otherwise each time is in nobody's cache: it is no text to others.
    fn keep_marks_of_calls(&mut self, system: Value<'a>) {
        let parts = self.request.turns.last_mut().map(|turn| turn.parts.iter_mut()).into_iter().flatten();
        for (part, block) in parts.zip(system.items()) {
            if matches!(&part.body, PartBody::Text { text, .. } if text.starts_with(CALL_MARK)) {
                *part = Part::new(PartBody::Other { raw: Cow::Borrowed(block.raw()) });
            }
        }
    }

    fn messages(&mut self, body: Value<'a>) -> Result<(), BodyFault> {
        let place = TOP.field("messages");
        for (at, message) in body.get("messages").iter().flat_map(Value::items).enumerate() {
            let place = place.item(at);
            let role = match &*place.str(place.object(message)?, "role")? {
                "user" => Role::User,
                "assistant" => Role::Assistant,
                "system" => Role::System,
                _ => return Err(place.field("role").out_of_range("`user`, `assistant` or `system`")),
            };
            let content =
                message.get("content").ok_or_else(|| place.field("content").wrong_type("a string or an array"))?;
            self.turn(at, role, content, &place.field("content"))?;
            self.blocks().keep(message, &place, &["role", "content"]);
        }
        Ok(())
    }

    fn field(&mut self, name: Cow<'a, str>, value: Value<'a>) -> Result<(), BodyFault> {
        let place = TOP.field(&name);
        let params = &mut self.request.params;
        match &*name {
            "system" => {}
            "temperature" => params.temperature = Some(number(value, &place)?),
            "top_p" => params.top_p = Some(number(value, &place)?),
            "top_k" => params.top_k = Some(number(value, &place)?),
            "stop_sequences" => {
                let items = place.array(value)?.items().enumerate();
                params.stop = items.map(|(at, item)| place.item(at).string(item)).collect::<Result<_, _>>()?;
            }
            "tools" => self.tools(value, &place)?,
            "tool_choice" => self.tool_choice(value, &place)?,
            "thinking" => self.thinking(value, &place)?,
            "output_config" => self.output_config(value, &place)?,
            "output_format" if !self.format(value, &place)? => self.keep(name, value),
            "output_format" => {}
            "metadata" => self.metadata(value, &place)?,
            "service_tier" => self.request.params.service_tier = Some(tier(place.string(value)?)),
            _ => self.keep(name, value),
        }
        Ok(())
    }

    fn keep(&mut self, name: Cow<'a, str>, value: Value<'a>) {
        self.request.extra.push(Extra { name, value });
    }

    fn tools(&mut self, value: Value<'a>, place: &Place<'_>) -> Result<(), BodyFault> {
        for (at, tool) in place.array(value)?.items().enumerate() {
            let place = place.item(at);
            let sort = place.opt_str(place.object(tool)?, "type")?;
            let tool = match sort.filter(|sort| sort != "custom") {
                Some(sort) => {
                    let name = place.opt_str(tool, "name")?.unwrap_or(sort);
                    Tool { kind: ToolKind::Native { at, name, raw: tool.raw() }, cache: None }
                }
                None => self.function(tool, &place)?,
            };
            self.request.tools.push(tool);
        }
        Ok(())
    }

    fn function(&mut self, tool: Value<'a>, place: &Place<'_>) -> Result<Tool<'a>, BodyFault> {
        let schema = tool.get("input_schema").map(|schema| place.field("input_schema").object(schema)).transpose()?;
        self.blocks().keep(tool, place, FUNCTION);
        let kind = ToolKind::Function {
            name: place.str(tool, "name")?,
            description: place.opt_str(tool, "description")?,
            schema: schema.map(|schema| schema.raw().into()),
            strict: place.opt_bool(tool, "strict")?,
        };
        Ok(Tool { kind, cache: cache(tool, place)? })
    }

    fn tool_choice(&mut self, value: Value<'a>, place: &Place<'_>) -> Result<(), BodyFault> {
        self.request.tool_choice = Some(match &*place.str(place.object(value)?, "type")? {
            "auto" => ToolChoice::Auto,
            "any" => ToolChoice::Required,
            "none" => ToolChoice::None,
            "tool" => ToolChoice::Named(place.str(value, "name")?),
            _ => return Err(place.field("type").out_of_range("`auto`, `any`, `tool` or `none`")),
        });
        self.request.parallel_tools = place.opt_bool(value, "disable_parallel_tool_use")?.map(|off| !off);
        Ok(())
    }

    fn reasoning(&mut self) -> &mut Reasoning<'a> {
        self.request.params.reasoning.get_or_insert_default()
    }

    fn thinking(&mut self, value: Value<'a>, place: &Place<'_>) -> Result<(), BodyFault> {
        let enabled = match &*place.str(place.object(value)?, "type")? {
            "enabled" | "adaptive" => true,
            "disabled" => false,
            _ => {
                self.keep("thinking".into(), value);
                return Ok(());
            }
        };
        let budget = place.opt_count(value, "budget_tokens")?;
        let display = place.opt_str(value, "display")?;
        let reasoning = self.reasoning();
        reasoning.enabled = Some(enabled);
        reasoning.budget = budget.filter(|_| enabled);
        reasoning.shown = display.map(|display| display != "omitted");
        Ok(())
    }

    fn output_config(&mut self, value: Value<'a>, place: &Place<'_>) -> Result<(), BodyFault> {
        let effort = place.opt_str(place.object(value)?, "effort")?;
        let known = effort.as_deref().map(Effort::parse);
        if let Some(Some(effort)) = known {
            self.reasoning().effort = Some(effort);
        }
        let is_told = match value.get("format") {
            Some(format) => self.format(format, &place.field("format"))?,
            None => true,
        };
        let is_new = |name: &str| !matches!(name, "effort" | "format");
        if !is_told || known == Some(None) || value.fields().any(|(name, value)| is_new(&name) && !value.is_null()) {
            self.keep("output_config".into(), value);
        }
        Ok(())
    }

    /// Whether it could be said in canonical words.
    fn format(&mut self, value: Value<'a>, place: &Place<'_>) -> Result<bool, BodyFault> {
        if place.str(place.object(value)?, "type")? != "json_schema" {
            return Ok(false);
        }
        let schema = value.get("schema").ok_or_else(|| place.field("schema").wrong_type("an object"))?;
        let schema = place.field("schema").object(schema)?.raw();
        self.request.params.format =
            Some(Format::Schema { name: None, description: None, schema: schema.into(), strict: None });
        Ok(true)
    }

    /// The user's id also keys caches: those who have a key for them are told so, cut to what they take.
    fn metadata(&mut self, value: Value<'a>, place: &Place<'_>) -> Result<(), BodyFault> {
        let user = place.opt_str(place.object(value)?, "user_id")?;
        if value.fields().any(|(name, value)| name != "user_id" && !value.is_null()) {
            self.keep("metadata".into(), value);
        }
        let params = &mut self.request.params;
        params.prompt_cache_key = user.clone().map(|user| if user.len() > CACHE_KEY { digest(&user) } else { user });
        params.user = user;
        Ok(())
    }
}

/// An empty text and a list of nothing are no system text.
fn says_something(system: Value<'_>) -> bool {
    let is_empty_list = system.is_array() && system.items().next().is_none();
    !system.is_null() && !is_empty_list && system.string().is_none_or(|text| !text.is_empty())
}

fn number<'a>(value: Value<'a>, place: &Place<'_>) -> Result<&'a str, BodyFault> {
    value.number().ok_or_else(|| place.wrong_type("a number"))
}

/// The canonical words for tiers are OpenAI's.
fn tier(word: Cow<'_, str>) -> Cow<'_, str> {
    if word == "standard_only" { Cow::Borrowed("default") } else { word }
}

fn digest<'a>(text: &str) -> Cow<'a, str> {
    let bytes = Sha256::digest(text.as_bytes());
    Cow::Owned(bytes.iter().take(CACHE_KEY / 2).map(|byte| format!("{byte:02x}")).collect())
}
