//! Why an answer ended, in this dialect's words and in canonical ones.

use crate::model::Finish;

/// What a provider's word means. Words of other families come through compatible providers as well.
pub(super) fn read(word: &str) -> Finish {
    match word {
        "stop" | "end_turn" | "eos" => Finish::Stop,
        "stop_sequence" => Finish::StopSequence,
        "length" | "max_tokens" | "model_length" => Finish::Length,
        "tool_calls" | "function_call" | "tool_use" => Finish::ToolCalls,
        "content_filter" => Finish::Filter,
        "refusal" => Finish::Refusal,
        "pause_turn" => Finish::Pause,
        // DeepSeek's word for an answer that it had to give up.
        "error" | "insufficient_system_resource" => Finish::Error,
        _ => Finish::Unknown,
    }
}

/// What the rest of the answer says about why it ended: a forced call ends with `stop` at OpenAI, and so does a refusal.
pub(super) fn settle(finish: Finish, has_calls: bool, has_refusal: bool, stopped_at: Option<&str>) -> Finish {
    match finish {
        Finish::Stop if has_calls => Finish::ToolCalls,
        Finish::Stop if has_refusal => Finish::Refusal,
        Finish::Stop if stopped_at.is_some() => Finish::StopSequence,
        finish => finish,
    }
}

/// The word for a client. What this dialect has no word for keeps the provider's own: it is never called a stop.
pub(super) fn word(finish: Finish, native: &str, has_refusal: bool, is_legacy: bool) -> &str {
    match finish {
        Finish::Stop | Finish::StopSequence => "stop",
        Finish::Length => "length",
        Finish::ToolCalls if is_legacy => "function_call",
        Finish::ToolCalls => "tool_calls",
        Finish::Filter => "content_filter",
        // With the words of the refusal beside it, a refusal is an answer; without, something was kept back.
        Finish::Refusal if has_refusal => "stop",
        Finish::Refusal => "content_filter",
        Finish::Error => "error",
        Finish::Pause if native.is_empty() => "pause_turn",
        Finish::Unknown if native.is_empty() => "unknown",
        // The native word, unless it would read as one of ours.
        Finish::Pause | Finish::Unknown if matches!(read(native), Finish::Unknown | Finish::Pause) => native,
        Finish::Pause | Finish::Unknown => "unknown",
    }
}
