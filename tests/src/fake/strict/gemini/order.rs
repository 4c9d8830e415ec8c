//! What Google refuses: responses that do not match their calls, signatures that went lost, schemas outside the subset.

use serde_json::Value;

use super::super::json::canonical;
use super::super::shape;
use super::super::sign::{self, DUMMIES};
use super::super::{Checks, base64};
use super::fields::{MANNER, schema};
use super::read::{declarations, get, list, response_schema, text};

pub fn check(body: &Value, model: &str, checks: &mut Checks) {
    config(body, checks);
    tools(body, checks);
    let contents = list(get(body, "contents"));
    checks.need(
        !contents.is_empty(),
        "contents",
        "contents",
        "* GenerateContentRequest.contents: contents is not specified",
    );
    let question = contents
        .iter()
        .rposition(|content| content["role"] != "model" && !responses(content).iter().any(|part| part.is_object()));
    for (at, content) in contents.iter().enumerate() {
        let place = format!("contents[{at}]");
        let role = content["role"].as_str();
        // The role of a single content may be left out.
        let is_role = matches!(role, Some("user" | "model")) || (role.is_none() && contents.len() == 1);
        checks.need(is_role, "role", &format!("{place}.role"), "Please use a valid role: user, model.");
        checks.need(
            !list(get(content, "parts")).is_empty(),
            "empty",
            &format!("{place}.parts"),
            "must include at least one parts field",
        );
        parts(content, &place, checks);
        let before = at.checked_sub(1).and_then(|before| contents.get(before)).copied();
        let next = contents.get(at + 1).copied();
        calls(content, before, next, &place, checks);
        let is_current = question.is_none_or(|question| at > question);
        signatures(content, model, is_current, &place, checks);
    }
}

fn parts(content: &Value, at: &str, checks: &mut Checks) {
    for (index, part) in list(get(content, "parts")).into_iter().enumerate() {
        let kinds = [
            "text",
            "inlineData",
            "fileData",
            "functionCall",
            "functionResponse",
            "executableCode",
            "codeExecutionResult",
            "toolCall",
            "toolResponse",
        ];
        let set = kinds.iter().filter(|kind| !get(part, kind).is_null()).count();
        let is_bare_signature = set == 0 && !get(part, "thoughtSignature").is_null();
        checks.need(
            set == 1 || is_bare_signature,
            "part_data",
            &format!("{at}.parts[{index}]"),
            "required oneof field 'data' must have one initialized field",
        );
    }
}

fn named<'a>(content: &'a Value, name: &'static str) -> Vec<&'a Value> {
    list(get(content, "parts")).into_iter().map(|part| get(part, name)).filter(|value| value.is_object()).collect()
}

fn responses(content: &Value) -> Vec<&Value> {
    named(content, "functionResponse")
}

fn calls(content: &Value, before: Option<&Value>, next: Option<&Value>, at: &str, checks: &mut Checks) {
    let made = named(content, "functionCall");
    let answers = responses(content);
    if !made.is_empty() {
        checks.need(content["role"] == "model", "call_role", at, "function calls belong to the role model");
        let is_after = before.is_some_and(|before| before["role"] != "model");
        checks.need(
            is_after,
            "call_order",
            at,
            "A function call turn must come right behind a user turn or a function response turn.",
        );
        let given = next.map(responses).unwrap_or_default();
        checks.need(
            given.len() == made.len(),
            "response_count",
            at,
            "As many function response parts as function call parts must come right behind.",
        );
    }
    if answers.is_empty() {
        return;
    }
    checks.need(content["role"] != "model", "response_role", at, "function responses belong to the role user");
    let asked = before.map(|before| named(before, "functionCall")).unwrap_or_default();
    checks.need(
        !asked.is_empty(),
        "response_order",
        at,
        "Please ensure that function response turn comes immediately after a function call turn.",
    );
    let mut left = asked.clone();
    for answer in answers {
        let is_same = |call: &&Value| {
            call["name"] == answer["name"]
                && (answer["id"].is_null() || call["id"].is_null() || call["id"] == answer["id"])
        };
        match left.iter().position(is_same) {
            Some(found) => drop(left.remove(found)),
            None if asked.is_empty() => {}
            None => checks.no(
                "response_match",
                at,
                &format!("function response `{}` does not match a function call", text(&answer["name"])),
            ),
        }
    }
}

