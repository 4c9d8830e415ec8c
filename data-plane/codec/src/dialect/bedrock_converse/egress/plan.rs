//! What of a request can be said together: the shape of the answer, the choice of tools, thinking, limits and sampling
//! depend on each other and on the model. Decided before anything is written.

use std::borrow::Cow;
use std::collections::HashSet;

use super::ANSWER_TOOL;
use super::talk::Talk;
use crate::bridge::RequestEdits;
use crate::dialect::bedrock_converse::model::{Maker, Model};
use crate::error::BodyFault;
use crate::json::{Cursor, Kind};
use crate::loss::{Loss, Losses};
use crate::model::{Effort, Format, Reasoning, Request, ToolChoice, ToolKind};
use crate::refusal;

/// The limit that efforts are turned into budgets by, where neither the client, nor the gateway, nor the catalogue names
/// one.
const USUAL_LIMIT: u64 = 4_096;
/// The least that a model may be given to think with.
const LEAST_BUDGET: u64 = 1_024;
/// The least top-p that goes together with thinking.
const THINKING_TOP_P: f64 = 0.95;

/// What is written.
#[derive(Debug)]
pub(super) struct Plan<'r> {
    pub max_tokens: Option<u64>,
    pub shape: Shape<'r>,
    pub tools: Tools<'r>,
    pub choice: Option<Choice<'r>>,
    /// At most one call in an answer.
    pub is_single: bool,
    pub thinking: Option<Thinking>,
    /// As Claude's models know it.
    pub effort: Option<Effort>,
    pub temperature: Option<Cow<'r, str>>,
    pub top_p: Option<&'r str>,
    pub top_k: Option<&'r str>,
}

/// How the answer gets its shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape<'r> {
    Free,
    /// Asked for in words only, with a schema or for any JSON.
    Words(Option<&'r str>),
    Native,
    /// As the input of a tool.
    Forced(&'r str),
}

/// Which tools are declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tools<'r> {
    /// None at all.
    None,
    /// Those that may be called.
    Offered,
    Only(&'r str),
    /// One that nobody should call: some must be declared where some were called earlier.
    Inert,
}

/// Which tools are to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice<'r> {
    Auto,
    Any,
    Tool(&'r str),
}

impl Choice<'_> {
    /// Whether a tool must be called.
    pub fn is_forced(self) -> bool {
        self != Choice::Auto
    }
}

/// How the model thinks, in the words of its maker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinking {
    Off,
    /// Whether its thoughts are shown, where anybody said.
    Adaptive(Option<bool>),
    /// With tokens of thinking at most.
    Budget(u64),
    /// As Amazon's and OpenAI's models know it.
    Effort(Effort),
}

