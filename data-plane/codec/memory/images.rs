//! A request with a large image is copied at most once on its way through where bytes pass, and at most twice where it is
//! translated. One copy is made before the codec sees it: the body has to be in one piece to be read. So the codec has none
//! left where bytes pass, and one where it translates, which it takes only where the client escaped the image's letters or
//! wrote them in the other alphabet.

use allocation_counter::measure;
use bytes::Bytes;
use codec::{Bridge, Dialect, Expectation, Outbound, Scan};

use crate::{clients, edits, providers};

/// Letters of the image, which stands for 10 MB of body.
const IMAGE: usize = 10 * 1024 * 1024;
/// What everything but the image may cost, in bytes.
const SLACK: u64 = 64 * 1024;
/// A piece of the image as it is, with the letters that some clients write in another way.
const LETTERS: &str = "iVBORw0KGgo/AAAN+SUhEUg/";

/// How the image's letters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Plain,
    /// As serialisers do that were made for web pages: `\/` and `\u002B` for `/` and `+`.
    Escaped,
    /// With `-` and `_` for `+` and `/`.
    UrlSafe,
}

impl Written {
    fn letters(self) -> String {
        match self {
            Written::Plain => LETTERS.to_owned(),
            Written::Escaped => LETTERS.replace('/', "\\/").replace('+', "\\u002B"),
            Written::UrlSafe => LETTERS.replace('+', "-").replace('/', "_"),
        }
    }

    fn times(self) -> usize {
        IMAGE / self.letters().len()
    }

    fn image(self) -> String {
        self.letters().repeat(self.times())
    }

    /// What it means.
    fn meant(self) -> String {
        LETTERS.repeat(self.times())
    }
}

/// Where in a conversation the image stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Question,
    ToolResult,
}

const PLACES: [Place; 2] = [Place::Question, Place::ToolResult];

/// A client's request with this image in it; none where its dialect has no image in such a place.
fn body(client: &Dialect, place: Place, image: &str) -> Option<String> {
    let body = match (client.id, place) {
        ("openai-chat", Place::Question) => format!(
            r#"{{"model":"lab/eye","max_tokens":64,"messages":[{{"role":"user","content":[{{"type":"text","text":"What is this?"}},{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{image}"}}}}]}}]}}"#
        ),
        ("openai-responses", Place::Question) => format!(
            r#"{{"model":"lab/eye","max_output_tokens":64,"input":[{{"role":"user","content":[{{"type":"input_text","text":"What is this?"}},{{"type":"input_image","image_url":"data:image/png;base64,{image}"}}]}}]}}"#
        ),
        ("openai-responses", Place::ToolResult) => format!(
            r#"{{"model":"lab/eye","max_output_tokens":64,"tools":[{{"type":"function","name":"look","parameters":{{"type":"object"}}}}],"input":[{{"role":"user","content":"Look!"}},{{"type":"function_call","call_id":"call_1","name":"look","arguments":"{{}}"}},{{"type":"function_call_output","call_id":"call_1","output":[{{"type":"input_image","image_url":"data:image/png;base64,{image}"}}]}}]}}"#
        ),
        ("anthropic", Place::Question) => format!(
            r#"{{"model":"lab/eye","max_tokens":64,"messages":[{{"role":"user","content":[{{"type":"text","text":"What is this?"}},{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{image}"}}}}]}}]}}"#
        ),
        ("anthropic", Place::ToolResult) => format!(
            r#"{{"model":"lab/eye","max_tokens":64,"tools":[{{"name":"look","input_schema":{{"type":"object"}}}}],"messages":[{{"role":"user","content":"Look!"}},{{"role":"assistant","content":[{{"type":"tool_use","id":"call_1","name":"look","input":{{}}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"call_1","content":[{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{image}"}}}}]}}]}}]}}"#
        ),
        ("gemini", Place::Question) => format!(
            r#"{{"contents":[{{"role":"user","parts":[{{"text":"What is this?"}},{{"inlineData":{{"mimeType":"image/png","data":"{image}"}}}}]}}],"generationConfig":{{"maxOutputTokens":64}}}}"#
        ),
        ("gemini", Place::ToolResult) => format!(
            r#"{{"contents":[{{"role":"user","parts":[{{"text":"Look!"}}]}},{{"role":"model","parts":[{{"functionCall":{{"name":"look","args":{{}}}}}}]}},{{"role":"user","parts":[{{"functionResponse":{{"name":"look","response":{{"output":"here"}},"parts":[{{"inlineData":{{"mimeType":"image/png","data":"{image}"}}}}]}}}}]}}],"tools":[{{"functionDeclarations":[{{"name":"look"}}]}}],"generationConfig":{{"maxOutputTokens":64}}}}"#
        ),
        _ => return None,
    };
    Some(body)
}

