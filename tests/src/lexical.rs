//! JSON as text: where the members of an object stand, byte by byte. A reference of its own for the tests of byte
//! stability; shares nothing with the product's scanner and builds no values.

use std::ops::Range;

/// One member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The name, unescaped.
    pub name: String,
    /// Quotes included.
    pub key: Range<usize>,
    pub value: Range<usize>,
}

/// The members of the object that starts at or after `start`, and where its closing brace is.
pub fn members(text: &[u8], start: usize) -> (Vec<Member>, usize) {
    let mut at = skip_space(text, start);
    assert_eq!(text[at], b'{', "an object at byte {at}");
    at = skip_space(text, at + 1);
    let mut found = Vec::new();
    while text[at] != b'}' {
        let key = at..skip_string(text, at);
        at = skip_space(text, key.end);
        assert_eq!(text[at], b':', "a colon at byte {at}");
        at = skip_space(text, at + 1);
        let value = at..skip_value(text, at);
        let name = serde_json::from_slice(&text[key.clone()]).expect("a name that can be unescaped");
        at = skip_space(text, value.end);
        found.push(Member { name, key, value });
        if text[at] == b',' {
            at = skip_space(text, at + 1);
        }
    }
    (found, at)
}

/// The first byte at or after `at` that is not white space.
pub fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

fn skip_string(text: &[u8], at: usize) -> usize {
    assert_eq!(text[at], b'"', "a string at byte {at}");
    let mut at = at + 1;
    while text[at] != b'"' {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

fn skip_value(text: &[u8], at: usize) -> usize {
    match text[at] {
        b'"' => skip_string(text, at),
        b'{' | b'[' => skip_nested(text, at),
        _ => {
            at + text[at..]
                .iter()
                .take_while(|byte| !matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r'))
                .count()
        }
    }
}

fn skip_nested(text: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    loop {
        match text[at] {
            b'"' => {
                at = skip_string(text, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_whatever_the_spacing() {
        let text = br#" { "a" : [1,{"x":"}\""}] , "\u0062":1.00,"c":{} } "#;
        let (found, end) = members(text, 0);
        let shown: Vec<(&str, &str)> = found
            .iter()
            .map(|member| (member.name.as_str(), std::str::from_utf8(&text[member.value.clone()]).unwrap()))
            .collect();
        assert_eq!(shown, [("a", r#"[1,{"x":"}\""}]"#), ("b", "1.00"), ("c", "{}")]);
        assert_eq!(text[end], b'}');
    }
}
