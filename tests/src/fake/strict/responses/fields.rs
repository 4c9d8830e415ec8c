//! The fields of a Responses request, as OpenAI documents them.

use super::super::shape::Kind::{Any, Either, Flag, List, Map, Number, Object, Tagged, Text, Whole, Word};
use super::super::shape::{Field, Kind, may, must};

const INPUT_TEXT: &[Field] = &[must("type", Text), must("text", Text), may("prompt_cache_breakpoint", Map)];
const INPUT_IMAGE: &[Field] = &[
    must("type", Text),
    may("image_url", Text),
    may("file_id", Text),
    may("detail", Word(&["auto", "low", "high", "original"])),
];
const INPUT_FILE: &[Field] = &[
    must("type", Text),
    may("file_data", Text),
    may("file_id", Text),
    may("file_url", Text),
    may("filename", Text),
    may("detail", Text),
];
const OUTPUT_TEXT: &[Field] =
    &[must("type", Text), must("text", Text), may("annotations", List(&Map)), may("logprobs", Any)];
const REFUSAL: &[Field] = &[must("type", Text), must("refusal", Text)];

const INPUT: Kind =
    Tagged("type", &[("input_text", INPUT_TEXT), ("input_image", INPUT_IMAGE), ("input_file", INPUT_FILE)]);
const CONTENT: Kind = Either(&[
    Text,
    List(&Tagged(
        "type",
        &[
            ("input_text", INPUT_TEXT),
            ("input_image", INPUT_IMAGE),
            ("input_file", INPUT_FILE),
            ("output_text", OUTPUT_TEXT),
            ("refusal", REFUSAL),
        ],
    )),
]);
const OUTPUT: Kind = Either(&[Text, List(&INPUT)]);
const SUMMARY: &[Field] = &[must("type", Word(&["summary_text"])), must("text", Text)];

/// A message; its type may be left out.
pub const MESSAGE: Kind = Object(&[
    may("type", Word(&["message"])),
    may("id", Text),
    must("role", Word(&["user", "assistant", "system", "developer"])),
    must("content", CONTENT),
    may("status", Text),
    may("phase", Text),
]);

/// Everything else that may stand in the input.
pub const ITEM: Kind = Tagged(
    "type",
    &[
        (
            "function_call",
            &[
                must("type", Text),
                may("id", Text),
                must("call_id", Text),
                must("name", Text),
                must("arguments", Text),
                may("status", Text),
                may("namespace", Text),
                may("caller", Map),
            ],
        ),
        (
            "function_call_output",
            &[must("type", Text), may("id", Text), must("call_id", Text), must("output", OUTPUT), may("status", Text)],
        ),
        (
            "reasoning",
            &[
                must("type", Text),
                // It may be left out, as Codex does.
                may("id", Text),
                must("summary", List(&Object(SUMMARY))),
                may("content", List(&Map)),
                may("encrypted_content", Text),
                may("status", Text),
            ],
        ),
        ("item_reference", &[must("type", Text), must("id", Text)]),
        // Calls of tools that OpenAI runs itself.
        ("*", &[]),
    ],
);

const TOOL: Kind = Tagged(
    "type",
    &[
        (
            "function",
            &[
                must("type", Text),
                must("name", Text),
                may("description", Text),
                may("parameters", Map),
                may("strict", Flag),
                may("defer_loading", Flag),
            ],
        ),
        ("*", &[]),
    ],
);

const FORMAT: Kind = Tagged(
    "type",
    &[
        ("text", &[must("type", Text)]),
        ("json_object", &[must("type", Text)]),
        (
            "json_schema",
            &[
                must("type", Text),
                must("name", Text),
                may("description", Text),
                must("schema", Map),
                may("strict", Flag),
            ],
        ),
    ],
);

/// All of them.
pub const REQUEST: Kind = Object(&[
    must("model", Text),
    must("input", Either(&[Text, List(&Map)])),
    may("background", Flag),
    may("context_management", List(&Map)),
    may("conversation", Any),
    may("include", List(&Text)),
    may("instructions", Text),
    may("max_output_tokens", Whole),
    may("max_tool_calls", Whole),
    may("metadata", Map),
    may("parallel_tool_calls", Flag),
    may("previous_response_id", Text),
    may("prompt", Map),
    may("prompt_cache_key", Text),
    may("prompt_cache_options", Map),
    may("prompt_cache_retention", Text),
    may(
        "reasoning",
        Object(&[
            may("effort", Word(&["none", "minimal", "low", "medium", "high", "xhigh", "max"])),
            may("summary", Word(&["auto", "concise", "detailed"])),
            may("generate_summary", Text),
            may("context", Text),
            may("mode", Text),
        ]),
    ),
    may("safety_identifier", Text),
    may("service_tier", Text),
    may("store", Flag),
    may("stream", Flag),
    may("stream_options", Object(&[may("include_obfuscation", Flag)])),
    may("temperature", Number),
    may("text", Object(&[may("format", FORMAT), may("verbosity", Word(&["low", "medium", "high"]))])),
    may("tool_choice", Either(&[Word(&["none", "auto", "required"]), Any])),
    may("tools", List(&TOOL)),
    may("top_logprobs", Whole),
    may("top_p", Number),
    may("truncation", Word(&["auto", "disabled"])),
    may("user", Text),
]);
