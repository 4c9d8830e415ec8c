//! What a user's text asks the brain to do: commands that begin with `!`, and calls written as `call NAME({…})`.

use std::time::Duration;

use serde_json::Value;

use super::truth::Truth;

/// Everything that the last user text commands.
#[derive(Debug, Clone, Default)]
pub struct Commands {
    pub error: Option<u16>,
    pub slow: Duration,
    /// Bytes of one write to the socket.
    pub split: Option<usize>,
    pub reason: Option<String>,
    pub say: Option<String>,
    pub stop: Option<String>,
    pub long: Option<usize>,
    pub usage: Option<Truth>,
    /// The gate that every piece of the answer waits at.
    pub gate: Option<String>,
    /// How many times as long a sound is.
    pub loud: Option<usize>,
    words: Vec<String>,
}

/// A call that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub name: String,
    /// Exactly as it was written.
    pub arguments: String,
}

impl Commands {
    pub fn of(text: &str) -> Commands {
        let mut commands = Commands::default();
        for (name, rest) in commands_in(text) {
            let word = rest.split_whitespace().next().unwrap_or_default();
            match name {
                "error" => commands.error = word.parse().ok(),
                "slow" => commands.slow = Duration::from_millis(word.parse().unwrap_or(0)),
                "split" => commands.split = word.parse().ok(),
                "reason" => commands.reason = Some(rest.trim().to_owned()),
                "say" => commands.say = Some(rest.trim().to_owned()),
                "stop" => commands.stop = Some(word.to_owned()),
                "long" => commands.long = word.parse().ok(),
                "usage" => commands.usage = Some(Truth::parse(word)),
                "loud" => commands.loud = word.parse().ok(),
                "gate" => commands.gate = Some(word.to_owned()),
                other => commands.words.push(other.to_owned()),
            }
        }
        commands
    }

    /// Whether a command without arguments was given.
    pub fn has(&self, word: &str) -> bool {
        self.words.iter().any(|given| given == word)
    }
}

/// The name that a conversation gave itself.
pub fn tag<'a>(mut texts: impl Iterator<Item = &'a str>) -> String {
    let find = |text: &'a str| {
        let (_, rest) = commands_in(text).into_iter().find(|(name, _)| *name == "tag")?;
        rest.split_whitespace().next().map(str::to_owned)
    };
    texts.find_map(find).unwrap_or_default()
}

/// Names of commands and what stands behind each, up to the next one or the end of the line.
fn commands_in(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut rest = line;
        while let Some(at) = begin(rest) {
            let after = &rest[at + 1..];
            let end = after.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(after.len());
            let (name, tail) = after.split_at(end);
            let until = begin(tail).unwrap_or(tail.len());
            found.push((name, &tail[..until]));
            rest = &tail[until..];
        }
    }
    found
}

/// A `!` at the beginning of a word, with a letter behind it.
fn begin(text: &str) -> Option<usize> {
    text.match_indices('!').map(|(at, _)| at).find(|at| {
        let is_word = text[..*at].chars().next_back().is_none_or(char::is_whitespace);
        is_word && text[at + 1..].starts_with(|letter: char| letter.is_ascii_lowercase())
    })
}

/// Every `call NAME({…})` in order. With `then`, only those that have the word in front.
pub fn wanted(text: &str, then: bool) -> Vec<Wanted> {
    let mark = if then { "then call " } else { "call " };
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(mark) {
        rest = &rest[at + mark.len()..];
        let Some(open) = rest.find('(') else { break };
        let name = &rest[..open];
        if name.is_empty() || name.contains(char::is_whitespace) {
            continue;
        }
        let mut values = serde_json::Deserializer::from_str(&rest[open + 1..]).into_iter::<Value>();
        if let Some(Ok(Value::Object(_))) = values.next() {
            let end = open + 1 + values.byte_offset();
            let arguments = rest[open + 1..end].trim().to_owned();
            found.push(Wanted { name: name.to_owned(), arguments });
            rest = &rest[end..];
        }
    }
    found
}

/// Whether `offered` is what a caller named `wanted`: the same, or the same after the letters that a family refuses were
/// replaced and the end cut off.
pub fn is_same_tool(offered: &str, wanted: &str) -> bool {
    let plain = |name: &str| -> String {
        let replace = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
        name.chars().take(40).map(replace).collect()
    };
    offered == wanted || plain(offered) == plain(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_anywhere() {
        let commands = Commands::of("Hi! there !slow 20 !reason because of this !cut\n!error 503 wow!stop");
        assert_eq!((commands.slow, commands.error), (Duration::from_millis(20), Some(503)));
        assert_eq!(commands.reason.as_deref(), Some("because of this"));
        assert!(commands.has("cut") && commands.stop.is_none() && !commands.has("there"));
        assert_eq!(tag(["x", "see !tag one-2 !tag three", "!tag four"].into_iter()), "one-2");
    }

    #[test]
    fn calls_are_read_as_they_are_written() {
        let text = r#"please call a({"x": 1.10}) and call my.tool/b({}) or call me(maybe) call c({"q":"call d({})"})"#;
        let found: Vec<(String, String)> =
            wanted(text, false).into_iter().map(|one| (one.name, one.arguments)).collect();
        let pair = |name: &str, arguments: &str| (name.to_owned(), arguments.to_owned());
        assert_eq!(found, [pair("a", r#"{"x": 1.10}"#), pair("my.tool/b", "{}"), pair("c", r#"{"q":"call d({})"}"#)]);
        assert_eq!(wanted(text, true), []);
        assert_eq!(wanted("sunny, then call b({})", true).len(), 1);
    }

    #[test]
    fn a_tool_is_known_under_its_mended_name() {
        assert!(is_same_tool("my_tool_b", "my.tool/b"));
        assert!(is_same_tool(&format!("{}_1a2b", "x".repeat(59)), &"x".repeat(90)));
        assert!(!is_same_tool("a", "b"));
    }
}
