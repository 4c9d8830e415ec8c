//! Errors as they go out and come in, before and after a dialect gives them its shape. What a provider wrote is bounded
//! and cleaned here, for all dialects: no key and no account name of ours may reach a client through it.

use serde_json::Value;

use crate::dialect::Framing;

/// Which spelling of the OpenAI family a client speaks, told by its path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Surface {
    /// `/v1` and `/openai/v1`: OpenAI's own.
    #[default]
    V1,
    /// `/api/v1`: OpenRouter's.
    ApiV1,
}

/// An error on its way to a client.
#[derive(Debug, Clone, Copy)]
pub struct FaultBody<'a> {
    /// HTTP status, also in the body on `/api/v1`.
    pub status: u16,
    /// The `type`, such as `invalid_request_error`.
    pub kind: &'a str,
    pub code: &'a str,
    pub message: &'a str,
    pub param: Option<&'a str>,
    pub request_id: &'a str,
    /// The text of a JSON object; anything else is left out.
    pub metadata: Option<&'a str>,
}

/// Where in a stream an error stands.
#[derive(Debug, Clone, Copy, Default)]
pub struct InBand<'a> {
    /// The answer's id so far; empty when it has none.
    pub id: &'a str,
    /// The model as the caller knows it.
    pub model: &'a str,
    pub provider: &'a str,
    /// Unix seconds; [`crate::Tap::created`] will do.
    pub created: u64,
    pub framing: Framing,
    /// Whether nothing of the answer went out before it; signs of life do not count.
    pub is_first: bool,
    /// The number of this event, in dialects that number them.
    pub sequence: u64,
}

/// An error as a provider reported it, bounded and cleaned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamError {
    /// At most 1,000 letters; empty when there was none.
    pub message: String,
    /// The `type`.
    pub kind: Option<String>,
    pub code: Option<String>,
    pub param: Option<String>,
    /// An HTTP status that stands in the body.
    pub status: Option<u16>,
}

/// Longest message kept, in letters.
const MAX_MESSAGE: usize = 1_000;
/// Longest type, code or field name kept, in letters.
const MAX_WORD: usize = 128;
/// Longest body that is read.
const MAX_BODY: usize = 64 * 1024;
/// What keys begin with, at the services we know and at our own.
const KEY_STARTS: [&str; 9] = ["sk-", "sk_", "pk-", "gsk_", "xai-", "AIza", "tg_live_", "tg_adm_", "eyJ"];
/// What names of accounts begin with; words do too, so these need a digit or a capital behind them.
const ACCOUNT_STARTS: [&str; 5] = ["org-", "org_", "proj_", "user-", "user_"];
/// Letters after the start that make it more than a word.
const SECRET_LEN: usize = 8;

/// Reads an error body of any shape in use among providers: `{"error":{…}}`, `{"error":"…"}`, a bare object, FastAPI's
/// `detail`, a list of errors, HTML, plain text, cut off, or nothing.
pub fn decode(body: &[u8]) -> UpstreamError {
    let body = body.get(..body.len().min(MAX_BODY)).unwrap_or_default();
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        return from_value(&value);
    }
    match text.starts_with(['{', '[']) {
        true => from_cut(text),
        false => UpstreamError { message: clean(&without_markup(text), MAX_MESSAGE), ..UpstreamError::default() },
    }
}

/// The header in which Amazon names an error that it answers with.
pub const NAME_HEADER: &str = "x-amzn-errortype";

/// Reads an error body whose sender names the error beside it, with a namespace before it and an address behind it.
pub(crate) fn decode_named(name: &str, body: &[u8]) -> UpstreamError {
    let mut error = decode(body);
    let name = bare(name);
    if !name.is_empty() {
        error.code = Some(clean(name, MAX_WORD));
    }
    error
}

