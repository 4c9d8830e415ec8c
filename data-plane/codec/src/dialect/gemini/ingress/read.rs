//! A request of Google's clients in canonical words. Strict about the types of what it knows; what it does not know
//! rides along for a provider of the same dialect.

use super::content::Conversation;
use super::fault::{At, objects, text};
use super::{config, tools};
use crate::Carry;
use crate::dialect::gemini::ID;
use crate::dialect::gemini::fields::is_aside;
use crate::dialect::gemini::spelling::camel;
use crate::error::BodyFault;
use crate::json::Value;
use crate::model::{Extra, Request};
use crate::scan::Scan;

pub(in crate::dialect::gemini) fn decode<'a>(
    body: Value<'a>,
    scan: &Scan,
    carry: &Carry,
) -> Result<Request<'a>, BodyFault> {
    let mut request = Request { from: ID, conversation: "contents", stream: scan.stream, ..Request::default() };
    let mut conversation = Conversation::new(carry);
    for (name, value) in body.fields().filter(|(_, value)| !value.is_null()) {
        let name = camel(name);
        let at = At::Root(&name);
        match &*name {
            "systemInstruction" => conversation.system(value, at)?,
            "contents" => {
                for (place, content) in objects(value, at)?.into_iter().enumerate() {
                    conversation.content(content, place, at.item(place))?;
                }
            }
            "tools" => {
                for (place, tool) in objects(value, at)?.into_iter().enumerate() {
                    tools::read(tool, place, at.item(place), &mut request.tools)?;
                }
            }
            "toolConfig" => tools::choice(value, at, &mut request)?,
            "generationConfig" => config::read(value, at, &mut request)?,
            "serviceTier" => request.params.service_tier = Some(text(value, at)?),
            "model" => {}
            own if is_aside(own) => {}
            _ => request.extra.push(Extra { name, value }),
        }
    }
    request.turns = conversation.turns();
    Ok(request)
}
