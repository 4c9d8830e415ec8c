//! Nothing that comes in makes any part of the dialect panic.

use proptest::prelude::*;

use super::*;
use crate::cross::CrossPass;
use crate::dialect::Pass;

/// Everything a request goes through.
fn ask(body: &[u8]) {
    let Ok(scan) = DIALECT.scan(body) else { return };
    let scan = scan.at(Some("m".to_owned()), true);
    let carry = carry();
    let bytes = Bytes::copy_from_slice(body);
    for (model, quirks) in [("gemini-2.5-flash", &[][..]), ("gemini-3-flash", &["vertex", "schema-subset"])] {
        let edits = RequestEdits { token_limit: Some(9), ..wanted(model, quirks, &carry) };
        let patched = DIALECT.same.request(&bytes, &scan, &edits).unwrap().body.into_bytes();
        assert!(serde_json::from_slice::<Json>(&patched).is_ok() || serde_json::from_slice::<Json>(body).is_err());
        let mut tape = Tape::default();
        let Ok(value) = tape.read_strictly(&bytes) else { continue };
        let Ok(request) = super::super::ingress::decode(value, &scan, &carry) else { continue };
        let mut out = Writer::new(&bytes);
        if super::super::egress::encode(&request, &edits, &mut out, &mut Losses::default()).is_ok() {
            let body = out.finish().into_bytes();
            assert!(
                serde_json::from_slice::<Json>(&body).is_ok() || has_lone_halves(&bytes),
                "what is written is JSON"
            );
        }
    }
}

/// Halves of surrogate pairs are grammatical and pass, but `serde_json` does not take them.
fn has_lone_halves(body: &[u8]) -> bool {
    serde_json::from_slice::<Json>(body).is_err()
}

/// Everything an answer goes through.
fn answer(body: &[u8]) {
    let bytes = Bytes::copy_from_slice(body);
    let _ = DIALECT.same.whole(bytes.clone(), &edits(THOUGHTFUL), &mut no_price);
    let _ = DIALECT.decode_error(body);
    let mut tape = Tape::default();
    if let Ok(value) = tape.read(body)
        && let Ok(answer) = super::super::egress::decode(value, "")
    {
        let mut out = Writer::new(&bytes);
        super::super::ingress::encode(&answer, &edits(THOUGHTFUL), &mut out, &mut Losses::default());
        let written = out.finish().into_bytes();
        assert!(serde_json::from_slice::<Json>(&written).is_ok() || has_lone_halves(body));
    }
}

fn stream(body: &[u8], size: usize) {
    for framing in [Framing::Events, Framing::Array] {
        let edits = AnswerEdits { framing, ..edits(THOUGHTFUL) };
        let encoder = DIALECT.ingress.unwrap().stream(&edits);
        let cross: Box<dyn Pass> =
            Box::new(CrossPass::new(DIALECT.egress.unwrap().stream(), encoder, Names::default()));
        for mut pass in [DIALECT.same.stream(&edits), cross] {
            for piece in body.chunks(size.max(1)) {
                pass.push(Bytes::copy_from_slice(piece), &mut no_price);
            }
            pass.end(&mut no_price);
        }
    }
}

/// A recording with some of its bytes changed, cut or doubled.
fn mutated(body: &[u8], changes: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut out = body.to_vec();
    for (place, kind, byte) in changes {
        if out.is_empty() {
            break;
        }
        let at = place % out.len();
        match kind % 4 {
            0 => out[at] = *byte,
            1 => out.truncate(at),
            2 => out.insert(at, *byte),
            _ => {
                let copy: Vec<u8> = out[at..].iter().take(usize::from(*byte)).copied().collect();
                out.splice(at..at, copy);
            }
        }
    }
    out
}

/// A recording with some of its values swapped for others: stays JSON.
fn swapped(text: &str, changes: &[(usize, usize)]) -> String {
    const VALUES: [&str; 8] = ["null", "7", "-1.5e300", "\"x\"", "[]", "{}", "true", "[{\"parts\":[{}]}]"];
    let mut body: Json = serde_json::from_str(text).unwrap();
    for (place, value) in changes {
        let mut spots: Vec<String> = Vec::new();
        paths(&body, String::new(), &mut spots);
        let spot = &spots[place % spots.len()];
        if let Some(found) = body.pointer_mut(spot) {
            *found = serde_json::from_str(VALUES[value % VALUES.len()]).unwrap();
        }
    }
    body.to_string()
}

fn paths(value: &Json, at: String, spots: &mut Vec<String>) {
    match value {
        Json::Object(fields) => {
            for (name, inner) in fields {
                paths(inner, format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), spots);
            }
        }
        Json::Array(items) => {
            for (place, inner) in items.iter().enumerate() {
                paths(inner, format!("{at}/{place}"), spots);
            }
        }
        _ => {}
    }
    spots.push(at);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_recordings_make_nothing_panic(
        case in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<usize>(), any::<u8>(), any::<u8>()), 1..6),
        swaps in prop::collection::vec((any::<usize>(), any::<usize>()), 1..6),
        size in 1usize..200,
    ) {
        let cases = recorded();
        if cases.is_empty() {
            return Ok(());
        }
        let case = case.get(cases);
        if let Some(request) = &case.request {
            ask(&mutated(request, &changes));
            ask(swapped(std::str::from_utf8(request).unwrap(), &swaps).as_bytes());
        }
        if case.is_stream {
            stream(&mutated(&case.response, &changes), size);
            let swapped: Vec<String> = events(&case.response).iter().map(|event| format!("data: {}\r\n\r\n", swapped(&event.to_string(), &swaps))).collect();
            stream(swapped.concat().as_bytes(), size);
        } else {
            answer(&mutated(&case.response, &changes));
            answer(swapped(std::str::from_utf8(&case.response).unwrap(), &swaps).as_bytes());
            stream(&[b"data: ", &*case.response, b"\n\n"].concat(), size);
        }
    }

    #[test]
    fn arbitrary_bytes_make_nothing_panic(body in prop::collection::vec(any::<u8>(), 0..300), size in 1usize..50) {
        ask(&body);
        answer(&body);
        stream(&body, size);
    }
}

/// Small recordings, read once.
fn recorded() -> &'static [Case] {
    static CASES: std::sync::OnceLock<Vec<Case>> = std::sync::OnceLock::new();
    CASES.get_or_init(|| cases().into_iter().filter(|case| case.response.len() < 8_000).collect())
}
