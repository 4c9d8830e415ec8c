//! Which model a name means: one of the catalogue's, with or without a variant, or whatever its organisation lets it stand
//! for. Never chooses among endpoints. Next rooms: `wish` and `order`.

use std::rc::Rc;

use codec::Dialect;
use domain::{
    faults::{Fault, FaultCode},
    routing::{Names, PRESET, Rules},
};

use super::{
    variant::{self, Variant},
    wish::Wish,
};
use crate::{
    offers::{Offer, View},
    pipeline::{Refusal, arrival::Arrival},
    purse::Purse,
    worker::Worker,
};

/// Models that one request may name; each costs a look-up.
const MODELS_MOST: usize = 16;
/// A model as somebody named it.
pub(super) struct Named {
    pub offer: Rc<Offer>,
    variant: Option<Variant>,
    /// The letters of the name before the variant.
    pub plain: usize,
    /// What else the name stands for; none where it is the catalogue's.
    more: Option<Box<More>>,
}

/// What a name of an organisation's own stands for beside a model.
#[derive(Default)]
struct More {
    /// Models to try after it.
    others: Vec<String>,
    /// The rules of a preset.
    rules: Option<Rules>,
}

impl Named {
    /// What the name wishes beside the model.
    pub fn wishes(&self) -> (Option<Variant>, Option<&Rules>) {
        (self.variant, self.more.as_ref().and_then(|more| more.rules.as_ref()))
    }

    /// Models to try after it.
    pub fn others(&self) -> &[String] {
        self.more.as_ref().map_or(&[], |more| &more.others)
    }
}

/// Who asks, and what there is.
pub(super) struct Asker<'a> {
    pub worker: &'a Worker,
    pub dialect: &'static Dialect,
    pub view: &'a View,
    pub purse: &'a Purse,
}

impl Asker<'_> {
    /// The model of this name, if it may be used. The organisation's own names come before the catalogue's.
    pub fn named(&self, name: &str) -> Result<Named, Refusal> {
        match self.purse.org.names.as_deref() {
            None => self.listed(name),
            Some(names) => self.named_by(names, name),
        }
    }

    /// The same where the organisation has names of its own: `alias`, `@preset/slug`, or a model with `@preset/slug` behind it.
    fn named_by(&self, names: &Names, name: &str) -> Result<Named, Refusal> {
        let (model, preset) = match name.split_once(PRESET) {
            None => (name, None),
            Some((model, slug)) => (model, Some(names.preset(slug).ok_or_else(|| unknown_model(name))?)),
        };
        let rules = preset.map(|preset| preset.rules.clone());
        if let Some(preset) = preset.filter(|_| model.is_empty()) {
            return Ok(Named { plain: name.len(), ..self.first_of(&preset.models, rules, name)? });
        }
        let (plain, variant) = if names.alias(model).is_some() { (model, None) } else { variant::split(model) };
        let named = match names.alias(plain) {
            None => {
                let more = rules.map(|rules| Box::new(More { rules: Some(rules), ..More::default() }));
                Named { more, ..self.listed(model)? }
            }
            Some(models) => {
                let named = self.first_of(models, rules, name)?;
                Named { variant: variant.or(named.variant), plain: plain.len(), ..named }
            }
        };
        Ok(named)
    }

    /// The first of several that may be used, with the others behind it, under these rules.
    fn first_of(&self, models: &[String], rules: Option<Rules>, name: &str) -> Result<Named, Refusal> {
        let mut refused = unknown_model(name);
        for (place, model) in models.iter().enumerate() {
            match self.listed(model) {
                Ok(named) => {
                    let others = models.iter().skip(place + 1).cloned().collect();
                    return Ok(Named { more: Some(Box::new(More { others, rules })), ..named });
                }
                Err(refusal) => refused = refusal,
            }
        }
        Err(refused)
    }

    /// The model of the catalogue's. What looks like a variant may be part of a model's own name.
    fn listed(&self, name: &str) -> Result<Named, Refusal> {
        let whole = self.worker.offer(self.view, self.dialect, name);
        let (plain, variant) = if whole.is_some() { (name, None) } else { variant::split(name) };
        let offer = whole.or_else(|| variant.and_then(|_| self.worker.offer(self.view, self.dialect, plain)));
        let offer = offer.ok_or_else(|| unknown_model(plain))?;
        let id = offer.entry.model.id.as_str();
        if self.purse.policy.allows_model(id) {
            return Ok(Named { offer, variant, plain: plain.len(), more: None });
        }
        let message = format!("This key may not use the model `{id}`.");
        Err(Fault::new(FaultCode::ModelNotAllowed, message).param("model").into())
    }

    /// The first model, and those of the others that exist and may be used.
    pub fn offers(&self, first: &Named, arrival: &Arrival, wish: &Wish) -> Result<Vec<Rc<Offer>>, Refusal> {
        let scan = &arrival.scan;
        let named = scan.fallbacks.iter().skip(usize::from(scan.model.is_none()));
        let others: Vec<&String> = first.others().iter().chain(named).chain(&wish.models).collect();
        // Whoever names models of their own has a reason.
        let others = if others.is_empty() { wish.book.models().iter().collect() } else { others };
        let mut offers = vec![first.offer.clone()];
        for (place, name) in others.into_iter().enumerate() {
            if place + 1 >= MODELS_MOST {
                let message = format!("`models` names more than {MODELS_MOST} models.");
                return Err(Fault::new(FaultCode::InvalidRequest, message).param("models").into());
            }
            let Ok(Named { offer, more, .. }) = self.named(name) else { continue };
            if more.is_some_and(|more| more.rules.is_some()) {
                let message = "`models` cannot name a preset: its rules are for the whole request.";
                return Err(Fault::new(FaultCode::InvalidRequest, message).param("models").into());
            }
            if !offers.iter().any(|known| Rc::ptr_eq(known, &offer)) {
                offers.push(offer);
            }
        }
        Ok(offers)
    }
}

fn unknown_model(name: &str) -> Refusal {
    let shown: String = name.chars().take(100).collect();
    let message = format!("The model `{shown}` does not exist.");
    Fault::new(FaultCode::UnknownModel, message).param("model").into()
}
