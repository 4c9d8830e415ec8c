//! The fields of a generateContent request, as Google documents them. Read as protobuf reads JSON: both spellings of a
//! name, null as absent, and nothing that it does not know.

use super::super::shape::Kind::{Any, Either, Flag, Later, List, Map, Number, Object, Text, Whole, Word};
use super::super::shape::{Field, Kind, Manner, may, must};

pub const MANNER: Manner = Manner { nulls: true, protobuf: true };

const TYPE: Kind = Word(&[
    "TYPE_UNSPECIFIED",
    "STRING",
    "NUMBER",
    "INTEGER",
    "BOOLEAN",
    "ARRAY",
    "OBJECT",
    "NULL",
    "string",
    "number",
    "integer",
    "boolean",
    "array",
    "object",
    "null",
]);
/// A count, which protobuf also takes as text.
const COUNT64: Kind = Either(&[Whole, Text]);

/// The subset of OpenAPI that `parameters` and `responseSchema` are.
const SCHEMA: &[Field] = &[
    may("type", TYPE),
    may("format", Text),
    may("title", Text),
    may("description", Text),
    may("nullable", Flag),
    may("enum", List(&Text)),
    may("maxItems", COUNT64),
    may("minItems", COUNT64),
    may("properties", Map),
    may("required", List(&Text)),
    may("minProperties", COUNT64),
    may("maxProperties", COUNT64),
    may("minLength", COUNT64),
    may("maxLength", COUNT64),
    may("pattern", Text),
    may("example", Any),
    may("anyOf", List(&Later(schema))),
    may("propertyOrdering", List(&Text)),
    may("default", Any),
    may("items", Later(schema)),
    may("minimum", Number),
    may("maximum", Number),
];

/// A schema of the subset; its properties are looked at by `order`, since their names are the caller's.
pub const fn schema() -> Kind {
    Object(SCHEMA)
}

const BLOB: Kind = Object(&[must("mimeType", Text), must("data", Text), may("displayName", Text)]);
const FILE: Kind = Object(&[may("mimeType", Text), must("fileUri", Text), may("displayName", Text)]);

const PART: Kind = Object(&[
    may("text", Text),
    may("thought", Flag),
    may("thoughtSignature", Text),
    may("inlineData", BLOB),
    may("fileData", FILE),
    may("functionCall", Object(&[may("id", Text), must("name", Text), may("args", Map)])),
    may(
        "functionResponse",
        Object(&[
            may("id", Text),
            must("name", Text),
            must("response", Map),
            may("willContinue", Flag),
            may("scheduling", Text),
            may("parts", List(&Object(&[may("inlineData", BLOB), may("fileData", FILE)]))),
        ]),
    ),
    may("executableCode", Map),
    may("codeExecutionResult", Map),
    may("toolCall", Map),
    may("toolResponse", Map),
    may("videoMetadata", Map),
    may("mediaResolution", Any),
    may("partMetadata", Map),
]);

const CONTENT: Kind = Object(&[must("parts", List(&PART)), may("role", Text)]);

const DECLARATION: Kind = Object(&[
    must("name", Text),
    may("description", Text),
    may("behavior", Text),
    may("parameters", Object(SCHEMA)),
    may("parametersJsonSchema", Any),
    may("response", Object(SCHEMA)),
    may("responseJsonSchema", Any),
]);
const TOOL: Kind = Object(&[
    may("functionDeclarations", List(&DECLARATION)),
    may("googleSearchRetrieval", Map),
    may("codeExecution", Map),
    may("googleSearch", Map),
    may("computerUse", Map),
    may("urlContext", Map),
    may("fileSearch", Map),
    may("googleMaps", Map),
    may("mcpServers", List(&Map)),
]);
const TOOL_CONFIG: Kind = Object(&[
    may(
        "functionCallingConfig",
        Object(&[
            may("mode", Word(&["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"])),
            may("allowedFunctionNames", List(&Text)),
        ]),
    ),
    may("retrievalConfig", Map),
    may("includeServerSideToolInvocations", Flag),
]);

const GENERATION: Kind = Object(&[
    may("stopSequences", List(&Text)),
    may("responseMimeType", Text),
    may("responseSchema", Object(SCHEMA)),
    may("responseJsonSchema", Any),
    may("_responseJsonSchema", Any),
    may("responseModalities", List(&Text)),
    may("candidateCount", Whole),
    may("maxOutputTokens", Whole),
    may("temperature", Number),
    may("topP", Number),
    may("topK", Number),
    may("seed", Whole),
    may("presencePenalty", Number),
    may("frequencyPenalty", Number),
    may("responseLogprobs", Flag),
    may("logprobs", Whole),
    may("enableEnhancedCivicAnswers", Flag),
    may("speechConfig", Map),
    may(
        "thinkingConfig",
        Object(&[may("includeThoughts", Flag), may("thinkingBudget", Whole), may("thinkingLevel", Text)]),
    ),
    may("imageConfig", Map),
    may("mediaResolution", Text),
]);

const SAFETY: Kind = List(&Object(&[must("category", Text), must("threshold", Text)]));

/// All of them.
pub const REQUEST: Kind = Object(&[
    must("contents", List(&CONTENT)),
    may("model", Text),
    may("tools", List(&TOOL)),
    may("toolConfig", TOOL_CONFIG),
    may("safetySettings", SAFETY),
    may("systemInstruction", CONTENT),
    may("generationConfig", GENERATION),
    may("cachedContent", Text),
    may("serviceTier", Text),
    may("store", Flag),
]);

/// Those of a request to count.
pub const COUNT: Kind = Object(&[may("contents", List(&CONTENT)), may("generateContentRequest", REQUEST)]);

const EMBEDDED: &[Field] = &[
    may("model", Text),
    must("content", CONTENT),
    may("taskType", Text),
    may("title", Text),
    may("outputDimensionality", Whole),
    may("autoTruncate", Flag),
    may("embedContentConfig", Map),
];
/// Those of a request to embed.
pub const EMBED: Kind = Object(EMBEDDED);
/// Those of a request to embed several.
pub const EMBED_MANY: Kind = Object(&[must("requests", List(&Object(EMBEDDED)))]);
