//! The half that faces Google's clients: `read` and what it calls make canonical words of a request; `whole` and
//! `events` write answers.

mod config;
mod content;
mod events;
mod fault;
mod part;
mod read;
mod tools;
mod whole;

pub(super) use events::Events;
pub(super) use read::decode;
pub(super) use whole::encode;

use crate::loss::Loss;

/// What an answer can lose on its way to these clients.
pub(super) const LOSSES: &[Loss] = &[Loss::Annotations, Loss::Refusal, Loss::AnswerMedia, Loss::AnswerPart];

/// Whether a request asked for thoughts. Whoever did not is shown none: the first part of an answer is its text for
/// most. A key in a JSON text cannot be confused with the same words in a prompt, whose quotes are escaped.
fn asks_for_thoughts(request: &[u8]) -> bool {
    [&b"includeThoughts\""[..], b"include_thoughts\""].into_iter().any(|key| {
        memchr::memmem::find_iter(request, key).any(|at| {
            let before = request.get(..at).unwrap_or_default();
            let behind = request.get(at + key.len()..).unwrap_or_default().trim_ascii_start();
            let value = behind.strip_prefix(b":").unwrap_or_default().trim_ascii_start();
            before.ends_with(b"\"") && !before.ends_with(b"\\\"") && value.starts_with(b"true")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_key_that_is_true_asks_for_thoughts() {
        for (request, asks) in [
            (r#"{"generationConfig":{"thinkingConfig":{"includeThoughts":true}}}"#, true),
            (r#"{"generation_config":{"thinking_config":{"include_thoughts" : true}}}"#, true),
            (r#"{"generationConfig":{"thinkingConfig":{"includeThoughts":false}}}"#, false),
            (r#"{"contents":[{"parts":[{"text":"{\"includeThoughts\":true}"}]}]}"#, false),
            (r#"{"contents":[{"parts":[{"text":"includeThoughts"}]}]}"#, false),
            ("", false),
        ] {
            assert_eq!(asks_for_thoughts(request.as_bytes()), asks, "{request}");
        }
    }
}
