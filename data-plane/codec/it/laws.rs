//! The laws that hold between all dialects, in every direction: they are taken from `DIALECTS`, so a new dialect is bound by
//! them without a line here. Recorded traffic is the material; what the laws need besides is written by hand.

use std::collections::HashMap;

use codec::dialect::DIALECTS;
use codec::{Bridge, Dialect, Loss, Losses, StreamEnd};
use domain::catalog::PriceList;
use domain::money::Price;
use domain::pricing::cost;
use domain::usage::TokenUsage;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::edits::{self, dialect, pricer};
use crate::fixtures::{self, Case};
use crate::odd::Odd;
use crate::pairs::{self, Pair};
use crate::reference;

/// Usage for which the law of prices is checked.
const USAGES: u64 = 100_000;

fn chat() -> &'static Dialect {
    dialect("openai-chat")
}

/// A chat answer with this usage and nothing else to speak of.
fn chat_answer(usage: &TokenUsage) -> Vec<u8> {
    let (prompt, completion) = (usage.prompt_total(), usage.completion_total());
    format!(
        r#"{{"id":"a","created":1,"choices":[{{"index":0,"message":{{"role":"assistant","content":"x"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{},"cache_write_tokens":{},"cache_write_1h_tokens":{},"audio_tokens":{}}},"completion_tokens_details":{{"reasoning_tokens":{},"audio_tokens":{}}},"server_tool_use_details":{{"web_search_requests":{},"images":{}}}}}}}"#,
        prompt + completion,
        usage.cache_read,
        usage.cache_write + usage.cache_write_1h,
        usage.cache_write_1h,
        usage.audio_input,
        usage.reasoning,
        usage.audio_output,
        usage.web_searches,
        usage.images,
    )
    .into_bytes()
}

