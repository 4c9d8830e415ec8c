//! The numbers of a `usage` object, as classes that do not overlap, and the cost fields added to it. Providers count
//! differently; what a number includes is told from the numbers themselves. Written so that reading gives the same classes
//! again. Never a price.

use domain::usage::TokenUsage;

use crate::json::{Cursor, Flaw, Kind, NewText, Span, Value, Writer};
use crate::patch::Edits;
use crate::receipt::Receipt;

/// A field that we put in: its name with quotes and colon, and what writes its value.
type CostField = (&'static [u8], fn(&Receipt, &mut NewText));

const COST_FIELDS: [CostField; 3] = [
    (b"\"cost\":", Receipt::write_cost),
    (b"\"is_byok\":", Receipt::write_is_byok),
    (b"\"cost_details\":", Receipt::write_cost_details),
];

/// A `usage` object as it stands in an answer.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::dialect) struct Found {
    /// Braces included.
    pub span: Span,
    pub is_bare: bool,
    pub cost: Option<Span>,
    pub is_byok: Option<Span>,
    pub cost_details: Option<Span>,
    pub numbers: Numbers,
}

/// What a provider counts, in whatever words.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::dialect) struct Numbers {
    pub prompt: Option<u64>,
    pub completion: Option<u64>,
    pub total: Option<u64>,
    pub cached: Option<u64>,
    /// Spelled beside the details: `prompt_cache_hit_tokens`, `num_cached_tokens`, `cached_tokens`.
    pub cached_apart: Option<u64>,
    pub cache_write: Option<u64>,
    /// A part of the former. Ours, as `images` is: providers of this dialect have neither class.
    pub cache_write_1h: Option<u64>,
    pub audio_input: Option<u64>,
    pub reasoning: Option<u64>,
    pub audio_output: Option<u64>,
    pub web_searches: Option<u64>,
    pub images: Option<u64>,
}

/// Reads a usage value; none when it is not an object. Boxed, since most pieces of a stream have none.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Option<Box<Found>>, Flaw> {
    if cursor.kind()? != Kind::Object {
        cursor.pass()?;
        return Ok(None);
    }
    let start = cursor.position();
    let mut more = cursor.open_object()?;
    let span = Span { start, end: start };
    let mut found = Box::new(Found { span, is_bare: !more, ..Found::default() });
    let numbers = &mut found.numbers;
    while more {
        let key = cursor.key()?;
        match &*cursor.name(key) {
            b"prompt_tokens" => numbers.prompt = cursor.count()?,
            b"completion_tokens" => numbers.completion = cursor.count()?,
            b"total_tokens" => numbers.total = cursor.count()?,
            b"prompt_cache_hit_tokens" | b"num_cached_tokens" | b"cached_tokens" => {
                numbers.cached_apart = cursor.count()?.or(numbers.cached_apart);
            }
            b"prompt_tokens_details" => details(cursor, |name, value| match name {
                b"cached_tokens" => numbers.cached = value,
                b"cache_write_tokens" => numbers.cache_write = value,
                b"cache_write_1h_tokens" => numbers.cache_write_1h = value,
                b"audio_tokens" => numbers.audio_input = value,
                _ => {}
            })?,
            b"completion_tokens_details" => details(cursor, |name, value| match name {
                b"reasoning_tokens" => numbers.reasoning = value,
                b"audio_tokens" => numbers.audio_output = value,
                _ => {}
            })?,
            b"server_tool_use_details" | b"server_tool_use" => details(cursor, |name, value| match name {
                b"web_search_requests" => numbers.web_searches = value,
                b"images" => numbers.images = value,
                _ => {}
            })?,
            b"cost" => found.cost = Some(value(cursor)?),
            b"is_byok" => found.is_byok = Some(value(cursor)?),
            b"cost_details" => found.cost_details = Some(value(cursor)?),
            _ => {
                cursor.pass()?;
            }
        }
        more = cursor.next_field()?;
    }
    found.span.end = cursor.position();
    Ok(Some(found))
}

/// The tokens that a usage value tells of, by class.
pub(super) fn of(value: Value<'_>) -> Option<TokenUsage> {
    read(&mut Cursor::lenient(value.raw().as_bytes())).ok()??.tokens()
}

