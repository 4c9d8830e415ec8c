//! What the declared edits may do to a body, and nothing more: written from the contract, on the text alone.

use std::ops::Range;

use tollgate_tests::lexical::{self, Member};

/// The gateway's own fields, which do not go upstream.
const OWN: &[&str] = &[
    "provider",
    "provider_preferences",
    "models",
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

type Checked = Result<(), String>;

/// An object as members and the bytes between them.
struct Object<'a> {
    text: &'a [u8],
    members: Vec<Member>,
    /// Just behind the closing brace.
    end: usize,
}

impl<'a> Object<'a> {
    fn read(text: &'a [u8]) -> Object<'a> {
        let (members, close) = lexical::members(text, 0);
        Object { text, members, end: close + 1 }
    }

    fn of(&self, range: &Range<usize>) -> &'a [u8] {
        &self.text[range.clone()]
    }

    /// Everything before the first name: spaces and the brace.
    fn before(&self) -> &'a [u8] {
        let first = self.members.first().map_or(self.end, |member| member.key.start);
        &self.text[..first]
    }

    /// Everything behind the last value.
    fn behind(&self) -> &'a [u8] {
        let last = self.members.last().map_or(0, |member| member.value.end);
        &self.text[last..]
    }

    /// What stands between this member and the next one.
    fn gap(&self, at: usize) -> &'a [u8] {
        &self.text[self.members[at].value.end..self.members[at + 1].key.start]
    }

    /// From the name to the value.
    fn colon(&self, member: &Member) -> &'a [u8] {
        &self.text[member.key.end..member.value.start]
    }
}

/// The request that arrived against the one that was sent.
pub fn check_request(sent: &[u8], arrived: &[u8], upstream_model: &str) -> Checked {
    let (sent, arrived) = (Object::read(sent), Object::read(arrived));
    let stream = sent.members.iter().any(|member| member.name == "stream" && sent.of(&member.value) == b"true");
    let may_add = |name: &str| match name {
        "stream_options" => stream,
        "model" => !sent.members.iter().any(|member| member.name == "model"),
        _ => false,
    };
    let goes = |member: &Member| {
        OWN.contains(&member.name.as_str()) || (member.name == "usage" && is_only_include(sent.of(&member.value)))
    };
    let value = |old: &Member, new: &Member| -> Checked {
        let (was, is) = (sent.of(&old.value), arrived.of(&new.value));
        match old.name.as_str() {
            "model" => same(is, format!("\"{upstream_model}\"").as_bytes(), "the model"),
            "stream_options" if stream => check_stream_options(was, is),
            "usage" if was.starts_with(b"{") && has_member(was, "include") => check_without_include(was, is),
            name => same(was, is, name),
        }
    };
    align(&sent, &arrived, goes, may_add, value)?;
    if stream && !asks_for_usage(&arrived) {
        return Err("usage was not switched on for a stream".to_owned());
    }
    Ok(())
}

/// Walks both objects side by side: what stays is the same text, and so is everything between two members that stay.
fn align(
    old: &Object<'_>,
    new: &Object<'_>,
    goes: impl Fn(&Member) -> bool,
    may_add: impl Fn(&str) -> bool,
    value: impl Fn(&Member, &Member) -> Checked,
) -> Checked {
    let mut at = 0;
    // The places of the last members that were paired, when nothing was taken out or put in since.
    let mut touching: Option<(usize, usize)> = None;
    for (place, member) in new.members.iter().enumerate() {
        let before = at;
        while at < old.members.len() && goes(&old.members[at]) {
            at += 1;
        }
        let is_paired = at < old.members.len() && old.of(&old.members[at].key) == new.of(&member.key);
        if !is_paired {
            if !may_add(&member.name) {
                return Err(format!("`{}` was put in, or stands in another place", member.name));
            }
            touching = None;
            at = before;
            continue;
        }
        if let Some((one, other)) = touching
            && one + 1 == at
        {
            same(old.gap(one), new.gap(other), &format!("the space before `{}`", member.name))?;
        }
        if place == 0 && at == 0 {
            same(old.before(), new.before(), "the start")?;
        }
        same(old.colon(&old.members[at]), new.colon(member), &format!("the colon of `{}`", member.name))?;
        value(&old.members[at], member)?;
        touching = Some((at, place));
        at += 1;
    }
    while at < old.members.len() && goes(&old.members[at]) {
        at += 1;
        touching = None;
    }
    if at < old.members.len() {
        return Err(format!("`{}` is missing", old.members[at].name));
    }
    if touching.is_some() {
        same(old.behind(), new.behind(), "the end")?;
    }
    Ok(())
}

fn same(was: &[u8], is: &[u8], what: &str) -> Checked {
    if was == is {
        return Ok(());
    }
    let show = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
    Err(format!("{what} changed from {:?} to {:?}", show(was), show(is)))
}

fn has_member(object: &[u8], name: &str) -> bool {
    object.starts_with(b"{") && lexical::members(object, 0).0.iter().any(|member| member.name == name)
}

