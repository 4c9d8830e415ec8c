//! Bytes through, from a client to a provider that both speak Anthropic's: the edits on the way out are the model, a
//! limit where the gateway sets one, our own fields, and what a cloud wants elsewhere; on the way back the model's name.

use std::io::Write;

use bytes::Bytes;

use super::fields::VERSION;
use super::piece::{self, Found, Sort};
use super::quirks::Cloud;
use super::usage::Numbers;
use crate::bridge::{AnswerEdits, Outbound, RequestEdits, Whole};
use crate::dialect::{Pass, Same};
use crate::error::{BodyFault, Error};
use crate::fault::{self, UpstreamError};
use crate::json::{self, Cursor, Kind, NewText};
use crate::loss::Losses;
use crate::patch::{Edits, Segments};
use crate::receipt::Pricer;
use crate::same::{self, EventPass, NewFields, Notes, ReadEvents, Verdict};
use crate::scan::{Meaning, Scan};
use crate::structured::Settled;
use crate::tap::Tap;

/// From the dialect to itself.
#[derive(Debug)]
pub(super) struct BytesThrough;

impl Same for BytesThrough {
    fn request(&self, body: &Bytes, scan: &Scan, wanted: &RequestEdits<'_>) -> Result<Outbound, BodyFault> {
        Ok(patch(body, scan, wanted).into())
    }

    fn stream(&self, wanted: &AnswerEdits) -> Box<dyn Pass> {
        let mut model = NewText::new();
        json::write_string(&mut model, &wanted.public_model);
        let reading = Reading { model: model.as_slice().into(), numbers: Numbers::default() };
        Box::new(EventPass::new(reading))
    }

    fn whole(&self, body: Bytes, wanted: &AnswerEdits, _: &mut dyn Pricer) -> Result<Whole, Error> {
        whole(body, wanted)
    }
}

fn patch(body: &Bytes, scan: &Scan, wanted: &RequestEdits<'_>) -> Segments {
    let cloud = Cloud::of(wanted.quirks);
    let mut edits = Edits::default();
    let mut new = NewFields::default();
    let goes_elsewhere = |meaning| match (meaning, cloud) {
        (Meaning::Model, Some(_)) => true,
        (Meaning::Stream, Some(cloud)) => !cloud.takes_stream(),
        _ => false,
    };
    same::remove_own(body, scan, |field| field.acted.own || goes_elsewhere(field.acted.meaning), |_| false, &mut edits);
    match cloud {
        None => model(scan, wanted, &mut edits, &mut new),
        Some(cloud) => version(scan, cloud, &mut edits, &mut new),
    }
    if let Some(limit) = wanted.token_limit {
        // Writing into new text cannot fail.
        let write = |out: &mut NewText| drop(write!(out, "{limit}"));
        match scan.field(Meaning::MaxTokens) {
            Some(field) => edits.replace_with(field.value, write),
            None => new.add("max_tokens", write),
        }
    }
    new.put(scan, &mut edits);
    edits.apply(body)
}

fn model(scan: &Scan, wanted: &RequestEdits<'_>, edits: &mut Edits, new: &mut NewFields) {
    if scan.model.as_deref() == Some(wanted.upstream_model) {
        return;
    }
    match scan.field(Meaning::Model) {
        Some(field) => edits.replace_with(field.value, |out| json::write_string(out, wanted.upstream_model)),
        None => new.add("model", |out| json::write_string(out, wanted.upstream_model)),
    }
}

fn version(scan: &Scan, cloud: Cloud, edits: &mut Edits, new: &mut NewFields) {
    let write = |out: &mut NewText| json::write_string(out, cloud.version());
    match scan.fields.iter().find(|field| field.acted.name == VERSION) {
        Some(field) if field.kind == Kind::String => {}
        Some(field) => edits.replace_with(field.value, write),
        None => new.add(VERSION, write),
    }
}

/// What is remembered from event to event.
#[derive(Debug)]
struct Reading {
    /// The public model name as JSON.
    model: Box<[u8]>,
    /// Usage so far: the first event has some of it, the last ones replace it.
    numbers: Numbers,
}

impl ReadEvents for Reading {
    #[inline]
    fn event(&mut self, data: &[u8], base: usize, is_error: bool, notes: Notes<'_>) -> Verdict {
        let Ok(found) = piece::read(data) else { return unread(data, is_error, notes.tap) };
        if is_error || found.has_error || found.sort == Sort::Error {
            notes.tap.note_error(fault::decode(data));
            return Verdict::Stop;
        }
        if found.sort == Sort::Stop {
            notes.tap.note_done();
        }
        if found.sort == Sort::Start {
            notes.tap.note_choice(0);
        }
        found.note(data, notes.tap);
        if let Some(usage) = &found.usage {
            self.numbers.merge(**usage);
            if let Some(usage) = self.numbers.tokens() {
                notes.tap.note_usage(usage, notes.tap.has_finish());
            }
        }
        if let Some(model) = found.model.filter(|model| model.of(data) != &*self.model) {
            notes.edits.replace(model.behind(base), &self.model);
        }
        Verdict::Pass
    }

    fn bare(&self, body: &[u8]) -> Option<UpstreamError> {
        let found = piece::read(body).ok()?;
        (found.has_error || found.sort == Sort::Error).then(|| fault::decode(body))
    }
}

/// Data that is no JSON object.
fn unread(data: &[u8], is_error: bool, tap: &mut Tap) -> Verdict {
    if is_error {
        tap.note_error(fault::decode(data));
        return Verdict::Stop;
    }
    if data.trim_ascii() == b"[DONE]" {
        // Anthropic has no such mark, but some who speak its dialect do.
        tap.note_done();
        return Verdict::Pass;
    }
    Verdict::Unread
}

impl Found {
    /// Tells the tap everything but the usage.
    fn note(&self, body: &[u8], tap: &mut Tap) {
        let cursor = Cursor::lenient(body);
        if tap.upstream_id().is_empty()
            && let Some(id) = self.id.and_then(|id| cursor.text(id))
        {
            tap.note_id(&id);
        }
        if self.is_other || self.bytes > 0 {
            tap.note_content(self.bytes);
        }
        if let Some(reason) = self.finish.and_then(|reason| cursor.text(reason)) {
            tap.note_finish(0, &reason);
        }
    }
}

fn whole(body: Bytes, wanted: &AnswerEdits) -> Result<Whole, Error> {
    let found = piece::read(&body).map_err(|_| Error::AnswerNotJson)?;
    let mut tap = Tap::default();
    let usage = found.usage.as_ref().and_then(|usage| usage.tokens());
    if found.has_error || found.sort == Sort::Error {
        tap.note_error(fault::decode(&body));
        return Ok(Whole { body: body.into(), tap, losses: Losses::default(), settled: Settled::Fits });
    }
    tap.note_choice(0);
    found.note(&body, &mut tap);
    if let Some(usage) = usage {
        tap.note_usage(usage, true);
    }
    let mut edits = Edits::default();
    if let Some(place) = found.model.filter(|place| !json::is_string(place.of(&body), &wanted.public_model)) {
        edits.replace_with(place, |out| json::write_string(out, &wanted.public_model));
    }
    Ok(Whole { body: edits.apply(&body), tap, losses: Losses::default(), settled: Settled::Fits })
}
