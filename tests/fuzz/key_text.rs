//! Key texts: what is accepted has the one shape, its checksum, and a public part that gives nothing away.

use domain::keys::{Digest, KeyKind, KeyText, generate};

use crate::driver::{Corpus, drive};

const WORDS: &[&str] =
    &["tg_live_", "tg_adm_", "tg_", "A", "0", "z", "ä", "\u{0}", " ", "\n", "Bearer ", "000000", "tg_live_tg_live_"];

fn target(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for (kind, other) in [(KeyKind::Live, KeyKind::Admin), (KeyKind::Admin, KeyKind::Live)] {
        let Ok(key) = KeyText::parse(kind, text) else { continue };
        assert!(text.starts_with(kind.prefix()) && text.len() == kind.prefix().len() + 48 && text.is_ascii());
        assert!(KeyText::parse(other, text).is_err(), "one text, two kinds");
        assert_eq!(key.public_part().len(), kind.prefix().len() + 10);
        assert_eq!(key.digest(), Digest::of(text));
        assert_eq!(Digest::parse_hex(&key.digest().to_string()), Some(key.digest()));
    }
    assert!(Digest::parse_hex(text).is_none_or(|digest| digest.to_string() == text.to_lowercase()));
}

#[test]
fn any_text_is_a_key_of_one_shape_or_none() {
    let mut byte = 0u8;
    let mut random = || {
        byte = byte.wrapping_mul(5).wrapping_add(17);
        byte
    };
    let mut inputs: Vec<Vec<u8>> =
        [KeyKind::Live, KeyKind::Admin, KeyKind::Live].map(|kind| generate(kind, &mut random).into_bytes()).to_vec();
    inputs.push(Digest::of("x").to_string().into_bytes());
    drive("key text", &Corpus { inputs, words: WORDS }, target);
}
