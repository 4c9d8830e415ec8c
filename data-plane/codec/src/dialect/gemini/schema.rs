//! Google's language of schemas at the two doors where it matters: what clients write becomes JSON schema, and JSON
//! schema becomes what endpoints take that know nothing else. Raw JSON schema goes everywhere else untouched.

use std::borrow::Cow;

use crate::error::{BodyFault, BodyFaultKind};
use crate::loss::{Loss, Losses};
use crate::schema;

/// What a client wrote in Google's language. A schema that cannot be read stays as it is: the provider says what is
/// wrong with it.
pub(super) fn read(raw: &str) -> Cow<'_, str> {
    match schema::from_gemini(raw) {
        Ok(converted) => Cow::Owned(converted.json),
        Err(_) => Cow::Borrowed(raw),
    }
}

/// The part of a schema that Google's language can say. `field` is what the client calls the schema.
pub(super) fn subset(json_schema: &str, field: &str, losses: &mut Losses) -> Result<String, BodyFault> {
    let converted = schema::for_gemini(json_schema).map_err(|fault| BodyFault {
        kind: BodyFaultKind::Unsupported,
        param: Some(field.to_owned()),
        message: format!("the endpoint cannot take {fault}"),
    })?;
    losses.note_if(converted.losses().next().is_some(), Loss::SchemaKeywords);
    Ok(converted.json)
}