/// What a proxy reads of a request before it is sent anywhere, and the bytes that were allocated for it.
fn scanned(client: &'static Dialect, body: &Bytes) -> (Scan, u64) {
    let mut found = None;
    let counted = measure(|| {
        let scan = client.scan(body).unwrap().at(Some("lab/eye".to_owned()), false);
        assert!(Expectation::of(client, body, &scan).is_none());
        found = Some(scan);
    });
    (found.unwrap(), counted.bytes_total)
}

/// The request as it is ready to be written, and the bytes that were allocated for it.
fn sent(client: &'static Dialect, provider: &'static Dialect, body: &Bytes, scan: &Scan) -> (Outbound, u64) {
    let mut sent = None;
    let counted = measure(|| {
        let bridge = Bridge::between(client, provider).unwrap();
        sent = Some(bridge.request(body, scan, &edits::request("eye-1", Some(64))).unwrap());
    });
    (sent.unwrap(), counted.bytes_total)
}

/// Whether the image arrives as it is: once, and in the letters that everybody reads.
fn has_image(sent: &Outbound, image: &str) -> bool {
    let body = sent.body.clone().into_bytes();
    memchr::memmem::find_iter(&body, image.as_bytes()).count() == 1
}

/// Checks an image in these places, on the way from this client to each provider but its own; `copies` of it are allowed.
fn check_crossing(client: &'static Dialect, places: &[Place], written: Written, copies: u64) {
    let (image, plain) = (written.image(), written.meant());
    let most = copies * image.len() as u64 + SLACK;
    for place in places {
        let Some(body) = body(client, *place, &image).map(Bytes::from) else { continue };
        let (scan, before) = scanned(client, &body);
        for provider in providers().filter(|provider| *provider != client) {
            let (sent, allocated) = sent(client, provider, &body, &scan);
            let allocated = before + allocated;
            let way = format!("{} to {}, {place:?}, {written:?}", client.id, provider.id);
            assert!(has_image(&sent, &plain), "{way}");
            assert!(allocated <= most, "{way}: {allocated} bytes");
        }
    }
}

#[test]
fn an_image_is_not_copied_where_bytes_pass() {
    for client in clients() {
        for (place, written) in [
            (Place::Question, Written::Plain),
            (Place::ToolResult, Written::Plain),
            (Place::Question, Written::Escaped),
        ] {
            let image = written.image();
            let Some(body) = body(client, place, &image).map(Bytes::from) else { continue };
            let (scan, before) = scanned(client, &body);
            let (sent, allocated) = sent(client, client, &body, &scan);
            let allocated = before + allocated;
            assert!(has_image(&sent, &image), "{}", client.id);
            assert!(allocated <= SLACK, "{}, {place:?}, {written:?}: {allocated} bytes", client.id);
        }
    }
}

#[test]
fn an_image_is_not_copied_where_a_request_is_translated() {
    clients().for_each(|client| check_crossing(client, &PLACES, Written::Plain, 0));
}

#[test]
fn an_image_with_escapes_is_copied_once_where_a_request_is_translated() {
    clients().for_each(|client| check_crossing(client, &[Place::Question], Written::Escaped, 1));
}

#[test]
fn an_image_in_the_other_alphabet_is_copied_once_where_a_request_is_translated() {
    check_crossing(edits::dialect("gemini"), &PLACES, Written::UrlSafe, 1);
}

#[test]
fn a_format_is_found_without_copying_the_image_beside_it() {
    let client = edits::dialect("openai-chat");
    let format = r#","response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}}}"#;
    let plain = body(client, Place::Question, &Written::Escaped.image()).unwrap();
    let body = Bytes::from(format!("{}{format}", plain.strip_suffix('}').unwrap()));
    let scan = client.scan(&body).unwrap();
    let counted = measure(|| assert!(Expectation::of(client, &body, &scan).is_some()));
    assert!(counted.bytes_total <= SLACK, "{counted:?}");
}
