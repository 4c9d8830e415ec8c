//! Tools and how they may be called. What Google does itself rides along as it is written.

use std::borrow::Cow;

use super::fault::{At, missing, object, objects, text, texts};
use crate::dialect::gemini::schema;
use crate::dialect::gemini::spelling::{camel, get};
use crate::error::BodyFault;
use crate::json::Value;
use crate::model::{Extra, Request, Tool, ToolChoice, ToolKind};

pub(super) fn read<'a>(tool: Value<'a>, place: usize, at: At<'_>, tools: &mut Vec<Tool<'a>>) -> Result<(), BodyFault> {
    for (name, value) in tool.fields().filter(|(_, value)| !value.is_null()) {
        let name = camel(name);
        let at = at.name(&name);
        if name != "functionDeclarations" {
            let kind = ToolKind::Native { at: place, raw: value.raw(), name };
            tools.push(Tool { kind, cache: None });
            continue;
        }
        for (place, declaration) in objects(value, at)?.into_iter().enumerate() {
            tools.push(Tool { kind: function(declaration, at.item(place))?, cache: None });
        }
    }
    Ok(())
}

fn function<'a>(declaration: Value<'a>, at: At<'_>) -> Result<ToolKind<'a>, BodyFault> {
    let field = |name: &'static str| get(declaration, name).map(|found| text(found, at.name(name))).transpose();
    let schema = match (get(declaration, "parametersJsonSchema"), get(declaration, "parameters")) {
        (Some(raw), _) => Some(Cow::Borrowed(raw.raw())),
        (None, Some(own)) => Some(schema::read(object(own, at.name("parameters"))?.raw())),
        (None, None) => None,
    };
    Ok(ToolKind::Function {
        name: field("name")?.ok_or_else(|| missing(at.name("name")))?,
        description: field("description")?.filter(|description| !description.is_empty()),
        schema,
        strict: None,
    })
}

/// `toolConfig`; what is in it beside the mode rides along.
pub(super) fn choice<'a>(value: Value<'a>, at: At<'_>, request: &mut Request<'a>) -> Result<(), BodyFault> {
    for (name, value) in object(value, at)?.fields().filter(|(_, value)| !value.is_null()) {
        let name = camel(name);
        let at = at.name(&name);
        match &*name {
            "functionCallingConfig" => request.tool_choice = calling(object(value, at)?, at)?,
            _ => request.extra.push(Extra { name: Cow::Owned(format!("toolConfig.{name}")), value }),
        }
    }
    Ok(())
}

fn calling<'a>(value: Value<'a>, at: At<'_>) -> Result<Option<ToolChoice<'a>>, BodyFault> {
    let mode = get(value, "mode").map(|mode| text(mode, at.name("mode"))).transpose()?.unwrap_or_default();
    let mut names = match get(value, "allowedFunctionNames") {
        Some(names) => texts(names, at.name("allowedFunctionNames"))?,
        None => Vec::new(),
    };
    Ok(match &*mode.to_ascii_uppercase() {
        "NONE" => Some(ToolChoice::None),
        "ANY" if names.len() == 1 => names.pop().map(ToolChoice::Named),
        "ANY" if names.is_empty() => Some(ToolChoice::Required),
        "ANY" => Some(ToolChoice::Among { names, required: true }),
        "VALIDATED" if !names.is_empty() => Some(ToolChoice::Among { names, required: false }),
        "AUTO" | "VALIDATED" => Some(ToolChoice::Auto),
        _ => None,
    })
}
