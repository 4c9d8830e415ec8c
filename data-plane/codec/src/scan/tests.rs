//! The facts, the refusals and their names.

use super::*;
use crate::dialect::openai_chat::FIELDS;
use crate::error::{BodyFault, BodyFaultKind};

fn read(body: &str) -> Result<Scan, BodyFault> {
    scan(body.as_bytes(), FIELDS)
}

fn refused(body: &str) -> (BodyFaultKind, Option<String>) {
    let fault = read(body).unwrap_err();
    (fault.kind, fault.param)
}

const HI: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

#[test]
fn the_facts_are_read() {
    let body = r#" { "mod\u0065l" : "a\/b" , "messages":[{"role":"user","content":"x"},{}],"stream":true,
        "stream_options":{"x":1,"include_usage":true},"max_tokens":5,"max_completion_tokens":7,"n":3,
        "models":["m1","m\u00e4"],"provider":{"only":["x"]},"usage":{"include":true},"temperature":1e999}"#;
    let scan = read(body).unwrap();
    assert_eq!(scan.model.as_deref(), Some("a/b"));
    assert!(scan.stream && scan.include_usage && scan.usage_include && scan.wants_usage());
    assert_eq!((scan.max_tokens, scan.max_completion_tokens, scan.output_limit()), (Some(5), Some(7), Some(5)));
    assert_eq!((scan.choices, scan.messages), (3, 2));
    assert_eq!(scan.fallbacks, ["m1", "mä"]);
    assert_eq!(scan.provider.map(|span| span.of(body.as_bytes())), Some(&br#"{"only":["x"]}"#[..]));
    assert_eq!((scan.text_bytes, scan.media_parts), (body.len() as u64, 0));
}

#[test]
fn null_is_the_same_as_absent() {
    let nulls = format!(
        r#"{{"model":"m",{HI},"stream":null,"stream_options":null,"max_tokens":null,"n":null,"models":null,"usage":null,"provider":null,"max_completion_tokens":null}}"#
    );
    let scan = read(&nulls).unwrap();
    assert!(!scan.stream && !scan.wants_usage());
    assert_eq!((scan.output_limit(), scan.choices, scan.provider), (None, 1, None));
}

#[test]
fn an_acted_on_field_is_given_once_and_in_its_own_spelling() {
    for body in [r#""model":"x""#, r#""Model":"x""#, r#""MODEL":1"#, r#""\u006dodel":"x""#, r#""\u004dODEL":null"#] {
        assert_eq!(
            refused(&format!(r#"{{"model":"m",{HI},{body}}}"#)),
            (BodyFaultKind::Repeated, Some("model".into()))
        );
    }
    for (body, param) in [
        (r#""stream":true,"stream":false"#, "stream"),
        (r#""Stream":true"#, "stream"),
        ("\"me\u{17f}\u{17f}ages\":[]", "messages"),
        (r#""me\u017fsages":[]"#, "messages"),
        (r#""max_to\u212aens":1"#, "max_tokens"),
        (r#""Tags":1"#, "tags"),
        (r#""stream_options":{"include_usage":true,"include_usage":false}"#, "stream_options.include_usage"),
        (r#""stream_options":{"Include_Usage":true}"#, "stream_options.include_usage"),
        (r#""usage":{"include":true,"INCLUDE":false}"#, "usage.include"),
    ] {
        assert_eq!(refused(&format!(r#"{{"model":"m",{HI},{body}}}"#)), (BodyFaultKind::Repeated, Some(param.into())));
    }
    assert!(read(&format!(r#"{{"model":"m",{HI},"temperature":1,"temperature":2,"Temperature":3}}"#)).is_ok());
}

#[test]
fn a_wrong_type_is_named() {
    use BodyFaultKind::{Missing, OutOfRange, WrongType};
    for (body, kind, param) in [
        (format!(r#"{{"model":1,{HI}}}"#), WrongType, "model"),
        (format!(r#"{{"model":null,{HI}}}"#), WrongType, "model"),
        (format!(r#"{{"model":"",{HI}}}"#), OutOfRange, "model"),
        (format!(r#"{{"model":"\ud800",{HI}}}"#), OutOfRange, "model"),
        (format!("{{{HI}}}"), Missing, "model"),
        (r#"{"model":"m"}"#.into(), Missing, "messages"),
        (r#"{"model":"m","messages":null}"#.into(), WrongType, "messages"),
        (r#"{"model":"m","messages":{}}"#.into(), WrongType, "messages"),
        (r#"{"model":"m","messages":[]}"#.into(), OutOfRange, "messages"),
        (format!(r#"{{"model":"m",{HI},"stream":"true"}}"#), WrongType, "stream"),
        (format!(r#"{{"model":"m",{HI},"stream_options":[]}}"#), WrongType, "stream_options"),
        (
            format!(r#"{{"model":"m",{HI},"stream_options":{{"include_usage":1}}}}"#),
            WrongType,
            "stream_options.include_usage",
        ),
        (format!(r#"{{"model":"m",{HI},"max_tokens":1.5}}"#), WrongType, "max_tokens"),
        (format!(r#"{{"model":"m",{HI},"max_tokens":-1}}"#), WrongType, "max_tokens"),
        (format!(r#"{{"model":"m",{HI},"max_tokens":"5"}}"#), WrongType, "max_tokens"),
        (format!(r#"{{"model":"m",{HI},"max_tokens":99999999999999999999}}"#), WrongType, "max_tokens"),
        (format!(r#"{{"model":"m",{HI},"n":0}}"#), OutOfRange, "n"),
        (format!(r#"{{"model":"m",{HI},"n":129}}"#), OutOfRange, "n"),
        (format!(r#"{{"model":"m",{HI},"models":"x"}}"#), WrongType, "models"),
        (format!(r#"{{"model":"m",{HI},"models":[1]}}"#), WrongType, "models"),
        (format!(r#"{{"model":"m",{HI},"provider":[]}}"#), WrongType, "provider"),
    ] {
        assert_eq!(refused(&body), (kind, Some(param.into())), "{body}");
    }
    assert!(read(&format!(r#"{{"models":["a/b"],{HI}}}"#)).unwrap().model.is_none());
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    let fault = read("{\"model\":\"m\",\n \"x\" 1}").unwrap_err();
    assert_eq!(fault.message, "the body is not valid JSON: expected a colon at line 2, column 6 (byte 19)");
    assert_eq!(read("[]").unwrap_err().kind, BodyFaultKind::Malformed);
    assert_eq!(read("").unwrap_err().kind, BodyFaultKind::Malformed);
    assert_eq!(read(&format!(r#"{{"model":"m",{HI}}} x"#)).unwrap_err().kind, BodyFaultKind::Malformed);
    assert_eq!(scan(b"{\"a\":\"\xff\"}", FIELDS).unwrap_err().kind, BodyFaultKind::NotUtf8);
    let deep = |levels: usize| format!(r#"{{"model":"m",{HI},"x":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    assert!(read(&deep(63)).is_ok());
    assert_eq!(read(&deep(64)).unwrap_err().kind, BodyFaultKind::TooDeep);
}

#[test]
fn media_is_told_from_text() {
    let base64 = "QUJD".repeat(1000);
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"text","text":"look"}},
        {{"type":"image_url","image_url":{{"url":"data:image/png;base64,{base64}"}}}},
        {{"type":"input_audio","input_audio":{{"data":"{base64}","format":"wav"}}}},
        {{"type":"image_url","image_url":{{"url":"https://example.com/a.png"}}}}]}}]}}"#
    );
    let scan = read(&body).unwrap();
    assert_eq!(scan.media_parts, 3);
    assert_eq!(scan.media_bytes, 8000 + 22);
    assert_eq!(scan.text_bytes, body.len() as u64 - 8022);
    let prose = format!(r#"{{"model":"m","messages":[{{"data":"{}"}}]}}"#, "some words ".repeat(100));
    assert_eq!(read(&prose).unwrap().media_bytes, 0);
}

#[test]
fn what_ties_requests_together_is_found() {
    let tie = |fields: &str| {
        let body = format!(r#"{{"model":"m",{fields}"messages":[{{}}]}}"#);
        let scan = read(&body).unwrap();
        scan.session(body.as_bytes()).map(|raw| String::from_utf8_lossy(raw).into_owned())
    };
    assert_eq!(tie(r#""prompt_cache_key":"k","session_id":"s","#).as_deref(), Some("\"s\""));
    assert_eq!(tie(r#""prompt_cache_key":"k","session_id":"","#).as_deref(), Some("\"k\""));
    assert_eq!(tie(r#""prompt_cache_key":"k","#).as_deref(), Some("\"k\""));
    assert_eq!(tie(r#""session_id":7,"#), None);
    assert_eq!(tie(""), None);
}

#[test]
fn a_conversation_is_known_by_how_it_begins() {
    let opening = |messages: &str| {
        let body = format!(r#"{{"model":"m","messages":[{messages}]}}"#);
        let scan = read(&body).unwrap();
        scan.opening(body.as_bytes()).map(|raw| String::from_utf8_lossy(raw).into_owned())
    };
    let (system, user, more) = (
        r#"{"role":"system","content":"s"}"#,
        r#"{"role":"user","content":"the \"system\" role"}"#,
        r#"{"role":"assistant"}"#,
    );
    assert_eq!(opening(&format!("{system},{user},{more}")), [system, user]);
    assert_eq!(opening(&format!("{user},{more}")), [user, ""]);
    assert_eq!(opening(&format!(" {system} ")), [system, ""]);
    let long = format!(r#"{{"content":"{}","role":"system"}}"#, "x".repeat(10_000));
    assert_eq!(opening(&format!("{long},{user}")), [&long[..4096], ""]);
}