/// The first call of each step carries its signature: always in the current turn, and where the step was made here.
fn signatures(content: &Value, model: &str, is_current: bool, at: &str, checks: &mut Checks) {
    let mut is_first = true;
    for (index, part) in list(get(content, "parts")).into_iter().enumerate() {
        let at = format!("{at}.parts[{index}]");
        let call = get(part, "functionCall");
        let signature = Signature::of(get(part, "thoughtSignature").as_str());
        if signature == Signature::Bad {
            checks.no("signature", &at, "Base64 decoding failed for thought_signature");
            continue;
        }
        if !call.is_object() {
            let is_good = !matches!(&signature, Signature::Bytes(_)) || signature.is(&text_signature(model));
            checks.need(is_good, "signature", &at, "Thought signature is not valid");
            continue;
        }
        let is_ours = sign::was_thought(call["id"].as_str().unwrap_or_default(), "").is_some();
        match signature {
            Signature::Dummy => checks.dummies += 1,
            Signature::None if is_first && (is_current || is_ours) => {
                checks.no(
                    "signature_missing",
                    &at,
                    &format!(
                        "Function call `{}` at position {} is missing a thought_signature.",
                        text(&call["name"]),
                        index + 1
                    ),
                );
            }
            Signature::None => {}
            given => checks.need(
                is_first && given.is(&call_signature(model, call)),
                "signature",
                &at,
                "Thought signature is not valid",
            ),
        }
        is_first = false;
    }
}

/// What stands where a signature may stand. Signatures are bytes: both alphabets of base64 are the same to Google.
#[derive(Debug, PartialEq, Eq)]
enum Signature {
    None,
    Bytes(Vec<u8>),
    /// One of the documented stand-ins: as it is, or as base64 of itself, as the SDKs write it.
    Dummy,
    Bad,
}

impl Signature {
    fn of(text: Option<&str>) -> Signature {
        match text {
            None | Some("") => Signature::None,
            Some(text) if DUMMIES.contains(&text) => Signature::Dummy,
            Some(text) => match base64::decode(text) {
                None => Signature::Bad,
                Some(bytes) if DUMMIES.iter().any(|dummy| bytes == dummy.as_bytes()) => Signature::Dummy,
                Some(bytes) => Signature::Bytes(bytes),
            },
        }
    }

    fn is(&self, text: &str) -> bool {
        matches!(self, Signature::Bytes(bytes) if Some(bytes) == base64::decode(text).as_ref())
    }
}

/// The signature of the first call of a step. The call's id is not in it: callers may leave that out.
pub fn call_signature(model: &str, call: &Value) -> String {
    let arguments = if call["args"].is_object() { canonical(&call["args"]) } else { "{}".to_owned() };
    sign::signature(&["call", model, call["name"].as_str().unwrap_or_default(), &arguments])
}

/// The signature of an answer in text.
pub fn text_signature(model: &str) -> String {
    sign::signature(&["text", model])
}

fn config(body: &Value, checks: &mut Checks) {
    let config = get(body, "generationConfig");
    for (name, least, most) in [
        ("temperature", 0.0, 2.0),
        ("topP", 0.0, 1.0),
        ("presencePenalty", -2.0, 2.0),
        ("frequencyPenalty", -2.0, 2.0),
        ("candidateCount", 1.0, 8.0),
        ("maxOutputTokens", 1.0, f64::MAX),
        ("seed", -2_147_483_648.0, 2_147_483_647.0),
        ("topK", 1.0, 1_000.0),
    ] {
        let holds = get(config, name).as_f64().is_none_or(|value| (least..=most).contains(&value));
        checks.need(holds, "range", &format!("generationConfig.{name}"), "Invalid value: out of range");
    }
    let stops =
        list(get(config, "stopSequences")).len().max(get(config, "stopSequences").as_array().map_or(0, Vec::len));
    checks.need(
        stops <= 5,
        "stop",
        "generationConfig.stopSequences",
        "Unable to submit request because it has more than 5 stop sequences",
    );
    let thinking = get(config, "thinkingConfig");
    let both = !get(thinking, "thinkingLevel").is_null() && !get(thinking, "thinkingBudget").is_null();
    checks.need(
        !both,
        "thinking",
        "generationConfig.thinkingConfig",
        "You can only set only one of thinking budget and thinking level.",
    );
    let level = get(thinking, "thinkingLevel").as_str().unwrap_or("LOW").to_uppercase();
    checks.need(
        ["MINIMAL", "LOW", "MEDIUM", "HIGH", "THINKING_LEVEL_UNSPECIFIED"].contains(&level.as_str()),
        "value",
        "generationConfig.thinkingConfig.thinkingLevel",
        "Invalid value",
    );
    let schemas = ["responseSchema", "responseJsonSchema", "_responseJsonSchema"]
        .iter()
        .filter(|name| !get(config, name).is_null())
        .count();
    checks.need(
        schemas <= 1,
        "schema",
        "generationConfig",
        "Only one of response_schema and response_json_schema may be set.",
    );
    if let Some(found) = response_schema(config) {
        let mime = get(config, "responseMimeType").as_str().unwrap_or_default();
        checks.need(
            mime == "application/json" || mime == "text/x.enum",
            "schema_mime",
            "generationConfig.responseMimeType",
            "Forced function calling or response schema needs the response mime type 'application/json'.",
        );
        if std::ptr::eq(found, get(config, "responseSchema")) {
            subset(found, "generationConfig.responseSchema", checks);
        }
    }
}

