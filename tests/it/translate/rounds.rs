//! Ten rounds of tools with reasoning: signatures go through any family and come back to the provider as it made them.

use serde_json::Value;
use tollgate_tests::fake::strict::{DUMMIES, Family};

use super::speak::{Finish, Memory, Speaker};
use super::{Pair, among, clock, everywhere, places, weather};

pub const ROUNDS: usize = 10;

pub fn question(round: usize) -> String {
    format!("round {round} call get_weather({{\"city\":\"A{round}\"}}) call get_time({{}})")
}

/// One round: two calls at once, a third behind their results, and the answer.
async fn round(speaker: &mut Speaker, round: usize, shows_thoughts: bool) {
    let heard = speaker.hear().await.heard;
    assert_eq!((&heard.finish, heard.calls.len()), (&Finish::Calls, 2), "round {round}: {heard:?}");
    if shows_thoughts {
        assert!(heard.thought.starts_with(&format!("thinking about: round {round}")), "round {round}: {heard:?}");
    }
    let then = format!("sunny, then call get_weather({{\"city\":\"B{round}\"}})");
    speaker.give(&heard, &[&then, "noon"]);
    let heard = speaker.hear().await.heard;
    assert_eq!(heard.calls.len(), 1, "round {round}: {heard:?}");
    speaker.give(&heard, &["rainy"]);
    let heard = speaker.hear().await.heard;
    assert_eq!(heard.text, format!("results: {then} | noon | rainy"), "round {round}");
    assert_eq!(heard.finish, Finish::Stop);
}

/// All rounds.
pub async fn play(speaker: &mut Speaker, thinks: bool, shows_thoughts: bool) {
    speaker.tools(&[clock(), weather()]);
    if thinks {
        speaker.think();
    }
    for at in 0..ROUNDS {
        round(speaker, at, shows_thoughts).await;
        speaker.say(&question(at + 1));
    }
}

async fn play_pair(pair: &Pair, memory: Memory, thinks: bool) {
    let mut speaker = pair.asking(&question(0));
    speaker.memory = memory;
    // OpenAI's chat shows nobody its thoughts.
    play(&mut speaker, thinks, thinks && pair.to != Family::Chat).await;
    assert_eq!(pair.clean().len(), 3 * ROUNDS);
}

/// What a provider must see again, by family.
fn signatures(family: Family, body: &Value) -> Vec<Value> {
    match family {
        Family::Chat => Vec::new(),
        Family::Responses => places(body, "encrypted_content"),
        Family::Anthropic => places(body, "signature"),
        Family::Gemini => [places(body, "thoughtSignature"), places(body, "thought_signature")].concat(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_rounds_of_tools_with_reasoning_go_through_every_pair() {
    everywhere(async |pair: Pair| {
        play_pair(&pair, Memory::Faithful, true).await;
        let seen = pair.clean();
        let dummies: usize = seen.iter().map(|one| one.dummies).sum();
        assert_eq!(dummies, 0, "signatures went lost on the way");
        assert!(seen.iter().all(|one| one.truth.reasoning > 0), "somewhere reasoning was not asked for");
        // In the last request: those of all steps before it.
        let came_back = signatures(pair.to, &seen.last().unwrap().body).len();
        let calls_only = 2 * ROUNDS;
        let wanted = if pair.to == Family::Chat { 0 } else { calls_only };
        assert!(came_back >= wanted, "{came_back} of {wanted} signatures came back");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_rounds_of_tools_without_reasoning_go_through_every_pair() {
    everywhere(async |pair: Pair| {
        play_pair(&pair, Memory::Faithful, false).await;
        let dummies: usize = pair.clean().iter().map(|one| one.dummies).sum();
        assert_eq!(dummies, 0, "signatures went lost on the way");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_keeps_only_what_it_knows_goes_on_too() {
    // With the provider's own family in between the gateway changes nothing, and forgetting is between the two.
    among(
        |from, to| from != to && from != Family::Anthropic,
        async |pair: Pair| {
            play_pair(&pair, Memory::Forgetful, true).await;
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thoughts_that_nobody_may_see_come_back_as_well() {
    everywhere(async |pair: Pair| {
        for command in ["!redacted", "!hidden"] {
            let mut speaker = pair.asking(&format!("call get_time({{}}) {command}"));
            speaker.tools(&[clock()]);
            speaker.think();
            let heard = speaker.hear().await.heard;
            assert_eq!(heard.thought, "", "{command}");
            speaker.give(&heard, &["noon"]);
            assert_eq!(speaker.hear().await.heard.text, "results: noon", "{command}");
        }
        let dummies: usize = pair.clean().iter().map(|one| one.dummies).sum();
        assert_eq!(dummies, 0, "thoughts went lost on the way");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signatures_do_not_go_to_another_provider() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.asking("call get_time({})");
        speaker.tools(&[clock()]);
        speaker.think();
        let heard = speaker.hear().await.heard;
        speaker.give(&heard, &["noon"]);
        let signed: Vec<Value> = signatures_of_answer(&speaker.body);
        // The conversation moves to a model of each other family.
        for to in Family::ALL.into_iter().filter(|to| *to != pair.to && *to != pair.from) {
            let moved = Pair { to, tag: format!("{}-at-{}", pair.tag, to.dialect()), ..pair.clone() };
            let mut elsewhere = moved.speaker();
            let text = speaker.body.to_string().replace(&pair.tag, &moved.tag).replace(pair.model(), moved.model());
            elsewhere.body = serde_json::from_str(&text).unwrap();
            assert_eq!(elsewhere.hear().await.heard.text, "results: noon");
            let arrived = moved.last().body.to_string();
            for signature in signed.iter().filter_map(Value::as_str).filter(|text| text.len() > 40) {
                assert!(!arrived.contains(signature), "{} has seen another's signature", to.dialect());
            }
            assert!(to == Family::Gemini || !DUMMIES.iter().any(|dummy| arrived.contains(dummy)));
        }
    })
    .await;
}

fn signatures_of_answer(body: &Value) -> Vec<Value> {
    ["signature", "encrypted_content", "thoughtSignature", "data"]
        .into_iter()
        .flat_map(|name| places(body, name))
        .collect()
}
