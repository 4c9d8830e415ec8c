//! Decides what to answer, from the neutral conversation alone: the same answer whatever the wire. Pure.

use serde_json::{Value, json};

use super::command::{self, Commands, Wanted};
use super::instance;
use super::json::canonical;
use super::talk::{Choice, Format, Part, Question, Talk, Thinking, Tool};
use super::truth::Truth;

/// What is said.
#[derive(Debug, Clone)]
pub struct Answer {
    pub commands: Commands,
    pub thought: Option<Thought>,
    /// One for each answer that was wanted.
    pub choices: Vec<Said>,
    pub calls: Vec<Wanted>,
    /// Before a family tells it in its own words.
    pub truth: Truth,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Empty when there is nothing but calls.
    pub text: String,
    pub finish: Finish,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    Stop,
    /// This stop sequence was met.
    Word(String),
    Length,
    Calls,
    Refused,
    /// Cut off by a filter.
    Blocked,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thought {
    pub text: String,
    pub look: Look,
}

/// How much of a thought can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Shown,
    Hidden,
    Redacted,
}

pub const REFUSAL: &str = "I'm sorry, but I can't help with that.";

pub fn decide(talk: &Talk) -> Answer {
    let question = talk.question();
    let commands = Commands::of(&question.text());
    let is_refused = commands.has("refuse") || commands.has("block");
    let mut calls = if is_refused { Vec::new() } else { pending(talk, &question) };
    if commands.has("badargs") {
        for call in &mut calls {
            call.arguments.pop();
        }
    }
    let choices: Vec<Said> = (0..talk.choices.max(1))
        .map(|at| if calls.is_empty() { said(talk, &question, &commands, at) } else { before_calls(&commands) })
        .collect();
    let thought = thought(talk, &question, &commands);
    let letters: usize = choices.iter().map(|choice| choice.text.len()).sum::<usize>()
        + calls.iter().map(|call| call.name.len() + call.arguments.len()).sum::<usize>();
    let thought_letters = thought.as_ref().map_or(0, |thought| thought.text.len());
    let counted = || Truth::of_input(talk).with_output(letters, thought_letters, talk.thinking);
    let truth = commands.usage.unwrap_or_else(counted);
    Answer { commands, thought, choices, calls, truth }
}

fn before_calls(commands: &Commands) -> Said {
    Said { text: commands.say.clone().unwrap_or_default(), finish: Finish::Calls }
}

fn thought(talk: &Talk, question: &Question<'_>, commands: &Commands) -> Option<Thought> {
    let look = match talk.thinking {
        Thinking::Off => return None,
        _ if commands.has("redacted") => Look::Redacted,
        Thinking::Silent => Look::Hidden,
        Thinking::Shown if commands.has("hidden") => Look::Hidden,
        Thinking::Shown => Look::Shown,
    };
    let text = commands.reason.clone().unwrap_or_else(|| format!("thinking about: {}", question.text()));
    Some(Thought { text, look })
}

/// The calls that are to be made now.
fn pending(talk: &Talk, question: &Question<'_>) -> Vec<Wanted> {
    if talk.choice == Choice::None || talk.tools.is_empty() {
        return Vec::new();
    }
    let mut wanted = command::wanted(&question.text(), false);
    for result in &question.after {
        if let Part::Result { texts, .. } = result {
            wanted.extend(texts.iter().flat_map(|text| command::wanted(text, true)));
        }
    }
    let wanted = wanted.into_iter().filter_map(|one| offered(talk, one));
    let mut left: Vec<Wanted> = wanted.skip(question.after.len()).collect();
    let forced = match &talk.choice {
        Choice::Any => talk.tools.first(),
        Choice::Named(name) => talk.tools.iter().find(|tool| tool.name == *name),
        _ => None,
    };
    // As real models do, also behind a result: who forces a call once takes the force off again.
    if let Some(tool) = forced.filter(|_| left.is_empty()) {
        left.push(unasked(tool));
    }
    if !talk.is_parallel {
        left.truncate(1);
    }
    left
}

fn offered(talk: &Talk, wanted: Wanted) -> Option<Wanted> {
    let tool = talk.tools.iter().find(|tool| command::is_same_tool(&tool.name, &wanted.name))?;
    let is_allowed = !matches!(&talk.choice, Choice::Named(name) if *name != tool.name);
    is_allowed.then(|| Wanted { name: tool.name.clone(), ..wanted })
}

fn unasked(tool: &Tool) -> Wanted {
    let arguments = match instance::minimal(&tool.schema) {
        Value::Object(members) => canonical(&Value::Object(members)),
        _ => "{}".to_owned(),
    };
    Wanted { name: tool.name.clone(), arguments }
}

