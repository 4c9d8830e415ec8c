//! Writes a request. Everything is said, or noted as a loss, or refused where leaving it out would change what the answer
//! means.

use std::collections::HashSet;

use super::{content, messages};
use crate::bridge::RequestEdits;
use crate::dialect::Quirks;
use crate::dialect::openai_chat::{ID, quirks};
use crate::error::BodyFault;
use crate::json::Writer;
use crate::loss::{Loss, Losses};
use crate::model::{Effort, Format, Reasoning, Request, ToolChoice, ToolKind};
use crate::names;
use crate::refusal;

/// A limit of answer tokens where nobody says one, for the sizing of thoughts only.
const USUAL_LIMIT: u64 = 16_384;

pub(super) fn encode(
    request: &Request<'_>,
    wanted: &RequestEdits<'_>,
    out: &mut Writer,
    losses: &mut Losses,
) -> Result<(), BodyFault> {
    let is_own = request.from == ID;
    let mut writer = RequestWriter { request, wanted, quirks: wanted.quirks, is_own, out, losses };
    writer.all()
}

/// How much thinking is wanted, as an object of the endpoint's own fields.
pub(in crate::dialect::openai_chat) fn write_reasoning(
    request: &Request<'_>,
    wanted: &RequestEdits<'_>,
    out: &mut Writer,
    losses: &mut Losses,
) {
    out.begin_object();
    RequestWriter { request, wanted, quirks: wanted.quirks, is_own: false, out, losses }.reasoning();
    out.end_object();
}

struct RequestWriter<'w, 'a> {
    request: &'w Request<'a>,
    wanted: &'w RequestEdits<'w>,
    quirks: Quirks,
    /// Read from this dialect: what only it can say is written back.
    is_own: bool,
    out: &'w mut Writer,
    losses: &'w mut Losses,
}

impl RequestWriter<'_, '_> {
    fn all(&mut self) -> Result<(), BodyFault> {
        self.out.begin_object();
        self.out.field_str("model", self.wanted.upstream_model);
        self.messages()?;
        if self.request.stream {
            self.out.field_bool("stream", true);
            if !quirks::refuses_stream_options(self.quirks) {
                self.out.field_raw("stream_options", "{\"include_usage\":true}");
            }
        }
        self.limit();
        self.sampling();
        self.tools()?;
        self.format();
        self.reasoning();
        self.rest();
        self.extra();
        self.out.end_object();
        Ok(())
    }

    fn messages(&mut self) -> Result<(), BodyFault> {
        self.out.key("messages");
        self.out.begin_array();
        if let Some(text) = self.instruction() {
            self.out.begin_object();
            self.out.field_str("role", "system");
            self.out.field_str("content", &text);
            self.out.end_object();
        }
        messages::encode(self.request, self.quirks, self.out, self.losses)?;
        self.out.end_array();
        Ok(())
    }

    /// What must be said in words: the schema, where the provider takes none; that JSON is wanted, where providers insist
    /// on reading it.
    fn instruction(&self) -> Option<String> {
        match &self.request.params.format {
            Some(Format::Schema { schema, .. }) if quirks::has_no_json_schema(self.quirks) => {
                Some(format!("Answer only with JSON that fits this schema: {schema}"))
            }
            Some(Format::Json) if !self.is_own && !self.request.mentions_json() => Some("Answer in JSON.".to_owned()),
            _ => None,
        }
    }

    fn limit(&mut self) {
        let limit = self.wanted.token_limit.or(self.request.params.max_output);
        let name = match quirks::limits_completion(self.quirks) {
            true => "max_completion_tokens",
            false => "max_tokens",
        };
        self.out.opt_u64(name, limit);
    }

