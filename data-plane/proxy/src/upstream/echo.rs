//! The built-in provider `echo://local`: answers chat requests with the last user message, without a network, for first
//! steps and tests. The same request always gets the same bytes: the id is made from the body, `created` is 0.
//!
//! A token here is a word, that is a run of characters without white space: the prompt counts the words of all
//! messages, the answer its own. `max_tokens` and `max_completion_tokens` cut the answer and give `length`.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::body::ReplyBody;
use super::client::Reply;
use super::reading::Fields;

/// The base URL that leads here.
pub(super) const BASE_URL: &str = "echo://local";
const ROUTE: &str = "/chat/completions";
/// Choices that one request may ask for.
const CHOICES: u64 = 128;

/// The body of an answer that is all there.
pub struct EchoBody {
    parts: std::vec::IntoIter<Bytes>,
}

impl EchoBody {
    fn new(parts: Vec<Bytes>) -> EchoBody {
        EchoBody { parts: parts.into_iter() }
    }

    pub(super) fn next(&mut self) -> Option<Bytes> {
        self.parts.next()
    }
}

/// What of a request matters here.
#[derive(Deserialize)]
struct Ask {
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    max_tokens: Option<u64>,
    #[serde(default)]
    max_completion_tokens: Option<u64>,
    #[serde(default)]
    n: Option<u64>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Value,
}

impl Message {
    /// The text, whether it is one string or parts.
    fn text(&self) -> String {
        match &self.content {
            Value::String(text) => text.clone(),
            Value::Array(parts) => {
                let texts = parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str));
                texts.collect::<Vec<_>>().join("\n")
            }
            _ => String::new(),
        }
    }
}

/// An answer before it is written.
struct Echo {
    id: String,
    model: String,
    /// Each with the white space behind it.
    words: Vec<String>,
    finish_reason: &'static str,
    prompt_tokens: usize,
    choices: u64,
}

impl Echo {
    fn of(ask: &Ask, body: &[u8]) -> Echo {
        let texts: Vec<String> = ask.messages.iter().map(Message::text).collect();
        let prompt_tokens = texts.iter().map(|text| text.split_whitespace().count()).sum();
        let last = ask.messages.iter().rposition(|message| message.role == "user");
        let said = last.or(texts.len().checked_sub(1)).and_then(|at| texts.get(at)).cloned().unwrap_or_default();
        let mut words = split_words(&said);
        let limits = [ask.max_tokens, ask.max_completion_tokens];
        let limit = limits.into_iter().flatten().min().and_then(|limit| usize::try_from(limit).ok());
        let is_cut = limit.is_some_and(|limit| limit < words.len());
        words.truncate(limit.unwrap_or(usize::MAX));
        Echo {
            id: format!("chatcmpl-echo-{:08x}{:08x}", crc32fast::hash(body), body.len()),
            model: ask.model.clone(),
            words,
            finish_reason: if is_cut { "length" } else { "stop" },
            prompt_tokens,
            choices: ask.n.unwrap_or(1).clamp(1, CHOICES),
        }
    }

    fn usage(&self) -> Usage {
        let completion_tokens = (self.words.len() as u64).saturating_mul(self.choices);
        let prompt_tokens = self.prompt_tokens as u64;
        Usage { prompt_tokens, completion_tokens, total_tokens: prompt_tokens.saturating_add(completion_tokens) }
    }

    fn answer(&self, object: &'static str, choices: Vec<Choice<'_>>, usage: Option<Usage>) -> String {
        let is_whole = choices.iter().any(|choice| choice.message.is_some());
        // Some clients want this key in a whole answer, and refuse null for it in a piece.
        let system_fingerprint = is_whole.then_some(());
        let answer =
            Answer { id: &self.id, object, created: 0, model: &self.model, system_fingerprint, choices, usage };
        // Strings and numbers under fixed names: there is nothing in it that could not be written.
        serde_json::to_string(&answer).unwrap_or_default()
    }

