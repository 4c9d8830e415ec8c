//! What was priced is what is sent: the scan agrees with a plain reading of any body, and the patched body is the body
//! with the declared edits and nothing else.

use bytes::Bytes;
use codec::{BodyFault, BodyFaultKind, Bridge, Dialect, Scan, Segments};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::edits;
use crate::fixtures;
use crate::odd::Odd;
use crate::reference::{self, offset};

fn chat() -> &'static Dialect {
    codec::dialect::find("openai-chat").unwrap()
}

const OWN: [&str; 16] = [
    "provider",
    "models",
    "provider_preferences",
    "fallbacks",
    "route",
    "transforms",
    "plugins",
    "preset",
    "session_id",
    "trace",
    "tags",
    "priority",
    "timeout",
    "debug",
    "include_reasoning",
    "providerOptions",
];
const THEIRS: [&str; 8] =
    ["model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "usage"];

fn fold(name: &str) -> String {
    name.replace('ſ', "s").replace('\u{212a}', "k").to_ascii_lowercase()
}

/// The kinds of fault a plain reading finds; empty for a body that is right.
fn faults(body: &str) -> Vec<(BodyFaultKind, &'static str)> {
    use BodyFaultKind::{Malformed, Missing, OutOfRange, Repeated, TooDeep, WrongType};
    let Some(fields) = reference::fields(body) else { return vec![(Malformed, "")] };
    let mut found = Vec::new();
    if reference::depth(body) > 64 {
        found.push((TooDeep, ""));
    }
    let get = |name: &str| fields.iter().find(|field| field.0 == name).map(|field| field.1);
    for name in OWN.into_iter().chain(THEIRS) {
        let alike: Vec<_> = fields.iter().filter(|field| fold(&field.0) == fold(name)).collect();
        if alike.len() > 1 || alike.iter().any(|field| field.0 != name) {
            found.push((Repeated, name));
        }
    }
    let is_kind = |name: &str, starts: &str| {
        get(name).is_none_or(|text| text == "null" || text.starts_with(|first| starts.contains(first)))
    };
    for (name, starts) in [("stream", "tf"), ("stream_options", "{"), ("models", "["), ("provider", "{")] {
        if !is_kind(name, starts) {
            found.push((WrongType, name));
        }
    }
    for name in ["max_tokens", "max_completion_tokens", "n"] {
        match get(name).filter(|text| *text != "null").map(str::parse::<u64>) {
            Some(Err(_)) => found.push((WrongType, name)),
            Some(Ok(count)) if name == "n" && !(1..=128).contains(&count) => found.push((OutOfRange, name)),
            _ => {}
        }
    }
    for (object, member, path) in
        [("stream_options", "include_usage", "stream_options.include_usage"), ("usage", "include", "usage.include")]
    {
        let Some(inner) = get(object).and_then(reference::fields) else { continue };
        let alike: Vec<_> = inner.iter().filter(|field| fold(&field.0) == member).collect();
        if alike.len() > 1 || alike.iter().any(|field| field.0 != member) {
            found.push((Repeated, path));
        }
        if alike.iter().any(|field| !["true", "false", "null"].contains(&field.1)) {
            found.push((WrongType, path));
        }
    }
    let models = get("models").map(serde_json::from_str::<Vec<String>>);
    if let Some(Err(_)) = models
        && get("models") != Some("null")
    {
        found.push((WrongType, "models"));
    }
    match get("model").map(serde_json::from_str::<String>) {
        None if models.is_none_or(|models| models.unwrap_or_default().is_empty()) => found.push((Missing, "model")),
        Some(Err(_)) => found.push((WrongType, "model")),
        Some(Ok(model)) if model.is_empty() => found.push((OutOfRange, "model")),
        _ => {}
    }
    match get("messages") {
        None => found.push((Missing, "messages")),
        Some(text) if !text.starts_with('[') => found.push((WrongType, "messages")),
        Some(text) if serde_json::from_str::<Vec<&RawValue>>(text).unwrap().is_empty() => {
            found.push((OutOfRange, "messages"))
        }
        _ => {}
    }
    found
}

fn check_facts(body: &str, scan: &Scan) {
    let fields = reference::fields(body).unwrap();
    let get = |name: &str| fields.iter().find(|field| field.0 == name).map(|field| field.1);
    let number = |name: &str| get(name).and_then(|text| text.parse::<u64>().ok());
    assert_eq!(scan.model, get("model").map(|text| serde_json::from_str(text).unwrap()));
    assert_eq!(scan.stream, get("stream") == Some("true"));
    assert_eq!((scan.max_tokens, scan.max_completion_tokens), (number("max_tokens"), number("max_completion_tokens")));
    assert_eq!(scan.choices, number("n").unwrap_or(1));
    let inner = |object: &str, member: &str| {
        get(object)
            .and_then(reference::fields)
            .is_some_and(|fields| fields.iter().any(|field| field.0 == member && field.1 == "true"))
    };
    assert_eq!(scan.include_usage, inner("stream_options", "include_usage"));
    assert_eq!(scan.usage_include, inner("usage", "include"));
    let models = get("models").and_then(|text| serde_json::from_str::<Vec<String>>(text).ok()).unwrap_or_default();
    assert_eq!(scan.fallbacks, models);
    assert_eq!(
        scan.provider.map(|span| span.of(body.as_bytes())),
        get("provider").filter(|text| *text != "null").map(str::as_bytes)
    );
    assert_eq!(scan.text_bytes + scan.media_bytes, body.len() as u64);
}

/// The fields the provider should get, in order.
fn expected(body: &str, model: &str, limit: Option<u64>) -> Vec<(String, String)> {
    let fields = reference::fields(body).unwrap();
    let has = |name: &str| fields.iter().any(|field| field.0 == name);
    let is_set = |name: &str| fields.iter().any(|field| field.0 == name && field.1 != "null");
    let is_stream = fields.iter().any(|field| field.0 == "stream" && field.1 == "true");
    let has_limit = is_set("max_tokens") || is_set("max_completion_tokens");
    let mut out: Vec<(String, String)> = Vec::new();
    let quoted = serde_json::to_string(model).unwrap();
    if !has("model") {
        out.push(("model".into(), quoted.clone()));
    }
    if is_stream && !has("stream_options") {
        out.push(("stream_options".into(), r#"{"include_usage":true}"#.into()));
    }
    if let Some(limit) = limit
        && !has_limit
        && !has("max_tokens")
    {
        out.push(("max_tokens".into(), limit.to_string()));
    }
    for (name, value) in &fields {
        let text = match name.as_str() {
            name if OWN.contains(&name) => continue,
            "model" if serde_json::from_str::<String>(value).unwrap() != model => quoted.clone(),
            "stream_options" if is_stream => with_usage(value),
            "max_tokens" if limit.is_some() && (is_set("max_tokens") || !has_limit) => limit.unwrap().to_string(),
            "max_completion_tokens" if limit.is_some() && is_set("max_completion_tokens") => limit.unwrap().to_string(),
            "usage" => match without_include(value) {
                Some(text) => text,
                None => continue,
            },
            _ => value.to_string(),
        };
        out.push((name.clone(), text));
    }
    out
}

/// As a value, since spacing inside is checked byte by byte elsewhere.
fn with_usage(value: &str) -> String {
    let mut inner = reference::fields(value).unwrap_or_default();
    match inner.iter_mut().find(|field| field.0 == "include_usage") {
        Some(field) => field.1 = "true",
        None => inner.insert(0, ("include_usage".into(), "true")),
    }
    plain(&inner)
}

fn without_include(value: &str) -> Option<String> {
    let Some(inner) = reference::fields(value) else { return Some(value.to_owned()) };
    let rest: Vec<_> = inner.iter().filter(|field| field.0 != "include").cloned().collect();
    if rest.len() == inner.len() {
        return Some(value.to_owned());
    }
    (!rest.is_empty()).then(|| plain(&rest))
}

fn plain(fields: &[(String, &str)]) -> String {
    let parts: Vec<_> =
        fields.iter().map(|(name, value)| format!("{}:{value}", serde_json::to_string(name).unwrap())).collect();
    format!("{{{}}}", parts.join(","))
}

/// Compares what was sent with what should be; objects we edit inside are compared without their spacing.
fn check_sent(body: &str, sent: &str, model: &str, limit: Option<u64>) {
    let expected = expected(body, model, limit);
    let sent_fields = reference::fields(sent).unwrap_or_else(|| panic!("not JSON any more:\n{body}\n{sent}"));
    assert_eq!(sent_fields.len(), expected.len(), "{body}\n{sent}");
    for ((name, text), (wanted_name, wanted)) in sent_fields.iter().zip(&expected) {
        assert_eq!(name, wanted_name, "{body}\n{sent}");
        let same = text == wanted
            || (["stream_options", "usage"].contains(&name.as_str())
                && reference::fields(text).map(|inner| plain(&inner))
                    == reference::fields(wanted).map(|inner| plain(&inner)));
        assert!(same, "{name}: {text} instead of {wanted}");
    }
}

/// With the pieces of a large body it can be seen which bytes are the client's own: all but what a declared edit took.
fn check_untouched(body: &Bytes, sent: &Segments) {
    let text = std::str::from_utf8(body).unwrap();
    let fields = reference::fields(text).unwrap();
    let base = body.as_ptr() as usize;
    let mut at = 0;
    let mut added = String::new();
    let mut gaps = Vec::new();
    for part in sent.parts().iter().chain([&body.slice(body.len()..)]) {
        let start = (part.as_ptr() as usize).wrapping_sub(base);
        if start > body.len() {
            added.push_str(std::str::from_utf8(part).unwrap());
            continue;
        }
        gaps.push((text[at..start].to_owned(), at, std::mem::take(&mut added)));
        at = start + part.len();
    }
    let changed = ["model", "max_tokens", "max_completion_tokens", "stream_options"];
    for (gone, start, added) in gaps {
        let here = |field: &&(String, &str)| offset(text, field.1) == start && gone.starts_with(field.1);
        let value =
            fields.iter().filter(|field| changed.contains(&field.0.as_str())).find(here).filter(|_| !added.is_empty());
        let is_inner = fields.iter().any(|(name, value)| {
            let from = offset(text, value);
            ["stream_options", "usage"].contains(&name.as_str()) && (from..from + value.len()).contains(&start)
        });
        // A removal may stand right behind a changed value.
        let left = gone[value.map_or(0, |field| field.1.len())..].trim_matches([',', ' ', '\n', '\t', '\r']);
        let is_own = reference::fields(&format!("{{{left}}}")).is_some_and(|gone| {
            gone.iter().all(|field| OWN.contains(&field.0.as_str()) || ["usage", "include"].contains(&field.0.as_str()))
        });
        assert!(is_own || is_inner, "`{gone}` became `{added}` in {}", text.trim_end());
    }
}

fn patched(body: &Bytes, model: &str, limit: Option<u64>) -> Result<Segments, BodyFault> {
    let bridge = Bridge::between(chat(), chat()).unwrap();
    let scan = chat().scan(body)?;
    bridge.request(body, &scan, &edits::request(model, limit)).map(|outbound| outbound.body)
}

#[test]
fn the_scan_agrees_with_a_plain_reading_of_odd_bodies() {
    let (mut right, mut wrong, mut broken) = (0, 0, 0);
    for seed in 0..24_000 {
        let mut odd = Odd::new(seed);
        let mut body = odd.request().into_bytes();
        if seed % 3 == 0 {
            odd.spoil(&mut body);
        }
        let result = chat().scan(&body);
        let is_json = reference::is_json(&body);
        let text = String::from_utf8_lossy(&body);
        match result {
            Ok(scan) => {
                assert!(is_json, "{text}");
                // A name that is no text, half a pair, cannot be read by the reference.
                if let Some(_readable) = reference::fields(&text) {
                    assert_eq!(faults(&text), [], "{text}");
                    check_facts(&text, &scan);
                    right += 1;
                }
            }
            Err(fault) if !is_json => {
                assert!(!fault.message.is_empty());
                broken += 1;
            }
            Err(fault) => {
                let param = fault.param.clone().unwrap_or_default();
                let known = faults(&text);
                let is_known = known.iter().any(|(kind, name)| (*kind, *name) == (fault.kind, param.as_str()));
                // Half a pair inside a model's name is no text; the reference calls that a wrong type.
                let is_half = text.contains("\\ud") || text.contains("\\uD");
                assert!(is_known || is_half, "{fault:?} but {known:?} in {text}");
                wrong += 1;
            }
        }
    }
    assert!(right > 10_000 && wrong > 1_000 && broken > 3_000, "{right} right, {wrong} wrong, {broken} broken");
}

#[test]
fn odd_bodies_are_patched_in_the_declared_places_only() {
    let mut checked = 0;
    for seed in 0..12_000 {
        let mut odd = Odd::new(seed);
        let body = odd.request();
        if reference::fields(&body).is_none() || !faults(&body).is_empty() {
            continue;
        }
        let model = odd.pick(&["gpt", "up/model\"x\\", "ä"]);
        let limit = if odd.one_in(3) { Some(odd.next()) } else { None };
        let small = Bytes::from(body.clone().into_bytes());
        let sent = patched(&small, model, limit).unwrap();
        let sent = String::from_utf8(sent.into_bytes().to_vec()).unwrap();
        check_sent(&body, &sent, model, limit);
        // The same body made large by spaces at its end goes in pieces, and the pieces tell what is untouched.
        let pad = " ".repeat(17 * 1024);
        let large = Bytes::from(format!("{body}{pad}"));
        let pieces = patched(&large, model, limit).unwrap();
        check_untouched(&large, &pieces);
        assert_eq!(pieces.len(), sent.len() + pad.len());
        assert_eq!(pieces.into_bytes(), format!("{sent}{pad}"));
        checked += 1;
    }
    assert!(checked > 8_000, "{checked}");
}

#[test]
fn a_body_of_a_megabyte_is_read_and_patched_without_copying_it() {
    let text = "Text with \\\"quotes\\\", \\n lines and ä. ".repeat(30_000);
    let body = Bytes::from(format!(
        r#"{{"route":"x","messages":[{{"role":"user","content":"{text}"}}],"stream":true,"model":"m"}}"#
    ));
    assert!(body.len() > 1_000_000);
    let sent = patched(&body, "up", None).unwrap();
    check_untouched(&body, &sent);
    let copied: usize =
        sent.parts().iter().filter(|part| !body.as_ptr_range().contains(&part.as_ptr())).map(|part| part.len()).sum();
    assert!(copied < 100, "{copied}");
    let sent = String::from_utf8(sent.into_bytes().to_vec()).unwrap();
    check_sent(std::str::from_utf8(&body).unwrap(), &sent, "up", None);
}

#[test]
fn an_unchanged_body_is_the_very_same_bytes() {
    let body = Bytes::from_static(br#"{"model":"m","messages":[1],"x":1.0}"#);
    let sent = patched(&body, "m", None).unwrap();
    assert_eq!(sent.parts()[0].as_ptr(), body.as_ptr());
}

#[test]
fn any_bytes_are_read_without_a_panic() {
    let pieces: [&[u8]; 14] = [
        b"{",
        b"}",
        b"\"model\":",
        b"\"",
        b"\\",
        b"\\u",
        b"[",
        b"]",
        b",",
        b"1e",
        b"\xff",
        b"\xed\xa0\x80",
        b"null",
        b"\n",
    ];
    for seed in 0..20_000 {
        let mut odd = Odd::new(seed);
        let body: Vec<u8> = (0..odd.below(30)).flat_map(|_| odd.pick(&pieces).to_vec()).collect();
        assert!(chat().scan(&body).is_err());
    }
    assert!(chat().scan(&vec![b'{'; 100_000]).is_err());
    assert!(chat().scan("{\"a\":".repeat(100_000).as_bytes()).is_err());
}

#[test]
fn recorded_requests_are_understood_and_patched() {
    for case in fixtures::cases(&fixtures::CHAT) {
        let Some(request) = case.request else { continue };
        let body = Bytes::from(request);
        let value: Value = serde_json::from_slice(&body).unwrap();
        let text = std::str::from_utf8(&body).unwrap();
        let scan = match chat().scan(&body) {
            Ok(scan) => scan,
            Err(fault) => {
                assert_eq!(faults(text).first().map(|fault| fault.0), Some(fault.kind), "{}: {fault}", case.name);
                continue;
            }
        };
        check_facts(text, &scan);
        assert_eq!(scan.messages, value["messages"].as_array().unwrap().len() as u64, "{}", case.name);
        for limit in [None, Some(77)] {
            let sent = patched(&body, "upstream/model", limit).unwrap().into_bytes();
            check_sent(text, std::str::from_utf8(&sent).unwrap(), "upstream/model", limit);
        }
    }
}
