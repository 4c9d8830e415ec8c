//! JSON that is right but odd, and JSON that is nearly right, from a seed: the same seed gives the same text.

/// A small generator of numbers; good enough to be odd with.
pub struct Odd(u64);

impl Odd {
    pub fn new(seed: u64) -> Self {
        Odd(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    pub fn space(&mut self, out: &mut String) {
        while self.one_in(3) {
            out.push_str(self.pick(&[" ", "\n", "\t", "\r\n", "  "]));
        }
    }

    /// A string with its quotes.
    pub fn string(&mut self, out: &mut String) {
        out.push('"');
        for _ in 0..self.below(40) {
            match self.below(12) {
                0 => out.push_str(self.pick(&["\\n", "\\\"", "\\\\", "\\/", "\\b", "\\f", "\\r", "\\t"])),
                1 => out.push_str(self.pick(&["\\u0041", "\\u00e4", "\\ud83d\\ude00", "\\u0000", "\\uFFFF"])),
                2 => out.push_str(self.pick(&["ä", "😀", "\u{7f}", "\u{80}", "\u{2028}", "ſ"])),
                3 if self.one_in(8) => out.push_str(self.pick(&["\\ud83d", "\\udc00"])),
                4 => out.push_str(self.pick(&["model", "\\\"model\\\":\\\"x\\\"", "{", "}", "]", ",", ":"])),
                _ => out.push(char::from(b'a' + self.below(26) as u8)),
            }
        }
        if self.one_in(12) {
            out.push_str(&"long and plain ".repeat(self.below(40)));
        }
        out.push('"');
    }

    pub fn number(&mut self, out: &mut String) {
        out.push_str(self.pick(&[
            "0",
            "-0",
            "1",
            "42",
            "-17",
            "3.25",
            "1e5",
            "1E+5",
            "0.1e-7",
            "1e999",
            "123456789012345678901234567890",
            "18446744073709551616",
            "5",
            "100",
            "128",
        ]));
    }

    /// Any value, at most `depth` levels deep.
    pub fn value(&mut self, out: &mut String, depth: usize) {
        match self.below(if depth == 0 { 6 } else { 9 }) {
            0 | 1 => self.string(out),
            2 => self.number(out),
            3 => out.push_str("true"),
            4 => out.push_str("false"),
            5 => out.push_str("null"),
            6 | 7 => self.list(out, '{', '}', depth),
            _ => self.list(out, '[', ']', depth),
        }
    }

    fn list(&mut self, out: &mut String, open: char, close: char, depth: usize) {
        out.push(open);
        self.space(out);
        for at in 0..self.below(4) {
            if at > 0 {
                out.push(',');
            }
            self.space(out);
            if open == '{' {
                let name = self.pick(&["a", "model", "type", "include", "include_usage", "text", "data", "image_url"]);
                self.name(name, out);
                self.space(out);
                out.push(':');
                self.space(out);
            }
            self.value(out, depth - 1);
            self.space(out);
        }
        out.push(close);
    }

    /// A name with its quotes, now and then spelled with escapes.
    pub fn name(&mut self, name: &str, out: &mut String) {
        out.push('"');
        for letter in name.chars() {
            if self.one_in(30) {
                out.push_str(&format!("\\u{:04x}", letter as u32));
            } else {
                out.push(letter);
            }
        }
        out.push('"');
    }

    /// A chat request: mostly right, sometimes with wrong types, doubled and misspelled names.
    pub fn request(&mut self) -> String {
        let mut fields: Vec<String> = Vec::new();
        let mut add = |odd: &mut Odd, name: &str, value: &dyn Fn(&mut Odd, &mut String)| {
            let mut text = String::new();
            odd.name(name, &mut text);
            odd.space(&mut text);
            text.push(':');
            odd.space(&mut text);
            value(odd, &mut text);
            fields.push(text);
        };
        if !self.one_in(40) {
            add(self, "model", &|odd, out| {
                if odd.one_in(40) {
                    odd.value(out, 1)
                } else {
                    out.push_str(odd.pick(&["\"gpt\"", "\"a\\/b\"", "\"m\\u00e4\""]))
                }
            });
        }
        if !self.one_in(40) {
            add(self, "messages", &|odd, out| {
                if odd.one_in(30) {
                    return odd.value(out, 1);
                }
                out.push('[');
                for at in 0..=odd.below(3) {
                    out.push_str(if at > 0 { " , " } else { "" });
                    odd.value(out, 4);
                }
                out.push(']');
            });
        }
        for (name, usual) in [
            ("stream", &["true", "false", "null"][..]),
            (
                "stream_options",
                &[
                    "{}",
                    "{ }",
                    "null",
                    "{\"include_usage\":true}",
                    "{\"include_usage\" : false,\"x\":1}",
                    "{\"a\":[1]}",
                ],
            ),
            ("max_tokens", &["5", "null", "0", "100"]),
            ("max_completion_tokens", &["7", "null"]),
            ("n", &["1", "null", "3", "128"]),
            (
                "usage",
                &["{\"include\":true}", "{\"include\":false,\"x\":{}}", "{\"x\":1 ,\"include\":true }", "{}", "1"],
            ),
            ("models", &["[\"a/b\"]", "[]", "null", "[\"a\" , \"\\u0062\"]"]),
            ("provider", &["{}", "{\"only\":[\"x\"]}", "null"]),
            ("route", &["\"fallback\""]),
            ("tags", &["[{}]"]),
            ("debug", &["{\"model\":1}"]),
            ("providerOptions", &["1e9"]),
        ] {
            if self.one_in(4) {
                add(self, name, &|odd, out| {
                    if odd.one_in(30) { odd.value(out, 2) } else { out.push_str(odd.pick(usual)) }
                });
            }
        }
        for _ in 0..self.below(4) {
            let name = match self.one_in(60) {
                true => self.pick(&["model", "MODEL", "Stream", "tags", "me\u{17f}\u{17f}ages", "messages"]),
                false => self.pick(&["temperature", "x", "", "modell", "tools", "messages2", "ſ"]),
            };
            add(self, name, &|odd, out| odd.value(out, 5));
        }
        for at in (1..fields.len()).rev() {
            fields.swap(at, self.below(at + 1));
        }
        let mut out = String::new();
        self.space(&mut out);
        out.push('{');
        self.space(&mut out);
        for (at, field) in fields.iter().enumerate() {
            if at > 0 {
                out.push(',');
                self.space(&mut out);
            }
            out.push_str(field);
            self.space(&mut out);
        }
        out.push('}');
        self.space(&mut out);
        out
    }

    /// Breaks a text in one place, probably.
    pub fn spoil(&mut self, text: &mut Vec<u8>) {
        let at = self.below(text.len().max(1));
        match self.below(5) {
            0 => text.truncate(at),
            1 => drop(text.remove(at)),
            2 => text.insert(at, b"{}[]\",:\\0e-. \x01\xff"[self.below(15)]),
            3 => text[at] = (self.next() & 0xff) as u8,
            _ => text.extend_from_slice([&b" x"[..], b"}", b",", b"\n"][self.below(4)]),
        }
    }
}
