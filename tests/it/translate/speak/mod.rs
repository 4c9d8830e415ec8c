//! Good clients of each family, written by hand: they send what their family's documents say, are strict about every
//! answer, fold streams as the official SDKs do, and carry a conversation on with exactly what they were answered.

mod anthropic;
mod chat;
mod events;
mod gemini;
mod responses;

use http::HeaderMap;
use serde_json::Value;
use tollgate_tests::clients::{Ask, Client, Reply};
use tollgate_tests::fake::strict::Family;

pub use events::{Event, parse};

/// What a family's client needs to know about its family.
pub trait Tongue: Sync {
    /// Where to ask.
    fn path(&self, model: &str, is_stream: bool) -> String;
    /// How the key is sent, and what else belongs on every request.
    fn headers(&self, key: &str) -> Vec<(&'static str, String)>;
    /// An empty conversation with room for an answer.
    fn begin(&self, model: &str) -> Value;
    fn system(&self, body: &mut Value, text: &str);
    /// The user says this.
    fn say(&self, body: &mut Value, parts: &[Part]);
    fn tools(&self, body: &mut Value, tools: &[Tool]);
    fn choose(&self, body: &mut Value, choice: Choice<'_>);
    /// Switches parallel calls off; false where the family has no word for it.
    fn one_at_a_time(&self, body: &mut Value) -> bool;
    /// Asks for reasoning that can be seen.
    fn think(&self, body: &mut Value);
    fn schema(&self, body: &mut Value, schema: &Value);
    fn limit(&self, body: &mut Value, tokens: u64);
    fn temperature(&self, body: &mut Value, value: f64);
    /// False where the family has no stop sequences.
    fn stop(&self, body: &mut Value, words: &[&str]) -> bool;
    /// What a request to stream has in its body.
    fn stream(&self, body: &mut Value);
    /// A streamed answer as a whole one, checked event by event; the error, if that is how it ended.
    fn fold(&self, events: &[Event]) -> Result<Value, Value>;
    /// A whole answer, checked.
    fn hear(&self, answer: &Value) -> Heard;
    /// Puts the answer into the conversation.
    fn remember(&self, body: &mut Value, answer: &Value, memory: Memory);
    /// Puts the results of its calls behind it, in the order of the calls.
    fn results(&self, body: &mut Value, calls: &[Call], results: &[&str]);
    /// The message in an error of the family; panics when it is none.
    fn error(&self, status: u16, body: &Value) -> String;
}

/// A piece of what a user says.
#[derive(Debug, Clone)]
pub enum Part {
    Text(String),
    /// MIME type and base64.
    Image(&'static str, &'static str),
    Pdf(&'static str),
}

#[derive(Debug, Clone)]
pub struct Tool {
    pub name: &'static str,
    pub schema: Value,
}

#[derive(Debug, Clone, Copy)]
pub enum Choice<'a> {
    None,
    Any,
    Named(&'a str),
}

/// How much of an answer a client sends back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// All of it.
    Faithful,
    /// Only the fields that every client knows: texts, and calls with id, name and arguments.
    Forgetful,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    Stop,
    /// With the stop sequence, where the family says it.
    Word(String),
    Length,
    Calls,
    Refused,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub id: String,
    pub name: String,
    pub arguments: Value,
}

/// Tokens in the words of all families, as far as they have words for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Everything that went in.
    pub input: u64,
    pub cached: u64,
    /// Everything that came out.
    pub output: u64,
    pub reasoning: Option<u64>,
}

/// What a client makes of an answer.
#[derive(Debug, Clone)]
pub struct Heard {
    pub text: String,
    pub refusal: String,
    pub thought: String,
    pub calls: Vec<Call>,
    pub finish: Finish,
    pub told: Told,
    pub model: String,
}

/// The tongue of a family.
pub fn tongue(family: Family) -> &'static dyn Tongue {
    match family {
        Family::Chat => &chat::Chat,
        Family::Responses => &responses::Responses,
        Family::Anthropic => &anthropic::Anthropic,
        Family::Gemini => &gemini::Gemini,
    }
}

/// A conversation with one model.
#[derive(Clone)]
pub struct Speaker {
    pub family: Family,
    pub model: String,
    pub body: Value,
    pub is_stream: bool,
    pub memory: Memory,
    /// In front of every path: empty at a gateway.
    pub prefix: &'static str,
    client: Client,
    key: String,
    tongue: &'static dyn Tongue,
}

/// An answer and what came with it.
#[derive(Debug)]
pub struct Answered {
    pub heard: Heard,
    pub whole: Value,
    pub headers: HeaderMap,
}

impl Answered {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header in ASCII"))
    }

    /// The request's own id.
    pub fn request_id(&self) -> String {
        self.header("x-request-id").to_owned()
    }

    /// The losses that were named.
    pub fn losses(&self) -> Vec<&str> {
        self.header("x-tollgate-loss").split(',').map(str::trim).filter(|loss| !loss.is_empty()).collect()
    }
}

