//! A request as Google takes it. Google refuses fields that it does not know, so only what it documents is written.

use super::{ID, config, contents, tools};
use crate::bridge::RequestEdits;
use crate::dialect::gemini::model::Model;
use crate::dialect::gemini::quirks;
use crate::error::BodyFault;
use crate::json::Writer;
use crate::loss::{Loss, Losses};
use crate::model::Request;

/// What all parts of a request are written from.
pub(super) struct Ask<'r, 'a> {
    pub request: &'r Request<'a>,
    pub wanted: &'r RequestEdits<'r>,
    pub model: Model,
    /// Whether the request is of this dialect, so that what only it can say is written back.
    pub is_own: bool,
    pub is_vertex: bool,
}

pub(in crate::dialect::gemini) fn encode(
    request: &Request<'_>,
    wanted: &RequestEdits<'_>,
    out: &mut Writer,
    losses: &mut Losses,
) -> Result<(), BodyFault> {
    let ask = Ask {
        request,
        wanted,
        model: Model::of(wanted.upstream_model),
        is_own: request.from == ID,
        is_vertex: quirks::is_vertex(wanted.quirks),
    };
    out.begin_object();
    contents::write(&ask, out, losses)?;
    tools::write(&ask, out, losses)?;
    config::write(&ask, out, losses)?;
    ask.rest(out, losses);
    out.end_object();
    Ok(())
}

impl<'a> Ask<'_, 'a> {
    /// What belongs to `object` of the fields that have no canonical word: names and values as the client wrote them.
    pub fn extras(&self, object: &str) -> impl Iterator<Item = (&str, &'a str)> {
        self.request.extra.iter().filter(|_| self.is_own).filter_map(move |extra| {
            let name = extra.name.strip_prefix(object)?;
            (!name.contains('.')).then(|| (name, extra.value.raw()))
        })
    }

    fn rest(&self, out: &mut Writer, losses: &mut Losses) {
        let request = self.request;
        losses.note_if(!self.is_own && !request.extra.is_empty(), Loss::Field);
        for (name, raw) in self.extras("") {
            out.field_raw(name, raw);
        }
        let params = &request.params;
        match params.service_tier.as_deref() {
            None | Some("auto") => {}
            Some(tier @ ("flex" | "priority" | "standard")) if !self.is_vertex => out.field_str("serviceTier", tier),
            Some("default") if !self.is_vertex => out.field_str("serviceTier", "standard"),
            Some(tier) if self.is_own && !self.is_vertex => out.field_str("serviceTier", tier),
            Some(_) => losses.note(Loss::ServiceTier),
        }
        for (is_said, loss) in [
            (params.user.is_some(), Loss::User),
            (params.metadata.is_some(), Loss::Metadata),
            (params.prompt_cache_key.is_some(), Loss::CacheKey),
            (params.verbosity.is_some(), Loss::Verbosity),
        ] {
            losses.note_if(is_said, loss);
        }
    }
}