    fn sampling(&mut self) {
        let params = &self.request.params;
        let usual = [("temperature", params.temperature, Loss::Temperature), ("top_p", params.top_p, Loss::TopP)];
        let penalties = [
            ("frequency_penalty", params.frequency_penalty, Loss::FrequencyPenalty),
            ("presence_penalty", params.presence_penalty, Loss::PresencePenalty),
        ];
        let more = [
            ("top_k", params.top_k, Loss::TopK),
            ("min_p", params.min_p, Loss::MinP),
            ("top_a", params.top_a, Loss::TopA),
            ("repetition_penalty", params.repetition_penalty, Loss::RepetitionPenalty),
        ];
        let samples = !quirks::has_no_sampling(self.quirks);
        for (name, value, loss) in usual {
            self.raw(name, value, samples, loss);
        }
        for (name, value, loss) in penalties {
            self.raw(name, value, !quirks::has_no_penalties(self.quirks), loss);
        }
        for (name, value, loss) in more {
            self.raw(name, value, samples && (self.is_own || quirks::samples_more(self.quirks)), loss);
        }
        self.out.opt_raw(quirks::seed_field(self.quirks), params.seed);
        self.stops();
        self.out.opt_u64("n", params.choices.filter(|choices| *choices > 1 || self.is_own));
        self.probabilities();
    }

    fn probabilities(&mut self) {
        let params = &self.request.params;
        let are_told = !quirks::has_no_logprobs(self.quirks);
        if are_told {
            self.out.opt_bool("logprobs", params.logprobs);
            self.out.opt_u64("top_logprobs", params.top_logprobs);
        } else {
            self.losses.note_if(params.logprobs == Some(true) || params.top_logprobs.is_some(), Loss::Logprobs);
        }
        let takes_bias = are_told && !self.is_core() && !quirks::has_no_penalties(self.quirks);
        self.raw("logit_bias", params.logit_bias, takes_bias, Loss::LogitBias);
    }

    fn stops(&mut self) {
        let stop = &self.request.params.stop;
        if stop.is_empty() {
            return;
        }
        if quirks::has_no_stop(self.quirks) {
            return self.losses.note(Loss::Stop);
        }
        let most = quirks::most_stops(self.quirks);
        self.losses.note_if(stop.len() > most, Loss::StopCount);
        self.out.key("stop");
        self.out.begin_array();
        stop.iter().take(most).for_each(|text| self.out.string(text));
        self.out.end_array();
    }

    /// Whether the provider refuses OpenAI's own fields. What a client of this dialect sent goes on as in any other case.
    fn is_core(&self) -> bool {
        quirks::has_core_fields_only(self.quirks)
    }

    fn raw(&mut self, name: &str, value: Option<&str>, is_taken: bool, loss: Loss) {
        match value {
            Some(value) if is_taken => self.out.field_raw(name, value),
            Some(_) => self.losses.note(loss),
            None => {}
        }
    }

    fn text(&mut self, name: &str, value: Option<&str>, is_taken: bool, loss: Loss) {
        match value {
            Some(value) if is_taken => self.out.field_str(name, value),
            Some(_) => self.losses.note(loss),
            None => {}
        }
    }

