//! Multipart forms: whatever comes, what was found is where it was found, and nothing but the model's name is changed.

use bytes::Bytes;
use codec::dialect::find;
use codec::{Bridge, Carry, RequestEdits};

use crate::driver::{Corpus, drive};

const TYPE: &str = "multipart/form-data; boundary=xyz";
const MODEL: &str = "up/stream";
const WORDS: &[&str] = &[
    "--xyz",
    "--xyz--",
    "\r\n",
    "\r\n\r\n",
    "\r\n--xyz\r\n",
    "Content-Disposition: form-data; name=\"model\"\r\n\r\nm",
    "Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n",
    "name=\"stream\"",
    "name=\"n\"",
    "true",
    "filename=",
    "\"",
    ";",
    ":",
    "\u{0}",
];

fn target(input: &[u8]) {
    let dialect = find("openai-audio").unwrap();
    let Ok(scan) = dialect.scan_form(input, TYPE) else { return };
    let model = scan.model.clone().expect("a form has a model");
    let bridge = Bridge::between(dialect, dialect).unwrap();
    let carry = Carry::default();
    let body = Bytes::copy_from_slice(input);
    let sent = bridge.request(&body, &scan, &RequestEdits::new(MODEL, &carry)).unwrap().body.into_bytes();
    let again = dialect.scan_form(&sent, TYPE).expect("what is sent is a form");
    assert_eq!(again.model.as_deref(), Some(MODEL));
    let back = bridge.request(&sent, &again, &RequestEdits::new(&model, &carry)).unwrap().body.into_bytes();
    // White space around the name is not part of it.
    assert!(back.len() <= body.len() && (back == body || back.len() < body.len()), "more than the model was changed");
}

#[test]
fn any_form_is_read_one_way() {
    let part = |head: &str, value: &str| format!("--xyz\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n");
    let whole = [
        part("name=\"file\"; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg", "abc"),
        part("name=\"model\"", "whisper-1"),
        part("name=\"stream\"", "true"),
        "--xyz--\r\n".to_owned(),
    ];
    let inputs = vec![whole.concat().into_bytes(), part("name=\"model\"", " m ").into_bytes(), b"--xyz--".to_vec()];
    drive("form", &Corpus { inputs, words: WORDS }, target);
}