/// Writes a usage object with our cost in it.
pub(super) fn write(out: &mut Writer, usage: &TokenUsage, receipt: &Receipt) {
    out.begin_object();
    let (prompt, completion) = (usage.prompt_total(), usage.completion_total());
    out.field_u64("prompt_tokens", prompt);
    out.field_u64("completion_tokens", completion);
    out.field_u64("total_tokens", prompt.saturating_add(completion));
    out.key("prompt_tokens_details");
    out.begin_object();
    out.field_u64("cached_tokens", usage.cache_read);
    // All that was written, and how much of it for an hour.
    out.opt_u64("cache_write_tokens", some(usage.cache_write.saturating_add(usage.cache_write_1h)));
    out.opt_u64("cache_write_1h_tokens", some(usage.cache_write_1h));
    out.field_u64("audio_tokens", usage.audio_input);
    out.end_object();
    out.key("completion_tokens_details");
    out.begin_object();
    out.field_u64("reasoning_tokens", usage.reasoning);
    out.field_u64("audio_tokens", usage.audio_output);
    out.end_object();
    if usage.web_searches > 0 || usage.images > 0 {
        out.key("server_tool_use_details");
        out.begin_object();
        out.opt_u64("web_search_requests", some(usage.web_searches));
        out.opt_u64("images", some(usage.images));
        out.end_object();
    }
    for (name, write) in COST_FIELDS {
        let mut text = NewText::from_slice(name);
        write(receipt, &mut text);
        // Names, numbers and words: always text.
        out.raw(std::str::from_utf8(&text).unwrap_or_default());
    }
    out.end_object();
}

fn some(count: u64) -> Option<u64> {
    Some(count).filter(|count| *count > 0)
}

/// The next value's own span, without the space before it.
pub(in crate::dialect) fn value(cursor: &mut Cursor<'_>) -> Result<Span, Flaw> {
    cursor.kind()?;
    cursor.pass()
}

/// Shows the counts in an object; anything else is passed over.
pub(in crate::dialect) fn details(
    cursor: &mut Cursor<'_>,
    mut note: impl FnMut(&[u8], Option<u64>),
) -> Result<(), Flaw> {
    if cursor.kind()? != Kind::Object {
        cursor.pass()?;
        return Ok(());
    }
    let mut more = cursor.open_object()?;
    while more {
        let key = cursor.key()?;
        let value = cursor.count()?;
        note(&cursor.name(key), value);
        more = cursor.next_field()?;
    }
    Ok(())
}

impl Found {
    /// The tokens by class; none when it has no count at all. An explicit zero is a count.
    pub fn tokens(&self) -> Option<TokenUsage> {
        self.numbers.tokens()
    }

    /// Whether the provider has put a cost in, which is not what our caller pays.
    pub fn has_cost(&self) -> bool {
        self.cost.is_some() || self.is_byok.is_some() || self.cost_details.is_some()
    }

    /// Puts our cost fields in, over the provider's where it has them. `base` is where what was read starts.
    pub fn patch(&self, receipt: &Receipt, base: usize, edits: &mut Edits) {
        let places = [self.cost, self.is_byok, self.cost_details];
        for ((_, write), place) in COST_FIELDS.iter().zip(places) {
            if let Some(place) = place {
                edits.replace_with(place.behind(base), |out| write(receipt, out));
            }
        }
        if places.iter().all(Option::is_some) {
            return;
        }
        edits.insert_with(base + self.span.end.saturating_sub(1), |out| {
            let missing = COST_FIELDS.iter().zip(places).filter(|(_, place)| place.is_none());
            for (at, ((name, write), _)) in missing.enumerate() {
                if at > 0 || !self.is_bare {
                    out.push(b',');
                }
                out.extend_from_slice(name);
                write(receipt, out);
            }
        });
    }
}

/// More tokens than anybody has ever used at once. A larger count is a provider's mistake, such as a difference that went
/// below zero, and says nothing.
const MOST: u64 = 10_000_000_000;

impl Numbers {
    /// The tokens by class; none when there is no count at all.
    pub fn tokens(&self) -> Option<TokenUsage> {
        let counts = [self.prompt, self.completion, self.total, self.reasoning, self.web_searches, self.images];
        if counts.into_iter().flatten().any(|count| count > MOST) {
            return None;
        }
        if self.prompt.is_none() && self.completion.is_none() && self.total.is_none() {
            return None;
        }
        let rest = |known: Option<u64>| self.total.unwrap_or(0).saturating_sub(known.unwrap_or(0));
        let prompt = self.prompt.unwrap_or_else(|| rest(self.completion));
        let completion = self.completion.unwrap_or_else(|| rest(self.prompt));
        let reasoning = self.reasoning.unwrap_or(0);
        // Some (xAI) count reasoning beside the completion: then, and only then, the total says so.
        let is_apart =
            reasoning > 0 && self.total == prompt.checked_add(completion).and_then(|sum| sum.checked_add(reasoning));
        let mut left = prompt;
        let cache_read = part(&mut left, self.cached.or(self.cached_apart));
        let mut cache_write = part(&mut left, self.cache_write);
        let cache_write_1h = part(&mut cache_write, self.cache_write_1h);
        let audio_input = part(&mut left, self.audio_input);
        let mut visible = if is_apart { completion.saturating_add(reasoning) } else { completion };
        let mut usage = TokenUsage {
            prompt: left,
            cache_read,
            cache_write,
            cache_write_1h,
            audio_input,
            reasoning: part(&mut visible, self.reasoning),
            audio_output: part(&mut visible, self.audio_output),
            completion: visible,
            web_searches: self.web_searches.unwrap_or(0),
            ..TokenUsage::default()
        };
        usage.images = self.images.unwrap_or(0);
        Some(usage)
    }
}

