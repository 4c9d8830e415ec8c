//! Compatible providers as the seed's rows have them: `seed` reads the rows, `quirks` proves what each named quirk does to
//! requests, `requests` and `answers` send every recording of a provider through the bridges of all clients.

mod answers;
mod quirks;
mod requests;
mod seed;

/// The dialects that clients speak.
const CLIENTS: [&str; 4] = ["openai-chat", "openai-responses", "anthropic", "gemini"];

/// A provider with recordings of its own: the folder, and its id in the seed.
const RECORDED: [(&str, &str); 7] = [
    ("mistral", "mistral"),
    ("groq", "groq"),
    ("xai-chat", "xai"),
    ("xai-responses", "xai"),
    ("deepseek", "deepseek"),
    ("openrouter", "openrouter"),
    ("openai-chat", "openai"),
];
