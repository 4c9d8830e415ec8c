//! The conversation as Google wants it: system text apart, turns of one side in one content, all results of one step in
//! one content right behind their calls, what else the user said behind that.

use std::collections::HashMap;

use super::ask::Ask;
use super::part::Pen;
use crate::error::BodyFault;
use crate::json::Writer;
use crate::loss::{Loss, Losses};
use crate::model::{Part, PartBody, Role};
use crate::refusal;

/// What one side says at once.
struct Content<'r, 'a> {
    is_model: bool,
    /// Results of functions; parts that stand beside them come behind.
    results: Vec<&'r Part<'a>>,
    parts: Vec<&'r Part<'a>>,
}

pub(super) fn write<'r, 'a>(ask: &Ask<'r, 'a>, out: &mut Writer, losses: &mut Losses) -> Result<(), BodyFault> {
    let mut pen = Pen::new(ask, losses);
    let system = system(ask, &mut pen);
    let mut contents = contents(ask, &mut pen);
    if contents.is_empty() {
        // There is no answer to nothing: what there is takes the user's place.
        if system.is_empty() && !ask.is_own {
            return Err(refusal::nothing_said(ask.request));
        }
        pen.losses.note_if(!system.is_empty(), Loss::SystemPlace);
        contents.push(Content { is_model: false, results: Vec::new(), parts: system });
    } else if !system.is_empty() {
        out.key("systemInstruction");
        out.begin_object();
        parts(&mut pen, &system, out)?;
        out.end_object();
    }
    out.key("contents");
    out.begin_array();
    let mut calls: HashMap<&str, usize> = HashMap::new();
    for content in &mut contents {
        content.results.sort_by_key(|result| place_of(&calls, result));
        content.write(&mut pen, out)?;
        if content.is_model {
            calls.clear();
            for (place, part) in content.parts.iter().enumerate() {
                if let PartBody::ToolCall { id, .. } = &part.body {
                    calls.entry(id).or_insert(place);
                }
            }
        }
    }
    out.end_array();
    Ok(())
}

/// Where among the calls of the step before the one stands that this is the result of. Google tells results without ids
/// apart by their order.
fn place_of(calls: &HashMap<&str, usize>, result: &Part<'_>) -> usize {
    let PartBody::ToolResult { id, .. } = &result.body else { return usize::MAX };
    calls.get(&**id).copied().unwrap_or(usize::MAX)
}

/// All system text in its order, wherever it stands.
fn system<'r, 'a>(ask: &Ask<'r, 'a>, pen: &mut Pen<'_, 'r, 'a>) -> Vec<&'r Part<'a>> {
    let is_system = |role: Role| matches!(role, Role::System | Role::Developer);
    let turns = &ask.request.turns;
    let first = turns.iter().position(|turn| !is_system(turn.role)).unwrap_or(turns.len());
    let is_late = turns.iter().skip(first).any(|turn| is_system(turn.role));
    pen.losses.note_if(is_late, Loss::SystemPlace);
    // A rank is lost only where there are two.
    let has = |role: Role| turns.iter().any(|turn| turn.role == role);
    pen.losses.note_if(has(Role::System) && has(Role::Developer), Loss::Developer);
    let parts = turns.iter().filter(|turn| is_system(turn.role)).flat_map(|turn| &turn.parts);
    parts.filter(|part| pen.has_place(part)).collect()
}

fn contents<'r, 'a>(ask: &Ask<'r, 'a>, pen: &mut Pen<'_, 'r, 'a>) -> Vec<Content<'r, 'a>> {
    let mut contents: Vec<Content<'r, 'a>> = Vec::new();
    // Where the results of this step stand, and where they are to stand.
    let (mut step, mut behind_calls) = (None::<usize>, None::<usize>);
    let turns = ask.request.turns.iter().filter(|turn| matches!(turn.role, Role::User | Role::Assistant));
    for turn in turns {
        pen.losses.note_if(turn.name.is_some(), Loss::SpeakerName);
        let is_model = turn.role == Role::Assistant;
        let is_result = |part: &&&Part<'_>| matches!(part.body, PartBody::ToolResult { .. });
        let written: Vec<&'r Part<'a>> = turn.parts.iter().filter(|part| pen.has_place(part)).collect();
        let results: Vec<_> = written.iter().filter(is_result).copied().collect();
        let others: Vec<_> = written.iter().filter(|part| !is_result(part)).copied().collect();
        if !results.is_empty() {
            match step.and_then(|at| contents.get_mut(at)) {
                Some(content) => content.results.extend(results),
                None => {
                    // Results stand right behind their calls, before anything that the user said in between.
                    let at = behind_calls.unwrap_or(contents.len());
                    contents.insert(at.min(contents.len()), Content { is_model: false, results, parts: Vec::new() });
                    step = Some(at);
                }
            }
        }
        if others.is_empty() {
            continue;
        }
        match contents.last_mut().filter(|last| last.is_model == is_model && last.results.is_empty()) {
            Some(last) => last.parts.extend(others),
            None => {
                contents.push(Content { is_model, results: Vec::new(), parts: others });
                if is_model {
                    (step, behind_calls) = (None, Some(contents.len()));
                }
            }
        }
    }
    contents
}

impl Content<'_, '_> {
    fn write(&self, pen: &mut Pen<'_, '_, '_>, out: &mut Writer) -> Result<(), BodyFault> {
        out.begin_object();
        out.field_str("role", if self.is_model { "model" } else { "user" });
        match self.results.is_empty() {
            true => parts(pen, &self.parts, out)?,
            false => {
                out.key("parts");
                out.begin_array();
                self.results.iter().try_for_each(|result| pen.result(result, out))?;
                self.results.iter().try_for_each(|result| pen.beside(result, out))?;
                out.end_array();
            }
        }
        out.end_object();
        Ok(())
    }
}

fn parts(pen: &mut Pen<'_, '_, '_>, parts: &[&Part<'_>], out: &mut Writer) -> Result<(), BodyFault> {
    out.key("parts");
    out.begin_array();
    pen.begin(parts);
    parts.iter().try_for_each(|part| pen.part(part, out))?;
    if parts.is_empty() {
        // Google wants at least one.
        out.begin_object();
        out.field_str("text", "");
        out.end_object();
    }
    out.end_array();
    Ok(())
}
