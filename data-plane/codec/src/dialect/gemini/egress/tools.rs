//! Tools and how they may be called.

use super::ask::Ask;
use crate::dialect::gemini::{quirks, schema};
use crate::error::BodyFault;
use crate::json::Writer;
use crate::loss::{Loss, Losses};
use crate::model::{ToolChoice, ToolKind};
use crate::refusal;

/// Names begin with a letter or an underscore; dots and colons are letters.
pub(in crate::dialect::gemini) fn takes_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    begins && name.len() <= 64 && name.bytes().all(is_letter)
}

pub(super) fn write(ask: &Ask<'_, '_>, out: &mut Writer, losses: &mut Losses) -> Result<(), BodyFault> {
    let tools = &ask.request.tools;
    let is_function = |kind: &ToolKind<'_>| matches!(kind, ToolKind::Function { .. });
    let has_functions = tools.iter().any(|tool| is_function(&tool.kind));
    losses.note_if(tools.iter().any(|tool| tool.cache.is_some()), Loss::CacheMark);
    losses.note_if(has_functions && ask.request.parallel_tools == Some(false), Loss::ParallelTools);
    if !tools.is_empty() {
        out.key("tools");
        out.begin_array();
        if has_functions {
            functions(ask, out, losses)?;
        }
        for tool in tools {
            if let ToolKind::Native { at, name, raw } = &tool.kind {
                if !ask.is_own {
                    return Err(refusal::native_tool(*at));
                }
                out.begin_object();
                out.field_raw(name, raw);
                out.end_object();
            }
        }
        out.end_array();
    }
    config(ask, has_functions, out);
    Ok(())
}

/// All functions are one tool.
fn functions(ask: &Ask<'_, '_>, out: &mut Writer, losses: &mut Losses) -> Result<(), BodyFault> {
    out.begin_object();
    out.key("functionDeclarations");
    out.begin_array();
    for tool in &ask.request.tools {
        let ToolKind::Function { name, description, schema, .. } = &tool.kind else { continue };
        out.begin_object();
        out.field_str("name", name);
        out.opt_str("description", description.as_deref());
        if let Some(json_schema) = schema.as_deref() {
            match quirks::takes_subset(ask.wanted.quirks) {
                true if takes_nothing(json_schema) => {}
                true => out.field_raw("parameters", &schema::subset(json_schema, "tools", losses)?),
                false => out.field_raw("parametersJsonSchema", json_schema),
            }
        }
        out.end_object();
    }
    out.end_array();
    out.end_object();
    Ok(())
}

/// Whether a schema of arguments has no properties: Google's own language has no word for such an object, but to say
/// nothing.
fn takes_nothing(json_schema: &str) -> bool {
    let mut tape = crate::json::Tape::default();
    tape.read(json_schema.as_bytes()).is_ok_and(|schema| {
        let keywords = ["properties", "$ref", "anyOf", "oneOf", "allOf"];
        let says = |name: &&str| {
            schema.get(name).is_some_and(|value| {
                value.fields().next().is_some() || value.items().next().is_some() || value.is_string()
            })
        };
        !keywords.iter().any(says)
    })
}

/// `toolConfig`. A choice without functions means nothing, and Google refuses it.
fn config(ask: &Ask<'_, '_>, has_functions: bool, out: &mut Writer) {
    let choice = ask.request.tool_choice.as_ref().filter(|_| has_functions);
    let is_strict =
        ask.request.tools.iter().any(|tool| matches!(&tool.kind, ToolKind::Function { strict: Some(true), .. }));
    let (mode, names) = match choice {
        // Strict schemas are held for calls only in this mode, or where a call is certain.
        None | Some(ToolChoice::Auto) if is_strict => (Some("VALIDATED"), &[][..]),
        None => (None, &[][..]),
        Some(ToolChoice::Auto) => (Some("AUTO"), &[][..]),
        Some(ToolChoice::None) => (Some("NONE"), &[][..]),
        Some(ToolChoice::Required) => (Some("ANY"), &[][..]),
        Some(ToolChoice::Named(name)) => (Some("ANY"), std::slice::from_ref(name)),
        Some(ToolChoice::Among { names, required: true }) => (Some("ANY"), &names[..]),
        Some(ToolChoice::Among { names, required: false }) => (Some("VALIDATED"), &names[..]),
    };
    let mut extras = ask.extras("toolConfig.").peekable();
    if mode.is_none() && extras.peek().is_none() {
        return;
    }
    out.key("toolConfig");
    out.begin_object();
    if let Some(mode) = mode {
        out.key("functionCallingConfig");
        out.begin_object();
        out.field_str("mode", mode);
        if !names.is_empty() {
            out.key("allowedFunctionNames");
            out.begin_array();
            names.iter().for_each(|name| out.string(name));
            out.end_array();
        }
        out.end_object();
    }
    for (name, raw) in extras {
        out.field_raw(name, raw);
    }
    out.end_object();
}
