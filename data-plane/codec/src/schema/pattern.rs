//! Patterns of schemas, which are written in JavaScript's language, matched in time that grows with the text alone.
//! What that cannot do (looking around, references back) is not done halfway: the pattern is left out, and that is told.

use std::collections::HashMap;

use regex::{Regex, RegexBuilder};

/// Memory that one pattern may take, tried from the smallest on, and how much its matching counts as work.
const SIZES: [(usize, u64); 4] = [(16 << 10, 1), (64 << 10, 4), (256 << 10, 16), (1 << 20, 64)];
/// What a pattern may remember of its states, at least.
const MEMORY: usize = 128 << 10;
/// Steps of work for each byte and weight, for the case that nothing can be remembered.
const STEPS: u64 = 8;
/// What all patterns of a schema may weigh together: 4 MiB.
const MAX_WEIGHT: u64 = 256;
/// Patterns that are built for one schema.
const MAX_PATTERNS: usize = 100;
/// Longer patterns are not even tried.
const MAX_LENGTH: usize = 4 << 10;
const MAX_NESTING: u32 = 50;

/// What `\s` is in JavaScript.
const SPACES: &str = r"\t-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}";

/// A pattern that can be matched.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    regex: Regex,
    weight: u64,
}

impl Pattern {
    /// Whether any part of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The work of matching `text`, at the worst.
    pub fn work(&self, text: &str) -> u64 {
        1 + (text.len() as u64).saturating_mul(self.weight * STEPS)
    }
}

/// The patterns of one schema, each built once.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    built: HashMap<String, Option<Pattern>>,
    weight: u64,
}

impl Shelf {
    /// The pattern that is written so; none when it cannot be matched here.
    pub fn take(&mut self, written: &str) -> Option<Pattern> {
        if let Some(built) = self.built.get(written) {
            return built.clone();
        }
        if self.built.len() >= MAX_PATTERNS {
            return None;
        }
        let (regex, weight) = build(written, MAX_WEIGHT.saturating_sub(self.weight));
        self.weight = self.weight.saturating_add(weight);
        let pattern = regex.map(|regex| Pattern { regex, weight });
        self.built.insert(written.to_owned(), pattern.clone());
        pattern
    }
}

/// What was made of a pattern, and what that weighs: one that turns out to be too large was as much work as one that
/// just fits.
fn build(written: &str, room: u64) -> (Option<Regex>, u64) {
    let translated = if written.len() > MAX_LENGTH { None } else { translate(written) };
    let Some(translated) = translated else { return (None, 0) };
    let mut spent = 0;
    for (size, weight) in SIZES.into_iter().filter(|(_, weight)| *weight <= room) {
        let mut builder = RegexBuilder::new(&translated);
        match builder.size_limit(size).dfa_size_limit(size.max(MEMORY)).nest_limit(MAX_NESTING).build() {
            Ok(regex) => return (Some(regex), weight),
            Err(regex::Error::CompiledTooBig(_)) => spent = weight,
            // It was read to some part of its length, which can be large classes.
            Err(_) => return (None, room.min(1 + (translated.len() / 256) as u64)),
        }
    }
    (None, spent)
}

/// JavaScript's language (with its `u` flag) in that of our engine; none for what the engine has not.
fn translate(written: &str) -> Option<String> {
    let mut out = String::with_capacity(written.len() + 16);
    let mut rest = written.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '\\' => escape(&mut rest, &mut out, false)?,
            '[' => class(&mut rest, &mut out)?,
            '(' => {
                out.push('(');
                if rest.next_if_eq(&'?').is_some() {
                    out.push('?');
                    group(&mut rest, &mut out)?;
                }
            }
            // `.` is anything but the end of a line, of which JavaScript knows four.
            '.' => out.push_str(r"[^\n\r\x{2028}\x{2029}]"),
            // `{,5}` is a count for us only.
            '{' if !rest.peek().is_some_and(char::is_ascii_digit) => return None,
            letter => out.push(letter),
        }
    }
    Some(out)
}

type Letters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// What follows `(?`: a group without a number, or with a name. No flags, and no looking around.
fn group(rest: &mut Letters<'_>, out: &mut String) -> Option<()> {
    match rest.next()? {
        ':' => out.push(':'),
        '<' => {
            let name = rest.next_if(|letter| letter.is_ascii_alphabetic() || *letter == '_')?;
            out.push('<');
            out.push(name);
        }
        _ => return None,
    }
    Some(())
}

