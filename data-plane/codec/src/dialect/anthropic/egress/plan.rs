//! What of a request can be said together: the shape of the answer, the choice of tools, thinking, and sampling depend
//! on each other and on the model. Decided before anything is written.

use std::borrow::Cow;
use std::collections::HashSet;

use super::shape::Shape;
use crate::bridge::RequestEdits;
use crate::dialect::anthropic::{ID, quirks};
use crate::error::BodyFault;
use crate::json::{Cursor, Kind};
use crate::loss::{Loss, Losses};
use crate::model::{Effort, Request, ToolChoice, ToolKind};
use crate::refusal;

/// The limit where neither the client, nor the gateway, nor the catalogue names one.
const USUAL_LIMIT: u64 = 4_096;
/// The least that a model may be given to think with.
const LEAST_BUDGET: u64 = 1_024;
/// The least top-p that goes together with thinking.
const THINKING_TOP_P: f64 = 0.95;

/// What is written.
#[derive(Debug)]
pub(super) struct Plan<'r> {
    pub is_own: bool,
    pub max_tokens: u64,
    pub shape: Shape<'r>,
    pub choice: Option<Choice<'r>>,
    pub thinking: Option<Thinking>,
    pub effort: Option<Effort>,
    pub temperature: Option<Cow<'r, str>>,
    pub top_p: Option<&'r str>,
    pub top_k: Option<&'r str>,
}

/// Which tools may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice<'r> {
    Auto,
    None,
    Any,
    Tool(&'r str),
}

/// Whether and how the model thinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Thinking {
    pub mode: Mode,
    pub shown: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Off,
    Adaptive,
    /// With tokens of thinking at most.
    Budget(u64),
}