/// Takes a class out of what is left, so that classes never add up to more than the whole.
fn part(left: &mut u64, wanted: Option<u64>) -> u64 {
    let part = wanted.unwrap_or(0).min(*left);
    *left -= part;
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use domain::money::Money;

    fn tokens(json: &str) -> Option<TokenUsage> {
        read(&mut Cursor::lenient(json.as_bytes())).unwrap()?.tokens()
    }

    fn usage(prompt: u64, cache_read: u64, completion: u64, reasoning: u64) -> Option<TokenUsage> {
        Some(TokenUsage { prompt, cache_read, completion, reasoning, ..TokenUsage::default() })
    }

    #[test]
    fn counts_that_cannot_be_say_nothing() {
        for json in [
            r#"{"prompt_tokens":5,"completion_tokens":18446744073709551615}"#,
            r#"{"prompt_tokens":5,"completion_tokens":1,"total_tokens":99999999999}"#,
            r#"{"prompt_tokens":5,"completion_tokens":1,"server_tool_use":{"web_search_requests":99999999999}}"#,
        ] {
            assert_eq!(tokens(json), None, "{json}");
        }
    }

    #[test]
    fn classes_do_not_overlap_whoever_counts() {
        for (json, expected) in [
            (
                r#"{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_tokens_details":{"cached_tokens":60},"completion_tokens_details":{"reasoning_tokens":15}}"#,
                usage(40, 60, 5, 15),
            ),
            (
                r#"{"prompt_tokens":291,"completion_tokens":26,"total_tokens":513,"prompt_tokens_details":{"cached_tokens":290},"completion_tokens_details":{"reasoning_tokens":196}}"#,
                usage(1, 290, 26, 196),
            ),
            (
                r#"{"prompt_tokens":223,"completion_tokens":43,"total_tokens":266,"prompt_cache_hit_tokens":192,"prompt_cache_miss_tokens":31}"#,
                usage(31, 192, 43, 0),
            ),
            (
                r#"{"prompt_tokens":43,"completion_tokens":10,"total_tokens":53,"completion_tokens_details":{"reasoning_tokens":11}}"#,
                usage(43, 0, 0, 10),
            ),
            (
                r#"{"prompt_tokens":5,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":9}}"#,
                usage(0, 5, 0, 0),
            ),
            (r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#, usage(0, 0, 0, 0)),
            (r#"{"prompt_tokens":7,"total_tokens":9}"#, usage(7, 0, 2, 0)),
            (r#"{"prompt_tokens":null,"completion_tokens":"3"}"#, None),
            (r#"{"prompt_tokens":-4,"completion_tokens":3}"#, usage(0, 0, 3, 0)),
            ("{}", None),
            ("null", None),
            ("[1]", None),
        ] {
            assert_eq!(tokens(json), expected, "{json}");
        }
        let written = tokens(r#"{"prompt_tokens":2649,"completion_tokens":100,"prompt_tokens_details":{"cache_write_tokens":79,"cached_tokens":2569,"audio_tokens":1},"completion_tokens_details":{"audio_tokens":40},"server_tool_use_details":{"web_search_requests":2}}"#).unwrap();
        assert_eq!((written.prompt, written.cache_read, written.cache_write, written.audio_input), (0, 2569, 79, 1));
        assert_eq!((written.completion, written.audio_output, written.web_searches), (60, 40, 2));
    }

    #[test]
    fn the_cost_is_added_or_takes_the_place_of_the_providers() {
        let receipt =
            Receipt { cost: Money::from_nano(1_500), is_byok: true, upstream_cost: Some(Money::from_nano(7)) };
        for (json, expected) in [
            ("{}", r#"{"cost":0.0000015,"is_byok":true,"cost_details":{"upstream_inference_cost":0.000000007}}"#),
            ("{ }", r#"{ "cost":0.0000015,"is_byok":true,"cost_details":{"upstream_inference_cost":0.000000007}}"#),
            (
                r#"{"a":1 }"#,
                r#"{"a":1 ,"cost":0.0000015,"is_byok":true,"cost_details":{"upstream_inference_cost":0.000000007}}"#,
            ),
            (
                r#"{"cost_details": {"x":[1]},"cost" : 9e9 ,"b":2}"#,
                r#"{"cost_details": {"upstream_inference_cost":0.000000007},"cost" : 0.0000015 ,"b":2,"is_byok":true}"#,
            ),
            (
                r#"{"cost":0,"is_byok":null,"cost_details":null}"#,
                r#"{"cost":0.0000015,"is_byok":true,"cost_details":{"upstream_inference_cost":0.000000007}}"#,
            ),
        ] {
            let found = read(&mut Cursor::lenient(json.as_bytes())).unwrap().unwrap();
            let mut edits = Edits::default();
            found.patch(&receipt, 0, &mut edits);
            assert_eq!(edits.apply_in_one(Bytes::from(json)), expected);
        }
    }
}
