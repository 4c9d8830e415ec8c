//! Answers that were promised to have a shape: found in the request, checked when the answer is whole or its stream ends,
//! and mended where that needs nothing made up. Holds the text of an answer only where a schema was asked for, and only up
//! to a bound; never shows it to anyone. Next room: `schema`, which knows what fits.

use std::sync::Arc;

use bytes::Bytes;
use domain::money::Money;
use domain::usage::TokenUsage;

use crate::Carry;
use crate::cross::CrossPass;
use crate::dialect::{Dialect, Egress, EncodeEvents, MOST_CHOICES, Pass as _};
use crate::json::Tape;
use crate::model::{Answer, Choice, Event, Finish, Format, Part, PartBody, Piece, Start};
use crate::names::Names;
use crate::receipt::Receipt;
use crate::scan::Scan;
use crate::schema::{Ending, Schema, heal};

/// Longest answer that is checked, in bytes; a longer one passes unchecked.
const MOST: usize = 4 * 1024 * 1024;
/// The plug-in that asks for mending, in both spellings in use.
const HEALING: [&str; 2] = ["response-healing", "response_healing"];

/// What JSON mode without a schema means.
const ANY_OBJECT: &str = r#"{"type":"object"}"#;

/// What an answer's text has to be.
#[derive(Debug, Clone)]
pub struct Expectation {
    schema: Arc<Schema>,
    /// Any object will do, which the provider promised and we did not: it is mended where that is asked for, and passes
    /// where it cannot be.
    is_any: bool,
    heals: bool,
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It fits, or nothing was promised about an answer that ended like this.
    Fits,
    /// It was mended.
    Healed,
    Broken,
}

impl Expectation {
    /// What a request asks of its answer's text. None where it asks for nothing, or for a schema that nobody here
    /// understands: then the provider has the word.
    pub fn of(client: &Dialect, body: &[u8], scan: &Scan) -> Option<Expectation> {
        if !scan.has_format {
            return None;
        }
        let mut tape = Tape::default();
        // Only the format is looked at: an image beside it must not be copied for that.
        let value = tape.skim(body).ok()?;
        let heals = value.get("plugins").is_some_and(|plugins| {
            plugins.items().any(|plugin| {
                plugin.str("id").is_some_and(|id| HEALING.contains(&&*id))
                    && plugin.get("enabled").and_then(|enabled| enabled.bool()) != Some(false)
            })
        });
        let decode = |value| client.ingress?.decode(value, scan, &Carry::default()).ok();
        let mut whole = Tape::default();
        // What is read as it is written may not be what it has to be.
        let request = decode(value).or_else(|| decode(whole.read(body).ok()?))?;
        let (schema, is_any) = match request.params.format? {
            Format::Schema { schema, .. } => (Schema::parse(&schema).ok()?, false),
            Format::Json if heals => (Schema::parse(ANY_OBJECT).ok()?, true),
            Format::Json | Format::Text => return None,
        };
        Some(Expectation { schema: Arc::new(schema), is_any, heals })
    }

    fn fits(&self, text: &str) -> bool {
        text.len() > MOST || self.schema.check(text).map_or_else(|mismatch| mismatch.is_unchecked(), |()| true)
    }

    /// Checks every choice of an answer, and mends what can be mended.
    pub(crate) fn settle(&self, answer: &mut Answer<'_>) -> Settled {
        let mut settled = Settled::Fits;
        for choice in &mut answer.choices {
            match self.settle_choice(choice) {
                Settled::Fits => {}
                Settled::Healed => settled = Settled::Healed,
                Settled::Broken => return Settled::Broken,
            }
        }
        settled
    }

    fn settle_choice(&self, choice: &mut Choice<'_>) -> Settled {
        let Some(text) = promised(choice) else { return Settled::Fits };
        if self.fits(&text) {
            return Settled::Fits;
        }
        let ending = if choice.finish == Some(Finish::Stop) { Ending::Finished } else { Ending::Cut };
        let Some(healed) = self.heals.then(|| heal(&text, ending, Some(&self.schema))).flatten() else {
            return if self.is_any { Settled::Fits } else { Settled::Broken };
        };
        let mut healed = Some(healed);
        choice.parts.retain_mut(|part| match &part.body {
            PartBody::Text { .. } => match healed.take() {
                Some(text) => {
                    *part = Part::text(text);
                    true
                }
                None => false,
            },
            _ => true,
        });
        Settled::Healed
    }
}

