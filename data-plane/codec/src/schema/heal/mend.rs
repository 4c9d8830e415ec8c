//! Reads one value that is nearly JSON and writes it as JSON. Strict about values, lenient about what stands between
//! them. Work over all readings of one text is bounded, so that a text that fails everywhere does not cost its square.

use crate::json::Cursor;

/// As deep as JSON is read elsewhere.
const MAX_DEPTH: u32 = 64;
/// How often the text may be gone over, all readings together.
const MAX_PASSES: usize = 6;

/// A value that could be read.
#[derive(Debug)]
pub(super) struct Mended {
    /// Behind the value in the text.
    pub end: usize,
    pub json: String,
    /// A bracket was added where another one stood, or the text ended.
    pub is_guessed: bool,
}

/// Why a value could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unmended {
    /// It does not look like JSON from its beginning on.
    Prose,
    /// It began like JSON.
    Broken,
}

/// Reads values of one text.
pub(super) struct Mend<'a> {
    text: &'a str,
    closes: bool,
    at: usize,
    out: String,
    is_guessed: bool,
    /// Something was read that only JSON has: a key in quotes or with a colon, or an item.
    is_begun: bool,
    /// Bytes that may still be read.
    left: usize,
}

type Done = Result<(), ()>;

impl<'a> Mend<'a> {
    pub fn new(text: &'a str, closes: bool) -> Mend<'a> {
        let left = text.len().saturating_mul(MAX_PASSES) + 1024;
        Mend { text, closes, at: 0, out: String::new(), is_guessed: false, is_begun: false, left }
    }

    /// Reads the value at `start`.
    pub fn read(&mut self, start: usize) -> Result<Mended, Unmended> {
        (self.at, self.is_guessed, self.is_begun) = (start, false, false);
        self.out.clear();
        let result = self.value(0);
        // Every byte that was looked at counts, and every attempt.
        let spent = self.left.checked_sub(self.at.saturating_sub(start) + 1);
        self.left = spent.unwrap_or(0);
        match result {
            Ok(()) if spent.is_some() => {
                Ok(Mended { end: self.at, json: std::mem::take(&mut self.out), is_guessed: self.is_guessed })
            }
            Err(()) if spent.is_some() && !self.is_begun => Err(Unmended::Prose),
            _ => Err(Unmended::Broken),
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn next(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn step(&mut self, letter: char) {
        self.at += letter.len_utf8();
    }

    fn takes(&mut self, letter: char) -> bool {
        let is_next = self.next() == Some(letter);
        if is_next {
            self.step(letter);
        }
        is_next
    }

    /// Passes over spaces and comments.
    fn space(&mut self) -> Done {
        loop {
            let rest = self.rest();
            let trimmed =
                rest.trim_start_matches(|it: char| it.is_whitespace() || it == '\u{feff}' || it == '\u{200b}');
            self.at += rest.len() - trimmed.len();
            let comment = if trimmed.starts_with("//") || trimmed.starts_with('#') {
                trimmed.find(['\n', '\r']).unwrap_or(trimmed.len())
            } else if let Some(inner) = trimmed.strip_prefix("/*") {
                // One without an end was looked for in all of the text, and that has to count.
                inner.find("*/").map_or(trimmed.len(), |end| end + 4)
            } else {
                return Ok(());
            };
            self.at += comment;
        }
    }

    /// Whether the text, or the code fence around the value, ends here.
    fn is_end(&self) -> bool {
        let rest = self.rest();
        rest.is_empty() || rest.starts_with("```")
    }

    fn value(&mut self, depth: u32) -> Done {
        self.space()?;
        match self.next().ok_or(())? {
            '{' => self.object(depth),
            '[' => self.list(depth),
            '"' => self.string('"'),
            '\'' => self.string('\''),
            '“' => self.string('”'),
            '-' | '0'..='9' => self.number(),
            _ => self.word(),
        }
    }

    fn number(&mut self) -> Done {
        let number = Cursor::resume(self.text.as_bytes(), self.at, 0).number().map_err(drop)?;
        self.out.push_str(self.text.get(number.start..number.end).unwrap_or_default());
        self.at = number.end;
        // At the end of the text the number may go on in what was cut off, unless nothing was.
        let is_whole = if self.rest().is_empty() { self.closes } else { self.is_delimited() };
        if is_whole { Ok(()) } else { Err(()) }
    }

    fn word(&mut self) -> Done {
        let rest = self.rest();
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
        let json = match rest.get(..end).unwrap_or_default() {
            "true" | "True" => "true",
            "false" | "False" => "false",
            "null" | "None" => "null",
            _ => return Err(()),
        };
        self.out.push_str(json);
        self.at += end;
        if self.rest().is_empty() || self.is_delimited() { Ok(()) } else { Err(()) }
    }

    /// Whether what comes next can stand behind a value that has no end of its own.
    fn is_delimited(&self) -> bool {
        self.next().is_some_and(|next| next.is_whitespace() || matches!(next, ',' | ']' | '}' | '#' | '/' | '`'))
    }

    fn string(&mut self, close: char) -> Done {
        let open = self.next().ok_or(())?;
        self.step(open);
        self.out.push('"');
        let mut before = open;
        while let Some(letter) = self.next() {
            self.step(letter);
            match letter {
                '\\' => self.escape(),
                letter if letter == close && !self.is_apostrophe(close, before) => {
                    self.out.push('"');
                    return Ok(());
                }
                '"' => self.out.push_str("\\\""),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                control @ '\0'..'\u{20}' => self.out.push_str(&format!("\\u{:04x}", u32::from(control))),
                letter => self.out.push(letter),
            }
            before = letter;
        }
        // Where the end should have been, nobody knows; that it was begun as a value is clear.
        self.is_begun = true;
        Err(())
    }

    /// Whether a single quote between two letters belongs to a word. As an end of the string it could not be followed by
    /// a letter.
    fn is_apostrophe(&self, close: char, before: char) -> bool {
        close == '\'' && before.is_alphabetic() && self.next().is_some_and(char::is_alphabetic)
    }

    /// What follows a backslash. One that JSON does not know stands for itself.
    fn escape(&mut self) {
        match self.next() {
            Some(letter @ ('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't')) => {
                self.step(letter);
                self.out.push('\\');
                self.out.push(letter);
            }
            Some('\'') => {
                self.step('\'');
                self.out.push('\'');
            }
            Some('u') if self.is_unicode() => self.out.push('\\'),
            _ => self.out.push_str("\\\\"),
        }
    }

    fn is_unicode(&self) -> bool {
        self.rest().as_bytes().get(1..5).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    }

    fn object(&mut self, depth: u32) -> Done {
        self.open('{', depth)?;
        let mut count = 0;
        loop {
            self.space()?;
            match self.next() {
                Some('}') => return self.close('}'),
                Some(_) if !self.is_end() => {}
                _ => return Err(()),
            }
            if count > 0 {
                self.out.push(',');
            }
            count += 1;
            self.key()?;
            self.space()?;
            if !self.takes(':') {
                return Err(());
            }
            self.is_begun = true;
            self.out.push(':');
            self.value(depth + 1)?;
            self.space()?;
            match self.next() {
                Some(',') => self.comma()?,
                Some('}') => return self.close('}'),
                // A list that this object stands in ends: the brace was forgotten.
                Some(']') if depth > 0 => return self.guess('}'),
                // Behind a value only a key can begin with a quote.
                Some('"') => {}
                _ if self.is_end() && self.closes => return self.guess('}'),
                _ => return Err(()),
            }
        }
    }

    fn list(&mut self, depth: u32) -> Done {
        self.open('[', depth)?;
        let mut count = 0;
        loop {
            self.space()?;
            match self.next() {
                Some(']') => return self.close(']'),
                Some(_) if !self.is_end() => {}
                _ => return Err(()),
            }
            if count > 0 {
                self.out.push(',');
            }
            count += 1;
            let first = self.next();
            self.value(depth + 1)?;
            self.is_begun = true;
            self.space()?;
            match self.next() {
                Some(',') => self.comma()?,
                Some(']') => return self.close(']'),
                Some('}') if depth > 0 => return self.guess(']'),
                // Two objects side by side: nothing but a comma can be missing.
                Some('{') if first == Some('{') => {}
                _ if self.is_end() && self.closes => return self.guess(']'),
                _ => return Err(()),
            }
        }
    }

    fn open(&mut self, bracket: char, depth: u32) -> Done {
        if depth >= MAX_DEPTH {
            self.is_begun = true;
            return Err(());
        }
        self.step(bracket);
        self.out.push(bracket);
        Ok(())
    }

    fn close(&mut self, bracket: char) -> Done {
        self.step(bracket);
        self.out.push(bracket);
        Ok(())
    }

    fn guess(&mut self, bracket: char) -> Done {
        self.is_guessed = true;
        self.out.push(bracket);
        Ok(())
    }

    /// One comma. Another behind it would mean a value that is missing; so would the end.
    fn comma(&mut self) -> Done {
        self.step(',');
        self.space()?;
        if self.next() == Some(',') || self.is_end() { Err(()) } else { Ok(()) }
    }

    fn key(&mut self) -> Done {
        match self.next().ok_or(())? {
            '"' => self.string('"')?,
            '\'' => self.string('\'')?,
            '“' => self.string('”')?,
            _ => return self.bare_key(),
        }
        self.is_begun = true;
        Ok(())
    }

    /// A name as JavaScript allows it, or a number as Python does.
    fn bare_key(&mut self) -> Done {
        let rest = self.rest();
        let end = rest.find(|it: char| !(it.is_alphanumeric() || it == '_' || it == '$' || it == '-'));
        let name = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        if name.is_empty() || name.starts_with('-') {
            return Err(());
        }
        self.out.push('"');
        self.out.push_str(name);
        self.out.push('"');
        self.at += name.len();
        Ok(())
    }
}