/// Reads an exception within a stream of Amazon's frames, by its type and payload. What HTTP would have said is in the
/// status; a model that broke off is to be asked again, as another provider's is.
pub(crate) fn exception(name: &str, payload: &[u8]) -> UpstreamError {
    const STATUSES: [(&str, u16); 6] = [
        ("validationException", 400),
        ("throttlingException", 429),
        ("internalServerException", 500),
        ("modelStreamErrorException", 502),
        ("serviceUnavailableException", 503),
        ("modelTimeoutException", 504),
    ];
    let mut error = decode_named(name, payload);
    let told = serde_json::from_slice::<Value>(payload.get(..payload.len().min(MAX_BODY)).unwrap_or_default());
    let original = told.as_ref().ok().and_then(|told| told.get("originalMessage")?.as_str());
    if let Some(original) = original.filter(|original| !original.is_empty() && *original != error.message) {
        error.message = clean(&format!("{}: {original}", error.message), MAX_MESSAGE);
    }
    let known = STATUSES.iter().find(|(known, _)| known.eq_ignore_ascii_case(bare(name)));
    error.status = error.status.or(known.map(|(_, status)| *status));
    error
}

fn bare(name: &str) -> &str {
    let name = name.rsplit('#').next().unwrap_or_default();
    name.split(':').next().unwrap_or_default().trim()
}

fn from_value(value: &Value) -> UpstreamError {
    match value {
        Value::Array(items) => items.first().map(from_value).unwrap_or_default(),
        Value::String(text) => UpstreamError { message: clean(text, MAX_MESSAGE), ..UpstreamError::default() },
        Value::Object(fields) => match fields.get("error") {
            Some(inner @ (Value::Object(_) | Value::String(_))) => from_value(inner),
            _ => from_object(value),
        },
        _ => UpstreamError::default(),
    }
}

fn from_object(value: &Value) -> UpstreamError {
    let message = ["message", "Message", "detail", "error_description"].iter().find_map(|name| said(value.get(name)?));
    let word = |name: &str| match value.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(clean(text, MAX_WORD)),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let status = ["status_code", "raw_status_code", "http_status", "status", "code"].iter().find_map(|name| {
        value
            .get(name)?
            .as_u64()
            .and_then(|status| u16::try_from(status).ok())
            .filter(|status| (400..600).contains(status))
    });
    UpstreamError {
        message: clean(message.unwrap_or_default(), MAX_MESSAGE),
        kind: word("type")
            .or_else(|| value.get("metadata")?.get("error_type")?.as_str().map(|text| clean(text, MAX_WORD)))
            .or_else(|| status_word(value)),
        // Beside a word for the status, a number is the status once more.
        code: reason(value)
            .or_else(|| status_word(value))
            .or_else(|| word("code"))
            .or_else(|| Some(clean(bare(value.get("__type")?.as_str()?), MAX_WORD))),
        param: word("param"),
        status,
    }
}

/// Google's word for a status, such as `UNAVAILABLE`.
fn status_word(value: &Value) -> Option<String> {
    let is_word = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    value.get("status")?.as_str().filter(is_word).map(|text| clean(text, MAX_WORD))
}

/// Google's reason, which tells more than the status that it repeats as a code: a bad key is `API_KEY_INVALID` with 400.
fn reason(value: &Value) -> Option<String> {
    let details = value.get("details")?.as_array()?;
    let reason = details.iter().find_map(|detail| detail.get("reason")?.as_str())?;
    (!reason.is_empty()).then(|| clean(reason, MAX_WORD))
}

/// A text, or the first message of a list of complaints.
fn said(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Array(items) => said(items.first()?),
        Value::Object(fields) => said(fields.get("msg").or_else(|| fields.get("message"))?),
        _ => None,
    }
}

/// What can be had of JSON that was cut off.
fn from_cut(text: &str) -> UpstreamError {
    let word = |name: &str, most: usize| cut_text(text, name).map(|found| clean(&found, most));
    UpstreamError {
        message: word("\"message\"", MAX_MESSAGE).unwrap_or_default(),
        kind: word("\"type\"", MAX_WORD),
        code: word("\"code\"", MAX_WORD),
        param: word("\"param\"", MAX_WORD),
        status: None,
    }
}

