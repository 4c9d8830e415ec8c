//! What Converse demands of a request, as its documentation and its refusals say.

use std::collections::HashSet;

use serde_json::{Map, Value};

/// Panics with the rule that is broken.
#[track_caller]
pub(super) fn check(body: &Value) {
    if let Err(broken) = rules(body) {
        panic!("{broken}: {body:#}");
    }
}

type Verdict = Result<(), String>;

fn demand(holds: bool, rule: &str) -> Verdict {
    if holds { Ok(()) } else { Err(rule.to_owned()) }
}

pub(super) fn rules(body: &Value) -> Verdict {
    const FIELDS: [&str; 9] = [
        "messages",
        "system",
        "inferenceConfig",
        "toolConfig",
        "outputConfig",
        "additionalModelRequestFields",
        "additionalModelResponseFieldPaths",
        "requestMetadata",
        "serviceTier",
    ];
    let fields = body.as_object().ok_or("a request is an object")?;
    demand(fields.keys().all(|name| FIELDS.contains(&name.as_str())), "only known fields")?;
    system(list(body.get("system")))?;
    let messages = list(body.get("messages"));
    demand(!messages.is_empty(), "there are messages")?;
    let mut names = HashSet::new();
    for (at, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        demand(role == ["user", "assistant"][at % 2], "the user begins and sides take turns")?;
        blocks(role, list(message.get("content")), &mut names)?;
    }
    let has_tools = messages
        .iter()
        .flat_map(|message| list(message.get("content")))
        .any(|block| block.get("toolUse").is_some() || block.get("toolResult").is_some());
    demand(!has_tools || body.get("toolConfig").is_some(), "tools are declared where any were called")?;
    tools(body.get("toolConfig"))?;
    params(body)
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn only(block: &Value) -> Result<(&str, &Value), String> {
    let fields: &Map<String, Value> = block.as_object().ok_or("a block is an object")?;
    demand(fields.len() == 1, "a block has one field")?;
    fields.iter().next().map(|(name, value)| (name.as_str(), value)).ok_or("a block has a field".to_owned())
}

fn said(value: &Value) -> Verdict {
    demand(value.as_str().is_some_and(|text| !text.trim().is_empty()), "no text is blank")
}

fn cache_point(value: &Value, at: usize, before: Option<&Value>) -> Verdict {
    demand(value["type"] == "default", "a cache point is of the default type")?;
    demand(value.get("ttl").is_none_or(|ttl| ttl == "5m" || ttl == "1h"), "a cache point lives 5 minutes or an hour")?;
    let before = before.and_then(|before| only(before).ok()).map(|(name, _)| name);
    demand(at > 0 && !matches!(before, Some("cachePoint" | "reasoningContent")), "there is something to cache")
}

fn system(blocks: &[Value]) -> Verdict {
    for (at, block) in blocks.iter().enumerate() {
        match only(block)? {
            ("text", text) => said(text)?,
            ("cachePoint", point) => cache_point(point, at, blocks.get(at.wrapping_sub(1)))?,
            (name, _) => return Err(format!("system text has no {name}")),
        }
    }
    Ok(())
}

fn blocks(role: &str, blocks: &[Value], names: &mut HashSet<String>) -> Verdict {
    demand(!blocks.is_empty(), "a message has content")?;
    let mut seen_other = false;
    let mut has_text = false;
    let mut documents = 0;
    for (at, block) in blocks.iter().enumerate() {
        let (name, value) = only(block)?;
        match name {
            "toolResult" => {
                demand(role == "user" && !seen_other, "results come first, from the user")?;
                result(value, names)?;
            }
            "cachePoint" => cache_point(value, at, blocks.get(at.wrapping_sub(1)))?,
            _ => seen_other = true,
        }
        match name {
            "text" => {
                has_text = true;
                said(value)?;
            }
            "image" | "document" | "audio" | "video" => {
                demand(role == "user", "only users show things")?;
                documents += usize::from(name == "document");
                shown(name, value, names)?;
            }
            "toolUse" => {
                demand(role == "assistant", "only the assistant calls")?;
                id(&value["toolUseId"])?;
                tool_name(&value["name"])?;
                demand(value["input"].is_object(), "an input is an object")?;
            }
            "reasoningContent" => {
                demand(role == "assistant", "only the assistant thinks")?;
                let is_told =
                    value["reasoningText"]["text"].is_string() && value["reasoningText"]["signature"].is_string();
                demand(is_told != value["redactedContent"].is_string(), "a thought is told or sealed")?;
            }
            "toolResult" | "cachePoint" => {}
            _ => return Err(format!("messages have no {name}")),
        }
    }
    let is_thought = |block: &Value| block.get("reasoningContent").is_some();
    demand(!blocks.iter().all(is_thought), "no message is nothing but thoughts")?;
    demand(documents == 0 || has_text, "a document has a text beside it")
}

fn id(value: &Value) -> Verdict {
    let id = value.as_str().unwrap_or_default();
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "_.:-".contains(letter);
    demand((1..=64).contains(&id.len()) && id.chars().all(is_letter), "ids of calls have up to 64 plain letters")
}

fn tool_name(value: &Value) -> Verdict {
    let name = value.as_str().unwrap_or_default();
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
    demand((1..=64).contains(&name.len()) && name.chars().all(is_letter), "names of tools have up to 64 plain letters")
}

fn result(value: &Value, names: &mut HashSet<String>) -> Verdict {
    id(&value["toolUseId"])?;
    let content = value["content"].as_array().ok_or("a result has content")?;
    demand(value.get("status").is_none() || !content.is_empty(), "a failure says something")?;
    for block in content {
        match only(block)? {
            ("text", text) => said(text)?,
            (name @ ("image" | "document" | "video"), value) => shown(name, value, names)?,
            (name, _) => return Err(format!("results have no {name}")),
        }
    }
    Ok(())
}

fn shown(kind: &str, value: &Value, names: &mut HashSet<String>) -> Verdict {
    let formats = match kind {
        "image" => "png jpeg gif webp",
        "document" => "pdf csv doc docx xls xlsx html txt md",
        "audio" => "mp3 opus wav aac flac mp4 ogg mkv mka x-aac m4a mpeg mpga pcm webm",
        _ => "mkv mov mp4 webm flv mpeg mpg wmv three_gp",
    };
    let format = value["format"].as_str().unwrap_or_default();
    demand(formats.split(' ').any(|known| known == format), "formats are known ones")?;
    let source = value["source"].as_object().ok_or("there is a source")?;
    let is_bytes = source.get("bytes").and_then(Value::as_str).is_some_and(|bytes| !bytes.is_empty());
    demand(source.len() == 1 && is_bytes, "a source is bytes")?;
    if kind == "document" {
        let name = value["name"].as_str().unwrap_or_default();
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || " -()[]".contains(letter);
        let is_name = (1..=200).contains(&name.len()) && name.chars().all(is_letter) && !name.contains("  ");
        demand(is_name, "names of documents have plain letters")?;
        demand(names.insert(name.to_ascii_lowercase()), "no two documents have one name")?;
    }
    Ok(())
}

fn tools(config: Option<&Value>) -> Verdict {
    let Some(config) = config else { return Ok(()) };
    let tools = list(config.get("tools"));
    demand(!tools.is_empty(), "a configuration has tools")?;
    let mut declared = Vec::new();
    for (at, tool) in tools.iter().enumerate() {
        match only(tool)? {
            ("toolSpec", spec) => {
                tool_name(&spec["name"])?;
                declared.push(spec["name"].clone());
                demand(spec.get("description").is_none_or(|text| said(text).is_ok()), "a description says something")?;
                demand(spec["inputSchema"]["json"]["type"] == "object", "an input is described as an object")?;
            }
            ("cachePoint", point) => cache_point(point, at, tools.get(at.wrapping_sub(1)))?,
            (name, _) => return Err(format!("there is no {name} among tools")),
        }
    }
    match config.get("toolChoice") {
        None => Ok(()),
        Some(choice) => match only(choice)? {
            ("auto" | "any", value) => demand(value == &serde_json::json!({}), "a choice has nothing in it"),
            ("tool", value) => demand(declared.contains(&value["name"]), "a tool that is forced is declared"),
            (name, _) => Err(format!("there is no choice of {name}")),
        },
    }
}

fn params(body: &Value) -> Verdict {
    let inference = &body["inferenceConfig"];
    demand(inference["temperature"].as_f64().is_none_or(|number| number <= 1.0), "a temperature is at most 1")?;
    demand(inference.get("maxTokens").is_none_or(|most| most.as_u64() > Some(0)), "a limit is positive")?;
    let stop = list(inference.get("stopSequences"));
    demand(stop.iter().all(|stop| stop.as_str().is_some_and(|stop| !stop.is_empty())), "no stop sequence is empty")?;
    let additional = &body["additionalModelRequestFields"];
    let has_both = additional.get("tool_choice").is_some() && body["toolConfig"].get("toolChoice").is_some();
    demand(!has_both, "a choice of tools stands at one place")?;
    if let Some(budget) = additional["thinking"]["budget_tokens"].as_u64() {
        let most = inference["maxTokens"].as_u64();
        demand(
            budget >= 1_024 && most.is_some_and(|most| budget < most),
            "a budget is at least 1,024 and below the limit",
        )?;
        demand(inference.get("temperature").is_none_or(|one| one == 1), "who thinks has no temperature")?;
    }
    match body["outputConfig"]["textFormat"].as_object() {
        None => Ok(()),
        Some(format) => {
            let schema = format["structure"]["jsonSchema"]["schema"].as_str().unwrap_or_default();
            let is_json = serde_json::from_str::<Value>(schema).is_ok();
            demand(format["type"] == "json_schema" && is_json, "a schema is JSON in a text")
        }
    }
}
