//! Every family in, every family out: good clients of all four families against models behind providers of all four,
//! whole and streamed. The provider refuses what a real one would refuse, and knows what everything should cost.

mod canary;
mod counts;
mod direct;
mod errors;
mod finishes;
mod headers;
mod losses;
mod media;
mod other;
mod rounds;
mod routes;
pub mod speak;
mod speech;
mod structured;
mod talk;
mod tools;
mod usage;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tollgate_tests::actors::Org;
use tollgate_tests::fake::strict::{Family, Seen};
use tollgate_tests::house::House;

use speak::{Speaker, Tool};

/// A client's family, a provider's family, and how the answer comes.
#[derive(Clone)]
pub struct Pair {
    pub house: Arc<House>,
    pub org: Org,
    pub from: Family,
    pub to: Family,
    pub is_stream: bool,
    /// What the conversation is called at the provider.
    pub tag: String,
}

/// The model behind a provider of this family.
pub fn model(family: Family) -> &'static str {
    match family {
        Family::Chat => "strict/openai-chat",
        Family::Responses => "strict/openai-responses",
        Family::Anthropic => "strict/anthropic",
        Family::Gemini => "strict/gemini",
    }
}

impl Pair {
    pub fn model(&self) -> &'static str {
        model(self.to)
    }

    pub fn is_same(&self) -> bool {
        self.from == self.to
    }

    /// A client that has said nothing yet.
    pub fn speaker(&self) -> Speaker {
        Speaker::new(self.from, &self.house.client(0, ""), &self.org.key, self.model(), self.is_stream)
    }

    /// A client that has said this, under the pair's tag.
    pub fn asking(&self, text: &str) -> Speaker {
        let mut speaker = self.speaker();
        speaker.say(&self.tagged(text));
        speaker
    }

    /// The same, said to a model whose account may be limited without harm to others.
    pub fn limited(&self, text: &str) -> Speaker {
        let model = self.model().replace("strict/", "limited/");
        let mut speaker = Speaker::new(self.from, &self.house.client(0, ""), &self.org.key, &model, self.is_stream);
        speaker.say(&self.tagged(text));
        speaker
    }

    /// The text with the pair's tag.
    pub fn tagged(&self, text: &str) -> String {
        format!("{text} !tag {}", self.tag)
    }

    /// What arrived at the provider, which must be something, and without a fault.
    #[track_caller]
    pub fn clean(&self) -> Vec<Arc<Seen>> {
        let seen = self.house.fake.strict().expect_clean(&self.tag);
        assert!(seen.iter().all(|one| one.family == self.to), "another provider was asked: {seen:?}");
        seen
    }

    /// The last request that arrived.
    #[track_caller]
    pub fn last(&self) -> Arc<Seen> {
        self.clean().pop().expect("a request")
    }

    fn named(&self) -> String {
        let how = if self.is_stream { "stream" } else { "whole" };
        format!("{} -> {} ({how})", self.from.dialect(), self.to.dialect())
    }
}

/// Plays a scenario with every pair; all of them are played, whatever fails, and every failure is told.
pub async fn everywhere<F, R>(scenario: F)
where
    F: Fn(Pair) -> R,
    R: Future<Output = ()> + 'static,
{
    among(|_, _| true, scenario).await;
}

/// The same with those pairs that are chosen.
pub async fn among<F, R>(chosen: impl Fn(Family, Family) -> bool, scenario: F)
where
    F: Fn(Pair) -> R,
    R: Future<Output = ()> + 'static,
{
    let house = House::strict().await;
    let org = house.org("100.00").await;
    let mut failed = Vec::new();
    let tasks = tokio::task::LocalSet::new();
    for pair in pairs(&house, &org).into_iter().filter(|pair| chosen(pair.from, pair.to)) {
        let named = pair.named();
        // A task of its own, so that one pair's panic is not the end of the others.
        if let Err(error) = tasks.run_until(tasks.spawn_local(scenario(pair))).await {
            failed.push(format!("{named}: {}", panic_text(error)));
        }
    }
    assert!(failed.is_empty(), "{} pairs failed:\n{}", failed.len(), failed.join("\n"));
}

/// Every pair, whole and streamed, each with a tag of its own.
pub fn pairs(house: &Arc<House>, org: &Org) -> Vec<Pair> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut pairs = Vec::new();
    for from in Family::ALL {
        for to in Family::ALL {
            for is_stream in [false, true] {
                let tag = format!("pair-{}", COUNT.fetch_add(1, Ordering::Relaxed));
                pairs.push(Pair { house: Arc::clone(house), org: org.clone(), from, to, is_stream, tag });
            }
        }
    }
    pairs
}

fn panic_text(error: tokio::task::JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "cancelled".to_owned() };
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().map_or("a panic without words", |text| text).to_owned(),
    }
}

/// A tool that takes a city.
pub fn weather() -> Tool {
    let schema = json!({
        "type": "object", "properties": {"city": {"type": "string", "description": "Where"}}, "required": ["city"],
        "additionalProperties": false,
    });
    Tool { name: "get_weather", schema }
}

/// A tool that takes nothing.
pub fn clock() -> Tool {
    Tool { name: "get_time", schema: json!({"type": "object", "properties": {}}) }
}

/// A fault in a request that every family would name: a turn that is no turn.
pub fn spoil(body: &mut Value, family: Family) {
    match family {
        Family::Chat | Family::Anthropic => body["messages"][0]["content"] = json!(7),
        Family::Responses => body["input"][0]["content"] = json!(7),
        Family::Gemini => body["contents"][0]["parts"] = json!(7),
    }
}

/// A value of a request that arrived, wherever it stands in it.
pub fn places(value: &Value, name: &str) -> Vec<Value> {
    let mut found = Vec::new();
    gather(value, name, &mut found);
    found
}

fn gather(value: &Value, name: &str, found: &mut Vec<Value>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                if key == name {
                    found.push(member.clone());
                }
                gather(member, name, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, name, found)),
        _ => {}
    }
}