    fn whole(&self) -> Bytes {
        let text = self.words.concat();
        let choice = |index| {
            let message = Said { role: Some("assistant"), content: Some(&text) };
            Choice { index, message: Some(message), delta: None, finish_reason: Some(self.finish_reason) }
        };
        self.answer("chat.completion", (0..self.choices).map(choice).collect(), Some(self.usage())).into()
    }

    fn chunk(&self, choices: Vec<Choice<'_>>, usage: Option<Usage>) -> Bytes {
        format!("data: {}\n\n", self.answer("chat.completion.chunk", choices, usage)).into()
    }

    fn delta(&self, delta: Said<'_>, finish_reason: Option<&'static str>, chunks: &mut Vec<Bytes>) {
        for index in 0..self.choices {
            let choice = Choice { index, message: None, delta: Some(delta), finish_reason };
            chunks.push(self.chunk(vec![choice], None));
        }
    }

    fn stream(&self, with_usage: bool) -> Vec<Bytes> {
        let mut chunks = Vec::with_capacity(self.words.len() + 4);
        self.delta(Said { role: Some("assistant"), content: Some("") }, None, &mut chunks);
        for word in &self.words {
            self.delta(Said { role: None, content: Some(word) }, None, &mut chunks);
        }
        self.delta(Said { role: None, content: None }, Some(self.finish_reason), &mut chunks);
        if with_usage {
            chunks.push(self.chunk(Vec::new(), Some(self.usage())));
        }
        chunks.push(Bytes::from_static(b"data: [DONE]\n\n"));
        chunks
    }
}

/// An answer, whole or a piece of one, in the order in which people read it.
#[derive(Serialize)]
struct Answer<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    /// Written as null where it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    system_fingerprint: Option<()>,
    choices: Vec<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Said<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<Said<'a>>,
    finish_reason: Option<&'static str>,
}

#[derive(Serialize, Clone, Copy)]
struct Said<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

/// Words, each with the white space behind it; white space in front belongs to the first.
fn split_words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut is_between = true;
    for piece in text.split_inclusive(char::is_whitespace) {
        let starts_word = piece.starts_with(|first: char| !first.is_whitespace());
        match words.last_mut() {
            // White space alone lengthens what is there; so does the first word after leading white space.
            Some(word) if !starts_word || (is_between && word.trim().is_empty()) => word.push_str(piece),
            _ => words.push(piece.to_owned()),
        }
        is_between = piece.ends_with(char::is_whitespace);
    }
    words.retain(|word| !word.trim().is_empty());
    words
}

