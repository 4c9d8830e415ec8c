//! One request against one fault: asked, and every side of it compared with what the table expects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use proto::admin::UsageRecord;
use serde_json::{Value, json};
use tollgate_tests::clients::Client;
use tollgate_tests::fake::fault::{FAST, PIECE, TOLD};
use tollgate_tests::fake::strict::Family;
use tollgate_tests::fake::{Fake, Served};
use tollgate_tests::house::{DEAR, ODD};
use tollgate_tests::money::{Tokens, nano, nano_of_number};
use tollgate_tests::wait;

use super::table::{Fate, Miss, Place, Row, Then};
use crate::translate::speak::{self, Heard, Speaker};

/// No request may take longer than its deadline and what a busy machine adds.
const LONGEST: Duration = Duration::from_secs(30);

/// One fault, one pair of families, one form.
#[derive(Clone)]
pub struct Cell {
    pub row: &'static Row,
    pub fate: Fate,
    /// Of the client.
    pub from: Family,
    /// Of the provider that fails.
    pub to: Family,
    pub is_stream: bool,
    /// Whether a healthy provider could take over.
    pub has_other: bool,
}

/// What the client was given.
pub struct Given {
    pub status: u16,
    pub headers: HeaderMap,
    raw: Vec<u8>,
    is_clean: bool,
    took: Duration,
}

/// Everything that is known about one request in the end.
pub struct Story<'a> {
    pub cell: &'a Cell,
    pub given: &'a Given,
    pub record: &'a UsageRecord,
    /// What `/v1/generation` says.
    pub generation: &'a Value,
    pub bad: Vec<Arc<Served>>,
    pub good: Vec<Arc<Served>>,
}

impl Given {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header in ASCII"))
    }

    /// The beginning of it, for a message.
    pub fn shown(&self) -> String {
        let text: String = String::from_utf8_lossy(&self.raw).chars().take(1_200).collect();
        format!("{} {text}", self.status)
    }

    /// Letters of the text.
    fn letters(&self) -> u64 {
        let raw = String::from_utf8_lossy(&self.raw);
        let letters = [PIECE, FAST].map(|word| raw.matches(word).count() * word.len());
        u64::try_from(letters.iter().sum::<usize>()).unwrap()
    }

    /// Its events. A provider's bytes pass to a client of its own family as they are, also those that nobody can read.
    fn events(&self, is_same: bool) -> Vec<speak::Event> {
        let mut events = speak::parse(String::from_utf8_lossy(&self.raw).as_bytes());
        let is_readable =
            |event: &speak::Event| event.data == "[DONE]" || serde_json::from_str::<Value>(&event.data).is_ok();
        events.retain(|event| !is_same || is_readable(event));
        events
    }

    fn pieces(&self) -> usize {
        String::from_utf8_lossy(&self.raw).matches(PIECE).count()
    }
}

impl Cell {
    /// Also the end of the names of its provider and its models: what is held against one concerns no other cell.
    pub fn name(&self) -> String {
        let [from, to] = [self.from, self.to].map(|family| family.dialect().trim_start_matches("openai-"));
        let form = if self.is_stream { "stream" } else { "whole" };
        let other = if self.has_other { "-or-other" } else { "" };
        format!("{}-{from}-{to}-{form}{other}", self.row.name)
    }

    /// The provider that fails, and its name of the model.
    pub fn bad(&self) -> String {
        format!("bad-{}", self.name())
    }

    /// The healthy one's name of the model.
    pub fn good(&self) -> String {
        format!("good-{}", self.name())
    }

    pub fn model(&self) -> String {
        format!("faults/{}", self.name())
    }

    /// Of another family than the one that fails, so that falling over crosses as well.
    pub fn other(&self) -> Family {
        let at = Family::ALL.iter().position(|family| *family == self.to).expect("one of four");
        Family::ALL[(at + 1) % 4]
    }

    pub fn good_provider(&self) -> String {
        format!("good-{}", self.other().dialect())
    }

    /// Whether the healthy provider serves a model of its own.
    pub fn is_other_model(&self) -> bool {
        matches!(self.fate, Fate::Miss(Miss { then: Then::OtherModel, .. }))
    }

    fn speaker(&self, client: &Client, key: &str) -> Speaker {
        let mut speaker = Speaker::new(self.from, client, key, &self.model(), self.is_stream);
        speaker.say("How is a wall made?");
        if self.has_other && self.is_other_model() {
            speaker.body["models"] = json!([format!("{}-elsewhere", self.model())]);
        } else if self.has_other {
            speaker.body["provider"] = json!({"order": [self.bad()]});
        }
        speaker
    }

