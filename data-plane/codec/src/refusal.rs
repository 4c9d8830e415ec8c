//! What a translation refuses because leaving it out would change what the answer means. Every refusal names its place as
//! the client calls it, and nothing else of the body. What may be left out is a loss instead: see `loss`.

use crate::error::{BodyFault, BodyFaultKind};
use crate::json::Value;
use crate::model::{Media, Request};

/// What this endpoint cannot do, at a place of the client's request.
pub(crate) fn unsupported(param: impl Into<String>, message: impl Into<String>) -> BodyFault {
    BodyFault { kind: BodyFaultKind::Unsupported, param: Some(param.into()), message: message.into() }
}

/// Something that is not text and cannot be sent.
pub(crate) fn media(media: &Media<'_>, why: &str) -> BodyFault {
    unsupported(&*media.at, format!("`{}` cannot be sent: {why}", media.at))
}

/// A tool that only providers of the client's own API family have, by its place in the client's list.
pub(crate) fn native_tool(at: usize) -> BodyFault {
    let place = format!("tools[{at}]");
    let message = format!("`{place}` is a tool that only providers of the client's own API family have");
    unsupported(place, message)
}

/// Context that a provider holds or reaches for the client, in one of the fields `held`: nobody else can see it.
pub(crate) fn held_context(request: &Request<'_>, held: &[&str]) -> Option<BodyFault> {
    let field = request.extra.iter().find(|extra| held.contains(&&*extra.name) && says_something(extra.value))?;
    let name = &*field.name;
    let message = format!("`{name}` is context that another provider holds or reaches: send what is in it instead");
    Some(unsupported(name, message))
}

fn says_something(value: Value<'_>) -> bool {
    let is_text = value.string().is_some_and(|text| !text.is_empty());
    let is_other = !value.is_null() && !value.is_string() && !value.is_array();
    is_text || is_other || value.items().next().is_some()
}

/// A conversation of which nothing is left that could be sent.
pub(crate) fn nothing_said(request: &Request<'_>) -> BodyFault {
    let message = format!("nothing in `{}` is left that could be sent", request.conversation);
    BodyFault { kind: BodyFaultKind::OutOfRange, param: Some(request.conversation.to_owned()), message }
}

/// More of something than a translation takes.
pub(crate) fn too_many(param: Option<&str>, most: u64, what: &str) -> BodyFault {
    let message = format!("a request to a provider of another API family has at most {most} {what}");
    BodyFault { kind: BodyFaultKind::OutOfRange, param: param.map(str::to_owned), message }
}
