//! The items of an input: messages, calls, their outputs, and reasoning that must come back sealed and in its place.

use serde_json::Value;

use super::super::Checks;
use super::super::brain::result_text;
use super::super::shape;
use super::super::sign;
use super::super::talk::{Media, Part, Role, Source, Talk, Turn};
use super::fields::{ITEM, MESSAGE};
use super::read::{MANNER, list, text};

/// Letters of a call's id.
const LONGEST_ID: usize = 64;

/// Reads the items into turns.
pub fn read(input: &Value, talk: &mut Talk, checks: &mut Checks) {
    let items: Vec<&Value> = list(input).collect();
    for (at, item) in items.iter().enumerate() {
        let place = format!("input[{at}]");
        let is_message = item["type"].is_null() || item["type"] == "message";
        shape::check(item, if is_message { MESSAGE } else { ITEM }, MANNER, &place, checks);
        ids(item, &place, checks);
        match item["type"].as_str() {
            None | Some("message") => message(item, &place, talk, checks),
            Some("function_call") => call(item, &place, talk, checks),
            Some("function_call_output") => output(item, &place, talk, checks),
            Some("reasoning") => reasoning(item, items.get(at + 1).copied(), &place, talk, checks),
            _ => {}
        }
    }
    pairs(&items, checks);
    thoughts(&items, checks);
}

/// Ids begin as OpenAI's do.
fn ids(item: &Value, at: &str, checks: &mut Checks) {
    let Some(id) = item["id"].as_str() else { return };
    let prefix = match item["type"].as_str() {
        None | Some("message") => "msg",
        Some("function_call") => "fc",
        Some("reasoning") => "rs",
        _ => "",
    };
    checks.need(
        id.starts_with(prefix),
        "item_id",
        &format!("{at}.id"),
        &format!("Invalid '{at}.id': '{id}'. Expected an ID that begins with '{prefix}'."),
    );
}

fn message(item: &Value, at: &str, talk: &mut Talk, checks: &mut Checks) {
    let role = item["role"].as_str().unwrap_or_default();
    let parts = parts(&item["content"], role, at, checks);
    match role {
        "system" | "developer" => talk.system.extend(parts),
        "assistant" => talk.turns.push(Turn::assistant(parts)),
        _ => talk.turns.push(Turn::user(parts)),
    }
}

fn parts(content: &Value, role: &str, at: &str, checks: &mut Checks) -> Vec<Part> {
    if let Some(text) = content.as_str() {
        return vec![Part::Text(text.to_owned())];
    }
    let mut found = Vec::new();
    for (index, part) in list(content).enumerate() {
        let at = format!("{at}.content[{index}]");
        let kind = part["type"].as_str().unwrap_or_default();
        let is_output = matches!(kind, "output_text" | "refusal");
        let wanted = if role == "assistant" {
            "'output_text' and 'refusal'"
        } else {
            "'input_text', 'input_image', and 'input_file'"
        };
        checks.need(
            is_output == (role == "assistant"),
            "content_type",
            &at,
            &format!("Invalid value: '{kind}'. Supported values are: {wanted}."),
        );
        match kind {
            "input_text" | "output_text" => found.push(Part::Text(text(&part["text"]))),
            "refusal" => found.push(Part::Text(text(&part["refusal"]))),
            _ => match media(part) {
                Some(media) => found.push(Part::Media(media)),
                None => checks.no("media", &at, "The media cannot be read: not base64 with a MIME type, and no URL."),
            },
        }
    }
    found
}

fn media(part: &Value) -> Option<Media> {
    let place = |kind: &'static str, value: &Value| {
        Some(Media { kind, mime: String::new(), source: Source::Place(value.as_str()?.to_owned()) })
    };
    match part["type"].as_str()? {
        "input_image" => match part["image_url"].as_str() {
            Some(url) if url.starts_with("data:image/") || url.starts_with("http") => Media::of_url("image", url),
            Some(_) => None,
            None => place("image", &part["file_id"]),
        },
        "input_file" => match part["file_data"].as_str() {
            Some(data) if data.starts_with("data:") && part["filename"].is_string() => Media::of_url("file", data),
            Some(_) => None,
            None => place("file", &part["file_url"]).or_else(|| place("file", &part["file_id"])),
        },
        _ => None,
    }
}

fn call(item: &Value, at: &str, talk: &mut Talk, checks: &mut Checks) {
    let called = text(&item["name"]);
    name(&called, &format!("{at}.name"), checks);
    let arguments = text(&item["arguments"]);
    let is_json = serde_json::from_str::<Value>(&arguments).is_ok_and(|value| value.is_object());
    checks.need(
        is_json,
        "arguments",
        &format!("{at}.arguments"),
        "The arguments of a call must be the text of a JSON object.",
    );
    let part = Part::Call { name: called, arguments };
    match talk.turns.last_mut() {
        Some(turn) if turn.role == Role::Assistant => turn.parts.push(part),
        _ => talk.turns.push(Turn::assistant(vec![part])),
    }
}