fn is_only_include(value: &[u8]) -> bool {
    value.starts_with(b"{") && {
        let (members, _) = lexical::members(value, 0);
        members.len() == 1 && members[0].name == "include"
    }
}

fn check_without_include(was: &[u8], is: &[u8]) -> Checked {
    let (old, new) = (Object::read(was), Object::read(is));
    align(
        &old,
        &new,
        |member| member.name == "include",
        |_| false,
        |one, other| same(old.of(&one.value), new.of(&other.value), &one.name),
    )
}

/// `include_usage` may be turned on or put in; a value that is no object may be replaced as a whole.
fn check_stream_options(was: &[u8], is: &[u8]) -> Checked {
    if !was.starts_with(b"{") {
        return if has_member(is, "include_usage") { Ok(()) } else { same(was, is, "stream_options") };
    }
    let (old, new) = (Object::read(was), Object::read(is));
    let is_there = has_member(was, "include_usage");
    align(
        &old,
        &new,
        |_| false,
        |name| name == "include_usage" && !is_there,
        |one, other| match one.name.as_str() {
            "include_usage" => same(new.of(&other.value), b"true", "include_usage"),
            name => same(old.of(&one.value), new.of(&other.value), name),
        },
    )
}

fn asks_for_usage(arrived: &Object<'_>) -> bool {
    let options = arrived.members.iter().find(|member| member.name == "stream_options");
    options.is_some_and(|options| {
        let value = arrived.of(&options.value);
        let (members, _) = lexical::members(value, 0);
        members.iter().any(|member| member.name == "include_usage" && &value[member.value.clone()] == b"true")
    })
}

/// A whole answer that came back against the one that was made.
pub fn check_whole(made: &[u8], came: &[u8], public_model: &str, _wants_usage: bool) -> Checked {
    check_answer(made, came, public_model, true)
}

/// One answer or one piece: only the model's name and the cost fields inside `usage` may differ.
fn check_answer(made: &[u8], came: &[u8], public_model: &str, is_priced: bool) -> Checked {
    let (made, came) = (Object::read(made), Object::read(came));
    align(
        &made,
        &came,
        |_| false,
        |_| false,
        |old, new| {
            let (was, is) = (made.of(&old.value), came.of(&new.value));
            match old.name.as_str() {
                "model" if was.starts_with(b"\"") => same(is, format!("\"{public_model}\"").as_bytes(), "the model"),
                "usage" if was.starts_with(b"{") => check_usage(was, is, is_priced),
                name => same(was, is, name),
            }
        },
    )
}

fn check_usage(was: &[u8], is: &[u8], is_priced: bool) -> Checked {
    const OURS: [&str; 3] = ["cost", "is_byok", "cost_details"];
    let (old, new) = (Object::read(was), Object::read(is));
    align(
        &old,
        &new,
        |_| false,
        |name| OURS.contains(&name),
        |one, other| match one.name.as_str() {
            name if OURS.contains(&name) => Ok(()),
            name => same(old.of(&one.value), new.of(&other.value), name),
        },
    )?;
    if is_priced && !OURS.iter().all(|name| has_member(is, name)) {
        return Err(format!("no cost in {}", String::from_utf8_lossy(is)));
    }
    Ok(())
}

/// A stream that came back against the one that was made: the same events in the same order, but for a usage-only one
/// that nobody asked for.
pub fn check_stream(made: &[u8], came: &[u8], public_model: &str, wants_usage: bool) -> Checked {
    let mut arrived = events(came).into_iter();
    for event in events(made) {
        let data = data_of(event);
        let is_object = data.is_some_and(|data| data.starts_with(b"{"));
        if is_object && data.is_some_and(is_usage_only) && !wants_usage {
            continue;
        }
        let other = arrived.next().ok_or_else(|| format!("missing: {}", String::from_utf8_lossy(event)))?;
        match (data, data_of(other)) {
            (Some(was), Some(is)) if is_object && is.starts_with(b"{") => {
                same(&event[..event.len() - was.len()], &other[..other.len() - is.len()], "the frame of an event")?;
                check_answer(was, is, public_model, is_usage_only(was))?;
            }
            _ => same(event, other, "an event")?,
        }
    }
    match arrived.next() {
        None => Ok(()),
        Some(more) => Err(format!("one more event: {}", String::from_utf8_lossy(more))),
    }
}

fn is_usage_only(data: &[u8]) -> bool {
    let object = Object::read(data);
    let value =
        |name: &str| object.members.iter().find(|member| member.name == name).map(|member| object.of(&member.value));
    let has_choices =
        value("choices").is_some_and(|choices| choices.iter().filter(|byte| !byte.is_ascii_whitespace()).count() > 2);
    value("usage").is_some_and(|usage| usage.starts_with(b"{")) && !has_choices
}