    fn tools(&mut self) -> Result<(), BodyFault> {
        let request = self.request;
        let narrowed = match &request.tool_choice {
            Some(ToolChoice::Among { names, .. }) if quirks::has_no_allowed_tools(self.quirks) => {
                Some(names.iter().map(|name| &**name).collect::<HashSet<_>>())
            }
            _ => None,
        };
        let is_offered = |kind: &ToolKind<'_>| match (kind, &narrowed) {
            (ToolKind::Function { name, .. }, Some(names)) => names.contains(&**name),
            _ => true,
        };
        let mut tools = request.tools.iter().filter(|tool| is_offered(&tool.kind)).peekable();
        if tools.peek().is_none() {
            let forced = request.tool_choice.as_ref().is_some_and(is_forced);
            self.losses.note_if(forced, Loss::ToolChoice);
            return Ok(());
        }
        self.out.key("tools");
        self.out.begin_array();
        for tool in tools {
            let marks = self.is_own || quirks::takes_cache_marks(self.quirks);
            let cache = tool.cache.filter(|_| marks);
            self.losses.note_if(tool.cache.is_some() && !marks, Loss::CacheMark);
            match &tool.kind {
                ToolKind::Native { raw, .. } if self.is_own => self.out.raw(raw),
                ToolKind::Native { at, .. } => return Err(refusal::native_tool(*at)),
                ToolKind::Function { name, description, schema, strict } => {
                    self.out.begin_object();
                    self.out.field_str("type", "function");
                    self.out.key("function");
                    self.out.begin_object();
                    self.out.field_str("name", name);
                    self.out.opt_str("description", description.as_deref());
                    self.out.opt_raw("parameters", schema.as_deref());
                    self.out.opt_bool("strict", *strict);
                    self.out.end_object();
                    content::write_cache(self.out, cache);
                    self.out.end_object();
                }
            }
        }
        self.out.end_array();
        self.choice(narrowed.is_some());
        if let Some(parallel) = request.parallel_tools {
            match quirks::has_no_parallel_switch(self.quirks) {
                false => self.out.field_bool("parallel_tool_calls", parallel),
                true => self.losses.note_if(!parallel, Loss::ParallelTools),
            }
        }
        Ok(())
    }

    fn choice(&mut self, is_narrowed: bool) {
        let Some(choice) = &self.request.tool_choice else { return };
        let required = quirks::required_word(self.quirks);
        self.out.key("tool_choice");
        match choice {
            ToolChoice::Auto => self.out.string("auto"),
            ToolChoice::None => self.out.string("none"),
            ToolChoice::Required => self.out.string(required),
            ToolChoice::Named(name) => write_choice(self.out, name),
            ToolChoice::Among { required: is_required, .. } if is_narrowed => {
                self.out.string(if *is_required { required } else { "auto" });
            }
            ToolChoice::Among { names, required } => {
                self.out.begin_object();
                self.out.field_str("type", "allowed_tools");
                self.out.key("allowed_tools");
                self.out.begin_object();
                self.out.field_str("mode", if *required { "required" } else { "auto" });
                self.out.key("tools");
                self.out.begin_array();
                names.iter().for_each(|name| write_choice(self.out, name));
                self.out.end_array();
                self.out.end_object();
                self.out.end_object();
            }
        }
    }

    fn format(&mut self) {
        match &self.request.params.format {
            None => {}
            Some(Format::Text) if !self.is_own => {}
            Some(Format::Text) => self.out.field_raw("response_format", "{\"type\":\"text\"}"),
            Some(Format::Json) => self.out.field_raw("response_format", "{\"type\":\"json_object\"}"),
            Some(Format::Schema { .. }) if quirks::has_no_json_schema(self.quirks) => {
                self.losses.note(Loss::Schema);
                self.out.field_raw("response_format", "{\"type\":\"json_object\"}");
            }
            Some(Format::Schema { name, description, schema, strict }) => {
                let name = name.as_deref().filter(|name| names::is_plain(name)).unwrap_or("response");
                self.out.key("response_format");
                self.out.begin_object();
                self.out.field_str("type", "json_schema");
                self.out.key("json_schema");
                self.out.begin_object();
                self.out.field_str("name", name);
                self.out.opt_str("description", description.as_deref());
                self.out.field_raw("schema", schema);
                self.out.opt_bool("strict", *strict);
                self.out.end_object();
                self.out.end_object();
            }
        }
    }

    fn reasoning(&mut self) {
        let Some(reasoning) = &self.request.params.reasoning else { return };
        if quirks::is_openrouter(self.quirks) {
            return self.reasoning_object(reasoning);
        }
        self.losses.note_if(reasoning.summary.is_some(), Loss::ReasoningSummary);
        match reasoning.shown {
            Some(shown) if quirks::includes_reasoning(self.quirks) => self.out.field_bool("include_reasoning", shown),
            // Providers of this dialect show what they show.
            Some(false) => self.losses.note(Loss::ReasoningSwitch),
            _ => {}
        }
        let asked = self.effort(reasoning);
        let Some(effort) = asked else { return };
        if effort == Effort::None && quirks::has_thinking_switch(self.quirks) {
            return self.out.field_raw("thinking", "{\"type\":\"disabled\"}");
        }
        if quirks::has_no_effort(self.quirks) {
            return self.losses.note(Loss::ReasoningEffort);
        }
        let known = quirks::nearest_effort(self.quirks, effort, self.is_own);
        self.losses.note_if(known != effort, Loss::ReasoningEffort);
        self.out.field_str("reasoning_effort", known.word());
    }

    /// How much thinking is asked for, in a word.
    fn effort(&mut self, reasoning: &Reasoning<'_>) -> Option<Effort> {
        if reasoning.enabled == Some(false) {
            return Some(Effort::None);
        }
        if let Some(budget) = reasoning.budget {
            if let Some(effort) = reasoning.effort {
                self.losses.note(Loss::ReasoningBudget);
                return Some(effort);
            }
            let limit = self.request.params.max_output.or(self.wanted.max_output).unwrap_or(USUAL_LIMIT);
            self.losses.note_if(budget > 0, Loss::ReasoningBudget);
            return Some(Effort::of_budget(budget, limit));
        }
        let usual = reasoning.enabled.filter(|enabled| *enabled).map(|_| Effort::Medium);
        reasoning.effort.or(usual)
    }

    /// OpenRouter takes all of it.
    fn reasoning_object(&mut self, reasoning: &Reasoning<'_>) {
        self.out.key("reasoning");
        self.out.begin_object();
        self.out.opt_bool("enabled", reasoning.enabled);
        // Both at once are refused there; the exact one counts.
        let effort = reasoning.effort.filter(|_| reasoning.budget.is_none());
        self.losses.note_if(reasoning.effort.is_some() && effort.is_none(), Loss::ReasoningEffort);
        self.out.opt_str("effort", effort.map(Effort::word));
        self.out.opt_u64("max_tokens", reasoning.budget);
        self.out.opt_bool("exclude", reasoning.shown.map(|shown| !shown));
        self.out.opt_str("summary", reasoning.summary.as_deref());
        self.out.end_object();
    }

    fn rest(&mut self) {
        let params = &self.request.params;
        let is_taken = !self.is_core();
        for (name, value, loss) in [
            ("verbosity", &params.verbosity, Loss::Verbosity),
            ("service_tier", &params.service_tier, Loss::ServiceTier),
            ("user", &params.user, Loss::User),
            ("prompt_cache_key", &params.prompt_cache_key, Loss::CacheKey),
        ] {
            self.text(name, value.as_deref(), is_taken, loss);
        }
        // OpenAI takes metadata only with stored answers, which a client of this dialect has decided on itself.
        let takes_metadata = is_taken && (self.is_own || quirks::is_openrouter(self.quirks));
        self.raw("metadata", params.metadata, takes_metadata, Loss::Metadata);
        let is_text = params.modalities.iter().all(|kind| kind == "text");
        if !is_text && !is_taken {
            self.losses.note(Loss::Modalities);
        } else if !params.modalities.is_empty() && (!is_text || self.is_own) && is_taken {
            self.out.key("modalities");
            self.out.begin_array();
            params.modalities.iter().for_each(|kind| self.out.string(kind));
            self.out.end_array();
        }
    }

    fn extra(&mut self) {
        for extra in &self.request.extra {
            match self.is_own {
                true => self.out.field_raw(&extra.name, extra.value.raw()),
                false => self.losses.note(Loss::Field),
            }
        }
    }
}

fn is_forced(choice: &ToolChoice<'_>) -> bool {
    match choice {
        ToolChoice::Auto | ToolChoice::None => false,
        ToolChoice::Required | ToolChoice::Named(_) => true,
        ToolChoice::Among { required, .. } => *required,
    }
}

fn write_choice(out: &mut Writer, name: &str) {
    out.begin_object();
    out.field_str("type", "function");
    out.key("function");
    out.begin_object();
    out.field_str("name", name);
    out.end_object();
    out.end_object();
}
