//! A model's sealed state inside reasoning items: what kind of thought it belongs to travels with it, since a client that
//! sends a reasoning item back cannot say whether the thought was redacted.

use std::borrow::Cow;

use crate::carry::{self, Carry};
use crate::model::{Part, PartBody, Signature, Thought};

/// What `encrypted_content` says besides the signature itself: one letter before it.
const WHOLE: &str = "t";
const SUMMARY: &str = "s";
const REDACTED: &str = "r";

/// A signature as a client of this dialect gets it.
pub(super) fn close(carry: &Carry, is_summary: bool, is_redacted: bool, signature: &Signature<'_>) -> String {
    let kind = match (is_redacted, is_summary) {
        (true, _) => REDACTED,
        (false, true) => SUMMARY,
        (false, false) => WHOLE,
    };
    carry.wrap(&format!("{kind}{}", value(signature)))
}

/// The thought that a client sent back: its text as it was shown, and what was sealed with it.
pub(super) fn open<'a>(carry: &Carry, thought: Thought<'a>, sealed: Option<Cow<'a, str>>) -> Part<'a> {
    let Some(sealed) = sealed else { return Part::new(PartBody::Thought(thought)) };
    let (thought, signature) = match carry.unwrap(sealed) {
        Signature::Own(inner) => own(thought, inner),
        foreign => (Thought { is_redacted: thought.text.is_empty(), ..thought }, foreign),
    };
    Part { body: PartBody::Thought(thought), cache: None, signature: Some(signature) }
}

fn own<'a>(thought: Thought<'a>, inner: Cow<'a, str>) -> (Thought<'a>, Signature<'a>) {
    let (kind, value) = inner.split_at_checked(1).unwrap_or((WHOLE, ""));
    let signature = Signature::Own(Cow::Owned(value.to_owned()));
    (Thought { is_redacted: kind == REDACTED, is_summary: kind == SUMMARY, ..thought }, signature)
}

/// Stands between an item's id and what is sealed in it. Neither has it.
const ID_END: char = ':';

/// A provider's state with the id of its item: providers check that the two belong together, so it must come back with
/// this id or with none, and clients of other dialects have no place for ids of thoughts.
pub(super) fn with_id<'a>(id: Option<&str>, sealed: Cow<'a, str>) -> Signature<'a> {
    let id = id.filter(|id| !id.contains(ID_END)).unwrap_or_default();
    Signature::Own(Cow::Owned(format!("{id}{ID_END}{sealed}")))
}

/// The item's id, if it is known, and what is sealed in it.
pub(super) fn id_and_state(signature: &str) -> (Option<&str>, &str) {
    let (id, sealed) = signature.split_once(ID_END).unwrap_or(("", signature));
    (Some(id).filter(|id| !id.is_empty()), sealed)
}

/// The sealed text itself.
pub(super) fn value<'s>(signature: &'s Signature<'_>) -> &'s str {
    match signature {
        Signature::Own(value) | Signature::Foreign(value) => value,
    }
}

/// What may be sent to the endpoint that is asked now: its own state, or what a client of this dialect has from elsewhere
/// and says is the endpoint's. Never what we carried from another one.
pub(super) fn sendable<'s>(signature: &'s Signature<'_>, is_own_dialect: bool) -> Option<&'s str> {
    match signature {
        Signature::Own(value) => Some(value),
        Signature::Foreign(value) if is_own_dialect && !value.is_empty() && !value.starts_with(carry::MARK) => {
            Some(value)
        }
        Signature::Foreign(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thought_comes_back_as_the_kind_it_was() {
        let carry = Carry::new(b"secret", "o", "p", "m");
        for (is_summary, is_redacted) in [(false, false), (true, false), (false, true)] {
            let sent = close(&carry, is_summary, is_redacted, &Signature::Own("sig+/=".into()));
            let part = open(&carry, Thought { text: "".into(), ..Thought::default() }, Some(sent.into()));
            let PartBody::Thought(thought) = part.body else { panic!() };
            assert_eq!((thought.is_summary, thought.is_redacted), (is_summary, is_redacted));
            assert_eq!(part.signature, Some(Signature::Own("sig+/=".into())));
        }
    }

    #[test]
    fn an_item_keeps_its_id_or_has_none() {
        for (id, kept) in [(Some("rs_1"), Some("rs_1")), (Some("a:b"), None), (Some(""), None), (None, None)] {
            let signature = with_id(id, "gAAAA_-=".into());
            assert_eq!(id_and_state(value(&signature)), (kept, "gAAAA_-="));
        }
        assert_eq!(id_and_state("gAAAA"), (None, "gAAAA"));
    }

    #[test]
    fn state_of_others_is_sent_to_their_own_family_only_and_ours_never() {
        let foreign = Signature::Foreign("gAAAA".into());
        assert_eq!((sendable(&foreign, true), sendable(&foreign, false)), (Some("gAAAA"), None));
        assert_eq!(sendable(&Signature::Foreign("tgst1_x".into()), true), None);
        assert_eq!(sendable(&Signature::Own("x".into()), false), Some("x"));
    }
}