fn cut_text(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(name)?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    let mut end = 0;
    let mut is_escaped = false;
    for (at, letter) in rest.char_indices() {
        end = at + letter.len_utf8();
        match letter {
            '"' if !is_escaped => {
                end = at;
                break;
            }
            _ => is_escaped = letter == '\\' && !is_escaped,
        }
    }
    let raw = rest.get(..end)?;
    // An escape may be cut in two: leave off up to six letters until the rest reads.
    (0..=6).find_map(|less| serde_json::from_str(&format!("\"{}\"", raw.get(..raw.len().checked_sub(less)?)?)).ok())
}

/// The title of a page, else its text; plain text stays.
fn without_markup(text: &str) -> String {
    if !text.starts_with('<') {
        return text.to_owned();
    }
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|start| {
        let start = start + "<title>".len();
        text.get(start..start + lower.get(start..)?.find("</title>")?)
    });
    if let Some(title) = title.filter(|title| !title.trim().is_empty()) {
        return title.to_owned();
    }
    let mut is_tag = false;
    text.chars()
        .filter(|letter| {
            is_tag = (is_tag || *letter == '<') && *letter != '>';
            !is_tag && *letter != '>'
        })
        .collect()
}

/// One line of at most `most` letters, without control characters and without anything that looks like a key.
pub(crate) fn clean(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len().min(4 * most));
    let mut letters = 0;
    for word in text.split(|letter: char| letter.is_whitespace() || letter.is_control()).filter(|word| !word.is_empty())
    {
        if !out.is_empty() {
            out.push(' ');
            letters += 1;
        }
        for letter in mask(word).chars() {
            if letters >= most {
                out.push('…');
                return out;
            }
            out.push(letter);
            letters += 1;
        }
    }
    out
}

/// A word with the secret part of everything that looks like a key or an account name taken out.
fn mask(word: &str) -> String {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '*');
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|letter: char| !is_part(letter)).unwrap_or(rest.len());
        let (part, behind) = rest.split_at(end);
        match secret_start(part) {
            Some(start) => {
                out.push_str(start);
                out.push_str("***");
            }
            None if is_long_digest(part) => out.push_str("***"),
            None => out.push_str(part),
        }
        rest = behind;
        if end == 0 {
            out.push(first);
            rest = behind.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    out
}

/// What a secret begins with, if `part` is one.
fn secret_start(part: &str) -> Option<&'static str> {
    let is_long = |rest: &str| rest.len() >= SECRET_LEN;
    let is_name =
        |rest: &str| is_long(rest) && rest.bytes().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    let key = KEY_STARTS.iter().find(|start| part.strip_prefix(**start).is_some_and(is_long));
    key.or_else(|| ACCOUNT_STARTS.iter().find(|start| part.strip_prefix(**start).is_some_and(is_name))).copied()
}