fn said(talk: &Talk, question: &Question<'_>, commands: &Commands, at: usize) -> Said {
    if commands.has("refuse") {
        return Said { text: REFUSAL.to_owned(), finish: Finish::Refused };
    }
    let mut text = body(talk, question, commands);
    if talk.choices > 1 && talk.format == Format::Text {
        text = format!("{text} #{at}");
    }
    if commands.has("block") {
        return Said { text: half(&text), finish: Finish::Blocked };
    }
    if commands.has("length") {
        return Said { text: half(&text), finish: Finish::Length };
    }
    if commands.has("params") {
        // The stop words are among them.
        return Said { text, finish: Finish::Stop };
    }
    let found = talk.stop.iter().filter_map(|word| text.find(word.as_str()).map(|place| (place, word))).min();
    let mut finish = Finish::Stop;
    if let Some((place, word)) = found {
        finish = Finish::Word(word.clone());
        text.truncate(place);
    }
    let most = talk.limit.and_then(|tokens| usize::try_from(tokens.saturating_mul(4)).ok()).unwrap_or(usize::MAX);
    if text.len() > most {
        return Said { text: begin(&text, most), finish: Finish::Length };
    }
    Said { text, finish }
}

fn body(talk: &Talk, question: &Question<'_>, commands: &Commands) -> String {
    if talk.format != Format::Text {
        return structured(talk, question, commands);
    }
    if let Some(words) = commands.long {
        return (0..words).map(|at| format!("w{at}")).collect::<Vec<_>>().join(" ");
    }
    if let Some(word) = &commands.stop {
        return format!("before {word} after");
    }
    if commands.has("n") {
        return format!("n: {}", talk.choices);
    }
    if commands.has("system") {
        let texts: Vec<&str> = talk.system.iter().filter_map(Part::text).collect();
        return format!("system: {}", texts.join(" / "));
    }
    if commands.has("params") {
        return canonical(&Value::Object(talk.params.clone()));
    }
    if !question.after.is_empty() {
        return results(&question.after);
    }
    let before = if question.before.is_empty() { String::new() } else { format!("{} & ", results(&question.before)) };
    let media: String = question.media.iter().map(|media| format!(" {}", media.shown())).collect();
    format!("{before}you said: {}{media}", question.text())
}

fn results(parts: &[&Part]) -> String {
    let shown = parts.iter().map(|part| match part {
        Part::Result { texts, media } => {
            let media: String = media.iter().map(|media| format!(" {}", media.shown())).collect();
            format!("{}{media}", texts.concat())
        }
        _ => String::new(),
    });
    format!("results: {}", shown.collect::<Vec<_>>().join(" | "))
}

fn structured(talk: &Talk, question: &Question<'_>, commands: &Commands) -> String {
    let value = match &talk.format {
        _ if commands.has("mismatch") => json!({"wrong": true}),
        Format::Schema(schema) => instance::minimal(schema),
        _ => json!({"said": question.text()}),
    };
    let mut text = canonical(&value);
    if commands.has("badjson") {
        text.pop();
    }
    text
}

fn half(text: &str) -> String {
    begin(text, text.len() / 2)
}

/// At most so many bytes of the text.
fn begin(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

/// A text as it streams: words, long ones in pieces.
pub fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    for word in text.split_inclusive(' ') {
        let mut rest = word;
        while rest.len() > 12 {
            let (piece, tail) = rest.split_at(rest.floor_char_boundary(9));
            pieces.push(piece);
            rest = tail;
        }
        pieces.push(rest);
    }
    pieces
}

/// The text of a tool's result: what JSON objects are wrapped in taken off, the rest in one form.
pub fn result_text(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(value @ Value::Object(_)) => unwrapped(&value),
        _ => text.to_owned(),
    }
}

