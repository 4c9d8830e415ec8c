//! The fields of a messages request, as Anthropic documents them.

use super::super::shape::Kind::{Any, Either, Flag, List, Map, Number, Object, Tagged, Text, Whole, Word};
use super::super::shape::{Field, Kind, may, must};

pub const CACHE: Kind = Object(&[must("type", Word(&["ephemeral"])), may("ttl", Word(&["5m", "1h"]))]);

const TEXT: &[Field] =
    &[must("type", Text), must("text", Text), may("cache_control", NULLABLE_CACHE), may("citations", Any)];
const NULLABLE_CACHE: Kind = Either(&[CACHE, Any]);

const IMAGE_SOURCE: Kind = Tagged(
    "type",
    &[
        (
            "base64",
            &[
                must("type", Text),
                must("media_type", Word(&["image/jpeg", "image/png", "image/gif", "image/webp"])),
                must("data", Text),
            ],
        ),
        ("url", &[must("type", Text), must("url", Text)]),
        ("file", &[must("type", Text), must("file_id", Text)]),
    ],
);
const IMAGE: &[Field] = &[must("type", Text), must("source", IMAGE_SOURCE), may("cache_control", CACHE)];

const DOCUMENT_SOURCE: Kind = Tagged(
    "type",
    &[
        ("base64", &[must("type", Text), must("media_type", Word(&["application/pdf"])), must("data", Text)]),
        ("text", &[must("type", Text), must("media_type", Word(&["text/plain"])), must("data", Text)]),
        ("url", &[must("type", Text), must("url", Text)]),
        ("file", &[must("type", Text), must("file_id", Text)]),
        ("content", &[must("type", Text), must("content", Any)]),
    ],
);
const DOCUMENT: &[Field] = &[
    must("type", Text),
    must("source", DOCUMENT_SOURCE),
    may("title", Any),
    may("context", Any),
    may("citations", Any),
    may("cache_control", CACHE),
];

const TOOL_USE: &[Field] = &[
    must("type", Text),
    must("id", Text),
    must("name", Text),
    must("input", Map),
    may("cache_control", CACHE),
    may("caller", Map),
];
const TOOL_RESULT: &[Field] = &[
    must("type", Text),
    must("tool_use_id", Text),
    may(
        "content",
        Either(&[Text, List(&Tagged("type", &[("text", TEXT), ("image", IMAGE), ("document", DOCUMENT), ("*", &[])]))]),
    ),
    may("is_error", Flag),
    may("cache_control", CACHE),
];
const THINKING: &[Field] = &[must("type", Text), must("thinking", Text), must("signature", Text)];
const REDACTED: &[Field] = &[must("type", Text), must("data", Text)];

const BLOCK: Kind = Tagged(
    "type",
    &[
        ("text", TEXT),
        ("image", IMAGE),
        ("document", DOCUMENT),
        ("tool_use", TOOL_USE),
        ("tool_result", TOOL_RESULT),
        ("thinking", THINKING),
        ("redacted_thinking", REDACTED),
        ("*", &[]),
    ],
);
const MESSAGE: Kind =
    Object(&[must("role", Word(&["user", "assistant"])), must("content", Either(&[Text, List(&BLOCK)]))]);

const CUSTOM_TOOL: &[Field] = &[
    may("type", Word(&["custom"])),
    must("name", Text),
    may("description", Text),
    must("input_schema", Map),
    may("cache_control", NULLABLE_CACHE),
    may("strict", Flag),
    may("eager_input_streaming", Flag),
    may("defer_loading", Flag),
    may("input_examples", List(&Map)),
    may("allowed_callers", List(&Text)),
];

/// A tool of the caller's own.
pub const TOOL: Kind = Object(CUSTOM_TOOL);

const THINK: Kind = Tagged(
    "type",
    &[
        (
            "enabled",
            &[must("type", Text), must("budget_tokens", Whole), may("display", Word(&["summarized", "omitted"]))],
        ),
        ("adaptive", &[must("type", Text), may("display", Word(&["summarized", "omitted"]))]),
        ("disabled", &[must("type", Text)]),
    ],
);
const CHOICE: Kind = Tagged(
    "type",
    &[
        ("auto", &[must("type", Text), may("disable_parallel_tool_use", Flag)]),
        ("any", &[must("type", Text), may("disable_parallel_tool_use", Flag)]),
        ("tool", &[must("type", Text), must("name", Text), may("disable_parallel_tool_use", Flag)]),
        ("none", &[must("type", Text)]),
    ],
);
const FORMAT: Kind = Tagged("type", &[("json_schema", &[must("type", Text), must("schema", Map)])]);

const MODEL: Field = must("model", Kind::Text);
const MESSAGES: Field = must("messages", List(&MESSAGE));
const SYSTEM: Field = may("system", Either(&[Kind::Text, List(&Tagged("type", &[("text", TEXT)]))]));
const THINKING_KNOB: Field = may("thinking", THINK);
const TOOL_CHOICE: Field = may("tool_choice", CHOICE);
const TOOLS: Field = may("tools", List(&Map));
const CACHE_CONTROL: Field = may("cache_control", CACHE);
const OUTPUT_FORMAT: Field = may("output_format", FORMAT);
const EFFORT: Kind = Word(&["low", "medium", "high", "xhigh", "max"]);
const OUTPUT_CONFIG: Field =
    may("output_config", Object(&[may("effort", EFFORT), may("format", FORMAT), may("task_budget", Map)]));

/// All of them.
pub const REQUEST: Kind = Object(&[
    MODEL,
    MESSAGES,
    SYSTEM,
    THINKING_KNOB,
    TOOL_CHOICE,
    TOOLS,
    CACHE_CONTROL,
    OUTPUT_CONFIG,
    OUTPUT_FORMAT,
    must("max_tokens", Whole),
    may("container", Any),
    may("context_management", Map),
    may("inference_geo", Kind::Text),
    may("mcp_servers", List(&Map)),
    may("metadata", Object(&[may("user_id", Kind::Text)])),
    may("service_tier", Word(&["auto", "standard_only"])),
    may("speed", Kind::Text),
    may("stop_sequences", List(&Kind::Text)),
    may("stream", Flag),
    may("temperature", Number),
    may("top_k", Whole),
    may("top_p", Number),
]);

/// Those of a request to count.
pub const COUNT: Kind = Object(&[
    MODEL,
    MESSAGES,
    SYSTEM,
    THINKING_KNOB,
    TOOL_CHOICE,
    TOOLS,
    CACHE_CONTROL,
    OUTPUT_CONFIG,
    OUTPUT_FORMAT,
    may("mcp_servers", List(&Map)),
    may("context_management", Map),
]);
