//! The numbers of an answer's usage as classes that do not overlap, and back; used by the tap and by both halves. What the
//! numbers include is told from themselves, as for OpenAI's chat. Never a price.

use domain::usage::TokenUsage;

use super::piece::{self, Response};
pub(super) use crate::dialect::openai_chat::usage::Found;
use crate::dialect::openai_chat::usage::{Numbers, details, value};
use crate::json::{Cursor, Flaw, Kind, NewText, Span, Value, Writer};
use crate::receipt::Receipt;

/// A part of the written tokens that lives an hour: nobody else's word, so that nothing is lost on the way.
const WRITTEN_1H: &str = "cache_write_1h_tokens";

/// What is counted of searches in a usage: as xAI or OpenRouter do.
const SEARCHES: [(&[u8], &[u8]); 2] =
    [(b"server_side_tool_usage_details", b"web_search_calls"), (b"server_tool_use_details", b"web_search_requests")];
/// More searches than any answer has; such a number is a mistake.
const MOST_SEARCHES: u64 = 1_000_000;

/// Reads a usage value; none when it is not an object.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Option<Found>, Flaw> {
    if cursor.kind()? != Kind::Object {
        cursor.pass()?;
        return Ok(None);
    }
    let start = cursor.position();
    let mut more = cursor.open_object()?;
    let mut found = Found { is_bare: !more, ..Found::default() };
    while more {
        let key = cursor.key()?;
        let name = cursor.name(key);
        field(&name, cursor, &mut found)?;
        more = cursor.next_field()?;
    }
    found.span = Span { start, end: cursor.position() };
    Ok(Some(found))
}

fn field(name: &[u8], cursor: &mut Cursor<'_>, found: &mut Found) -> Result<(), Flaw> {
    let numbers = &mut found.numbers;
    match name {
        b"input_tokens" => numbers.prompt = cursor.count()?,
        b"output_tokens" => numbers.completion = cursor.count()?,
        b"total_tokens" => numbers.total = cursor.count()?,
        b"input_tokens_details" => details(cursor, |name, value| match name {
            b"cached_tokens" => numbers.cached = value,
            b"cache_write_tokens" => numbers.cache_write = value,
            _ if name == WRITTEN_1H.as_bytes() => numbers.cache_write_1h = value,
            b"audio_tokens" => numbers.audio_input = value,
            _ => {}
        })?,
        b"output_tokens_details" => details(cursor, |name, value| match name {
            b"reasoning_tokens" => numbers.reasoning = value,
            b"audio_tokens" => numbers.audio_output = value,
            _ => {}
        })?,
        b"cost" => found.cost = Some(value(cursor)?),
        b"is_byok" => found.is_byok = Some(value(cursor)?),
        b"cost_details" => found.cost_details = Some(value(cursor)?),
        name => match SEARCHES.into_iter().find(|(within, _)| *within == name) {
            Some((_, counted)) => details(cursor, |name, value| {
                if name == counted {
                    numbers.web_searches = value.or(numbers.web_searches);
                }
            })?,
            None => drop(cursor.pass()?),
        },
    }
    Ok(())
}

/// The tokens of a response by class: searches as somebody counts them, else those that stand in the output.
pub(super) fn of(response: &Response) -> Option<TokenUsage> {
    let numbers = response.usage.as_ref()?.numbers;
    let counted = numbers.web_searches.or(response.searches).filter(|count| *count <= MOST_SEARCHES);
    Numbers { web_searches: counted.or(Some(response.output.searches)), ..numbers }.tokens()
}

/// The same of a response that stands in something larger.
pub(super) fn tokens(response: Value<'_>) -> Option<TokenUsage> {
    of(&piece::answer(response.raw().as_bytes()).ok()?)
}

/// A usage object with its cost.
pub(super) fn write(out: &mut Writer, usage: &TokenUsage, receipt: Option<&Receipt>) {
    out.begin_object();
    let (input, output) = (usage.prompt_total(), usage.completion_total());
    let written = usage.cache_write.saturating_add(usage.cache_write_1h);
    out.field_u64("input_tokens", input);
    out.key("input_tokens_details");
    out.begin_object();
    out.field_u64("cached_tokens", usage.cache_read);
    out.field_u64("cache_write_tokens", written);
    out.opt_u64(WRITTEN_1H, some(usage.cache_write_1h));
    out.opt_u64("audio_tokens", some(usage.audio_input));
    out.end_object();
    out.field_u64("output_tokens", output);
    out.key("output_tokens_details");
    out.begin_object();
    out.field_u64("reasoning_tokens", usage.reasoning);
    out.opt_u64("audio_tokens", some(usage.audio_output));
    out.end_object();
    out.field_u64("total_tokens", input.saturating_add(output));
    if usage.web_searches > 0 {
        out.key("server_tool_use_details");
        out.begin_object();
        out.field_u64("web_search_requests", usage.web_searches);
        out.end_object();
    }
    if let Some(receipt) = receipt {
        cost(out, "cost", |text| receipt.write_cost(text));
        cost(out, "is_byok", |text| receipt.write_is_byok(text));
        cost(out, "cost_details", |text| receipt.write_cost_details(text));
    }
    out.end_object();
}

fn some(count: u64) -> Option<u64> {
    (count > 0).then_some(count)
}

fn cost(out: &mut Writer, name: &str, write: impl FnOnce(&mut NewText)) {
    let mut text = NewText::new();
    write(&mut text);
    out.field_raw(name, std::str::from_utf8(&text).unwrap_or("null"));
}
