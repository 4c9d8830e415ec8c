//! The numbers of a `usage` object: read from answers and from events, as classes that do not overlap, and written for
//! clients. Anthropic's input excludes what was read from a cache or written to one. Never a price.

use domain::usage::TokenUsage;

use crate::json::{Cursor, Flaw, Kind, Value, Writer};

/// More tokens than anybody has ever used at once. A larger count is a provider's mistake and says nothing.
const MOST: u64 = 10_000_000_000;

/// The counts as a provider gave them; none is not zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    input: Option<u64>,
    output: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    cache_write_1h: Option<u64>,
    cache_write_5m: Option<u64>,
    thinking: Option<u64>,
    web_searches: Option<u64>,
}

/// Reads a usage value; nothing is in it when it is no object.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Numbers, Flaw> {
    let mut numbers = Numbers::default();
    let mut rounds = Rounds::default();
    fields(cursor, |cursor, name| {
        match name {
            b"output_tokens_details" => fields(cursor, |cursor, name| match name {
                b"thinking_tokens" => count(cursor, &mut numbers.thinking),
                _ => cursor.pass().map(drop),
            })?,
            b"cache_creation" => fields(cursor, |cursor, name| match name {
                b"ephemeral_5m_input_tokens" => count(cursor, &mut numbers.cache_write_5m),
                b"ephemeral_1h_input_tokens" => count(cursor, &mut numbers.cache_write_1h),
                _ => cursor.pass().map(drop),
            })?,
            b"server_tool_use" => fields(cursor, |cursor, name| match name {
                b"web_search_requests" => count(cursor, &mut numbers.web_searches),
                _ => cursor.pass().map(drop),
            })?,
            b"iterations" => rounds.read(cursor)?,
            name => numbers.plain(cursor, name)?,
        }
        Ok(())
    })?;
    rounds.settle(&mut numbers);
    Ok(numbers)
}

/// The same for a value that was read before.
pub(super) fn of(value: Value<'_>) -> Numbers {
    read(&mut Cursor::lenient(value.raw().as_bytes())).unwrap_or_default()
}

