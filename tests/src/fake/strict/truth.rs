//! What a request really used, each token in exactly one class, and how each family is able to tell it.

use serde_json::{Value, json};

use super::Family;
use super::talk::{Part, Role, Source, Talk, Thinking};

/// Disjoint: every token is in one class only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Truth {
    pub prompt: u64,
    pub cache_read: u64,
    pub cache_write: u64,
    pub cache_write_1h: u64,
    pub completion: u64,
    pub reasoning: u64,
    pub audio_input: u64,
    pub audio_output: u64,
    /// Images that were made.
    pub images: u64,
    /// Letters that were spoken.
    pub characters: u64,
}

/// Tokens of so many letters.
pub fn tokens(letters: usize) -> u64 {
    u64::try_from(letters.div_ceil(4)).expect("a length")
}

const IMAGE: u64 = 85;
const AUDIO: u64 = 50;
/// What every request has beside its words.
const FRAME: u64 = 7;

impl Truth {
    fn classes(&mut self) -> [(&'static str, &mut u64); 10] {
        [
            ("prompt", &mut self.prompt),
            ("cache_read", &mut self.cache_read),
            ("cache_write", &mut self.cache_write),
            ("cache_write_1h", &mut self.cache_write_1h),
            ("completion", &mut self.completion),
            ("reasoning", &mut self.reasoning),
            ("audio_input", &mut self.audio_input),
            ("audio_output", &mut self.audio_output),
            ("images", &mut self.images),
            ("characters", &mut self.characters),
        ]
    }

    /// From `prompt=1,reasoning=2`.
    pub fn parse(text: &str) -> Truth {
        let mut truth = Truth::default();
        for (name, count) in text.split(',').filter_map(|pair| pair.split_once('=')) {
            for (class, value) in truth.classes() {
                if class == name {
                    *value = count.parse().unwrap_or(0);
                }
            }
        }
        truth
    }

    pub fn json(mut self) -> Value {
        Value::Object(self.classes().into_iter().map(|(name, count)| (name.to_owned(), json!(*count))).collect())
    }

    pub fn input(&self) -> u64 {
        self.prompt + self.cache_read + self.cache_write + self.cache_write_1h + self.audio_input
    }

    pub fn output(&self) -> u64 {
        self.completion + self.reasoning + self.audio_output
    }

    /// The same, with what a family has no words for in the class that it is counted under there.
    pub fn told(self, family: Family) -> Truth {
        let mut told = self;
        if family != Family::Anthropic {
            told.prompt += std::mem::take(&mut told.cache_write) + std::mem::take(&mut told.cache_write_1h);
        }
        if matches!(family, Family::Anthropic | Family::Responses) {
            told.prompt += std::mem::take(&mut told.audio_input);
            told.completion += std::mem::take(&mut told.audio_output);
        }
        told
    }

    /// What goes in. Reading from the cache begins with the second round of a conversation: what stood before the last
    /// answer is known by then.
    pub fn of_input(talk: &Talk) -> Truth {
        let mut weights: Vec<Weight> = Vec::new();
        for tool in &talk.tools {
            weights.push(Weight { tokens: tokens(tool.size), mark: tool.mark, ..Weight::default() });
        }
        weigh(&talk.system, &mut weights);
        let last_answer = talk.turns.iter().rposition(|turn| turn.role == Role::Assistant);
        let mut known = 0;
        for (at, turn) in talk.turns.iter().enumerate() {
            if Some(at) == last_answer {
                known = weights.len();
            }
            weigh(&turn.parts, &mut weights);
        }
        let mut truth = Truth { prompt: FRAME, ..Truth::default() };
        let reads = if talk.marks_only { known.min(marked_until(&weights[..known])) } else { known };
        let writes = if talk.marks_only { marked_until(&weights) } else { 0 };
        for (at, weight) in weights.iter().enumerate() {
            truth.audio_input += weight.audio;
            let class = if at < reads {
                &mut truth.cache_read
            } else if at >= writes {
                &mut truth.prompt
            } else if weights[at..].iter().find_map(|later| later.mark) == Some(true) {
                &mut truth.cache_write_1h
            } else {
                &mut truth.cache_write
            };
            *class += weight.tokens;
        }
        truth
    }

    /// Adds what came out: letters of text and of reasoning.
    pub fn with_output(mut self, text: usize, reasoning: usize, thinking: Thinking) -> Truth {
        self.completion = tokens(text).max(1);
        if thinking != Thinking::Off {
            self.reasoning = tokens(reasoning) + 3;
        }
        self
    }
}

#[derive(Debug, Default)]
struct Weight {
    tokens: u64,
    audio: u64,
    mark: Option<bool>,
}

/// How many weights stand up to and with the last mark.
fn marked_until(weights: &[Weight]) -> usize {
    weights.iter().rposition(|weight| weight.mark.is_some()).map_or(0, |at| at + 1)
}

fn weigh(parts: &[Part], weights: &mut Vec<Weight>) {
    for part in parts {
        let mut weight = Weight::default();
        let media = |one: &super::talk::Media, weight: &mut Weight| match (one.kind, &one.source) {
            ("audio", _) => weight.audio += AUDIO,
            (_, Source::Bytes(_) | Source::Place(_)) => weight.tokens += IMAGE,
        };
        match part {
            Part::Text(text) | Part::Thought(text) => weight.tokens = tokens(text.len()),
            Part::Call { name, arguments } => weight.tokens = tokens(name.len() + arguments.len()),
            Part::Media(one) => media(one, &mut weight),
            Part::Result { texts, media: several } => {
                weight.tokens = texts.iter().map(|text| tokens(text.len())).sum();
                several.iter().for_each(|one| media(one, &mut weight));
            }
            Part::Mark { is_hour } => weight.mark = Some(*is_hour),
        }
        weights.push(weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::strict::talk::Turn;

    fn text(letters: usize) -> Part {
        Part::Text("x".repeat(letters))
    }

    #[test]
    fn the_second_round_reads_what_the_first_one_said() {
        let mut talk = Talk { system: vec![text(40)], turns: vec![Turn::user(vec![text(8)])], ..Talk::default() };
        assert_eq!(Truth::of_input(&talk), Truth { prompt: 7 + 10 + 2, ..Truth::default() });
        talk.turns.extend([Turn::assistant(vec![text(4)]), Turn::user(vec![text(12)])]);
        assert_eq!(Truth::of_input(&talk), Truth { prompt: 7 + 1 + 3, cache_read: 12, ..Truth::default() });
    }

    #[test]
    fn marks_decide_what_is_written() {
        let hour = Part::Mark { is_hour: true };
        let minutes = Part::Mark { is_hour: false };
        let mut talk = Talk { marks_only: true, ..Talk::default() };
        talk.system = vec![text(40), hour];
        talk.turns = vec![Turn::user(vec![text(8), minutes, text(4)])];
        let wanted = Truth { prompt: 8, cache_write: 2, cache_write_1h: 10, ..Truth::default() };
        assert_eq!(Truth::of_input(&talk), wanted);
        talk.turns.extend([Turn::assistant(vec![text(4)]), Turn::user(vec![text(12)])]);
        let wanted = Truth { prompt: 7 + 1 + 1 + 3, cache_read: 12, ..Truth::default() };
        assert_eq!(Truth::of_input(&talk), wanted);
    }

    #[test]
    fn what_a_family_cannot_say_is_told_as_something_else() {
        let truth =
            Truth::parse("prompt=1,cache_write=2,cache_write_1h=4,audio_input=8,completion=16,audio_output=32,x=1");
        assert_eq!(truth.told(Family::Chat), Truth { prompt: 7, cache_write: 0, cache_write_1h: 0, ..truth });
        let told = truth.told(Family::Anthropic);
        assert_eq!((told.prompt, told.cache_write, told.completion), (9, 2, 48));
        assert_eq!((told.input(), told.output()), (truth.input(), truth.output()));
    }
}
