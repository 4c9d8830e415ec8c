//! Everything that is not a conversation: embeddings, images, sound, moderation, ranking, old completions; each priced.

use bytes::Bytes;
use serde_json::{Value, json};
use tollgate_tests::actors::Org;
use tollgate_tests::clients::{Ask, Reply};
use tollgate_tests::fake::strict::{Seen, Strict};
use tollgate_tests::house::{House, ask_until, rates};
use tollgate_tests::money::nano_of;

/// The same as in a file: `RIFF` and so on would be read by nobody here.
const SOUND: &[u8] = &[0x52, 0x49, 0x46, 0x46, 0, 1, 2, 3, 0xff, 0xfe, 13, 10];
const PIXEL: &[u8] = &[0x89, b'P', b'N', b'G', 13, 10, 26, 10];

async fn lab() -> (std::sync::Arc<House>, Org) {
    let house = House::strict().await;
    let org = house.org("50.00").await;
    (house, org)
}

const BOUNDARY: &str = "a-boundary-of-a-test";

/// The request with this tag, which arrived without a fault.
fn seen(strict: &Strict, tag: &str) -> std::sync::Arc<Seen> {
    strict.expect_clean(tag).pop().expect("a request")
}

/// The ledger says what the model's prices say.
async fn costs(house: &House, org: &Org, model: &str, request_id: &str, seen: &Seen) {
    let record = house.usage_of(&org.id, request_id).await;
    assert_eq!(nano_of(&record["cost"]), rates(model).cost(&seen.truth), "{record:#} against {:?}", seen.truth);
}