fn tools(body: &Value, checks: &mut Checks) {
    let mut known: Vec<String> = Vec::new();
    for (at, declaration) in declarations(body).into_iter().enumerate() {
        let at = format!("tools[0].functionDeclarations[{at}]");
        let name = text(&declaration["name"]);
        let begins = name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
        let is_good = begins
            && name.len() <= 64
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte));
        checks.need(
            is_good,
            "name",
            &format!("{at}.name"),
            "Invalid function name: a letter or _ first, then letters, digits and _ . : - up to 64.",
        );
        checks.need(!known.contains(&name), "tool_names", &at, "Duplicate function declaration found");
        known.push(name);
        let parameters = get(declaration, "parameters");
        let both = !parameters.is_null() && !get(declaration, "parametersJsonSchema").is_null();
        checks.need(!both, "schema", &at, "Only one of parameters and parameters_json_schema may be set.");
        if parameters.is_object() {
            subset(parameters, &format!("{at}.parameters"), checks);
        }
    }
    let calling = get(get(body, "toolConfig"), "functionCallingConfig");
    let allowed: Vec<String> =
        get(calling, "allowedFunctionNames").as_array().into_iter().flatten().map(text).collect();
    let mode = calling["mode"].as_str().unwrap_or("AUTO");
    checks.need(
        allowed.is_empty() || matches!(mode, "ANY" | "VALIDATED"),
        "tool_choice",
        "toolConfig",
        "Allowed function names can only be set when the function calling mode is ANY.",
    );
    checks.need(
        allowed.iter().all(|name| known.contains(name)),
        "tool_choice",
        "toolConfig",
        "An allowed function name is not among the function declarations.",
    );
    checks.need(
        mode != "ANY" || !known.is_empty(),
        "tool_choice",
        "toolConfig",
        "Function calling mode is set without function_declarations.",
    );
}

/// What the table of fields cannot see: properties by the caller's names, required ones that must be there.
fn subset(found: &Value, at: &str, checks: &mut Checks) {
    let kind = found["type"].as_str().unwrap_or_default().to_uppercase();
    let properties = found["properties"].as_object();
    checks.need(
        !kind.is_empty() || get(found, "anyOf").is_array(),
        "schema",
        at,
        "schema didn't specify the schema type field",
    );
    for (name, property) in properties.into_iter().flatten() {
        let at = format!("{at}.properties[{name}]");
        shape::check(property, schema(), MANNER, &at, checks);
        subset(property, &at, checks);
    }
    for name in found["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let is_there = properties.is_some_and(|properties| properties.contains_key(name));
        checks.need(is_there, "schema", &format!("{at}.required"), &format!("property is not defined: {name}"));
    }
    if kind == "ARRAY" {
        checks.need(found["items"].is_object(), "schema", &format!("{at}.items"), "missing field.");
    }
    if found["items"].is_object() {
        subset(&found["items"], &format!("{at}.items"), checks);
    }
    for option in get(found, "anyOf").as_array().into_iter().flatten() {
        subset(option, &format!("{at}.anyOf"), checks);
    }
}