/// What follows a backslash.
fn escape(rest: &mut Letters<'_>, out: &mut String, in_class: bool) -> Option<()> {
    let set = |out: &mut String, plain: &str, is_outside: bool| match (in_class, is_outside) {
        (true, false) => out.push_str(plain),
        (_, is_outside) => {
            out.push_str(if is_outside { "[^" } else { "[" });
            out.push_str(plain);
            out.push(']');
        }
    };
    match rest.next()? {
        'd' => set(out, "0-9", false),
        'D' => set(out, "0-9", true),
        'w' => set(out, "0-9A-Za-z_", false),
        'W' => set(out, "0-9A-Za-z_", true),
        's' => set(out, SPACES, false),
        'S' => set(out, SPACES, true),
        'b' if in_class => out.push_str(r"\x08"),
        'b' => out.push_str(r"(?-u:\b)"),
        'B' if !in_class => out.push_str(r"(?-u:\B)"),
        'f' => out.push_str(r"\f"),
        'n' => out.push_str(r"\n"),
        'r' => out.push_str(r"\r"),
        't' => out.push_str(r"\t"),
        'v' => out.push_str(r"\v"),
        '0' if !rest.peek().is_some_and(char::is_ascii_digit) => out.push_str(r"\x00"),
        'c' => {
            let letter = rest.next_if(char::is_ascii_alphabetic)?;
            point(u32::from(letter) % 32, out);
        }
        'x' => point(hex(rest, 2)?, out),
        'u' => point(unicode(rest)?, out),
        letter @ ('p' | 'P') => property(letter, rest, out)?,
        // Punctuation stands for itself. Digits would be references back, and other letters mean nothing.
        letter if letter.is_ascii_punctuation() => {
            out.push('\\');
            out.push(letter);
        }
        letter if !letter.is_ascii() => out.push(letter),
        _ => return None,
    }
    Some(())
}

/// `\p{…}`: general categories and scripts, under the names that both languages have.
fn property(letter: char, rest: &mut Letters<'_>, out: &mut String) -> Option<()> {
    rest.next_if_eq(&'{')?;
    out.push('\\');
    out.push(letter);
    out.push('{');
    loop {
        match rest.next()? {
            '}' => break,
            name if name.is_ascii_alphanumeric() || name == '_' || name == '=' => out.push(name),
            _ => return None,
        }
    }
    out.push('}');
    Some(())
}

fn point(code: u32, out: &mut String) {
    out.push_str(&format!(r"\x{{{code:x}}}"));
}

fn hex(rest: &mut Letters<'_>, len: usize) -> Option<u32> {
    (0..len).try_fold(0, |code, _| Some(code * 16 + rest.next()?.to_digit(16)?))
}

/// `\u{1f600}`, `\u00e4`, or two halves of a pair. Halves alone match no text that we read.
fn unicode(rest: &mut Letters<'_>) -> Option<u32> {
    if rest.next_if_eq(&'{').is_some() {
        let mut code = 0u32;
        loop {
            match rest.next()? {
                '}' => return char::from_u32(code).map(u32::from),
                digit => code = code.checked_mul(16)?.checked_add(digit.to_digit(16)?)?,
            }
        }
    }
    let first = hex(rest, 4)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first).map(u32::from);
    }
    rest.next_if_eq(&'\\')?;
    rest.next_if_eq(&'u')?;
    let second = hex(rest, 4).filter(|second| (0xdc00..0xe000).contains(second))?;
    Some(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
}