async fn asked(house: &House, org: &Org, path: &str, body: &Value) -> Reply {
    let reply = house.client(0, &org.key).send(Ask::json(path, body)).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embeddings_come_as_numbers_or_as_base64() {
    let (house, org) = lab().await;
    let body = json!({"model": "strict/embed", "input": ["one !tag embed-floats", "two"], "dimensions": 4});
    let reply = asked(&house, &org, "/v1/embeddings", &body).await;
    let answer = reply.json();
    assert_eq!(
        (answer["data"].as_array().unwrap().len(), answer["data"][0]["embedding"].as_array().unwrap().len()),
        (2, 4)
    );
    assert_eq!(answer["model"], "strict/embed");
    costs(&house, &org, "strict/embed", reply.header("x-request-id"), &seen(&house.fake.strict(), "embed-floats"))
        .await;
    let body = json!({"model": "strict/embed", "input": "one !tag embed-base64", "encoding_format": "base64"});
    let answer = asked(&house, &org, "/v1/embeddings", &body).await.json();
    assert_eq!(answer["data"][0]["embedding"].as_str().unwrap().len(), 44);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gemini_embeds_one_and_many() {
    let (house, org) = lab().await;
    let client = house.client(0, "");
    let content = |text: &str| json!({"parts": [{"text": text}]});
    let one =
        Ask::json("/v1beta/models/strict/gemini:embedContent", &json!({"content": content("one !tag gemini-embed")}));
    let reply = client.send(one.header("x-goog-api-key", &org.key)).await.expect(200);
    assert_eq!(reply.json()["embedding"]["values"].as_array().unwrap().len(), 8);
    let requests = json!({"requests": [{"model": "models/strict/gemini", "content": content("a !tag gemini-embed")}]});
    let many = Ask::json("/v1beta/models/strict/gemini:batchEmbedContents", &requests);
    let reply = client.send(many.header("x-goog-api-key", &org.key)).await.expect(200);
    assert_eq!(reply.json()["embeddings"].as_array().unwrap().len(), 1);
    assert_eq!(house.fake.strict().expect_clean("gemini-embed").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_are_made_whole_and_in_a_stream() {
    let (house, org) = lab().await;
    let body = json!({"model": "strict/image", "prompt": "a cat !tag image-whole", "n": 2});
    let reply = asked(&house, &org, "/v1/images/generations", &body).await;
    assert_eq!(reply.json()["data"].as_array().unwrap().len(), 2);
    costs(&house, &org, "strict/image", reply.header("x-request-id"), &seen(&house.fake.strict(), "image-whole")).await;
    let body =
        json!({"model": "strict/image", "prompt": "a cat !tag image-stream", "stream": true, "partial_images": 1});
    let stream = house.client(0, &org.key).open(Ask::json("/v1/images/generations", &body)).await.stream().await;
    let id = stream.header("x-request-id").to_owned();
    let told = stream.rest().await;
    let kinds: Vec<String> = told.chunks().iter().map(|chunk| chunk["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["image_generation.partial_image", "image_generation.completed"]);
    costs(&house, &org, "strict/image", &id, &seen(&house.fake.strict(), "image-stream")).await;
}

/// A form with texts and one file.
fn form(path: &str, texts: &[(&str, &str)], file: (&str, &str, &str, &[u8])) -> Ask {
    let mut body = Vec::new();
    for (name, value) in texts {
        body.extend(
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").into_bytes(),
        );
    }
    let (name, filename, kind, bytes) = file;
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{filename}\"\r\nContent-Type: {kind}\r\n\r\n"
    );
    body.extend(head.into_bytes());
    body.extend_from_slice(bytes);
    body.extend(format!("\r\n--{BOUNDARY}--\r\n").into_bytes());
    Ask::post(path, Bytes::from(body)).header("content-type", &format!("multipart/form-data; boundary={BOUNDARY}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_edited_from_a_form() {
    let (house, org) = lab().await;
    let ask = form(
        "/v1/images/edits",
        &[("model", "strict/image"), ("prompt", "add a hat !tag image-edit")],
        ("image", "cat.png", "image/png", PIXEL),
    );
    let reply = house.client(0, &org.key).send(ask).await.expect(200);
    assert_eq!(reply.json()["data"].as_array().unwrap().len(), 1);
    let seen = seen(&house.fake.strict(), "image-edit");
    assert_eq!((seen.model.as_str(), &seen.body["image"]["bytes"]), ("strict-image-1", &json!(PIXEL.len())));
    costs(&house, &org, "strict/image", reply.header("x-request-id"), &seen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_fields_of_a_form_are_honoured_and_go_no_further() {
    let (house, org) = lab().await;
    let client = house.client(0, &org.key);
    for (path, model, upstream, provider, file) in [
        (
            "/v1/audio/transcriptions",
            "strict/transcribe",
            "strict-transcribe-1",
            "strict-audio",
            ("file", "a.wav", "audio/wav", SOUND),
        ),
        ("/v1/images/edits", "strict/image", "strict-image-1", "strict-image", ("image", "c.png", "image/png", PIXEL)),
    ] {
        let tag = format!("own-fields-{provider}");
        let prompt = ("prompt", &*format!("hat !tag {tag}"));
        let only = |name: &str| format!(r#"{{"only": ["{name}"]}}"#);
        let (here, elsewhere, models) = (only(provider), only("plain"), format!(r#"["{model}"]"#));
        let own = [("provider", &*here), ("route", "fallback"), ("transforms", "[]"), ("session_id", "s")];
        let with = |more: &[(&str, &str)]| form(path, &[more, &[prompt]].concat(), file);
        let expected = with(&[("model", upstream)]).body;
        for ask in [
            with(&[&own[..], &[("model", model), ("models", &models)]].concat()),
            with(&[&[("models", &*models)], &own[..]].concat()),
            with(&[&[("models[]", model)], &own[..]].concat()),
        ] {
            let reply = client.send(ask).await.expect(200);
            assert_eq!(reply.header("x-tollgate-provider"), provider);
            let seen = seen(&house.fake.strict(), &tag);
            assert_eq!(seen.raw, expected, "{}", String::from_utf8_lossy(&seen.raw));
        }
        let reply = client.send(with(&[("model", model), ("provider", &elsewhere)])).await.expect(404);
        assert_eq!(reply.code(), "no_endpoints", "{}", reply.text());
        for (name, bad) in [("provider", "fast"), ("provider", r#"{"sort":"zzz"}"#), ("models", "a"), ("Route", "x")] {
            let reply = client.send(with(&[("model", model), (name, bad)])).await.expect(400);
            assert_eq!(reply.json()["error"]["param"], name.to_lowercase(), "{name}={bad}: {}", reply.text());
        }
        assert_eq!(house.fake.strict().tagged(&tag).len(), 3, "what was refused has reached the provider");
    }
    let body =
        json!({"models": ["strict/embed"], "input": "one !tag own-json", "transforms": [], "usage": {"include": true}});
    asked(&house, &org, "/v1/embeddings", &body).await;
    let sent: Value = serde_json::from_slice(&seen(&house.fake.strict(), "own-json").raw).expect("JSON");
    assert_eq!(sent, json!({"model": "strict-embed-1", "input": "one !tag own-json"}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_goes_on_with_one_boundary_or_not_at_all() {
    let (house, org) = lab().await;
    let client = house.client(0, &org.key);
    let path = "/v1/images/edits";
    let body = |tag: &str| {
        let fields = [("model", "strict/image"), ("prompt", &*format!("hat !tag {tag}"))];
        form(path, &fields, ("image", "c.png", "image/png", PIXEL)).body
    };
    let ask = |tag: &str, kind: &str| Ask::post(path, body(tag)).header("content-type", kind);
    let odd = format!("Multipart/Form-Data;charset=\"utf;8\" ; Boundary=\"{BOUNDARY}\";");
    client.send(ask("form-odd", &odd)).await.expect(200);
    let sent = seen(&house.fake.strict(), "form-odd");
    assert_eq!(sent.header("content-type"), format!("multipart/form-data; boundary={BOUNDARY}"));
    for two in [
        format!("multipart/form-data; boundary={BOUNDARY}; boundary=other"),
        format!("multipart/form-data; boundary={BOUNDARY}; boundary*=utf-8''other"),
        format!("multipart/form-data; boundary={BOUNDARY}; x=\u{e4}"),
    ] {
        client.send(ask("form-two", &two)).await.expect(400);
    }
    assert_eq!(house.fake.strict().tagged("form-two").len(), 0, "what was refused has reached the provider");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generation_says_what_kind_of_work_it_was() {
    let (house, org) = lab().await;
    let client = house.client(0, &org.key);
    let sound = form("/v1/audio/transcriptions", &[("model", "strict/transcribe")], ("file", "a", "audio/wav", SOUND));
    let json = |path: &str, body: Value| Ask::json(path, &body);
    for (ask, kind) in [
        (json("/v1/embeddings", json!({"model": "strict/embed", "input": "x"})), "embeddings"),
        (json("/v1/images/generations", json!({"model": "strict/image", "prompt": "x"})), "images"),
        (json("/v1/audio/speech", json!({"model": "strict/speech", "input": "x", "voice": "a"})), "audio"),
        (sound, "audio"),
        (json("/v1/moderations", json!({"model": "strict/moderate", "input": "x"})), "moderations"),
        (json("/v1/rerank", json!({"model": "strict/rerank", "query": "x", "documents": ["x"]})), "rerank"),
        (json("/v1/completions", json!({"model": "strict/complete", "prompt": "x"})), "completions"),
        (json("/v1/responses", json!({"model": "strict/openai-responses", "input": "x"})), "chat_completions"),
    ] {
        let id = client.send(ask).await.expect(200).header("x-request-id").to_owned();
        let told = Ask::get(&format!("/v1/generation?id={id}"));
        let told = ask_until("the generation is known", &client, &told, 200).await.json();
        assert_eq!(told["data"]["api_type"], kind, "{told:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_is_spoken_and_paid_by_the_letter() {
    let (house, org) = lab().await;
    let text = "hello !tag speak-whole";
    let reply =
        asked(&house, &org, "/v1/audio/speech", &json!({"model": "strict/speech", "input": text, "voice": "alloy"}))
            .await;
    assert_eq!((reply.header("content-type"), reply.body.len()), ("audio/mpeg", 3 * text.len()));
    costs(&house, &org, "strict/speech", reply.header("x-request-id"), &seen(&house.fake.strict(), "speak-whole"))
        .await;
    let body =
        json!({"model": "strict/speech", "input": "hello !tag speak-stream", "voice": "alloy", "stream_format": "sse"});
    let told = house.client(0, &org.key).open(Ask::json("/v1/audio/speech", &body)).await.stream().await.rest().await;
    assert_eq!(told.chunks().last().unwrap()["type"], "speech.audio.done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_is_transcribed_whole_and_in_a_stream() {
    let (house, org) = lab().await;
    let client = house.client(0, &org.key);
    let ask = |texts: &[(&str, &str)]| form("/v1/audio/transcriptions", texts, ("file", "a.wav", "audio/wav", SOUND));
    let reply = client.send(ask(&[("model", "strict/transcribe"), ("prompt", "!tag transcribe")])).await.expect(200);
    assert_eq!(reply.json()["text"], "transcript of 12 bytes");
    let whole = seen(&house.fake.strict(), "transcribe");
    assert_eq!(whole.model, "strict-transcribe-1");
    costs(&house, &org, "strict/transcribe", reply.header("x-request-id"), &whole).await;
    let streamed = ask(&[("model", "strict/transcribe"), ("stream", "true"), ("prompt", "!tag transcribe-stream")]);
    let told = client.open(streamed).await.stream().await.rest().await;
    assert_eq!(told.chunks().last().unwrap()["text"], "transcript of 12 bytes");
    let plain = ask(&[("model", "strict/transcribe"), ("response_format", "text"), ("prompt", "!tag transcribe-text")]);
    let reply = client.send(plain).await.expect(200);
    assert_eq!(reply.text(), "transcript of 12 bytes\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_are_moderated_ranked_and_completed() {
    let (house, org) = lab().await;
    let body = json!({"model": "strict/moderate", "input": "fine !tag moderate"});
    let reply = asked(&house, &org, "/v1/moderations", &body).await;
    assert_eq!(reply.json()["results"][0]["flagged"], false);
    costs(&house, &org, "strict/moderate", reply.header("x-request-id"), &seen(&house.fake.strict(), "moderate")).await;

    let body = json!({"model": "strict/rerank", "query": "red cat !tag rerank", "documents": ["a dog", "a red cat"], "top_n": 1});
    let reply = asked(&house, &org, "/v1/rerank", &body).await;
    assert_eq!(reply.json()["results"][0]["index"], 1);
    costs(&house, &org, "strict/rerank", reply.header("x-request-id"), &seen(&house.fake.strict(), "rerank")).await;

    let body = json!({"model": "strict/complete", "prompt": "once !tag complete", "max_tokens": 50});
    let reply = asked(&house, &org, "/v1/completions", &body).await;
    let answer = reply.json();
    assert_eq!(answer["choices"][0]["text"], "you said: once !tag complete");
    assert_eq!(answer["model"], "strict/complete");
    costs(&house, &org, "strict/complete", reply.header("x-request-id"), &seen(&house.fake.strict(), "complete")).await;
    let body =
        json!({"model": "strict/complete", "prompt": "once !tag complete-stream", "stream": true, "max_tokens": 50});
    let stream = house.client(0, &org.key).open(Ask::json("/v1/completions", &body)).await.stream().await;
    let id = stream.header("x-request-id").to_owned();
    let told = stream.rest().await;
    let text: String = told.chunks().iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
    assert_eq!((text.as_str(), told.is_done()), ("you said: once !tag complete-stream", true));
    costs(&house, &org, "strict/complete", &id, &seen(&house.fake.strict(), "complete-stream")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_of_another_operation_is_refused_clearly() {
    let (house, org) = lab().await;
    let client = house.client(0, &org.key);
    for (path, body) in [
        ("/v1/embeddings", json!({"model": "strict/anthropic", "input": "x"})),
        ("/v1/chat/completions", json!({"model": "strict/embed", "messages": [{"role": "user", "content": "x"}]})),
        ("/v1/images/generations", json!({"model": "strict/openai-chat", "prompt": "x"})),
    ] {
        let reply = client.send(Ask::json(path, &body)).await;
        assert!(matches!(reply.status, 400 | 404), "{path}: {} {}", reply.status, reply.text());
        assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
    }
}