/// One class of usage: its name, and where it stands.
type Class = (&'static str, fn(&mut TokenUsage) -> &mut u64);

const CLASSES: [Class; 10] = [
    ("prompt", |usage| &mut usage.prompt),
    ("cache_read", |usage| &mut usage.cache_read),
    ("cache_write", |usage| &mut usage.cache_write),
    ("cache_write_1h", |usage| &mut usage.cache_write_1h),
    ("completion", |usage| &mut usage.completion),
    ("reasoning", |usage| &mut usage.reasoning),
    ("audio_input", |usage| &mut usage.audio_input),
    ("audio_output", |usage| &mut usage.audio_output),
    ("images", |usage| &mut usage.images),
    ("web_searches", |usage| &mut usage.web_searches),
];

/// What `usage` becomes when a dialect's answer tells it to a client, and the same dialect's provider's half reads it.
fn told(dialect: &'static Dialect, usage: &TokenUsage) -> TokenUsage {
    let edits = pairs::edits_for(b"");
    let written = pairs::whole((dialect, chat()), &chat_answer(usage), &edits).unwrap();
    assert_eq!(written.tap.usage().as_ref(), Some(usage), "the hand-written answer says it");
    let read = pairs::whole((dialect, dialect), &written.body.into_bytes(), &edits).unwrap();
    read.tap.usage().unwrap()
}

/// Whether a dialect's usage objects have a class at all.
fn says(dialect: &'static Dialect, class: Class) -> bool {
    let mut usage = TokenUsage { prompt: 1_000, completion: 100, ..TokenUsage::default() };
    *class.1(&mut usage) += 7;
    told(dialect, &usage) == usage
}

fn random_usage(odd: &mut Odd) -> TokenUsage {
    let mut usage = TokenUsage::default();
    for (name, class) in CLASSES {
        *class(&mut usage) = match odd.below(4) {
            0 => 0,
            // Nobody makes millions of these at once.
            _ if matches!(name, "images" | "web_searches") => odd.next() % 100,
            1 => odd.next() % 10,
            2 => odd.next() % 10_000,
            _ => odd.next() % 10_000_000,
        };
    }
    usage
}

fn random_prices(odd: &mut Odd) -> PriceList {
    let mut price = |most: u64| Price::per_million(&format!("0.{:06}", odd.next() % most)).ok();
    PriceList {
        prompt: price(900_000),
        completion: price(900_000),
        cache_read: price(90_000),
        cache_write: price(990_000),
        cache_write_1h: price(999_000),
        reasoning: price(900_000),
        audio_input: price(990_000),
        audio_output: price(990_000),
        image: price(10_000),
        web_search: price(10_000),
        ..PriceList::default()
    }
}

#[test]
fn t50_a_price_is_the_same_whichever_dialect_told_the_usage() {
    // A hundred thousand for each dialect take a while: they are checked side by side.
    std::thread::scope(|scope| {
        for dialect in pairs::dialects() {
            scope.spawn(|| prices_are_kept(dialect));
        }
    });
}

fn prices_are_kept(dialect: &'static Dialect) {
    let kept: Vec<Class> = CLASSES.into_iter().filter(|class| says(dialect, *class)).collect();
    let names: Vec<&str> = kept.iter().map(|class| class.0).collect();
    for name in ["prompt", "cache_read", "completion"] {
        assert!(names.contains(&name), "{} says no {name}", dialect.id);
    }
    if dialect == chat() {
        assert_eq!(names.len(), CLASSES.len());
    }
    let mut odd = Odd::new(50);
    for _ in 0..USAGES {
        // Of what a dialect has a word for, every class comes back; what came back is what the other halves write, so the law
        // holds for every pair.
        let (usage, prices) = (only(&kept, random_usage(&mut odd)), random_prices(&mut odd));
        let back = told(dialect, &usage);
        assert_eq!(cost(&back, &prices), cost(&usage, &prices), "{}: {usage:?}", dialect.id);
        assert_eq!(back, usage, "{}", dialect.id);
    }
    // What it has no word for is counted where it costs the same as long as classes have no prices of their own.
    for _ in 0..USAGES / 100 {
        let (usage, prices) = (random_usage(&mut odd), random_prices(&mut odd));
        let flat = PriceList { prompt: prices.prompt, completion: prices.completion, ..PriceList::default() };
        assert_eq!(cost(&told(dialect, &usage), &flat), cost(&usage, &flat), "{}: {usage:?}", dialect.id);
    }
}

/// Usage in these classes alone.
fn only(classes: &[Class], mut all: TokenUsage) -> TokenUsage {
    let mut usage = TokenUsage::default();
    for (_, class) in classes {
        *class(&mut usage) = *class(&mut all);
    }
    usage
}

#[test]
fn t50_every_ordered_pair_passes_usage_on() {
    let mut odd = Odd::new(51);
    // What is only ever a target gives no answers that a client of its own could read.
    let both_ways = pairs::dialects();
    for (client, provider) in pairs::all().into_iter().filter(|(_, provider)| both_ways.contains(provider)) {
        let both: Vec<Class> =
            CLASSES.into_iter().filter(|class| says(client, *class) && says(provider, *class)).collect();
        for _ in 0..100 {
            let usage = only(&both, random_usage(&mut odd));
            let edits = pairs::edits_for(b"");
            let at_provider = pairs::whole((provider, chat()), &chat_answer(&usage), &edits).unwrap();
            let at_client = pairs::whole((client, provider), &at_provider.body.into_bytes(), &edits).unwrap();
            assert_eq!(at_client.tap.usage(), Some(usage), "{} to {}", provider.id, client.id);
            let read = pairs::whole((client, client), &at_client.body.into_bytes(), &edits).unwrap();
            assert_eq!(read.tap.usage(), Some(usage), "{} to {}", provider.id, client.id);
        }
    }
}

/// Requests of the declared common subset: what every dialect says without a loss (docs/translation.md).
fn common_requests() -> Vec<Value> {
    let weather = json!({"type":"function","function":{"name":"weather","description":"The weather of a city.",
        "parameters":{"type":"object","properties":{"city":{"type":"string","description":"Where."},"days":{"type":"integer"}},"required":["city"]}}});
    let clock = json!({"type":"function","function":{"name":"clock","description":"The time.","parameters":{"type":"object","properties":{}}}});
    let call = |id: &str, name: &str, arguments: &str| json!({"id":id,"type":"function","function":{"name":name,"arguments":arguments}});
    let talk = |messages: Value| json!({"model":"m","max_tokens":300,"messages":messages});
    let with = |mut request: Value, fields: Value| {
        request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        request
    };
    let hello = json!([{"role":"user","content":"Hello"}]);
    let mut all = vec![
        talk(hello.clone()),
        talk(json!([{"role":"system","content":"Be brief.\nAlways \"so\"."},{"role":"user","content":"Hellö 😀"},
            {"role":"assistant","content":"Hi."},{"role":"user","content":[{"type":"text","text":"One"},{"type":"text","text":"Two"}]}])),
        with(talk(hello.clone()), json!({"temperature":0.5,"stream":true})),
        talk(json!([{"role":"user","content":[{"type":"text","text":"What is it?"},
            {"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]}])),
        with(
            talk(json!([{"role":"user","content":"And now?"},
                {"role":"assistant","content":"I look.","tool_calls":[call("call_1", "weather", r#"{"city":"Köln","days":2}"#), call("call_2", "clock", "{}")]},
                {"role":"tool","tool_call_id":"call_1","content":"rain"},{"role":"tool","tool_call_id":"call_2","content":"noon"},
                {"role":"user","content":"Thanks."}])),
            json!({"tools":[weather, clock]}),
        ),
    ];
    for choice in
        [json!("auto"), json!("none"), json!("required"), json!({"type":"function","function":{"name":"clock"}})]
    {
        all.push(with(talk(hello.clone()), json!({"tools":[weather, clock], "tool_choice":choice})));
    }
    all
}

/// Answers of the declared common subset.
fn common_answers() -> Vec<Value> {
    let call = |id: &str, name: &str, arguments: &str| json!({"id":id,"type":"function","function":{"name":name,"arguments":arguments}});
    let answer = |message: Value, finish: &str| {
        json!({"id":"answer-1","object":"chat.completion","created":1_700_000_001,"model":"up",
            "choices":[{"index":0,"message":message,"finish_reason":finish}],
            "usage":{"prompt_tokens":30,"completion_tokens":20,"total_tokens":50,"prompt_tokens_details":{"cached_tokens":10}}})
    };
    vec![
        answer(json!({"role":"assistant","content":"Four \"and\" 😀\nmore."}), "stop"),
        answer(json!({"role":"assistant","content":"Cut"}), "length"),
        answer(
            json!({"role":"assistant","content":null,"tool_calls":[call("call_1", "weather", r#"{"city":"Köln"}"#)]}),
            "tool_calls",
        ),
        answer(
            json!({"role":"assistant","content":"I look.","tool_calls":[call("call_1", "a", "{}"), call("call_2", "b", r#"{"x":[1,2.50,null]}"#)]}),
            "tool_calls",
        ),
    ]
}

/// What is told of the way, or of a time that not every dialect has.
const ASIDE: [&str; 6] =
    ["native_finish_reason", "service_tier", "created", "created_at", "completed_at", "createTime"];

/// What must be equal: ids by their order of appearance, and a strictness that was never asked for is none.
fn comparable(value: &Value) -> Value {
    fn walk(value: &Value, name: &str, ids: &mut HashMap<String, usize>) -> Value {
        const IDS: [&str; 6] = ["id", "tool_call_id", "tool_use_id", "call_id", "item_id", "responseId"];
        match value {
            Value::Object(fields) => {
                let is_told = |name: &str, value: &Value| {
                    !ASIDE.contains(&name) && !(name == "strict" && (*value == json!(false) || value.is_null()))
                };
                let kept = fields.iter().filter(|(name, value)| is_told(name, value));
                Value::Object(kept.map(|(name, value)| (name.clone(), walk(value, name, ids))).collect())
            }
            Value::Array(items) => items.iter().map(|item| walk(item, name, ids)).collect::<Vec<_>>().into(),
            Value::String(id) if IDS.contains(&name) => {
                let next = ids.len();
                json!(format!("id {}", ids.entry(id.clone()).or_insert(next)))
            }
            value => value.clone(),
        }
    }
    walk(value, "", &mut HashMap::new())
}

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn ask(pair: Pair, body: &[u8], is_stream: bool) -> (Vec<u8>, Losses) {
    let outbound = pairs::request(pair, body, Some("m"), is_stream)
        .unwrap_or_else(|fault| panic!("{} to {}: {fault}", pair.0.id, pair.1.id));
    (outbound.body.into_bytes().to_vec(), outbound.losses)
}

#[test]
fn t49_requests_of_the_common_subset_come_back_from_every_dialect_as_they_were() {
    for (nth, request) in common_requests().iter().enumerate() {
        let is_stream = request["stream"] == true;
        for home in pairs::dialects() {
            let (asked, losses) = ask((chat(), home), request.to_string().as_bytes(), is_stream);
            assert!(losses.is_empty(), "request {nth} for {}: {losses}", home.id);
            let (known, losses) = ask((home, home), &asked, is_stream);
            assert!(losses.is_empty(), "request {nth} at {}: {losses}", home.id);
            for away in pairs::dialects() {
                let (there, losses) = ask((home, away), &asked, is_stream);
                assert!(losses.is_empty(), "request {nth} from {} to {}: {losses}", home.id, away.id);
                let (back, losses) = ask((away, home), &there, is_stream);
                assert!(losses.is_empty(), "request {nth} from {} back to {}: {losses}", away.id, home.id);
                let difference = reference::difference(&comparable(&parsed(&back)), &comparable(&parsed(&known)));
                assert_eq!(difference, None, "request {nth} from {} by {} and back", home.id, away.id);
            }
        }
    }
}

#[test]
fn t49_answers_of_the_common_subset_come_back_from_every_dialect_as_they_were() {
    let edits = pairs::edits_for(b"");
    let tell = |pair: Pair, body: &[u8]| {
        let whole = pairs::whole(pair, body, &edits).unwrap();
        assert!(whole.losses.is_empty(), "{} to {}: {}", pair.1.id, pair.0.id, whole.losses);
        assert!(whole.tap.upstream_error().is_none() && whole.tap.all_finished());
        whole.body.into_bytes().to_vec()
    };
    for (nth, answer) in common_answers().iter().enumerate() {
        for home in pairs::dialects() {
            let told = tell((home, chat()), answer.to_string().as_bytes());
            let known = tell((home, home), &told);
            for away in pairs::dialects() {
                let there = tell((away, home), &told);
                let back = tell((home, away), &there);
                let difference = reference::difference(&comparable(&parsed(&back)), &comparable(&parsed(&known)));
                assert_eq!(difference, None, "answer {nth} of {} by {} and back", home.id, away.id);
            }
        }
    }
}

/// Recorded answers with HTTP 200 of dialects that are served.
fn answers(is_stream: bool) -> Vec<Case> {
    // One recording is of the making of a cache.
    let all = fixtures::cases(&fixtures::FAMILIES).into_iter().filter(|case| case.name != "gemini/basic-01");
    all.filter(|case| case.is_stream == is_stream && case.status == 200 && codec::dialect::find(case.dialect).is_some())
        .collect()
}

fn clients_of(case: &Case) -> Vec<Pair> {
    pairs::all().into_iter().filter(|(_, provider)| provider.id == case.dialect).collect()
}

#[test]
fn usage_by_the_tap_is_usage_by_translation_for_every_recorded_answer() {
    for case in answers(false) {
        let same = Bridge::between(dialect(case.dialect), dialect(case.dialect)).unwrap();
        let edits = pairs::edits_for(case.request.as_deref().unwrap_or_default());
        let tapped = same.whole(case.response.clone().into(), &edits, &mut pricer()).unwrap().tap;
        for pair in clients_of(&case) {
            let read = pairs::whole(pair, &case.response, &edits).unwrap().tap;
            assert_eq!(
                (read.usage(), read.upstream_id()),
                (tapped.usage(), tapped.upstream_id()),
                "{} to {}",
                case.name,
                pair.0.id
            );
            assert_eq!(read.upstream_error().is_some(), tapped.upstream_error().is_some(), "{}", case.name);
        }
    }
    for case in answers(true) {
        let same = Bridge::between(dialect(case.dialect), dialect(case.dialect)).unwrap();
        let mut tapped = same.stream(&edits::answer("public/model", true));
        tapped.push(case.response.clone().into(), &mut pricer());
        let (_, end) = tapped.end(&mut pricer());
        for pair in clients_of(&case) {
            let read = pairs::stream(pair, &case.response, case.response.len(), &edits::answer("public/model", true));
            assert_eq!((read.tap.usage(), &read.end), (tapped.tap().usage(), &end), "{} to {}", case.name, pair.0.id);
            assert!(read.tap.has_output() || !tapped.tap().has_output(), "{}", case.name);
        }
    }
}

#[test]
fn t37_streams_may_be_cut_into_pieces_anywhere_in_every_direction() {
    for case in answers(true) {
        let edits = pairs::edits_for(case.request.as_deref().unwrap_or_default());
        for pair in clients_of(&case) {
            let whole = pairs::stream(pair, &case.response, case.response.len(), &edits);
            let sizes: &[usize] = if case.response.len() < 8_000 { &[1, 2, 3, 7, 61] } else { &[1, 17, 509] };
            for size in sizes {
                let cut = pairs::stream(pair, &case.response, *size, &edits);
                assert!(
                    cut.out == whole.out && cut.end == whole.end,
                    "{} to {} in pieces of {size}",
                    case.name,
                    pair.0.id
                );
                assert_eq!(cut.tap.usage(), whole.tap.usage());
            }
        }
    }
}

#[test]
fn t39_no_stream_that_was_cut_is_called_finished_in_any_direction() {
    for case in answers(true) {
        let edits = pairs::edits_for(case.request.as_deref().unwrap_or_default());
        for pair in clients_of(&case) {
            let whole = pairs::stream(pair, &case.response, case.response.len(), &edits);
            let step = case.response.len() / 60 + 1;
            for at in (0..case.response.len()).step_by(step) {
                let cut = pairs::stream(pair, &case.response[..at], case.response.len(), &edits);
                let same = Bridge::between(pair.1, pair.1).unwrap();
                let mut passed = same.stream(&edits);
                passed.push(case.response[..at].to_vec().into(), &mut pricer());
                let (_, end) = passed.end(&mut pricer());
                let agree = (cut.end == StreamEnd::Finished) == (end == StreamEnd::Finished);
                assert!(agree, "{} to {} cut at {at}: {:?}, but passed on {end:?}", case.name, pair.0.id, cut.end);
                let is_beginning = whole.out.starts_with(&cut.out) || cut.end == StreamEnd::Finished;
                assert!(is_beginning, "{} to {} cut at {at} says something else", case.name, pair.0.id);
            }
        }
    }
}

#[test]
fn only_losses_that_are_published_happen() {
    let is_listed = |listed: &[Loss], losses: Losses| losses.iter().all(|loss| listed.contains(&loss));
    for case in fixtures::cases(&fixtures::FAMILIES) {
        let Some(body) = case.request.as_deref() else { continue };
        for pair in pairs::all().into_iter().filter(|(client, _)| client.id == case.dialect) {
            let listed: Vec<Loss> = pair.1.request_losses().collect();
            if let Ok(sent) = pairs::request(pair, body, case.path_model().as_deref(), case.is_stream) {
                assert!(is_listed(&listed, sent.losses), "{} to {}: {}", case.name, pair.1.id, sent.losses);
            }
        }
    }
    for case in answers(false) {
        let edits = pairs::edits_for(case.request.as_deref().unwrap_or_default());
        for pair in clients_of(&case) {
            let listed: Vec<Loss> = pair.0.answer_losses().collect();
            let losses = pairs::whole(pair, &case.response, &edits).unwrap().losses;
            assert!(is_listed(&listed, losses), "{} to {}: {losses}", case.name, pair.0.id);
        }
    }
}

#[test]
fn the_published_table_of_losses_is_the_one_in_the_code() {
    const MARKS: (&str, &str) = ("<!-- losses -->\n\n", "\n<!-- end of losses -->");
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/translation.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(MARKS.0).unwrap();
    let (published, behind) = rest.split_once(MARKS.1).unwrap();
    let table = codec::loss::table();
    if std::env::var_os("TOLLGATE_WRITE_DOCS").is_some() {
        std::fs::write(&path, [before, MARKS.0, &table, MARKS.1, behind].concat()).unwrap();
        return;
    }
    assert!(published == table, "docs/translation.md is behind the code: run this test with TOLLGATE_WRITE_DOCS=1");
    for dialect in DIALECTS {
        for quirk in dialect.quirks {
            assert!(page.contains(&format!("`{quirk}`")), "docs/translation.md does not say what `{quirk}` does");
        }
    }
}

/// Material to spoil: recorded bodies, and a hand-written one for when there are none.
fn material() -> Vec<(&'static str, Kind, Vec<u8>)> {
    let mut all = vec![
        ("openai-chat", Kind::Request, common_requests()[4].to_string().into_bytes()),
        ("openai-chat", Kind::Whole, common_answers()[3].to_string().into_bytes()),
    ];
    for case in fixtures::cases(&fixtures::FAMILIES) {
        if codec::dialect::find(case.dialect).is_none() || case.response.len() > 20_000 {
            continue;
        }
        all.extend(case.request.map(|body| (case.dialect, Kind::Request, body)).filter(|one| one.2.len() < 20_000));
        let kind = if case.is_stream { Kind::Stream } else { Kind::Whole };
        all.push((case.dialect, kind, case.response));
    }
    all
}

#[derive(Clone, Copy)]
enum Kind {
    Request,
    Whole,
    Stream,
}

fn spoil(body: &mut Vec<u8>, changes: &[(u16, u8, u8)]) {
    const PIECES: [&[u8]; 12] = [
        b"null",
        b"{}",
        b"[]",
        b"\"\"",
        b"-1",
        b"1e999",
        b"\\u0000",
        b"\xf0\x9f\x98\x80",
        b"\xff",
        b"}",
        b"\"",
        b"\n\n",
    ];
    for (place, how, byte) in changes {
        let at = usize::from(*place) * body.len().max(1) / 65_536;
        let at = at.min(body.len());
        match how % 5 {
            0 if at < body.len() => body[at] = *byte,
            1 => body.insert(at, *byte),
            2 if at < body.len() => drop(body.remove(at)),
            3 => drop(body.splice(at..at, PIECES[usize::from(*byte) % PIECES.len()].iter().copied())),
            // A value for another one: up to the next comma.
            _ => {
                let end =
                    body[at..].iter().position(|byte| matches!(byte, b',' | b'}')).map_or(body.len(), |len| at + len);
                let start = body[..at].iter().rposition(|byte| *byte == b':').map_or(at, |colon| colon + 1);
                body.splice(start..end, PIECES[usize::from(*byte) % 6].iter().copied());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spoilt_traffic_of_any_dialect_never_stops_the_codec(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec(any::<(u16, u8, u8)>(), 1..8),
        size in 1usize..200,
    ) {
        thread_local!(static MATERIAL: Vec<(&'static str, Kind, Vec<u8>)> = material());
        let (name, kind, mut body) = MATERIAL.with(|all| which.get(all).clone());
        spoil(&mut body, &changes);
        for pair in pairs::all() {
            match kind {
                Kind::Request if pair.0.id == name => drop(pairs::request(pair, &body, Some("m"), false)),
                Kind::Whole if pair.1.id == name => drop(pairs::whole(pair, &body, &pairs::edits_for(b""))),
                Kind::Stream if pair.1.id == name => {
                    let streamed = pairs::stream(pair, &body, size, &pairs::edits_for(b""));
                    prop_assert!(streamed.end != StreamEnd::Finished || streamed.tap.has_finish());
                }
                _ => {}
            }
        }
    }
}
