//! The grammar to the letter, and the searches at every place.

use super::find::stop;
use super::*;

fn is_valid(text: &[u8]) -> bool {
    let mut cursor = Cursor::strict(text, true);
    cursor.pass().is_ok() && cursor.end().is_ok()
}

#[test]
fn the_grammar_is_kept_to_the_letter() {
    let good: [&[u8]; 22] = [
        b"{}",
        b"[]",
        b"0",
        b"-0",
        b"-0.5e+10",
        b"1E9",
        b"null",
        b"true",
        b" [ 1 , 2 ] ",
        br#"{"a":[{},[],""]}"#,
        br#""\u00e4\n\/""#,
        br#""\ud800""#,
        b"123456789012345678901234567890",
        b"\t\r\n 1",
        br#"{"":{"":[]}}"#,
        b"\"\x7f\"",
        br#"[[[[1]]],2]"#,
        br#"{"a":1,"a":2}"#,
        b"1e999",
        b"false",
        br#"["a","b"]"#,
        br#""""#,
    ];
    for text in good {
        assert!(is_valid(text), "{}", String::from_utf8_lossy(text));
    }
    let bad: [&[u8]; 30] = [
        b"",
        b" ",
        b"{",
        b"[",
        b"[1,]",
        b"{,}",
        br#"{"a"}"#,
        br#"{"a":}"#,
        br#"{"a":1,}"#,
        b"01",
        b"-",
        b"1.",
        b".5",
        b"1e",
        b"+1",
        b"nul",
        b"truefalse",
        b"[1 2]",
        br#"{"a":1 "b":2}"#,
        b"\"\n\"",
        br#""\x""#,
        br#""\u12g4""#,
        br#""abc"#,
        b"[}",
        b"{]",
        b"1 1",
        b"NaN",
        b"'a'",
        b"[1]//",
        br#"{a:1}"#,
    ];
    for text in bad {
        assert!(!is_valid(text), "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn sixty_four_levels_are_read_and_no_more() {
    assert!(is_valid(&[vec![b'['; 64], vec![b']'; 64]].concat()));
    assert!(!is_valid(&[vec![b'['; 65], vec![b']'; 65]].concat()));
    assert!(!is_valid(&vec![b'['; 1_000_000]));
}

#[test]
fn a_stop_is_found_wherever_it_stands() {
    for at in 0..70 {
        for mark in [b'"', b'\\'] {
            let mut text = vec![b'x'; 80];
            text[at] = mark;
            text[75] = b'"';
            assert_eq!(stop(&text, 0), at);
        }
    }
    assert_eq!(stop(b"abc", 0), 3);
    // Bytes that differ from the marks by the lowest or highest bit only.
    assert_eq!(stop(b"\x23\x21\x5d\x5b\xa2\xdc\x02\x7c\"", 0), 8);
}

#[test]
fn a_survey_sees_the_ends_and_the_middle() {
    for at in 0..100 {
        let mut text = vec![b'x'; 100];
        text[at] = 0x1f;
        assert_eq!(survey(&text).0, 0x1f);
        text[at] = 0x80;
        assert_eq!(survey(&text), (b'x', 0xf8));
    }
}

#[test]
fn escapes_count_as_what_they_mean() {
    for text in ["", "plain", "a\nb\"", "ä€😀\u{1}", "\\"] {
        let json = serde_json::to_string(text).unwrap();
        let ascii: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        assert_eq!(meant_len(&json.as_bytes()[1..json.len() - 1], true), text.len());
        assert_eq!(meant_len(ascii.as_bytes(), true), text.len());
    }
}