fn reply(status: StatusCode, content_type: &'static str, parts: Vec<Bytes>) -> Reply {
    let mut fields = Fields::default();
    fields.add("content-type", content_type.as_bytes());
    Reply { status, fields, body: ReplyBody::Echo(EchoBody::new(parts)) }
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Reply {
    let error =
        json!({ "error": { "message": message, "type": "invalid_request_error", "param": null, "code": code } });
    reply(status, "application/json", vec![error.to_string().into()])
}

/// Answers as a provider would.
pub(super) fn answer(method: &Method, route: &str, body: &[Bytes]) -> Reply {
    if method != Method::POST || route != ROUTE {
        return refusal(StatusCode::NOT_FOUND, "not_found", "The echo provider knows only chat completions.");
    }
    let joined;
    let body: &[u8] = match body {
        [one] => one,
        parts => {
            joined = parts.concat();
            &joined
        }
    };
    let Ok(ask) = serde_json::from_slice::<Ask>(body) else {
        return refusal(StatusCode::BAD_REQUEST, "invalid_request", "The body is not a chat request.");
    };
    let echo = Echo::of(&ask, body);
    if !ask.stream.unwrap_or(false) {
        return reply(StatusCode::OK, "application/json", vec![echo.whole()]);
    }
    let with_usage = ask.stream_options.and_then(|options| options.include_usage).unwrap_or(false);
    reply(StatusCode::OK, "text/event-stream", echo.stream(with_usage))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(body: &Value) -> (StatusCode, String) {
        let text = body.to_string();
        let (head, tail) = text.as_bytes().split_at(text.len() / 2);
        let segments = [Bytes::copy_from_slice(head), Bytes::copy_from_slice(tail)];
        let reply = answer(&Method::POST, ROUTE, &segments);
        let ReplyBody::Echo(mut body) = reply.body else { panic!("not from here") };
        let mut bytes = Vec::new();
        while let Some(part) = body.next() {
            assert!(!part.is_empty());
            bytes.extend_from_slice(&part);
        }
        (reply.status, String::from_utf8(bytes).unwrap())
    }

    fn request(more: Value) -> Value {
        let mut body = json!({
            "model": "echo", "messages": [
                { "role": "system", "content": "be kind" },
                { "role": "user", "content": [{ "type": "text", "text": "one two  three\n" }] },
                { "role": "assistant", "content": "ignored" },
            ],
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    }

    #[test]
    fn the_last_user_message_comes_back_with_its_words_counted() {
        let (status, text) = ask(&request(json!({})));
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(status, StatusCode::OK);
        assert_eq!(answer["choices"][0]["message"]["content"], "one two  three\n");
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
        assert_eq!(answer["usage"], json!({ "prompt_tokens": 6, "completion_tokens": 3, "total_tokens": 9 }));
        assert_eq!(ask(&request(json!({}))).1, text, "the same request, the same bytes");
        assert_ne!(ask(&request(json!({ "user": "x" }))).1, text);
    }

    #[test]
    fn a_limit_cuts_the_answer() {
        let (_, text) = ask(&request(json!({ "max_tokens": 9, "max_completion_tokens": 2 })));
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["choices"][0]["message"]["content"], "one two  ");
        assert_eq!(answer["choices"][0]["finish_reason"], "length");
        assert_eq!(answer["usage"]["completion_tokens"], 2);
    }

    #[test]
    fn a_stream_is_word_by_word_with_usage_when_asked() {
        for with_usage in [false, true] {
            let (_, text) = ask(&request(json!({ "stream": true, "stream_options": { "include_usage": with_usage } })));
            let events: Vec<&str> = text.split_terminator("\n\n").collect();
            assert_eq!(events.last(), Some(&"data: [DONE]"));
            let chunks: Vec<Value> = events[..events.len() - 1]
                .iter()
                .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
                .collect();
            let said: Vec<&str> =
                chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
            assert_eq!(said, ["", "one ", "two  ", "three\n"]);
            let finishes: Vec<&Value> =
                chunks.iter().filter(|chunk| !chunk["choices"][0]["finish_reason"].is_null()).collect();
            assert_eq!(finishes.len(), 1);
            let usage: Vec<&Value> = chunks.iter().filter(|chunk| chunk.get("usage").is_some()).collect();
            assert_eq!(usage.len(), usize::from(with_usage));
            assert!(usage.iter().all(|chunk| chunk["choices"] == json!([]) && chunk["usage"]["total_tokens"] == 9));
        }
    }

    #[test]
    fn what_is_no_chat_request_is_refused_as_a_provider_would() {
        let (status, text) = ask(&json!({ "model": 5 }));
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(serde_json::from_str::<Value>(&text).unwrap()["error"]["message"].is_string());
        assert_eq!(answer(&Method::POST, "/embeddings", &[]).status, StatusCode::NOT_FOUND);
    }

    #[test]
    fn words_keep_every_character() {
        for text in ["", " ", "a", " a", "a ", "  a  b\n\nc ", "ä\u{2003}ö"] {
            let words = split_words(text);
            let kept = words.concat();
            assert!(kept == text || text.trim().is_empty(), "{text:?} {words:?}");
            assert_eq!(words.len(), text.split_whitespace().count(), "{text:?} {words:?}");
        }
    }
}