/// How an answer failed.
#[derive(Debug)]
pub struct Failed {
    pub status: u16,
    pub message: String,
    pub headers: HeaderMap,
}

impl Failed {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header in ASCII"))
    }
}

impl Speaker {
    pub fn new(family: Family, client: &Client, key: &str, model: &str, is_stream: bool) -> Speaker {
        let tongue = tongue(family);
        Speaker {
            family,
            model: model.to_owned(),
            body: tongue.begin(model),
            is_stream,
            memory: Memory::Faithful,
            prefix: "",
            client: client.with_key(""),
            key: key.to_owned(),
            tongue,
        }
    }

    pub fn system(&mut self, text: &str) {
        self.tongue.system(&mut self.body, text);
    }

    pub fn say(&mut self, text: &str) {
        self.say_parts(&[Part::Text(text.to_owned())]);
    }

    pub fn say_parts(&mut self, parts: &[Part]) {
        self.tongue.say(&mut self.body, parts);
    }

    pub fn tools(&mut self, tools: &[Tool]) {
        self.tongue.tools(&mut self.body, tools);
    }

    pub fn choose(&mut self, choice: Choice<'_>) {
        self.tongue.choose(&mut self.body, choice);
    }

    pub fn one_at_a_time(&mut self) -> bool {
        self.tongue.one_at_a_time(&mut self.body)
    }

    pub fn think(&mut self) {
        self.tongue.think(&mut self.body);
    }

    pub fn schema(&mut self, schema: &Value) {
        self.tongue.schema(&mut self.body, schema);
    }

    pub fn limit(&mut self, tokens: u64) {
        self.tongue.limit(&mut self.body, tokens);
    }

    pub fn temperature(&mut self, value: f64) {
        self.tongue.temperature(&mut self.body, value);
    }

    pub fn stop(&mut self, words: &[&str]) -> bool {
        self.tongue.stop(&mut self.body, words)
    }

    /// The request as it would be sent now.
    pub fn ask(&self) -> Ask {
        let mut body = self.body.clone();
        if self.is_stream {
            self.tongue.stream(&mut body);
        }
        let path = format!("{}{}", self.prefix, self.tongue.path(&self.model, self.is_stream));
        let ask = Ask::json(&path, &body);
        self.tongue.headers(&self.key).into_iter().fold(ask, |ask, (name, value)| ask.header(name, &value))
    }

    /// Asks; an error is an error, before or inside the stream.
    pub async fn try_hear(&self) -> Result<Answered, Failed> {
        let (whole, headers) = if self.is_stream { self.streamed().await? } else { self.unary().await? };
        Ok(Answered { heard: self.tongue.hear(&whole), whole, headers })
    }

    async fn unary(&self) -> Result<(Value, HeaderMap), Failed> {
        let Reply { status, headers, body } = self.client.send(self.ask()).await;
        let json: Value = serde_json::from_slice(&body)
            .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&body)));
        if status == 200 { Ok((json, headers)) } else { Err(self.failed(status, &json, headers)) }
    }

    async fn streamed(&self) -> Result<(Value, HeaderMap), Failed> {
        let open = self.client.open(self.ask()).await;
        let (status, headers) = (open.status, open.headers.clone());
        if status != 200 {
            let reply = open.whole().await.expect("the rest of an error");
            return Err(self.failed(status, &reply.json(), headers));
        }
        let told = open.stream().await.rest().await;
        assert!(told.is_clean, "the body of a stream must end well, whatever happened");
        match self.tongue.fold(&events::parse(&told.raw)) {
            Ok(whole) => Ok((whole, headers)),
            Err(error) => Err(self.failed(200, &error, headers)),
        }
    }

    fn failed(&self, status: u16, body: &Value, headers: HeaderMap) -> Failed {
        Failed { status, message: self.tongue.error(status, body), headers }
    }

    /// Asks, is answered, and puts the answer into the conversation.
    pub async fn hear(&mut self) -> Answered {
        match self.try_hear().await {
            Ok(answered) => {
                self.tongue.remember(&mut self.body, &answered.whole, self.memory);
                answered
            }
            Err(failed) => panic!("{failed:?} to {:#}", self.body),
        }
    }

    /// Gives the results of the calls that were heard.
    pub fn give(&mut self, heard: &Heard, results: &[&str]) {
        assert_eq!(heard.calls.len(), results.len(), "{heard:?}");
        self.tongue.results(&mut self.body, &heard.calls, results);
    }
}

/// Pushes onto an array, which is made where there is none.
pub fn push(holder: &mut Value, name: &str, item: Value) {
    match &mut holder[name] {
        Value::Array(items) => items.push(item),
        other => *other = Value::Array(vec![item]),
    }
}

pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub fn count(value: &Value, what: &str) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{what} is no count: {value}"))
}

/// The arguments of a call, which must be the text of an object.
pub fn arguments(text: &str) -> Value {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in the arguments `{text}`"));
    assert!(value.is_object(), "arguments that are no object: {text}");
    value
}
