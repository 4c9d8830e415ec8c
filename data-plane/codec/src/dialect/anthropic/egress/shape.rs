//! How an answer gets the shape that was asked for: natively where the model knows how and the schema can be said so, as
//! the input of a tool else, and in words where that cannot be.

use std::borrow::Cow;

use super::plan::root_type;
use crate::bridge::RequestEdits;
use crate::dialect::anthropic::quirks;
use crate::loss::{Loss, Losses};
use crate::model::Format;
use crate::schema::{self, Effect, SchemaFaultKind};

/// What is asked of the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape<'r> {
    Free,
    /// Asked for in words only, with a schema or for any JSON.
    Words(Option<&'r str>),
    Native(Cow<'r, str>),
    /// As the input of a tool.
    Forced(&'r str),
}

impl<'r> Shape<'r> {
    /// The shape of a request of another dialect. `is_calling` says that a tool must be called anyway.
    pub fn of(format: &'r Format<'_>, wanted: &RequestEdits<'_>, is_calling: bool, losses: &mut Losses) -> Shape<'r> {
        let can_force = !quirks::thinks_always(wanted.quirks);
        match format {
            Format::Text => Shape::Free,
            Format::Json | Format::Schema { .. } if is_calling && quirks::forces_tool(wanted.quirks) => Shape::Free,
            Format::Json if quirks::forces_tool(wanted.quirks) && can_force => Shape::Forced(r#"{"type":"object"}"#),
            Format::Json => {
                losses.note(Loss::JsonMode);
                Shape::Words(None)
            }
            Format::Schema { schema, .. } if quirks::forces_tool(wanted.quirks) => forced(schema, can_force, losses),
            Format::Schema { schema, .. } => native(schema, can_force && !is_calling, losses),
        }
    }

    /// The shape of a request of this very dialect, which knows what it asks for.
    pub fn own(format: &'r Format<'_>) -> Shape<'r> {
        match format {
            Format::Schema { schema, .. } => Shape::Native(Cow::Borrowed(schema)),
            Format::Text | Format::Json => Shape::Free,
        }
    }
}

/// A tool's input keeps to its schema mostly, but nobody enforces it.
fn forced<'r>(schema: &'r str, can_force: bool, losses: &mut Losses) -> Shape<'r> {
    losses.note(Loss::Schema);
    match can_force && root_type(schema).is_none_or(|root| root == "object") {
        true => Shape::Forced(schema),
        false => Shape::Words(Some(schema)),
    }
}

/// Natively, unless that would shut out answers that were asked for: objects that are to be open, and schemas that contain
/// themselves.
fn native<'r>(schema: &'r str, can_force: bool, losses: &mut Losses) -> Shape<'r> {
    match schema::for_anthropic(schema) {
        Ok(converted) if !converted.changed.iter().any(|change| change.effect == Effect::Narrowed) => {
            losses.note_if(converted.losses().next().is_some(), Loss::SchemaKeywords);
            Shape::Native(Cow::Owned(converted.json))
        }
        Err(fault) if fault.kind != SchemaFaultKind::Endless => Shape::Native(Cow::Borrowed(schema)),
        Ok(_) | Err(_) => forced(schema, can_force, losses),
    }
}

/// A tool's schema as it is enforced strictly; none where it cannot be.
pub(super) fn strict(schema: Option<&str>) -> Option<String> {
    let converted = schema::for_anthropic(schema?).ok()?;
    let is_lossless = converted.losses().next().is_none();
    is_lossless.then_some(converted.json)
}
