//! The grammar to the letter, and the searches at every place.

use super::find::{short, stops};
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
fn a_stop_is_marked_wherever_it_stands() {
    // Bytes that differ from the marks by one bit are none.
    let near: Vec<u8> = (0..8).flat_map(|bit| [b'"' ^ (1 << bit), b'\\' ^ (1 << bit)]).collect();
    for len in [1, 15, 16, 17, 63, 64, 65, 100] {
        let plain: Vec<u8> = near.iter().copied().cycle().take(len).collect();
        assert_eq!((stops(&plain, 0), short(&plain, 0)), (Some(0), None));
        assert_eq!((stops(&plain, len), stops(&plain, len + 1)), (None, None));
        for at in 0..len.min(64) {
            for mark in [b'"', b'\\'] {
                let mut text = plain.clone();
                text[at] = mark;
                assert_eq!(stops(&text, 0), Some(1 << at));
                assert_eq!(stops(&text, at).map(|stops| stops & 1), Some(1));
                assert_eq!(short(&text, 0), (mark == b'"' && at < 16 && len >= 16).then_some(at));
            }
        }
    }
    assert_eq!(stops(&[b'"'; 64], 0), Some(u64::MAX));
    assert_eq!(short(&[b'\\', b'"'].repeat(16), 0), None, "what follows a backslash needs a closer look");
}

#[test]
fn strings_end_where_they_end_however_long_they_are() {
    for len in 0..150 {
        for at in 0..=len {
            for (escape, is_known) in
                [(r#"\""#, true), (r"\\", true), (r"\u00e4", true), (r"\u00e", false), (r"\x", false)]
            {
                let text = format!(r#""{}{escape}{}""#, "x".repeat(at), "y".repeat(len - at));
                assert_eq!(is_valid(text.as_bytes()), is_known, "{text}");
                assert!(!is_valid(&text.as_bytes()[..text.len() - 1]), "{text} without its end");
            }
        }
    }
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
