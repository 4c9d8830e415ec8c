//! The fields of a chat request, as OpenAI documents them.

use super::super::shape::Kind::{Any, Either, Flag, List, Map, Number, Object, Tagged, Text, Whole, Word};
use super::super::shape::{Field, Kind, may, must};

const TEXT_PART: &[Field] = &[must("type", Text), must("text", Text), may("prompt_cache_breakpoint", Map)];
const REFUSAL_PART: &[Field] = &[must("type", Text), must("refusal", Text)];
const IMAGE_PART: &[Field] = &[
    must("type", Text),
    must("image_url", Object(&[must("url", Text), may("detail", Word(&["auto", "low", "high", "original"]))])),
];
const AUDIO_PART: &[Field] =
    &[must("type", Text), must("input_audio", Object(&[must("data", Text), must("format", Word(&["wav", "mp3"]))]))];
const FILE_PART: &[Field] =
    &[must("type", Text), must("file", Object(&[may("file_data", Text), may("file_id", Text), may("filename", Text)]))];

const TEXTS: Kind = Either(&[Text, List(&Tagged("type", &[("text", TEXT_PART)]))]);
const USER_CONTENT: Kind = Either(&[
    Text,
    List(&Tagged(
        "type",
        &[("text", TEXT_PART), ("image_url", IMAGE_PART), ("input_audio", AUDIO_PART), ("file", FILE_PART)],
    )),
]);
const ANSWER_CONTENT: Kind = Either(&[Text, List(&Tagged("type", &[("text", TEXT_PART), ("refusal", REFUSAL_PART)]))]);

const FUNCTION_CALL: Kind = Object(&[must("name", Text), must("arguments", Text)]);
const CALL: Kind = Tagged(
    "type",
    &[
        ("function", &[must("id", Text), must("type", Text), must("function", FUNCTION_CALL)]),
        (
            "custom",
            &[must("id", Text), must("type", Text), must("custom", Object(&[must("name", Text), must("input", Text)]))],
        ),
    ],
);

const TEXT_MESSAGE: &[Field] = &[must("role", Text), must("content", TEXTS), may("name", Text)];
const MESSAGE: Kind = Tagged(
    "role",
    &[
        ("system", TEXT_MESSAGE),
        ("developer", TEXT_MESSAGE),
        ("user", &[must("role", Text), must("content", USER_CONTENT), may("name", Text)]),
        (
            "assistant",
            &[
                must("role", Text),
                may("content", ANSWER_CONTENT),
                may("refusal", Text),
                may("name", Text),
                may("audio", Object(&[must("id", Text)])),
                may("annotations", List(&Map)),
                may("tool_calls", List(&CALL)),
                may("function_call", FUNCTION_CALL),
            ],
        ),
        ("tool", &[must("role", Text), must("content", TEXTS), must("tool_call_id", Text), may("name", Text)]),
        ("function", &[must("role", Text), must("content", Text), must("name", Text)]),
    ],
);

const FUNCTION: Kind =
    Object(&[must("name", Text), may("description", Text), may("parameters", Map), may("strict", Flag)]);
const TOOL: Kind = Tagged(
    "type",
    &[
        ("function", &[must("type", Text), must("function", FUNCTION)]),
        ("custom", &[must("type", Text), must("custom", Map)]),
    ],
);

pub const JSON_SCHEMA: &[Field] =
    &[must("name", Text), may("description", Text), may("schema", Map), may("strict", Flag)];
const RESPONSE_FORMAT: Kind = Tagged(
    "type",
    &[
        ("text", &[must("type", Text)]),
        ("json_object", &[must("type", Text)]),
        ("json_schema", &[must("type", Text), must("json_schema", Object(JSON_SCHEMA))]),
    ],
);

/// All of them.
pub const REQUEST: Kind = Object(&[
    must("model", Text),
    must("messages", List(&MESSAGE)),
    may("audio", Map),
    may("frequency_penalty", Number),
    may("function_call", Either(&[Text, Map])),
    may("functions", List(&FUNCTION)),
    may("logit_bias", Map),
    may("logprobs", Flag),
    may("max_completion_tokens", Whole),
    may("max_tokens", Whole),
    may("metadata", Map),
    may("modalities", List(&Text)),
    may("n", Whole),
    may("parallel_tool_calls", Flag),
    may("prediction", Map),
    may("presence_penalty", Number),
    may("prompt_cache_key", Text),
    may("prompt_cache_options", Map),
    may("prompt_cache_retention", Text),
    may("reasoning_effort", Word(&["none", "minimal", "low", "medium", "high", "xhigh", "max"])),
    may("response_format", RESPONSE_FORMAT),
    may("safety_identifier", Text),
    may("seed", Whole),
    may("service_tier", Text),
    may("stop", Either(&[Text, List(&Text)])),
    may("store", Flag),
    may("stream", Flag),
    may("stream_options", Object(&[may("include_usage", Flag), may("include_obfuscation", Flag)])),
    may("temperature", Number),
    may("tool_choice", Either(&[Word(&["none", "auto", "required"]), Any])),
    may("tools", List(&TOOL)),
    may("top_logprobs", Whole),
    may("top_p", Number),
    may("user", Text),
    may("verbosity", Word(&["low", "medium", "high"])),
    may("web_search_options", Map),
]);
