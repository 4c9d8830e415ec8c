//! Images: a pixel for every wish, whole and growing.

use serde_json::{Value, json};

use super::super::CREATED;
use super::super::json::text;
use super::super::serve::event;
use super::super::shape::Kind::{Any, Either, Flag, List, Map, Object, Text, Whole, Word};
use super::super::shape::{Kind, may, must};
use super::super::truth::{Truth, tokens};
use super::super::{Ask, Checks};
use super::{Made, check, form, told};

/// A PNG of one pixel.
pub const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
/// Tokens of one image.
const IMAGE: u64 = 272;

const GENERATE: Kind = Object(&[
    must("prompt", Text),
    may("model", Text),
    may("n", Whole),
    may("size", Text),
    may("quality", Text),
    may("background", Word(&["transparent", "opaque", "auto"])),
    may("moderation", Word(&["low", "auto"])),
    may("output_format", Word(&["png", "jpeg", "webp"])),
    may("output_compression", Whole),
    may("response_format", Word(&["url", "b64_json"])),
    may("style", Text),
    may("stream", Flag),
    may("partial_images", Whole),
    may("user", Text),
]);
const EDIT: Kind = Object(&[
    must("prompt", Text),
    must("images", List(&Map)),
    may("mask", Map),
    may("model", Text),
    may("n", Whole),
    may("size", Text),
    may("quality", Text),
    may("background", Any),
    may("input_fidelity", Word(&["high", "low"])),
    may("moderation", Text),
    may("output_format", Text),
    may("output_compression", Whole),
    may("stream", Either(&[Flag])),
    may("partial_images", Whole),
    may("user", Text),
]);

/// What both ways to ask come down to.
struct Wish {
    model: String,
    prompt: String,
    count: u64,
    is_stream: bool,
    partial: u64,
    /// Images that were sent along.
    given: u64,
    is_url: bool,
    /// `image_generation` or `image_edit`.
    kind: &'static str,
}

pub fn generate(ask: &Ask<'_>, checks: &mut Checks) -> Made {
    check(ask, GENERATE, checks);
    let body = &ask.body;
    let string = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let wish = Wish {
        model: string("model"),
        prompt: string("prompt"),
        count: body["n"].as_u64().unwrap_or(1),
        is_stream: body["stream"] == true,
        partial: body["partial_images"].as_u64().unwrap_or(0),
        given: 0,
        is_url: body["response_format"] == "url",
        kind: "image_generation",
    };
    granted(ask, &wish, checks)
}

pub fn edit(ask: &Ask<'_>, checks: &mut Checks) -> Made {
    let wish = if ask.body.is_object() {
        check(ask, EDIT, checks);
        let string = |name: &str| ask.body[name].as_str().unwrap_or_default().to_owned();
        Wish {
            model: string("model"),
            prompt: string("prompt"),
            count: ask.body["n"].as_u64().unwrap_or(1),
            is_stream: ask.body["stream"] == true,
            partial: ask.body["partial_images"].as_u64().unwrap_or(0),
            given: ask.body["images"].as_array().map_or(0, |images| images.len() as u64),
            is_url: false,
            kind: "image_edit",
        }
    } else {
        of_form(ask, checks)
    };
    checks.need(wish.given > 0, "missing_field", "image", "Missing required parameter: 'image'.");
    granted(ask, &wish, checks)
}

const FIELDS: [&str; 15] = [
    "image",
    "image[]",
    "mask",
    "model",
    "prompt",
    "n",
    "size",
    "quality",
    "background",
    "input_fidelity",
    "output_format",
    "output_compression",
    "response_format",
    "user",
    "stream",
];

fn of_form(ask: &Ask<'_>, checks: &mut Checks) -> Wish {
    let fields = form::fields(ask.header("content-type"), ask.raw());
    checks.need(fields.is_some(), "form", "", "The form cannot be read.");
    let fields = fields.unwrap_or_default();
    for field in &fields {
        let is_known = FIELDS.contains(&field.name.as_str()) || field.name == "partial_images";
        checks.need(is_known, "unknown_field", &field.name, &format!("Unknown parameter: '{}'.", field.name));
    }
    let images: Vec<_> = fields.iter().filter(|field| matches!(field.name.as_str(), "image" | "image[]")).collect();
    let is_image = images
        .iter()
        .all(|image| image.filename.is_some() && image.content_type.starts_with("image/") && !image.data.is_empty());
    checks.need(is_image, "media", "image", "Invalid file 'image': unsupported mimetype.");
    let get = |name: &str| fields.iter().find(|field| field.name == name).map(form::Field::text).unwrap_or_default();
    Wish {
        model: get("model"),
        prompt: get("prompt"),
        count: get("n").parse().unwrap_or(1),
        is_stream: get("stream") == "true",
        partial: get("partial_images").parse().unwrap_or(0),
        given: images.len() as u64,
        is_url: get("response_format") == "url",
        kind: "image_edit",
    }
}

fn granted(ask: &Ask<'_>, wish: &Wish, checks: &mut Checks) -> Made {
    checks.need(!wish.prompt.is_empty(), "missing_field", "prompt", "Missing required parameter: 'prompt'.");
    checks.need((1..=10).contains(&wish.count), "range", "n", "Invalid 'n': expected a value between 1 and 10.");
    checks.need(
        wish.partial <= 3,
        "range",
        "partial_images",
        "Invalid 'partial_images': expected a value between 0 and 3.",
    );
    checks.need(!wish.is_stream || wish.count == 1, "stream", "n", "Streaming is for one image.");
    let words = tokens(wish.prompt.len());
    let truth = Truth {
        prompt: words + wish.given * IMAGE,
        completion: wish.count.min(10) * IMAGE,
        images: wish.count.min(10),
        ..Truth::default()
    };
    let usage = json!({
        "input_tokens": truth.prompt, "input_tokens_details": {"image_tokens": wish.given * IMAGE, "text_tokens": words},
        "output_tokens": truth.completion, "output_tokens_details": {"image_tokens": truth.completion, "text_tokens": 0},
        "total_tokens": truth.prompt + truth.completion,
    });
    let told = told(ask, &wish.model, truth);
    if wish.is_stream {
        return Made::stream(frames(wish, &usage), told);
    }
    let image =
        if wish.is_url { json!({"url": "https://images.example.com/pixel.png"}) } else { json!({"b64_json": PIXEL}) };
    let data: Vec<Value> = (0..truth.images).map(|_| image.clone()).collect();
    let mut answer = json!({
        "created": CREATED, "background": "opaque", "data": data, "output_format": "png", "quality": "low", "size": "1024x1024",
    });
    answer["usage"] = usage;
    Made::json(&answer, told)
}

fn frames(wish: &Wish, usage: &Value) -> Vec<Vec<u8>> {
    let about = json!({
        "created_at": CREATED, "size": "1024x1024", "quality": "low", "background": "opaque", "output_format": "png", "b64_json": PIXEL,
    });
    let named = |name: &str, more: Value| {
        let mut data = about.clone();
        let name = format!("{}.{name}", wish.kind);
        data["type"] = json!(name);
        for (field, value) in more.as_object().into_iter().flatten() {
            data[field] = value.clone();
        }
        event(Some(&name), &text(&data))
    };
    let mut frames: Vec<Vec<u8>> =
        (0..wish.partial.min(3)).map(|at| named("partial_image", json!({"partial_image_index": at}))).collect();
    frames.push(named("completed", json!({"usage": usage})));
    frames
}
