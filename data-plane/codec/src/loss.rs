//! What a translation could not say. Every loss has a name, is noted where it happens, and is shown to the caller in
//! `x-tollgate-loss`; the table of who cannot say what is made from the dialects' own lists. Never silent, never text.

use std::fmt;

use crate::dialect::DIALECTS;

macro_rules! losses {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $why:literal;)*) => {
        /// A thing that the target dialect cannot say.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Loss { $($(#[$doc])* $variant),* }

        impl Loss {
            /// Every loss, in the order of the published table.
            pub const ALL: &[Loss] = &[$(Loss::$variant),*];

            /// The name in the header.
            pub const fn name(self) -> &'static str {
                match self { $(Loss::$variant => $name),* }
            }

            /// What is lost, for the published table.
            pub const fn why(self) -> &'static str {
                match self { $(Loss::$variant => $why),* }
            }
        }
    };
}

losses! {
    Temperature = "temperature", "the model or the API version takes no temperature";
    TemperatureRange = "temperature_range", "the temperature is lowered to the target's highest";
    TopP = "top_p", "nucleus sampling is not taken together with a temperature, or not at all";
    TopK = "top_k", "there is no top-k sampling";
    MinP = "min_p", "there is no min-p sampling";
    TopA = "top_a", "there is no top-a sampling";
    FrequencyPenalty = "frequency_penalty", "there is no frequency penalty";
    PresencePenalty = "presence_penalty", "there is no presence penalty";
    RepetitionPenalty = "repetition_penalty", "there is no repetition penalty";
    Seed = "seed", "there is no seed";
    Stop = "stop", "there are no stop sequences";
    StopCount = "stop_count", "fewer stop sequences are taken; the first ones are kept";
    StopBlank = "stop_blank", "stop sequences of white space only are not taken";
    TokenLimit = "token_limit", "the limit of tokens is raised to the least that the target takes, or lowered to the most that the model gives";
    Logprobs = "logprobs", "there are no log probabilities";
    LogitBias = "logit_bias", "there is no bias on tokens";
    JsonMode = "json_mode", "JSON without a schema is asked for in words only";
    Schema = "json_schema", "the schema is not enforced by the target";
    SchemaKeywords = "json_schema_keywords", "keywords that the target does not know are left out of the schema";
    Strict = "strict", "schemas of tools are not enforced strictly";
    ToolChoice = "tool_choice", "tools cannot be forced so; the model chooses";
    AllowedTools = "allowed_tools", "the choice cannot be narrowed to some tools";
    ParallelTools = "parallel_tool_calls", "several calls in one answer cannot be switched off or on";
    ToolName = "tool_name", "a tool's name was changed for the target and is changed back in answers";
    ToolError = "tool_error", "that a tool failed is said in words only";
    ToolMedia = "tool_media", "media in a tool's result stands beside it";
    Reasoning = "reasoning", "earlier reasoning cannot be sent to the target";
    ReasoningSignature = "reasoning_signature", "sealed reasoning of another endpoint is left out";
    ReasoningEffort = "reasoning_effort", "the effort is rounded to what the target knows";
    ReasoningBudget = "reasoning_budget", "a budget of thinking is said as an effort, or is changed to what is allowed";
    ReasoningSummary = "reasoning_summary", "the kind of summary cannot be chosen";
    ReasoningSwitch = "reasoning_switch", "thinking cannot be switched on or off there";
    Verbosity = "verbosity", "there is no verbosity";
    CacheMark = "cache_control", "the target caches by itself; marks are left out";
    CacheKey = "prompt_cache_key", "there is no key for the prompt cache";
    ServiceTier = "service_tier", "the service tier has no counterpart";
    User = "user", "the end user cannot be named";
    Metadata = "metadata", "metadata is not taken";
    Modalities = "modalities", "the kinds of output cannot be chosen";
    Developer = "developer", "developer text becomes system text";
    SystemPlace = "system_place", "system text within the conversation moves to its start";
    FirstTurn = "first_turn", "a conversation that begins with the assistant gets a user's turn before it";
    SpeakerName = "name", "speakers have no names";
    ImageDetail = "image_detail", "how closely an image is looked at cannot be chosen";
    FileName = "file_name", "files have no names";
    EmptyPart = "empty_part", "empty parts are not taken and are left out";
    Part = "part", "a part that only the client's dialect knows is left out";
    Field = "field", "fields that only the client's dialect knows are left out";
    Annotations = "annotations", "citations have another shape and are left out";
    Refusal = "refusal", "a refusal becomes text";
    AnswerLogprobs = "answer_logprobs", "log probabilities of the answer have no place";
    AnswerMedia = "answer_media", "media in the answer has no place";
    AnswerChoices = "answer_choices", "only the first of several answers has a place";
    AnswerPart = "answer_part", "a part that only the provider's dialect knows is left out";
}

/// Losses of one translation.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses(u64);

impl Losses {
    /// Notes one.
    pub fn note(&mut self, loss: Loss) {
        self.0 |= 1 << (loss as u8);
    }

    /// Notes one if it happened.
    pub fn note_if(&mut self, happened: bool, loss: Loss) {
        if happened {
            self.note(loss);
        }
    }

    /// All but this one.
    #[must_use]
    pub fn without(self, loss: Loss) -> Losses {
        Losses(self.0 & !(1 << (loss as u8)))
    }

    /// Whether this one was noted.
    pub fn has(&self, loss: Loss) -> bool {
        self.0 >> (loss as u8) & 1 == 1
    }

    /// Whether nothing was lost.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// These and those.
    pub fn and(self, other: Losses) -> Losses {
        Losses(self.0 | other.0)
    }

    /// The noted ones, in the table's order.
    pub fn iter(self) -> impl Iterator<Item = Loss> {
        Loss::ALL.iter().copied().filter(move |loss| self.has(*loss))
    }
}

/// The published table, in Markdown: what each dialect cannot say of requests to its providers and of answers to its
/// clients.
pub fn table() -> String {
    let mut head = String::from("| loss | what is lost |");
    let mut line = String::from("| --- | --- |");
    for dialect in DIALECTS.iter().filter(|dialect| dialect.translates()) {
        head.push_str(&format!(" {} |", dialect.id));
        line.push_str(" --- |");
    }
    let mut table = format!("{head}\n{line}\n");
    for loss in Loss::ALL {
        table.push_str(&format!("| `{}` | {} |", loss.name(), loss.why()));
        for dialect in DIALECTS.iter().filter(|dialect| dialect.translates()) {
            let in_requests = dialect.request_losses().any(|other| other == *loss);
            let in_answers = dialect.answer_losses().any(|other| other == *loss);
            table.push_str(match (in_requests, in_answers) {
                (true, true) => " requests, answers |",
                (true, false) => " requests |",
                (false, true) => " answers |",
                (false, false) => " |",
            });
        }
        table.push('\n');
    }
    table
}

/// As in the header: `seed, top_k`.
impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, loss) in self.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { ", " })?;
            f.write_str(loss.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_once_and_in_order() {
        assert!(Loss::ALL.len() <= 64);
        let mut losses = Losses::default();
        assert!(losses.is_empty());
        for loss in [Loss::TopK, Loss::Seed, Loss::TopK] {
            losses.note(loss);
        }
        losses.note_if(false, Loss::User);
        assert_eq!(losses.to_string(), "top_k, seed");
        assert!(losses.has(Loss::Seed) && !losses.has(Loss::User));
        let names: std::collections::HashSet<_> = Loss::ALL.iter().map(|loss| loss.name()).collect();
        assert_eq!(names.len(), Loss::ALL.len());
    }
}
