//! Images and files: what is shown to the client's family arrives at the provider's, byte for byte.

use tollgate_tests::fake::strict::Family;

use super::speak::Part;
use super::{Pair, everywhere};

/// A PNG of one pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
/// The beginning of a PDF, which is all that anybody looks at here.
const PDF: &str = "JVBERi0xLjQKJeLjz9MKMSAwIG9iago8PD4+CmVuZG9iagolJUVPRgo=";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_arrives_byte_for_byte() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.speaker();
        let text = pair.tagged("what is this?");
        speaker.say_parts(&[Part::Text(text.clone()), Part::Image("image/png", PIXEL)]);
        assert_eq!(speaker.hear().await.heard.text, format!("you said: {text} [image image/png 70 bytes]"));
        let seen = pair.last();
        assert!(String::from_utf8_lossy(&seen.raw).contains(PIXEL), "the image was written anew");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_images_and_texts_keep_their_order() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.speaker();
        let text = pair.tagged("first");
        speaker.say_parts(&[
            Part::Text(text.clone()),
            Part::Image("image/png", PIXEL),
            Part::Text("second".to_owned()),
            Part::Image("image/jpeg", "/9j/4AAQ"),
        ]);
        let wanted = format!("you said: {text}\nsecond [image image/png 70 bytes] [image image/jpeg 6 bytes]");
        assert_eq!(speaker.hear().await.heard.text, wanted);
        let body = String::from_utf8_lossy(&pair.last().raw).into_owned();
        let places: Vec<usize> =
            ["first", PIXEL, "second", "/9j/4AAQ"].iter().map(|piece| body.find(piece).expect("a piece")).collect();
        assert!(places.is_sorted(), "{places:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pdf_arrives_as_a_document() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.speaker();
        let text = pair.tagged("read this");
        speaker.say_parts(&[Part::Text(text.clone()), Part::Pdf(PDF)]);
        let wanted = format!("you said: {text} [file application/pdf 41 bytes]");
        assert_eq!(speaker.hear().await.heard.text, wanted);
        assert!(String::from_utf8_lossy(&pair.last().raw).contains(PDF));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_by_url_is_passed_on_and_never_fetched() {
    everywhere(async |pair: Pair| {
        let url = "https://images.example.com/cat.png";
        let mut speaker = pair.asking("see");
        let body = speaker.body.to_string();
        let mut changed: serde_json::Value = serde_json::from_str(&body).unwrap();
        let part = match pair.from {
            Family::Chat => serde_json::json!({"type": "image_url", "image_url": {"url": url}}),
            Family::Responses => serde_json::json!({"type": "input_image", "image_url": url, "detail": "auto"}),
            Family::Anthropic => serde_json::json!({"type": "image", "source": {"type": "url", "url": url}}),
            Family::Gemini => serde_json::json!({"fileData": {"fileUri": url, "mimeType": "image/png"}}),
        };
        match pair.from {
            Family::Chat => {
                let text = changed["messages"][0]["content"].take();
                changed["messages"][0]["content"] = serde_json::json!([{"type": "text", "text": text}, part]);
            }
            Family::Responses => super::speak::push(&mut changed["input"][0], "content", part),
            Family::Anthropic => super::speak::push(&mut changed["messages"][0], "content", part),
            Family::Gemini => super::speak::push(&mut changed["contents"][0], "parts", part),
        }
        speaker.body = changed;
        // Passed on, or refused by name: never fetched, never dropped.
        match speaker.try_hear().await {
            Ok(answered) => assert!(answered.heard.text.ends_with(&format!("[image {url}]")), "{answered:?}"),
            Err(failed) => assert!(failed.status == 400 && !pair.is_same(), "{failed:?}"),
        }
    })
    .await;
}
