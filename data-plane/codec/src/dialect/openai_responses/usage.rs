//! The numbers of an answer's usage as classes that do not overlap, and back; used by the tap and by both halves. What the
//! numbers include is told from themselves, as for OpenAI's chat. Never a price.

use domain::usage::TokenUsage;

use crate::dialect::openai_chat::usage::{Found, Numbers};
use crate::json::{NewText, Value, Writer};
use crate::receipt::Receipt;

/// A part of the written tokens that lives an hour: nobody else's word, so that nothing is lost on the way.
const WRITTEN_1H: &str = "cache_write_1h_tokens";

/// The usage of a whole response, or of the response in an event.
pub(super) fn tokens(response: Value<'_>) -> Option<TokenUsage> {
    let usage = response.get("usage").filter(Value::is_object)?;
    classes(response, usage, numbers(usage))
}

fn classes(response: Value<'_>, usage: Value<'_>, (numbers, written_1h): (Numbers, u64)) -> Option<TokenUsage> {
    let mut tokens = numbers.tokens()?;
    tokens.cache_write_1h = written_1h.min(tokens.cache_write);
    tokens.cache_write -= tokens.cache_write_1h;
    tokens.web_searches = searches(response, usage);
    Some(tokens)
}

/// What is counted, and how many of the written tokens live an hour.
fn numbers(usage: Value<'_>) -> (Numbers, u64) {
    let [prompt, completion, total, input, output] =
        usage.pick(["input_tokens", "output_tokens", "total_tokens", "input_tokens_details", "output_tokens_details"]);
    let [cached, written, written_1h, heard] = input
        .map(|input| input.pick(["cached_tokens", "cache_write_tokens", WRITTEN_1H, "audio_tokens"]))
        .unwrap_or_default();
    let [thought, spoken] = output.map(|output| output.pick(["reasoning_tokens", "audio_tokens"])).unwrap_or_default();
    let count = |value: Option<Value<'_>>| value.and_then(|value| value.u64());
    let numbers = Numbers {
        prompt: count(prompt),
        completion: count(completion),
        total: count(total),
        cached: count(cached),
        cache_write: count(written),
        audio_input: count(heard),
        reasoning: count(thought),
        audio_output: count(spoken),
        ..Numbers::default()
    };
    (numbers, count(written_1h).unwrap_or(0))
}

/// Searches of the web: as OpenAI, xAI or OpenRouter count them, else the searches that stand in the output.
fn searches(response: Value<'_>, usage: Value<'_>) -> u64 {
    const COUNTED: [&[&str]; 2] =
        [&["server_side_tool_usage_details", "web_search_calls"], &["server_tool_use_details", "web_search_requests"]];
    let counted = COUNTED.iter().find_map(|path| usage.path(path)?.u64());
    let counted = counted.or_else(|| response.path(&["tool_usage", "web_search", "num_requests"])?.u64());
    counted.filter(|count| *count <= 1_000_000).unwrap_or_else(|| {
        let output = response.get("output").into_iter().flat_map(|output| output.items());
        let count =
            output.filter(|item| item.get("type").is_some_and(|kind| kind.is_text("web_search_call"))).filter(|item| {
                // Pages that are opened and searched through are part of the search that found them.
                item.path(&["action", "type"]).is_none_or(|action| action.is_text("search"))
            });
        u64::try_from(count.count()).unwrap_or(u64::MAX)
    })
}

/// The usage object of a response as it stands in the text, for the cost that is put in; and what it says.
pub(super) fn found(response: Value<'_>) -> Option<(Found, Option<TokenUsage>)> {
    let usage = response.get("usage").filter(Value::is_object)?;
    let span = |name: &str| usage.field(name).map(|value| value.span());
    let numbers = numbers(usage);
    let found = Found {
        span: usage.span(),
        is_bare: usage.fields().next().is_none(),
        cost: span("cost"),
        is_byok: span("is_byok"),
        cost_details: span("cost_details"),
        numbers: numbers.0,
    };
    Some((found, classes(response, usage, numbers)))
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