/// Each field of an object; anything else is passed over.
fn fields(
    cursor: &mut Cursor<'_>,
    mut read: impl FnMut(&mut Cursor<'_>, &[u8]) -> Result<(), Flaw>,
) -> Result<(), Flaw> {
    if cursor.kind()? != Kind::Object {
        return cursor.pass().map(drop);
    }
    let mut more = cursor.open_object()?;
    while more {
        let key = cursor.key()?;
        let name = cursor.name(key);
        read(cursor, &name)?;
        more = cursor.next_field()?;
    }
    Ok(())
}

fn count(cursor: &mut Cursor<'_>, into: &mut Option<u64>) -> Result<(), Flaw> {
    *into = cursor.count()?.or(*into);
    Ok(())
}

impl Numbers {
    fn plain(&mut self, cursor: &mut Cursor<'_>, name: &[u8]) -> Result<(), Flaw> {
        match name {
            b"input_tokens" => count(cursor, &mut self.input),
            b"output_tokens" => count(cursor, &mut self.output),
            b"cache_read_input_tokens" => count(cursor, &mut self.cache_read),
            b"cache_creation_input_tokens" => count(cursor, &mut self.cache_write),
            _ => cursor.pass().map(drop),
        }
    }

    fn plain_counts(&mut self) -> [&mut Option<u64>; 4] {
        [&mut self.input, &mut self.output, &mut self.cache_read, &mut self.cache_write]
    }

    fn counts(&mut self) -> [&mut Option<u64>; 8] {
        let Numbers { input, output, cache_read, cache_write, cache_write_1h, cache_write_5m, thinking, web_searches } =
            self;
        [input, output, cache_read, cache_write, cache_write_1h, cache_write_5m, thinking, web_searches]
    }

    /// Takes what a later event of the same stream says. Its counts are totals, so they replace; a zero does not, since
    /// some providers write zeros for what they have said before.
    pub fn merge(&mut self, mut later: Numbers) {
        for (known, told) in self.counts().into_iter().zip(later.counts()) {
            if known.is_none() || told.is_some_and(|told| told > 0) {
                *known = told.or(*known);
            }
        }
    }

    /// The tokens by class; none when there is no count at all. An explicit zero is a count.
    pub fn tokens(mut self) -> Option<TokenUsage> {
        if self.counts().into_iter().flatten().any(|count| *count > MOST) {
            return None;
        }
        if self.plain_counts().into_iter().all(|count| count.is_none()) {
            return None;
        }
        let (long, short) = (self.cache_write_1h.unwrap_or(0), self.cache_write_5m.unwrap_or(0));
        let written = self.cache_write.unwrap_or_else(|| long.saturating_add(short));
        let cache_write_1h = long.min(written);
        let output = self.output.unwrap_or(0);
        let reasoning = self.thinking.unwrap_or(0).min(output);
        Some(TokenUsage {
            prompt: self.input.unwrap_or(0),
            cache_read: self.cache_read.unwrap_or(0),
            cache_write: written - cache_write_1h,
            cache_write_1h,
            completion: output - reasoning,
            reasoning,
            web_searches: self.web_searches.unwrap_or(0),
            ..TokenUsage::default()
        })
    }
}

/// Rounds of the model within one answer. The counts beside them leave out what it took to compact the context, which is
/// billed as well; where another model stepped in, they are the counts of that one.
#[derive(Default)]
struct Rounds {
    sum: Numbers,
    has_fallback: bool,
}

impl Rounds {
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Flaw> {
        if cursor.kind()? != Kind::Array {
            return cursor.pass().map(drop);
        }
        let mut more = cursor.open_array()?;
        while more {
            self.round(cursor)?;
            more = cursor.next_item()?;
        }
        Ok(())
    }

    fn round(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Flaw> {
        let (mut numbers, mut is_ours) = (Numbers::default(), false);
        let has_fallback = &mut self.has_fallback;
        fields(cursor, |cursor, name| match name {
            b"type" if cursor.kind()? == Kind::String => {
                let word = cursor.string()?;
                let word = cursor.text(word).unwrap_or_default();
                is_ours = matches!(&*word, "message" | "compaction");
                *has_fallback |= word == "fallback_message";
                Ok(())
            }
            name => numbers.plain(cursor, name),
        })?;
        if is_ours {
            for (sum, count) in self.sum.plain_counts().into_iter().zip(numbers.plain_counts()) {
                *sum = match (*sum, *count) {
                    (Some(sum), Some(count)) => Some(sum.saturating_add(count)),
                    (sum, count) => sum.or(count),
                };
            }
        }
        Ok(())
    }

    fn settle(mut self, numbers: &mut Numbers) {
        if !self.has_fallback {
            for (count, sum) in numbers.plain_counts().into_iter().zip(self.sum.plain_counts()) {
                *count = sum.or(*count);
            }
        }
    }
}

/// Writes a complete usage object: clients read fields of it without asking whether they are there. Classes that
/// Anthropic does not have are counted with the nearest.
pub(super) fn write(usage: &TokenUsage, tier: Option<&str>, out: &mut Writer) {
    out.begin_object();
    out.field_u64("input_tokens", usage.prompt.saturating_add(usage.audio_input));
    out.field_u64("cache_creation_input_tokens", usage.cache_write.saturating_add(usage.cache_write_1h));
    out.field_u64("cache_read_input_tokens", usage.cache_read);
    out.key("cache_creation");
    out.begin_object();
    out.field_u64("ephemeral_5m_input_tokens", usage.cache_write);
    out.field_u64("ephemeral_1h_input_tokens", usage.cache_write_1h);
    out.end_object();
    out.field_u64("output_tokens", usage.completion_total());
    out.key("output_tokens_details");
    out.begin_object();
    out.field_u64("thinking_tokens", usage.reasoning);
    out.end_object();
    if usage.web_searches > 0 {
        out.key("server_tool_use");
        out.begin_object();
        out.field_u64("web_search_requests", usage.web_searches);
        out.field_u64("web_fetch_requests", 0);
        out.end_object();
    }
    out.field_str("service_tier", tier.unwrap_or("standard"));
    out.end_object();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(json: &str) -> Numbers {
        read(&mut Cursor::lenient(json.as_bytes())).unwrap()
    }

    fn tokens(json: &str) -> Option<TokenUsage> {
        numbers(json).tokens()
    }

    #[test]
    fn t32_classes_do_not_overlap() {
        let usage = tokens(
            r#"{"input_tokens":10,"cache_creation_input_tokens":70,"cache_read_input_tokens":500,"cache_creation":{"ephemeral_5m_input_tokens":30,"ephemeral_1h_input_tokens":40},"output_tokens":100,"output_tokens_details":{"thinking_tokens":60},"server_tool_use":{"web_search_requests":2,"web_fetch_requests":1},"service_tier":"standard"}"#,
        );
        let expected = TokenUsage {
            prompt: 10,
            cache_read: 500,
            cache_write: 30,
            cache_write_1h: 40,
            completion: 40,
            reasoning: 60,
            web_searches: 2,
            ..TokenUsage::default()
        };
        assert_eq!(usage, Some(expected));
        let old = tokens(r#"{"input_tokens":3,"cache_creation_input_tokens":9,"output_tokens":4}"#).unwrap();
        assert_eq!((old.cache_write, old.cache_write_1h, old.completion), (9, 0, 4));
        let parts = tokens(
            r#"{"input_tokens":3,"cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":2}}"#,
        )
        .unwrap();
        assert_eq!((parts.cache_write, parts.cache_write_1h), (1, 2));
    }

    #[test]
    fn t36_what_is_missing_is_not_zero() {
        for json in ["{}", "null", "[1]", r#"{"input_tokens":null,"output_tokens":"3"}"#, r#"{"service_tier":"x"}"#] {
            assert_eq!(tokens(json), None, "{json}");
        }
        assert_eq!(tokens(r#"{"input_tokens":0,"output_tokens":0}"#), Some(TokenUsage::default()));
        assert_eq!(tokens(r#"{"input_tokens":5,"output_tokens":18446744073709551615}"#), None);
    }

    #[test]
    fn t33_later_counts_replace_and_zeros_do_not() {
        let mut running = numbers(
            r#"{"input_tokens":12,"cache_creation_input_tokens":5,"cache_creation":{"ephemeral_5m_input_tokens":2,"ephemeral_1h_input_tokens":3},"cache_read_input_tokens":7,"output_tokens":1}"#,
        );
        running.merge(numbers(r#"{"input_tokens":0,"cache_read_input_tokens":0,"output_tokens":50}"#));
        running.merge(numbers(r#"{"input_tokens":20,"cache_creation_input_tokens":9,"output_tokens":80}"#));
        running.merge(numbers(r#"{"output_tokens":81,"output_tokens_details":{"thinking_tokens":30}}"#));
        let usage = running.tokens().unwrap();
        assert_eq!((usage.prompt, usage.cache_read, usage.cache_write, usage.cache_write_1h), (20, 7, 6, 3));
        assert_eq!((usage.completion, usage.reasoning), (51, 30));
    }

    #[test]
    fn what_compacting_took_is_counted_and_another_models_rounds_are_not_added() {
        let compacted = tokens(
            r#"{"input_tokens":30,"output_tokens":5,"cache_read_input_tokens":1,"iterations":[{"type":"compaction","input_tokens":1000,"output_tokens":70},{"type":"message","input_tokens":30,"output_tokens":5},{"type":"advisor_message","model":"m","input_tokens":9,"output_tokens":9}]}"#,
        )
        .unwrap();
        assert_eq!((compacted.prompt, compacted.completion, compacted.cache_read), (1_030, 75, 1));
        let stepped_in = tokens(
            r#"{"iterations":[{"type":"message","input_tokens":8,"output_tokens":0},{"type":"fallback_message","input_tokens":8,"output_tokens":6}],"input_tokens":8,"output_tokens":6}"#,
        )
        .unwrap();
        assert_eq!((stepped_in.prompt, stepped_in.completion), (8, 6));
    }

    #[test]
    fn t33_what_is_written_is_complete_and_reads_as_it_was() {
        let usage = TokenUsage {
            prompt: 1,
            cache_read: 2,
            cache_write: 3,
            cache_write_1h: 4,
            completion: 5,
            reasoning: 6,
            web_searches: 7,
            ..TokenUsage::default()
        };
        for usage in [usage, TokenUsage::default()] {
            let mut out = Writer::into(Vec::new());
            write(&usage, None, &mut out);
            let json = String::from_utf8(out.into_buffer()).unwrap();
            assert_eq!(tokens(&json), Some(usage), "{json}");
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            for name in ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"] {
                assert!(value[name].is_u64(), "{name}");
            }
        }
    }
}