/// The same for a result that is an object anyway. Some clients write the tool's name beside it.
pub fn unwrapped(value: &Value) -> String {
    let named = value.as_object().filter(|members| members.len() == 2 && value["name"].is_string());
    if let Some(content) = named.and_then(|members| members.get("content")) {
        return unwrapped(&json!({"content": content}));
    }
    let inner = value.as_object().filter(|members| members.len() == 1).and_then(|members| {
        let (name, inner) = members.iter().next()?;
        ["output", "result", "content", "error"].contains(&name.as_str()).then_some(inner)
    });
    match inner {
        Some(Value::String(text)) => result_text(text),
        Some(other) => canonical(other),
        None => canonical(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::strict::talk::{Media, Source, Turn};

    fn tool(name: &str) -> Tool {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
        Tool { name: name.to_owned(), schema, size: 10, mark: None }
    }

    fn ask(text: &str) -> Talk {
        let turns = vec![Turn::user(vec![Part::Text(text.to_owned())])];
        Talk { turns, tools: vec![tool("a"), tool("b")], choices: 1, is_parallel: true, ..Talk::default() }
    }

    fn text(talk: &Talk) -> String {
        decide(talk).choices[0].text.clone()
    }

    fn names(talk: &Talk) -> Vec<String> {
        decide(talk).calls.into_iter().map(|call| call.name).collect()
    }

    fn answered(mut talk: Talk, results: &[&str]) -> Talk {
        talk.turns.push(Turn::assistant(vec![Part::Call { name: "a".to_owned(), arguments: "{}".to_owned() }]));
        let result = |text: &&str| Part::Result { texts: vec![result_text(text)], media: Vec::new() };
        talk.turns.push(Turn::user(results.iter().map(result).collect()));
        talk
    }

    #[test]
    fn calls_are_made_until_their_results_are_there() {
        let both = ask(r#"call b({"city":"x"}) call a({}) call c({})"#);
        assert_eq!(names(&both), ["b", "a"]);
        let one = Talk { is_parallel: false, ..both.clone() };
        assert_eq!(names(&one), ["b"]);
        assert_eq!(names(&answered(one.clone(), &["first"])), ["a"]);
        assert_eq!(text(&answered(both.clone(), &["first", r#"{"z":1,"y": 2}"#])), r#"results: first | {"y":2,"z":1}"#);
        assert_eq!(names(&answered(ask("call a({})"), &["good, then call b({})"])), ["b"]);
        assert_eq!(names(&Talk { choice: Choice::None, ..both }), [""; 0]);
    }

    #[test]
    fn a_forced_tool_is_called_unasked_and_again() {
        let forced = Talk { choice: Choice::Named("b".to_owned()), ..ask("hello call a({})") };
        let calls = decide(&forced).calls;
        assert_eq!(calls, [Wanted { name: "b".to_owned(), arguments: r#"{"city":"toll"}"#.to_owned() }]);
        assert_eq!(names(&answered(forced.clone(), &["done"])), ["b"]);
        let free = Talk { choice: Choice::Auto, ..answered(forced, &["done"]) };
        assert_eq!(text(&free), "results: done");
    }

    #[test]
    fn a_text_beside_results_is_the_new_question() {
        let mut talk = answered(ask("call a({})"), &["sunny"]);
        talk.turns.last_mut().unwrap().parts.push(Part::Text("and now?".to_owned()));
        assert_eq!(text(&talk), "results: sunny & you said: and now?");
        let split = talk.turns.last_mut().unwrap().parts.pop().unwrap();
        talk.turns.push(Turn::user(vec![split]));
        assert_eq!(text(&talk), "results: sunny & you said: and now?");
        talk.turns.push(Turn::assistant(vec![Part::Text("well".to_owned())]));
        talk.turns.push(Turn::user(vec![Part::Text("ok".to_owned())]));
        assert_eq!(text(&talk), "you said: ok");
    }

    #[test]
    fn everything_about_the_text_can_be_commanded() {
        assert_eq!(text(&ask("hi")), "you said: hi");
        assert_eq!(text(&ask("!long 3")), "w0 w1 w2");
        let stopped = Talk { stop: vec!["STOP".to_owned()], ..ask("!stop STOP") };
        assert_eq!(
            decide(&stopped).choices,
            [Said { text: "before ".to_owned(), finish: Finish::Word("STOP".to_owned()) }]
        );
        let limited = Talk { limit: Some(2), ..ask("hello") };
        assert_eq!(decide(&limited).choices, [Said { text: "you said".to_owned(), finish: Finish::Length }]);
        let two = Talk { choices: 2, ..ask("!n") };
        assert_eq!(
            decide(&two).choices.iter().map(|one| one.text.as_str()).collect::<Vec<_>>(),
            ["n: 2 #0", "n: 2 #1"]
        );
        let mut seen = ask("look");
        seen.turns[0].parts.push(Part::Media(Media::of("image/png", Source::Bytes(70))));
        assert_eq!(text(&seen), "you said: look [image image/png 70 bytes]");
        let typed = Talk { format: Format::Schema(tool("a").schema), ..ask("!badjson") };
        assert_eq!(text(&typed), r#"{"city":"toll""#);
    }

    #[test]
    fn reasoning_comes_only_when_asked_for() {
        assert_eq!(decide(&ask("!reason x")).thought, None);
        let asked = Talk { thinking: Thinking::Shown, ..ask("why !reason so !tag x") };
        let answer = decide(&asked);
        assert_eq!(answer.thought, Some(Thought { text: "so".to_owned(), look: Look::Shown }));
        assert_eq!(answer.truth.reasoning, 4);
    }

    #[test]
    fn pieces_are_the_text() {
        let text = "one two Grüße aus 東京東京東京東京東京 and averyverylongword";
        assert_eq!(pieces(text).concat(), text);
        assert!(pieces(text).len() > 8);
    }
}