    /// Asks, reads on to the end, and tells the fake when there was something to see.
    pub async fn ask(&self, client: &Client, key: &str, fake: &Fake) -> Given {
        let begun = Instant::now();
        let reading = async {
            let mut open = client.open(self.speaker(client, key).ask()).await;
            let (mut raw, mut has_seen) = (Vec::new(), false);
            let is_clean = loop {
                match open.bytes().await {
                    Ok(Some(bytes)) => raw.extend_from_slice(&bytes),
                    Ok(None) => break true,
                    Err(_) => break false,
                }
                if !has_seen && has_two_pieces(&raw) {
                    has_seen = true;
                    fake.was_seen(&self.bad());
                }
            };
            Given { status: open.status, headers: open.headers.clone(), raw, is_clean, took: begun.elapsed() }
        };
        wait::within(&self.name(), LONGEST * 2, reading).await
    }
}

/// As many as a provider sends that goes on when they were seen.
fn has_two_pieces(raw: &[u8]) -> bool {
    raw.windows(PIECE.len()).filter(|part| *part == PIECE.as_bytes()).count() >= 2
}

impl Story<'_> {
    /// Panics at the first thing that is not as it should be.
    pub fn check(&self) {
        assert!(self.given.took < LONGEST, "it took {:?}", self.given.took);
        assert!(self.given.is_clean, "the body of an answer must end well, whatever happened");
        assert!(!String::from_utf8_lossy(&self.given.raw).contains("<html"), "a page came through");
        match self.cell.fate {
            Fate::Good(attempt) if self.cell.has_other && attempt > 1 => self.elsewhere(2),
            Fate::Good(attempt) => self.good(attempt),
            Fate::Counted => self.counted(),
            Fate::Miss(miss) if self.cell.has_other => match miss.then {
                Then::Nobody | Then::TooLate => self.missed(Miss { tries: 1, ..miss }),
                Then::OtherModel | Then::OtherProvider => self.elsewhere(2),
            },
            Fate::Miss(miss) => self.missed(miss),
            Fate::Cut => self.cut(),
            Fate::Capped => self.capped(),
        }
        self.generation_agrees();
    }

    fn good(&self, attempt: u32) {
        let heard = self.answered(attempt, &self.cell.bad());
        assert_eq!((heard.told.input, heard.told.output), (TOLD.prompt, TOLD.completion), "{heard:?}");
        self.asked(attempt, 0);
        self.booked("finished", attempt, 200);
        assert_eq!(self.used(), TOLD, "{:?}", self.record);
        assert_eq!(nano(&self.record.cost), ODD.cost(TOLD), "{:?}", self.record);
        assert_eq!(self.record.usage_source, "provider_final");
        self.answered_by(&self.bad);
    }

    fn counted(&self) {
        // A client of the same family is told what the provider told, which may be nothing that can be read.
        match self.is_same() {
            true => assert!(self.given.pieces() >= 5, "{}", self.given.shown()),
            false => assert_eq!(self.heard().text, PIECE.repeat(5)),
        }
        self.heads(1, &self.cell.bad());
        self.asked(1, 0);
        self.booked("finished", 1, 200);
        let used = self.used();
        assert!(used.completion >= 5 && used.completion <= 30 && used.prompt > 0, "{:?}", self.record);
        assert_eq!(nano(&self.record.cost), ODD.cost(used), "{:?}", self.record);
        // Anthropic says what went in before it says anything else.
        assert!(["estimated", "provider_partial"].contains(&self.record.usage_source.as_str()), "{:?}", self.record);
        self.answered_by(&self.bad);
    }

    /// The healthy provider took over.
    fn elsewhere(&self, attempt: u32) {
        let heard = self.answered(attempt, &self.cell.good_provider());
        assert_eq!((heard.told.input, heard.told.output), (TOLD.prompt, TOLD.completion), "{heard:?}");
        self.asked(attempt - 1, 1);
        self.booked("finished", attempt, 200);
        assert_eq!(nano(&self.record.cost), DEAR.cost(TOLD), "{:?}", self.record);
        self.answered_by(&self.good);
    }

    fn missed(&self, miss: Miss) {
        assert_eq!(self.given.status, miss.status, "{}", self.given.shown());
        let body: Value = serde_json::from_slice(&self.given.raw).expect("an error in JSON");
        let message = speak::tongue(self.cell.from).error(miss.status, &body);
        assert!(!message.is_empty() && !message.contains("sk-x"), "{body}");
        assert_eq!(self.given.header("x-tollgate-attempts"), miss.tries.to_string());
        let later = miss.later.map_or(String::new(), |seconds| seconds.to_string());
        assert_eq!(self.given.header("retry-after"), later);
        self.asked(miss.tries, 0);
        self.booked(miss.outcome, miss.tries, miss.status.into());
        assert_eq!(nano(&self.record.cost), 0, "{:?}", self.record);
        assert_eq!(self.record.model, "", "nobody answered: {:?}", self.record);
    }

    fn cut(&self) {
        self.failed_within();
        assert!(self.given.pieces() >= 2, "{}", self.given.shown());
        self.booked("upstream_cut", 1, 200);
        assert_eq!(nano(&self.record.cost), 0, "{:?}", self.record);
        self.answered_by(&self.bad);
    }

    fn capped(&self) {
        let error = self.failed_within();
        assert_eq!(self.record.outcome, "capped", "{error}");
        self.booked("capped", 1, 200);
        let (used, letters) = (self.used(), self.given.letters());
        // About four letters are a token, whoever counts.
        assert!((letters / 6..=letters / 2).contains(&used.completion), "{letters} letters: {:?}", self.record);
        assert_eq!(nano(&self.record.cost), ODD.cost(used), "{:?}", self.record);
    }

    /// A stream that began well and ends with an error in the caller's words.
    fn failed_within(&self) -> String {
        self.heads(1, &self.cell.bad());
        let tongue = speak::tongue(self.cell.from);
        let error = tongue.fold(&self.given.events(self.is_same())).expect_err("it looks like a good answer");
        let message = tongue.error(200, &error);
        assert!(!message.is_empty(), "{error}");
        self.asked(1, 0);
        message
    }

    /// What the client hears, which must be a good answer.
    fn answered(&self, attempt: u32, provider: &str) -> Heard {
        self.heads(attempt, provider);
        let heard = self.heard();
        assert_eq!(heard.text, PIECE.repeat(5), "{heard:?}");
        heard
    }

    fn heard(&self) -> Heard {
        let tongue = speak::tongue(self.cell.from);
        let whole = match self.cell.is_stream {
            true => tongue.fold(&self.heard_events()).unwrap_or_else(|error| panic!("{error}")),
            false => serde_json::from_slice(&self.given.raw).expect("an answer in JSON"),
        };
        tongue.hear(&whole)
    }

    /// The events of a good answer. Usage that rides on another chunk stays there for a client of the same family, who
    /// would take the last word.
    fn heard_events(&self) -> Vec<speak::Event> {
        let mut events = self.given.events(false);
        for event in events.iter_mut().filter(|_| self.is_same() && self.cell.to == Family::Chat) {
            let mut data: Value = serde_json::from_str(&event.data).unwrap_or_default();
            if data["usage"].is_object() && data["choices"] != json!([]) {
                data["usage"] = Value::Null;
                event.data = data.to_string();
            }
        }
        events
    }

    /// The head of an answer.
    fn heads(&self, attempt: u32, provider: &str) {
        assert_eq!(self.given.status, 200, "{}", self.given.shown());
        let said = ["x-tollgate-attempts", "x-tollgate-provider"].map(|name| self.given.header(name));
        assert_eq!(said, [attempt.to_string().as_str(), provider]);
    }

    /// The truth: how often each provider was asked.
    fn asked(&self, bad: u32, good: usize) {
        let bad = if self.cell.row.place == Place::Fake { bad as usize } else { 0 };
        assert_eq!((self.bad.len(), self.good.len()), (bad, good), "asked the bad and the good provider so often");
    }

    fn booked(&self, outcome: &str, attempt: u32, status: u32) {
        let record = self.record;
        assert_eq!((record.outcome.as_str(), record.attempt, record.status), (outcome, attempt, status), "{record:?}");
        assert_eq!(record.streamed, self.cell.is_stream);
    }

    fn is_same(&self) -> bool {
        self.cell.from == self.cell.to
    }

    fn used(&self) -> Tokens {
        Tokens {
            prompt: self.record.prompt_tokens,
            completion: self.record.completion_tokens,
            cached: self.record.cached_tokens,
            reasoning: self.record.reasoning_tokens,
        }
    }

    /// The last one of these gave the answer that was booked.
    fn answered_by(&self, served: &[Arc<Served>]) {
        let served = served.last().expect("somebody answered");
        assert_eq!(
            (&self.record.upstream_id, &self.record.provider),
            (&served.id, &served.provider),
            "{:?}",
            self.record
        );
    }

    fn generation_agrees(&self) {
        let (record, said) = (self.record, &self.generation["data"]);
        assert_eq!(nano_of_number(&said["total_cost"]), nano(&record.cost), "{said:#}");
        let numbers = ["native_tokens_prompt", "native_tokens_completion", "attempt", "status"].map(|name| &said[name]);
        let booked = [record.prompt_tokens, record.completion_tokens, record.attempt.into(), record.status.into()];
        assert_eq!(numbers.map(|number| number.as_u64()), booked.map(Some), "{said:#}");
        assert_eq!((&said["outcome"], &said["upstream_id"]), (&json!(record.outcome), &json!(record.upstream_id)));
    }
}