impl<'r> Plan<'r> {
    /// `can_think` is false where the conversation forbids thinking with a budget: its last turn with tools has none.
    pub fn new(
        request: &'r Request<'_>,
        wanted: &RequestEdits<'_>,
        can_think: bool,
        losses: &mut Losses,
    ) -> Result<Plan<'r>, BodyFault> {
        let params = &request.params;
        if params.choices.is_some_and(|choices| choices > 1) {
            return Err(refusal::unsupported(
                "n",
                "the provider of this model gives one answer only, so `n` must be 1",
            ));
        }
        let mut plan = Plan {
            is_own: request.from == ID,
            max_tokens: wanted.token_limit.or(params.max_output).or(wanted.max_output).unwrap_or(USUAL_LIMIT),
            shape: Shape::Free,
            choice: None,
            thinking: None,
            effort: None,
            temperature: params.temperature.map(Cow::Borrowed),
            top_p: params.top_p,
            top_k: params.top_k,
        };
        plan.choose_tools(request, wanted, losses);
        plan.choose_shape(request, wanted, losses);
        plan.choose_thinking(request, wanted, can_think, losses);
        if !plan.is_own {
            plan.choose_sampling(wanted, losses);
        }
        Ok(plan)
    }

    fn choose_tools(&mut self, request: &'r Request<'_>, wanted: &RequestEdits<'_>, losses: &mut Losses) {
        if offered(request).next().is_none() {
            return;
        }
        let forced = match &request.tool_choice {
            None => return,
            Some(ToolChoice::Auto | ToolChoice::Among { required: false, .. }) => Choice::Auto,
            Some(ToolChoice::None) => Choice::None,
            Some(ToolChoice::Required) => Choice::Any,
            Some(ToolChoice::Named(name)) => Choice::Tool(name),
            Some(ToolChoice::Among { names, required: true }) => match names.as_slice() {
                [name] => Choice::Tool(name),
                _ => Choice::Any,
            },
        };
        let is_refused = forced.is_forced() && quirks::thinks_always(wanted.quirks) && !self.is_own;
        losses.note_if(is_refused, Loss::ToolChoice);
        self.choice = Some(if is_refused { Choice::Auto } else { forced });
    }

    fn choose_shape(&mut self, request: &'r Request<'_>, wanted: &RequestEdits<'_>, losses: &mut Losses) {
        let Some(format) = &request.params.format else { return };
        self.shape = match self.is_own {
            true => Shape::own(format),
            false => Shape::of(format, wanted, self.choice.is_some_and(Choice::is_forced), losses),
        };
        if matches!(self.shape, Shape::Forced(_)) {
            let has_others = offered(request).next().is_some() && self.choice != Some(Choice::None);
            self.choice = Some(if has_others { Choice::Any } else { Choice::Tool(super::ANSWER_TOOL) });
        }
    }

    fn choose_thinking(
        &mut self,
        request: &'r Request<'_>,
        wanted: &RequestEdits<'_>,
        can_think: bool,
        losses: &mut Losses,
    ) {
        let Some(reasoning) = &request.params.reasoning else { return };
        let is_unusual = reasoning.summary.as_deref().is_some_and(|kind| kind != "auto");
        losses.note_if(is_unusual, Loss::ReasoningSummary);
        let shown = reasoning.shown.or(reasoning.summary.as_ref().map(|_| true));
        let is_off = reasoning.enabled == Some(false) || reasoning.effort == Some(Effort::None);
        let adaptive = quirks::thinks_adaptively(wanted.quirks);
        if self.is_own {
            self.effort = reasoning.effort;
            let mode = match (reasoning.enabled, reasoning.budget) {
                (None, _) => return,
                (Some(false), _) => Mode::Off,
                (Some(true), None) => Mode::Adaptive,
                (Some(true), Some(budget)) => Mode::Budget(budget),
            };
            self.thinking = Some(Thinking { mode, shown });
        } else if is_off {
            match quirks::thinks_always(wanted.quirks) {
                true => losses.note(Loss::ReasoningSwitch),
                false => self.thinking = Some(Thinking { mode: Mode::Off, shown: None }),
            }
            return;
        } else if adaptive {
            self.effort = self.told_effort(reasoning.effort, reasoning.budget, losses);
            self.thinking = Some(Thinking { mode: Mode::Adaptive, shown });
            return;
        } else {
            let effort = reasoning.effort.or(reasoning.enabled.map(|_| Effort::Medium));
            let budget = reasoning.budget.or(effort.and_then(|effort| effort.budget(self.max_tokens)));
            self.thinking = budget.map(|budget| Thinking { mode: Mode::Budget(budget), shown });
        }
        let Some(Thinking { mode: Mode::Budget(budget), .. }) = self.thinking else { return };
        if !can_think || self.choice.is_some_and(Choice::is_forced) {
            losses.note(Loss::ReasoningSwitch);
            self.thinking = None;
        } else if self.max_tokens <= LEAST_BUDGET {
            losses.note(Loss::ReasoningBudget);
            self.thinking = None;
        } else {
            let allowed = budget.clamp(LEAST_BUDGET, self.max_tokens - 1);
            losses.note_if(reasoning.budget.is_some_and(|asked| asked != allowed), Loss::ReasoningBudget);
            self.thinking = Some(Thinking { mode: Mode::Budget(allowed), shown });
        }
    }

    /// The effort in Anthropic's words.
    fn told_effort(&self, effort: Option<Effort>, budget: Option<u64>, losses: &mut Losses) -> Option<Effort> {
        losses.note_if(budget.is_some(), Loss::ReasoningBudget);
        let effort = effort.or(budget.map(|budget| Effort::of_budget(budget, self.max_tokens)))?;
        let is_too_low = effort < Effort::Low;
        losses.note_if(is_too_low && budget.is_none(), Loss::ReasoningEffort);
        Some(if is_too_low { Effort::Low } else { effort })
    }

    fn choose_sampling(&mut self, wanted: &RequestEdits<'_>, losses: &mut Losses) {
        let thinks = self.thinking.is_some_and(|thinking| thinking.mode != Mode::Off);
        let refuses = quirks::refuses_sampling(wanted.quirks);
        let read = |number: &str| number.parse::<f64>().unwrap_or(1.0);
        if let Some(asked) = self.temperature.as_deref().map(read) {
            if refuses || (thinks && asked != 1.0) {
                losses.note(Loss::Temperature);
                self.temperature = None;
            } else if asked > 1.0 {
                losses.note(Loss::TemperatureRange);
                self.temperature = Some(Cow::Borrowed("1"));
            }
        }
        // The newer models refuse both together, and a temperature is what most people mean.
        let is_lost = |asked: f64| refuses || self.temperature.is_some() || (thinks && asked < THINKING_TOP_P);
        if self.top_p.map(read).is_some_and(is_lost) {
            losses.note(Loss::TopP);
            self.top_p = None;
        }
        if self.top_k.is_some() && (refuses || thinks) {
            losses.note(Loss::TopK);
            self.top_k = None;
        }
    }
}

impl Choice<'_> {
    /// Whether a tool must be called.
    pub fn is_forced(self) -> bool {
        matches!(self, Choice::Any | Choice::Tool(_))
    }
}

/// The places of the tools that may be called: all of them, unless the choice is among some.
pub(super) fn offered<'r>(request: &'r Request<'_>) -> impl Iterator<Item = usize> + use<'r> {
    let among = match &request.tool_choice {
        Some(ToolChoice::Among { names, .. }) => Some(names.iter().map(|name| &**name).collect::<HashSet<_>>()),
        _ => None,
    };
    let is_offered = move |kind: &ToolKind<'_>| match (kind, &among) {
        (ToolKind::Function { name, .. }, Some(names)) => names.contains(&**name),
        _ => true,
    };
    request.tools.iter().enumerate().filter(move |(_, tool)| is_offered(&tool.kind)).map(|(at, _)| at)
}

/// The type that a schema names for the whole value, if it names one.
pub(super) fn root_type(schema: &str) -> Option<Cow<'_, str>> {
    let mut cursor = Cursor::lenient(schema.as_bytes());
    let mut more = cursor.open_object().ok()?;
    while more {
        let key = cursor.key().ok()?;
        if &*cursor.name(key) == b"type" && cursor.kind().ok()? == Kind::String {
            let word = cursor.string().ok()?;
            return cursor.text(word);
        }
        cursor.pass().ok()?;
        more = cursor.next_field().ok()?;
    }
    None
}