impl<'r> Plan<'r> {
    pub fn new(
        request: &'r Request<'_>,
        wanted: &RequestEdits<'_>,
        model: &Model<'_>,
        talk: &Talk<'_>,
        losses: &mut Losses,
    ) -> Result<Plan<'r>, BodyFault> {
        let params = &request.params;
        if params.choices.is_some_and(|choices| choices > 1) {
            return Err(refusal::unsupported("n", "models of Bedrock give one answer only, so `n` must be 1"));
        }
        let told = wanted.token_limit.or(params.max_output);
        let mut plan = Plan {
            // Claude's models are given less than they have when nothing is said.
            max_tokens: told.or(wanted.max_output.filter(|_| model.is_claude())),
            shape: Shape::Free,
            tools: Tools::None,
            choice: None,
            is_single: false,
            thinking: None,
            effort: None,
            temperature: params.temperature.map(Cow::Borrowed),
            top_p: params.top_p,
            top_k: params.top_k,
        };
        plan.choose_tools(request, model, talk, losses)?;
        plan.choose_shape(request, model, losses);
        plan.declare_something(talk);
        if let Some(reasoning) = &params.reasoning {
            let is_unusual = reasoning.summary.as_deref().is_some_and(|kind| kind != "auto");
            losses.note_if(is_unusual, Loss::ReasoningSummary);
            plan.choose_thinking(reasoning, wanted, model, talk, losses);
        }
        plan.choose_sampling(model, losses);
        Ok(plan)
    }

    fn choose_tools(
        &mut self,
        request: &'r Request<'_>,
        model: &Model<'_>,
        talk: &Talk<'_>,
        losses: &mut Losses,
    ) -> Result<(), BodyFault> {
        let is_single = request.parallel_tools == Some(false);
        let forced = match &request.tool_choice {
            _ if offered(request).next().is_none() => return Ok(()),
            Some(ToolChoice::None) => {
                // Nothing to call where nothing is declared; where something must be, the model is only asked not to.
                losses.note_if(talk.has_tools(), Loss::ToolChoice);
                return Ok(());
            }
            None => None,
            Some(ToolChoice::Auto | ToolChoice::Among { required: false, .. }) => Some(Choice::Auto),
            Some(ToolChoice::Required) => Some(Choice::Any),
            Some(ToolChoice::Named(name)) => {
                if !is_declared(request, name) {
                    let message = format!("the tool `{name}`, which is to be called, is not among the tools");
                    return Err(refusal::unsupported("tool_choice", message));
                }
                Some(Choice::Tool(name))
            }
            Some(ToolChoice::Among { names, required: true }) => match names.as_slice() {
                [name] => Some(Choice::Tool(name)),
                _ => Some(Choice::Any),
            },
        };
        self.tools = Tools::Offered;
        self.choice = forced;
        self.is_single = is_single && model.is_claude();
        losses.note_if(is_single && !self.is_single, Loss::ParallelTools);
        if !forced.is_some_and(Choice::is_forced) {
            return Ok(());
        }
        if !model.can_force() {
            losses.note(Loss::ToolChoice);
            self.choice = Some(Choice::Auto);
        } else if let Some(Choice::Tool(name)) = forced
            && !model.knows_tools_well()
        {
            // Who must call a tool and has one only calls that one.
            (self.tools, self.choice) = (Tools::Only(name), Some(Choice::Any));
        }
        Ok(())
    }

    fn choose_shape(&mut self, request: &'r Request<'_>, model: &Model<'_>, losses: &mut Losses) {
        let schema = match &request.params.format {
            None | Some(Format::Text) => return,
            Some(Format::Json) => None,
            Some(Format::Schema { schema, .. }) => Some(&**schema),
        };
        let Some(schema) = schema else {
            losses.note(Loss::JsonMode);
            self.shape = Shape::Words(None);
            return;
        };
        if model.takes_schemas() {
            self.shape = Shape::Native;
            return;
        }
        // A tool that must be called anyway leaves no text to be shaped.
        if self.choice.is_some_and(Choice::is_forced) {
            return;
        }
        if !model.can_force() || root_type(schema).is_some_and(|root| root != "object") {
            losses.note(Loss::Schema);
            self.shape = Shape::Words(Some(schema));
            return;
        }
        self.shape = Shape::Forced(schema);
        let is_alone = self.tools == Tools::None && model.knows_tools_well();
        self.choice = Some(if is_alone { Choice::Tool(ANSWER_TOOL) } else { Choice::Any });
    }

    /// Where tools were called earlier, some must be declared.
    fn declare_something(&mut self, talk: &Talk<'_>) {
        if self.tools == Tools::None && !matches!(self.shape, Shape::Forced(_)) && talk.has_tools() {
            self.tools = Tools::Inert;
        }
    }

    fn choose_thinking(
        &mut self,
        reasoning: &Reasoning<'_>,
        wanted: &RequestEdits<'_>,
        model: &Model<'_>,
        talk: &Talk<'_>,
        losses: &mut Losses,
    ) {
        let limit = self.max_tokens.or(wanted.max_output).unwrap_or(USUAL_LIMIT);
        if reasoning.enabled == Some(false) || reasoning.effort == Some(Effort::None) || reasoning.budget == Some(0) {
            return self.think_nothing(model, losses);
        }
        let is_asked = reasoning.enabled.is_some() || reasoning.effort.is_some() || reasoning.budget.is_some();
        let effort = reasoning.effort.or(reasoning.budget.map(|budget| Effort::of_budget(budget, limit)));
        match model.maker {
            _ if !is_asked => {}
            Maker::Anthropic if model.thinks_adaptively() => {
                self.effort = told_effort(effort, reasoning, Effort::Low, Effort::Max, losses);
                self.thinking = Some(Thinking::Adaptive(reasoning.shown));
            }
            Maker::Anthropic => {
                let budget = effort.unwrap_or(Effort::Medium).budget(limit);
                self.think_within(reasoning.budget, budget.unwrap_or(LEAST_BUDGET), limit, wanted, talk, losses);
            }
            Maker::Amazon if model.is_reasoning_nova() => {
                let told = told_effort(effort, reasoning, Effort::Low, Effort::High, losses).unwrap_or(Effort::Medium);
                // The highest is refused together with any of these.
                let is_bound = self.max_tokens.is_some() || self.temperature.is_some() || self.top_p.is_some();
                let is_too_high = told == Effort::High && is_bound;
                losses.note_if(is_too_high, Loss::ReasoningEffort);
                self.thinking = Some(Thinking::Effort(if is_too_high { Effort::Medium } else { told }));
            }
            Maker::OpenAi => {
                let told = told_effort(effort, reasoning, Effort::Low, Effort::High, losses);
                self.thinking = told.map(Thinking::Effort);
            }
            Maker::Amazon | Maker::Other => losses.note(Loss::ReasoningSwitch),
        }
    }

    fn think_nothing(&mut self, model: &Model<'_>, losses: &mut Losses) {
        match model.maker {
            Maker::Anthropic if model.thinks_always() => losses.note(Loss::ReasoningSwitch),
            Maker::Anthropic if model.thinks_adaptively() => self.thinking = Some(Thinking::Off),
            // These do not think unless they are told to.
            Maker::Anthropic | Maker::Amazon => {}
            Maker::OpenAi | Maker::Other => losses.note(Loss::ReasoningSwitch),
        }
    }

    /// Thinking with a budget, where the limit has room for one and nothing forbids it.
    fn think_within(
        &mut self,
        asked: Option<u64>,
        usual: u64,
        limit: u64,
        wanted: &RequestEdits<'_>,
        talk: &Talk<'_>,
        losses: &mut Losses,
    ) {
        if !talk.can_think() || self.choice.is_some_and(Choice::is_forced) {
            return losses.note(Loss::ReasoningSwitch);
        }
        let budget = asked.unwrap_or(usual).max(LEAST_BUDGET);
        // Where nobody names a limit, one is named that leaves room for both.
        let is_free = self.max_tokens.is_none() && wanted.max_output.is_none();
        let limit = if is_free { budget.saturating_add(USUAL_LIMIT) } else { limit };
        if limit <= LEAST_BUDGET {
            return losses.note(Loss::ReasoningBudget);
        }
        let allowed = budget.min(limit - 1);
        losses.note_if(asked.is_some_and(|asked| asked != allowed), Loss::ReasoningBudget);
        self.max_tokens = Some(limit);
        self.thinking = Some(Thinking::Budget(allowed));
    }

    fn choose_sampling(&mut self, model: &Model<'_>, losses: &mut Losses) {
        let thinks = model.is_claude() && self.thinking.is_some_and(|thinking| thinking != Thinking::Off);
        let refuses = model.refuses_sampling();
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
        // Claude's newer models refuse both together, and a temperature is what most people mean.
        let is_double = model.is_claude() && self.temperature.is_some();
        let is_lost = |asked: f64| refuses || is_double || (thinks && asked < THINKING_TOP_P);
        if self.top_p.map(read).is_some_and(is_lost) {
            losses.note(Loss::TopP);
            self.top_p = None;
        }
        let takes_top_k = matches!(model.maker, Maker::Anthropic | Maker::Amazon);
        if self.top_k.is_some() && (refuses || thinks || !takes_top_k) {
            losses.note(Loss::TopK);
            self.top_k = None;
        }
    }
}

/// The effort within what the model knows.
fn told_effort(
    effort: Option<Effort>,
    reasoning: &Reasoning<'_>,
    least: Effort,
    most: Effort,
    losses: &mut Losses,
) -> Option<Effort> {
    losses.note_if(reasoning.budget.is_some(), Loss::ReasoningBudget);
    let effort = effort?;
    let told = effort.clamp(least, most);
    losses.note_if(told != effort && reasoning.budget.is_none(), Loss::ReasoningEffort);
    Some(told)
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

fn is_declared(request: &Request<'_>, wanted: &str) -> bool {
    request.tools.iter().any(|tool| matches!(&tool.kind, ToolKind::Function { name, .. } if name == wanted))
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