/// What follows `[`, up to its `]`. Our engine reads more signs as special there than JavaScript does.
fn class(rest: &mut Letters<'_>, out: &mut String) -> Option<()> {
    let is_outside = rest.next_if_eq(&'^').is_some();
    if rest.next_if_eq(&']').is_some() {
        // Nothing at all, or anything at all.
        out.push_str(if is_outside { r"[\x{0}-\x{10ffff}]" } else { r"[^\x{0}-\x{10ffff}]" });
        return Some(());
    }
    out.push_str(if is_outside { "[^" } else { "[" });
    loop {
        match rest.next()? {
            ']' => break,
            '\\' => escape(rest, out, true)?,
            letter @ ('[' | '&' | '~' | '^' | '#') => {
                out.push('\\');
                out.push(letter);
            }
            '-' if rest.peek() == Some(&'-') => return None,
            letter => out.push(letter),
        }
    }
    out.push(']');
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> Option<bool> {
        Shelf::default().take(pattern).map(|pattern| pattern.matches(text))
    }

    #[test]
    fn patterns_mean_what_they_mean_in_javascript() {
        for (pattern, text, found) in [
            ("^[a-z]+$", "abc", true),
            ("^[a-z]+$", "abc\n", false),
            ("b", "abc", true),
            (r"^\d+$", "12", true),
            (r"^\d+$", "१२", false),
            (r"^\w+$", "é", false),
            (r"^[\w.-]+@[\w-]+\.[a-z]{2,}$", "a.b-c@d-e.org", true),
            (r"^\S+$", "a\u{a0}b", false),
            (r"^\s$", "\u{feff}", true),
            (r"^[^\s]+$", "ab", true),
            (r"^[\S]+$", "ab", true),
            ("^.$", "\u{2028}", false),
            ("^.$", "😀", true),
            (r"^\u00e4\x41\cA$", "äA\u{1}", true),
            (r"^\ud83d\ude00$", "😀", true),
            (r"^\u{1f600}$", "😀", true),
            (r"^\p{L}+$", "äöß", true),
            (r"^\p{Lu}$", "a", false),
            (r"^\p{Script=Greek}+$", "αβ", true),
            (r"^a\/b$", "a/b", true),
            ("^[[&~^#]+$", "[&~^#", true),
            ("^[a&&b]+$", "&ab", true),
            ("^[]$", "", false),
            ("^[^]$", "\n", true),
            (r"^[\]]$", "]", true),
            (r"^[\b]$", "\u{8}", true),
            (r"\bfoo\b", "a foo b", true),
            ("^(?:a|b)+(?<x>c)$", "abc", true),
            ("^a{2,3}?$", "aa", true),
            ("^# x$", "# x", true),
            (r"^\0$", "\0", true),
        ] {
            assert_eq!(matches(pattern, text), Some(found), "{pattern} on {text:?}");
        }
    }

    #[test]
    fn what_cannot_be_matched_in_linear_time_or_bounded_memory_is_left_out() {
        let long = "a".repeat(5_000);
        for pattern in [
            "(?=a)",
            "(?!a)",
            "(?<=a)",
            "(?<!a)",
            r"(a)\1",
            r"\k<x>",
            "(?i)a",
            "(",
            "a{2",
            "[a",
            r"\",
            r"\p{",
            r"\e",
            r"\ud83d",
            r"(\w{1,1000}){1,1000}",
            r"\p{L}{1,5000}",
            &long,
            "[b-a]",
            "*",
            "a{,5}",
            "[+--]",
        ] {
            assert_eq!(matches(pattern, "a"), None, "{pattern}");
        }
    }

    #[test]
    fn all_patterns_together_stay_within_bounds() {
        let mut shelf = Shelf::default();
        let built = (0..1_000).filter(|at| shelf.take(&format!("^.{{1,20{at}}}$")).is_some()).count();
        assert!(built < MAX_PATTERNS && shelf.built.len() <= MAX_PATTERNS && shelf.weight <= MAX_WEIGHT);
        let mut shelf = Shelf::default();
        assert_eq!((0..1_000).filter(|at| shelf.take(&format!("a{at}")).is_some()).count(), MAX_PATTERNS);
        assert!(shelf.take("a5").is_some(), "one that is there costs nothing");
    }

    #[test]
    fn patterns_that_are_too_large_weigh_as_much_as_the_largest() {
        let mut shelf = Shelf::default();
        let large = |at: usize| format!(r"\p{{L}}{{1,{}}}", 5_000 + at);
        assert!((0..100).all(|at| shelf.take(&large(at)).is_none()));
        assert_eq!(shelf.weight, MAX_WEIGHT, "four were tried, and no more");
        assert!(shelf.take("a").is_none(), "there is no room left");
        assert_eq!(build(&large(0), 0).1, 0, "what has no room is not tried");
        assert!(build(r"\p{Nothing}", MAX_WEIGHT).1 > 0);
    }
}
