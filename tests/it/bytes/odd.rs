//! Request bodies as nobody writes them by hand: every legal spelling of JSON, from a seed.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Makes bodies.
pub struct Maker {
    random: StdRng,
    made: usize,
}

const OWN: [&str; 5] = ["route", "tags", "trace", "providerOptions", "debug"];
const NUMBERS: [&str; 14] = [
    "0",
    "-0",
    "0.0",
    "1.000",
    "1e400",
    "-1E-400",
    "9007199254740993",
    "123456789012345678901234567890",
    "1e+2",
    "2.5E0",
    "0.1",
    "-7",
    "1E5",
    "3",
];

impl Maker {
    pub fn new(seed: u64) -> Maker {
        Maker { random: StdRng::seed_from_u64(seed), made: 0 }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random.random_range(0..limit)
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    /// One request for `lab/plain`, valid and odd. Every two hundredth is a megabyte.
    pub fn body(&mut self) -> Vec<u8> {
        self.made += 1;
        let mut fields = vec![self.model(), self.messages()];
        if self.one_in(2) {
            let value = if self.one_in(3) { "false" } else { "true" };
            fields.push(("stream".to_owned(), value.to_owned()));
        }
        if self.one_in(4) {
            let options = self.stream_options();
            fields.push(("stream_options".to_owned(), options));
        }
        if self.one_in(8) {
            let include = if self.one_in(2) { "true" } else { "false" };
            let usage = if self.one_in(2) {
                format!("{{\"include\":{include}}}")
            } else {
                format!("{{ \"x\":1 , \"include\" :{include}}}")
            };
            fields.push(("usage".to_owned(), usage));
        }
        for at in 0..self.below(6) {
            let value = self.value(4);
            fields.push((format!("{}{at}", self.word()), value));
        }
        for name in OWN {
            if self.one_in(8) {
                let value = self.value(2);
                fields.push((name.to_owned(), value));
            }
        }
        self.shuffle(&mut fields);
        let object = self.object(&fields);
        format!("{}{object}{}", self.space(), self.space()).into_bytes()
    }

    fn model(&mut self) -> (String, String) {
        let value = match self.below(4) {
            0 => r#""lab\/plain""#,
            1 => r#""l\u0061b/plain""#,
            2 => r#""plain""#,
            _ => r#""lab/plain""#,
        };
        ("model".to_owned(), value.to_owned())
    }

    fn messages(&mut self) -> (String, String) {
        let mut turns = Vec::new();
        for _ in 0..1 + self.below(4) {
            let text = self.string(40);
            let more = self.value(2);
            turns.push(format!(
                "{{{}\"role\":\"user\",{}\"content\":{text},\"x\":{more}}}",
                self.space(),
                self.space()
            ));
        }
        if self.made.is_multiple_of(200) {
            turns.push(format!("{{\"role\":\"user\",\"content\":\"{}\"}}", "a\\u00e9b ".repeat(125_000)));
        }
        ("messages".to_owned(), format!("[{}{}{}]", self.space(), turns.join(","), self.space()))
    }

    fn stream_options(&mut self) -> String {
        match self.below(5) {
            0 => "{}".to_owned(),
            1 => "{ \"include_usage\" : false }".to_owned(),
            2 => "{\"include_usage\":true,\"z\":1.00}".to_owned(),
            3 => format!("{{{}\"z\":{}}}", self.space(), self.string(10)),
            _ => "null".to_owned(),
        }
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            let other = self.below(at + 1);
            items.swap(at, other);
        }
    }

    fn object(&mut self, fields: &[(String, String)]) -> String {
        let mut text = "{".to_owned();
        for (at, (name, value)) in fields.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let name = self.spelled(name);
            text.push_str(&format!(
                "{comma}{}{name}{}:{}{value}{}",
                self.space(),
                self.space(),
                self.space(),
                self.space()
            ));
        }
        text.push('}');
        text
    }

    /// A name in quotes, now and then with letters escaped.
    fn spelled(&mut self, name: &str) -> String {
        let mut text = "\"".to_owned();
        for letter in name.chars() {
            if self.one_in(40) {
                text.push_str(&format!("\\u{:04X}", u32::from(letter)));
            } else {
                text.push(letter);
            }
        }
        text.push('"');
        text
    }

    fn value(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 4 } else { 7 }) {
            0 => NUMBERS[self.below(NUMBERS.len())].to_owned(),
            1 => self.string(12),
            2 => "null".to_owned(),
            3 => if self.one_in(2) { "true" } else { "false" }.to_owned(),
            4 => {
                let items: Vec<String> = (0..self.below(4)).map(|_| self.value(depth - 1)).collect();
                format!("[{}{}{}]", self.space(), items.join(" ,\t"), self.space())
            }
            5 => {
                // Names inside may be the ones that are acted on at the top, and may come twice.
                let names = ["model", "stream", "messages", "x", "x", "route"];
                let fields: Vec<(String, String)> = (0..self.below(4))
                    .map(|_| (names[self.below(names.len())].to_owned(), self.value(depth - 1)))
                    .collect();
                self.object(&fields)
            }
            _ => {
                let deep = self.below(20);
                format!("{}{}{}", "[".repeat(deep), self.value(0), "]".repeat(deep))
            }
        }
    }

    fn word(&mut self) -> String {
        let words = ["temperature", "täg", "x_y", "🙂", "a b", "logit_bias", "", "n0"];
        format!("{}_{}", words[self.below(words.len())], self.made)
    }

    fn string(&mut self, most: usize) -> String {
        let pieces = [
            "a",
            "\\n",
            "\\\"",
            "\\\\",
            "\\u0041",
            "\\uD83D\\uDE42",
            "🙂",
            "é",
            "\\/",
            "{",
            "}",
            "data: ",
            "[DONE]",
            " ",
            "\\u0000",
            "\u{2028}",
            "\"model\"",
            ",",
        ];
        let mut text = "\"".to_owned();
        for _ in 0..self.below(most) {
            let piece = pieces[self.below(pieces.len())];
            text.push_str(&piece.replace('"', if piece.starts_with('\\') { "\"" } else { "\\\"" }));
        }
        text.push('"');
        text
    }

    fn space(&mut self) -> String {
        match self.below(12) {
            0 => " ".to_owned(),
            1 => "\n\t".to_owned(),
            2 => "\r\n  ".to_owned(),
            _ => String::new(),
        }
    }
}