/// Long runs of mixed letters and digits are keys or tokens, whatever they begin with.
fn is_long_digest(part: &str) -> bool {
    part.len() >= 32
        && part.bytes().any(|byte| byte.is_ascii_digit())
        && part.bytes().any(|byte| byte.is_ascii_alphabetic())
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_in_use_is_read() {
        for (body, message, kind, code) in [
            (r#"{"error":{"message":"m","type":"t","param":null,"code":"c"}}"#, "m", Some("t"), Some("c")),
            (r#"{"error":{"message":"m","code":402}}"#, "m", None, Some("402")),
            (r#"{"error":"m"}"#, "m", None, None),
            (r#"{"object":"error","message":"m","type":"t","code":"3051"}"#, "m", Some("t"), Some("3051")),
            (r#"{"detail":"m"}"#, "m", None, None),
            (r#"{"detail":[{"loc":["body"],"msg":"m","type":"x"}]}"#, "m", None, None),
            (r#"{"message":{"detail":[{"msg":"m"}]}}"#, "", None, None),
            (
                r#"[{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}]"#,
                "m",
                Some("UNAVAILABLE"),
                Some("UNAVAILABLE"),
            ),
            (
                r#"{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[{"locale":"en"},{"reason":"API_KEY_INVALID"}]}}"#,
                "m",
                Some("INVALID_ARGUMENT"),
                Some("API_KEY_INVALID"),
            ),
            ("<html><head><title>502 Bad\n Gateway</title></head></html>", "502 Bad Gateway", None, None),
            ("<p>no title</p>", "no title", None, None),
            ("upstream connect error", "upstream connect error", None, None),
            ("", "", None, None),
            (r#"{"error":{"message":"cut in t"#, "cut in t", None, None),
            (r#"{"error":{"message":"cut in an escape \u00"#, "cut in an escape", None, None),
            (r#"{"error":{"type":"t","message":"m \"q\"","co"#, "m \"q\"", Some("t"), None),
            ("null", "", None, None),
        ] {
            let error = decode(body.as_bytes());
            assert_eq!(
                (error.message.as_str(), error.kind.as_deref(), error.code.as_deref()),
                (message, kind, code),
                "{body}"
            );
        }
        assert_eq!(decode(br#"{"error":{"message":"m","code":402}}"#).status, Some(402));
        assert_eq!(decode(br#"{"message":"m","raw_status_code":400,"code":"3051"}"#).status, Some(400));
    }

    #[test]
    fn no_key_gets_through() {
        let text = "Incorrect API key provided: sk-proj-abcdefgh12345678. In organization org-AbCdEfGhIjKl, (gsk_0123456789abcdef) Bearer AIzaSyA1234567890";
        let cleaned = clean(text, 1_000);
        for secret in ["abcdefgh12345678", "AbCdEfGhIjKl", "0123456789abcdef", "SyA1234567890"] {
            assert!(!cleaned.contains(secret), "{cleaned}");
        }
        assert!(cleaned.starts_with("Incorrect API key provided: sk-***"));
        assert_eq!(
            clean("the sk- prefix, task-force, user-supplied and gpt-4.1-mini-2025-04-14", 99),
            "the sk- prefix, task-force, user-supplied and gpt-4.1-mini-2025-04-14"
        );
        assert_eq!(clean("token 0123456789abcdef0123456789abcdef end", 99), "token *** end");
    }

    #[test]
    fn what_a_provider_writes_is_bounded() {
        let error = decode(format!(r#"{{"error":{{"message":"{}"}}}}"#, "ä".repeat(5_000)).as_bytes());
        assert_eq!(error.message.chars().count(), 1_001);
        assert_eq!(decode(&[0xff; 200_000]).message.chars().count(), 1_001);
        assert_eq!(clean("a\u{0}b\r\nc", 99), "a b c");
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(decode(deep.as_bytes()), UpstreamError::default());
    }

    #[test]
    fn amazons_errors_are_named_beside_the_body() {
        let named = |name: &str, body: &str| decode_named(name, body.as_bytes());
        let error = named("ThrottlingException:http://internal.amazon.com/coral/", r#"{"message":"slow down"}"#);
        assert_eq!((error.message.as_str(), error.code.as_deref()), ("slow down", Some("ThrottlingException")));
        assert_eq!(named("", r#"{"code":"c"}"#).code.as_deref(), Some("c"));
        for (name, payload, message, status) in [
            ("throttlingException", r#"{"message":"Too many requests"}"#, "Too many requests", Some(429)),
            ("ValidationException", r#"{"message":"no"}"#, "no", Some(400)),
            (
                "modelStreamErrorException",
                r#"{"message":"broke","originalStatusCode":500,"originalMessage":"out of luck"}"#,
                "broke: out of luck",
                Some(502),
            ),
            ("oddException", "", "", None),
            ("", "no json", "no json", None),
        ] {
            let error = exception(name, payload.as_bytes());
            assert_eq!((error.message.as_str(), error.status), (message, status), "{name}");
        }
    }
}