/// The text about which something was promised: not of an answer that was cut, refused, or calls tools.
fn promised(choice: &Choice<'_>) -> Option<String> {
    let is_whole = matches!(choice.finish, Some(Finish::Stop | Finish::StopSequence));
    let is_other =
        choice.parts.iter().any(|part| matches!(part.body, PartBody::ToolCall { .. } | PartBody::Refusal(_)));
    if !is_whole || is_other {
        return None;
    }
    let texts = choice.parts.iter().filter_map(|part| match &part.body {
        PartBody::Text { text, .. } => Some(&**text),
        _ => None,
    });
    Some(texts.collect())
}

/// Reads a stream along and knows at its end whether it is what was promised.
#[derive(Debug)]
pub(crate) struct Watch {
    pass: CrossPass,
    seen: Arc<std::sync::Mutex<Seen>>,
    expected: Expectation,
}

impl Watch {
    pub fn new(provider: &dyn Egress, expected: Expectation) -> Watch {
        let seen: Arc<std::sync::Mutex<Seen>> = Arc::default();
        let collector = Collector { seen: seen.clone() };
        let pass = CrossPass::new(provider.stream(), Box::new(collector), Names::default())
            .aws_framed(provider.is_aws_framed());
        Watch { pass, seen, expected }
    }

    /// Takes what came from the provider. True when the answer has ended and is not what was promised.
    pub fn breaks(&mut self, chunk: &Bytes) -> bool {
        let had_ended = self.pass.tap().all_finished();
        let mut nobody = |_: &TokenUsage| Receipt { cost: Money::ZERO, is_byok: false, upstream_cost: None };
        self.pass.push(chunk.clone(), &mut nobody);
        if had_ended || !self.pass.tap().all_finished() {
            return false;
        }
        let Ok(seen) = self.seen.lock() else { return false };
        seen.choices
            .iter()
            .any(|choice| choice.is_promised() && !self.expected.is_any && !self.expected.fits(&choice.text))
    }
}

/// The text of each choice so far.
#[derive(Debug, Default)]
struct Seen {
    choices: Vec<SeenChoice>,
}

#[derive(Default)]
struct SeenChoice {
    index: u32,
    text: String,
    /// The part that is text now.
    open: Option<u32>,
    is_other: bool,
    finish: Option<Finish>,
}

impl SeenChoice {
    fn is_promised(&self) -> bool {
        !self.is_other && matches!(self.finish, Some(Finish::Stop | Finish::StopSequence)) && self.text.len() <= MOST
    }
}

impl std::fmt::Debug for SeenChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never its text.
        write!(f, "choice {} of {} bytes", self.index, self.text.len())
    }
}

impl Seen {
    fn choice(&mut self, index: u32) -> Option<&mut SeenChoice> {
        if index >= MOST_CHOICES {
            return None;
        }
        let place = match self.choices.iter().position(|choice| choice.index == index) {
            Some(place) => place,
            None => {
                self.choices.push(SeenChoice { index, ..SeenChoice::default() });
                self.choices.len() - 1
            }
        };
        self.choices.get_mut(place)
    }
}

/// Writes nothing and remembers texts.
#[derive(Debug)]
struct Collector {
    seen: Arc<std::sync::Mutex<Seen>>,
}

impl EncodeEvents for Collector {
    fn event(&mut self, event: &Event<'_>, _out: &mut Vec<u8>) {
        // Held by one pass on one thread; it cannot be poisoned, and waits for nobody.
        let Ok(mut seen) = self.seen.lock() else { return };
        match event {
            Event::Start { choice, part, start } => {
                let Some(choice) = seen.choice(*choice) else { return };
                choice.open = matches!(start, Start::Text).then_some(*part);
                choice.is_other |= matches!(start, Start::ToolCall { .. } | Start::Refusal);
            }
            Event::Piece { choice, part, piece: Piece::Text(text) } => {
                let Some(choice) = seen.choice(*choice).filter(|choice| choice.open == Some(*part)) else { return };
                if choice.text.len() <= MOST {
                    choice.text.push_str(text);
                }
            }
            Event::Finish { choice, finish, .. } => {
                if let Some(choice) = seen.choice(*choice) {
                    choice.finish = Some(*finish);
                }
            }
            _ => {}
        }
    }

    fn usage(&mut self, _usage: &TokenUsage, _receipt: &Receipt) {}

    fn finish(&mut self, _out: &mut Vec<u8>) {}
}