/// The data of an event with one data line, at its end.
fn data_of(event: &[u8]) -> Option<&[u8]> {
    let line = event.split(|byte| *byte == b'\n').next_back()?;
    let data = line.strip_prefix(b"data:")?;
    Some(data.strip_prefix(b" ").unwrap_or(data))
}

/// The events of a stream without their blank lines.
fn events(text: &[u8]) -> Vec<&[u8]> {
    let text = text.trim_ascii_end();
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].windows(2).position(|two| two == b"\n\n") {
        found.push(&text[from..from + at]);
        from += at + 2;
    }
    found.push(&text[from..]);
    found.retain(|event| !event.trim_ascii().is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrives(sent: &str, arrived: &str) -> bool {
        check_request(sent.as_bytes(), arrived.as_bytes(), "up").is_ok()
    }

    /// A check that cannot fail proves nothing.
    #[test]
    fn the_reference_sees_every_change() {
        assert!(arrives(r#"{ "model" : "x", "a":1.0 }"#, r#"{ "model" : "up", "a":1.0 }"#));
        assert!(!arrives(r#"{ "model" : "x", "a":1.0 }"#, r#"{ "model" : "up", "a":1 }"#));
        assert!(!arrives(r#"{ "model" : "x", "a":1.0 }"#, r#"{ "model" : "up","a":1.0 }"#));
        assert!(!arrives(r#"{ "model" : "x", "a":1.0 }"#, r#"{ "model": "up", "a":1.0 }"#));
        assert!(!arrives(r#"{ "model" : "x", "a":1.0 }"#, r#"{ "model" : "up", "a":1.0}"#));
        assert!(!arrives(r#"{"model":"x","a":1,"b":2}"#, r#"{"model":"up","b":2,"a":1}"#));
        assert!(!arrives(r#"{"model":"x","a":1,"b":2}"#, r#"{"model":"up","b":2}"#));
        assert!(!arrives(r#"{"model":"x","a":1}"#, r#"{"model":"x","a":1}"#));
        assert!(!arrives(r#"{"model":"x","a":1}"#, r#"{"model":"up","a":1,"c":3}"#));
        assert!(arrives(r#"{"model":"x","tags":[],"a":1}"#, r#"{"model":"up","a":1}"#));
        assert!(!arrives(r#"{"model":"x","a":1}"#, r#"{"stream_options":{"include_usage":true},"model":"up","a":1}"#));
        let on = r#"{"stream_options":{"include_usage":true},"model":"up","stream":true}"#;
        assert!(arrives(r#"{"model":"x","stream":true}"#, on));
        assert!(!arrives(r#"{"model":"x","stream":true}"#, r#"{"model":"up","stream":true}"#));
        let some = r#"{"model":"x","stream":true,"stream_options":{ "z":1e2 }}"#;
        assert!(arrives(some, r#"{"model":"up","stream":true,"stream_options":{"include_usage":true, "z":1e2 }}"#));
        assert!(!arrives(some, r#"{"model":"up","stream":true,"stream_options":{"include_usage":true, "z":100 }}"#));
    }

    #[test]
    fn the_reference_sees_every_change_of_an_answer() {
        let made = br#"{"id":"1","model":"up","choices":[{}],"usage":{"prompt_tokens":1}}"#;
        let good = br#"{"id":"1","model":"m","choices":[{}],"usage":{"prompt_tokens":1,"cost":0,"is_byok":false,"cost_details":null}}"#;
        assert_eq!(check_whole(made, good, "m", true), Ok(()));
        for bad in [
            &br#"{"id":"1","model":"m","choices":[{}],"usage":{"prompt_tokens":1}}"#[..],
            br#"{"id":"2","model":"m","choices":[{}],"usage":{"prompt_tokens":1,"cost":0,"is_byok":false,"cost_details":null}}"#,
            br#"{"id":"1","model":"m","choices":[{ }],"usage":{"prompt_tokens":1,"cost":0,"is_byok":false,"cost_details":null}}"#,
            br#"{"id":"1","model":"up","choices":[{}],"usage":{"prompt_tokens":1,"cost":0,"is_byok":false,"cost_details":null}}"#,
            br#"{"id":"1","model":"m","choices":[{}],"usage":{"prompt_tokens":2,"cost":0,"is_byok":false,"cost_details":null}}"#,
        ] {
            assert!(check_whole(made, bad, "m", true).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        let stream = b"data: {\"choices\":[{}]}\n\ndata: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n";
        assert_eq!(check_stream(stream, b"data: {\"choices\":[{}]}\n\ndata: [DONE]\n\n", "m", false), Ok(()));
        assert!(check_stream(stream, b"data: {\"choices\":[{}]}\n\ndata: [DONE]\n\n", "m", true).is_err());
        assert!(check_stream(stream, b"data: {\"choices\":[{}]}\n\n", "m", false).is_err());
        assert!(check_stream(stream, b"data: {\"choices\":[{ }]}\n\ndata: [DONE]\n\n", "m", false).is_err());
    }
}