fn output(item: &Value, at: &str, talk: &mut Talk, checks: &mut Checks) {
    let (mut texts, mut media) = (Vec::new(), Vec::new());
    for part in parts(&item["output"], "user", at, checks) {
        match part {
            Part::Text(text) => texts.push(result_text(&text)),
            Part::Media(one) => media.push(one),
            _ => {}
        }
    }
    let part = Part::Result { texts, media };
    match talk.turns.last_mut() {
        Some(turn) if turn.role == Role::User && turn.parts.iter().all(Part::is_result) => turn.parts.push(part),
        _ => talk.turns.push(Turn::user(vec![part])),
    }
}

/// Sealed here, for this model, and in front of what it was thought for.
fn reasoning(item: &Value, next: Option<&Value>, at: &str, talk: &mut Talk, checks: &mut Checks) {
    let id = text(&item["id"]);
    let seal = item["encrypted_content"].as_str().unwrap_or_default();
    if seal.is_empty() {
        checks.no("unsealed", at, &format!("Item with id '{id}' not found: nothing is kept when `store` is false."));
        return;
    }
    let sealed = match sign::open(seal) {
        Some(sealed) if sealed.model == talk.model => sealed,
        Some(_) => {
            return checks.no(
                "signature",
                at,
                &format!("The encrypted content for item {id} could not be verified: it is another model's."),
            );
        }
        None => {
            return checks.no("signature", at, &format!("The encrypted content for item {id} could not be verified."));
        }
    };
    checks.need(
        item["id"].is_null() || id == sealed.id,
        "signature",
        at,
        &format!(
            "The encrypted content for item {id} could not be verified. Reason: Encrypted content item_id did not match \
             the target item id."
        ),
    );
    let is_next = next.is_some_and(|next| match next["type"].as_str() {
        Some("function_call") => sealed.next == "function_call",
        None | Some("message") => next["role"] == "assistant" && sealed.next == "message",
        _ => false,
    });
    checks.need(
        is_next,
        "reasoning_order",
        at,
        &format!("Item '{id}' of type 'reasoning' was provided without its required following item."),
    );
    let summary: String = list(&item["summary"]).filter_map(|part| part["text"].as_str()).collect();
    let part = Part::Thought(summary);
    match talk.turns.last_mut() {
        Some(turn) if turn.role == Role::Assistant => turn.parts.push(part),
        _ => talk.turns.push(Turn::assistant(vec![part])),
    }
}

/// Every call has its output, every output its call.
fn pairs(items: &[&Value], checks: &mut Checks) {
    let mut open: Vec<String> = Vec::new();
    let mut all: Vec<String> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let place = format!("input[{at}]");
        let id = text(&item["call_id"]);
        let kind = item["type"].as_str().unwrap_or_default();
        if matches!(kind, "function_call" | "function_call_output") {
            checks.need(
                (1..=LONGEST_ID).contains(&id.len()),
                "id_length",
                &format!("{place}.call_id"),
                &format!("Invalid '{place}.call_id': string too long, at most {LONGEST_ID} but {}.", id.len()),
            );
        }
        match kind {
            "function_call" => {
                checks.need(
                    !all.contains(&id),
                    "id_unique",
                    &place,
                    &format!("Duplicate function call with call_id {id}."),
                );
                all.push(id.clone());
                open.push(id);
            }
            "function_call_output" => match open.iter().position(|one| *one == id) {
                Some(found) => drop(open.remove(found)),
                None => checks.no(
                    "tool_order",
                    &place,
                    &format!("No tool call found for function call output with call_id {id}."),
                ),
            },
            "" | "message" => checks.need(
                open.is_empty() || item["role"] == "assistant",
                "tool_order",
                &place,
                &format!("No tool output found for function call {}.", open.join(", ")),
            ),
            _ => {}
        }
    }
    checks.need(
        open.is_empty(),
        "tool_order",
        "input",
        &format!("No tool output found for function call {}.", open.join(", ")),
    );
}

/// In the round of tools that is going on, what was thought about here should come back with its thought, in front of
/// everything that was said in the same step. The provider does without, and answers worse.
fn thoughts(items: &[&Value], checks: &mut Checks) {
    let begin = items.iter().rposition(|item| item["role"] == "user").unwrap_or(0);
    let is_said = |item: &&&Value| item["type"] == "function_call" || item["role"] == "assistant";
    for (at, item) in items.iter().enumerate().skip(begin) {
        let id = item["call_id"].as_str().unwrap_or_default();
        if item["type"] != "function_call" || sign::was_thought(id, "call_") != Some(true) {
            continue;
        }
        let begin = items[..at].iter().rev().find(|item| !is_said(item));
        if begin.is_none_or(|begin| begin["type"] != "reasoning") {
            checks.dummies += 1;
        }
    }
}

/// Names of tools, and of formats.
pub fn name(name: &str, at: &str, checks: &mut Checks) {
    let is_good = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    checks.need(is_good, "name", at, &format!("Invalid '{at}': expected the pattern '^[a-zA-Z0-9_-]{{1,64}}$'."));
}
