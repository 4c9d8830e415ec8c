//! What clients of the OpenAI family rely on, header by header and event by event.

mod account;
mod browsers;
mod faults;
mod providers;
mod requests;
mod routes;
mod streams;

use serde_json::{Value, json};
use tollgate_tests::clients::Reply;

/// The prefixes under which the family is served.
pub const PREFIXES: [&str; 3] = ["/v1", "/openai/v1", "/api/v1"];

/// A small request.
pub fn hello(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Hello there"}], "max_tokens": 100})
}

/// The same with the fake's script.
pub fn scripted(model: &str, tag: &str) -> Value {
    let mut body = hello(model);
    body["fake"] = json!(tag);
    body
}

/// The same as a stream.
pub fn streamed(model: &str, tag: &str) -> Value {
    let mut body = scripted(model, tag);
    body["stream"] = json!(true);
    body
}

/// Every answer names its request.
pub fn request_id(reply: &Reply) -> String {
    let id = reply.header("x-request-id").to_owned();
    assert!(id.starts_with("req_"), "no request id: {reply:?}");
    id
}
