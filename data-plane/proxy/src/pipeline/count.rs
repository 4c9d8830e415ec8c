//! Counts of tokens that no provider can be asked for, since the model speaks another family: an estimate of ours, which
//! says so. Never reaches a provider and never costs anything.

use std::rc::Rc;

use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;

use super::{Outflow, Refusal, Visit, admit::Sizing, answer, arrival::Arrival, plan};
use crate::{offers::View, purse::Purse};

const ESTIMATED: HeaderName = HeaderName::from_static("x-tollgate-estimated");

/// The estimate; none where an endpoint of the model's own family can count.
pub(super) fn estimate(
    visit: &Rc<Visit>,
    view: &View,
    purse: &Purse,
    arrival: &Arrival,
) -> Result<Option<Response<Outflow>>, Refusal> {
    if plan::can_be_asked(visit, view, purse, arrival)? {
        return Ok(None);
    }
    let tokens = Sizing::of(&arrival.scan, &Default::default()).likely_prompt;
    let body = match visit.dialect.row {
        "gemini" => json!({ "totalTokens": tokens }),
        _ => json!({ "input_tokens": tokens }),
    };
    let mut response = answer::json(visit, StatusCode::OK, body.to_string());
    response.headers_mut().insert(ESTIMATED, HeaderValue::from_static("true"));
    Ok(Some(response))
}
