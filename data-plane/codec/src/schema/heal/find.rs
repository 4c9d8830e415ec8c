//! Looks for the value in an answer: the whole of it, in code fences, or somewhere in prose. A value that begins like
//! JSON and cannot be mended ends the search, or a piece of it would be taken for the answer.

use memchr::memchr3;

use super::super::check::is_json;
use super::MAX_CANDIDATES;
use super::mend::{Mend, Mended, Unmended};

const FENCE: &str = "```";

/// A search through one answer.
pub(super) struct Find<'a> {
    pub text: &'a str,
    /// Whether brackets that are missing at the end may be added.
    pub closes: bool,
    /// Whether a string, number or word can be what is looked for.
    pub takes_scalars: bool,
}

/// What an answer holds besides other text, in its order.
#[derive(Debug, Default)]
pub(super) struct Inside {
    pub fenced: Vec<String>,
    pub loose: Vec<String>,
}

/// Something began like the value and cannot be mended.
struct GivenUp;

/// One more than can be told apart is as good as many.
fn keep(values: &mut Vec<String>, value: Option<String>) {
    if values.len() <= MAX_CANDIDATES {
        values.extend(value);
    }
}

impl<'a> Find<'a> {
    /// The text as one value and nothing else.
    pub fn whole(&self) -> Option<String> {
        let mended = self.mend().read(0).ok().filter(|mended| self.is_rest_empty(mended.end))?;
        self.taken(&mended, 0)
    }

    /// The values that code fences begin with, and the objects and lists that stand in prose.
    pub fn inside(&self) -> Option<Inside> {
        let mut mend = self.mend();
        let mut found = Inside::default();
        let mut from = 0;
        while let Some(sign) = self.rest(from).and_then(|rest| memchr3(b'{', b'[', b'`', rest.as_bytes())) {
            let sign = from + sign;
            let rest = self.rest(sign).unwrap_or_default();
            let next = if rest.starts_with(FENCE) {
                self.fenced(&mut mend, sign + FENCE.len(), &mut found)
            } else if rest.starts_with('`') {
                Ok(sign + 1)
            } else {
                self.loose(&mut mend, sign, &mut found)
            };
            from = match next {
                Ok(next) => next,
                // Behind a fence that was read, it does not matter any more.
                Err(GivenUp) if !found.fenced.is_empty() => break,
                Err(GivenUp) => return None,
            };
        }
        Some(found)
    }

    /// The value that the fence opened at `fence` begins with. Where to go on.
    fn fenced(&self, mend: &mut Mend<'a>, fence: usize, found: &mut Inside) -> Result<usize, GivenUp> {
        let start = self.behind_language(fence);
        match mend.read(start) {
            Ok(mended) if self.is_container(start) && self.ends_well(&mended) || self.fills_fence(&mended) => {
                keep(&mut found.fenced, self.taken(&mended, start));
                Ok(mended.end)
            }
            Err(Unmended::Broken) => Err(GivenUp),
            _ => Ok(start),
        }
    }

    fn loose(&self, mend: &mut Mend<'a>, start: usize, found: &mut Inside) -> Result<usize, GivenUp> {
        match mend.read(start) {
            Ok(mended) if self.ends_well(&mended) && !self.is_behind_a_key(start) => {
                keep(&mut found.loose, self.taken(&mended, start));
                Ok(self.behind_brackets(mended.end))
            }
            Ok(_) | Err(Unmended::Broken) => Err(GivenUp),
            Err(Unmended::Prose) => Ok(start + 1),
        }
    }

    fn mend(&self) -> Mend<'a> {
        Mend::new(self.text, self.closes)
    }

    fn rest(&self, from: usize) -> Option<&'a str> {
        self.text.get(from..)
    }

    /// The value as it stands when nothing is wrong with it, or mended.
    fn taken(&self, mended: &Mended, start: usize) -> Option<String> {
        let written = self.text.get(start..mended.end)?;
        let is_right = is_json(written);
        let json = if is_right { written } else { &mended.json };
        let is_wanted = self.takes_scalars || json.trim_start().starts_with(['{', '[']);
        (is_wanted && (is_right || is_json(json))).then(|| json.trim().to_owned())
    }

    fn is_rest_empty(&self, end: usize) -> bool {
        let rest = self.rest(end).unwrap_or_default();
        rest.chars().all(|letter| letter.is_whitespace() || letter == '}' || letter == ']')
    }

    fn is_container(&self, start: usize) -> bool {
        self.rest(start).unwrap_or_default().trim_start().starts_with(['{', '['])
    }

    /// Whether the fence ends with the value.
    fn fills_fence(&self, mended: &Mended) -> bool {
        let rest = self.rest(mended.end).unwrap_or_default().trim_start();
        rest.is_empty() || rest.starts_with(FENCE)
    }

    /// Where the inside of a fence begins: behind the name of its language.
    fn behind_language(&self, fence: usize) -> usize {
        let rest = self.rest(fence).unwrap_or_default();
        let name = rest.find(|letter: char| !(letter.is_ascii_alphanumeric() || "_+-".contains(letter)));
        fence + name.unwrap_or(rest.len())
    }

    /// Whether what follows is something other than the rest of a value: a bracket that was added too early leaves some
    /// behind, and so does a list whose own brackets are missing.
    fn ends_well(&self, mended: &Mended) -> bool {
        let rest = self.rest(self.behind_brackets(mended.end)).unwrap_or_default().trim_start();
        match rest.strip_prefix(',') {
            Some(more) => !mended.is_guessed && !more.trim_start().starts_with(['"', '\'', '{', '[']),
            None => !(mended.is_guessed && rest.starts_with('"')),
        }
    }

    /// Whether a value is that of a key outside: then it is a piece of something.
    fn is_behind_a_key(&self, start: usize) -> bool {
        let before = self.text.get(..start).unwrap_or_default().trim_end();
        before.strip_suffix(':').is_some_and(|before| before.trim_end().ends_with(['"', '\'']))
    }

    /// Closing brackets that close nothing are passed over.
    fn behind_brackets(&self, end: usize) -> usize {
        let rest = self.rest(end).unwrap_or_default();
        let left = rest.trim_start_matches(|letter: char| letter.is_whitespace() || letter == '}' || letter == ']');
        end + rest.len() - left.len()
    }
}
