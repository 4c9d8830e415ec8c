//! Where in a request a value stands. Written out only when something is wrong there, or only this dialect knows it.

use std::borrow::Cow;
use std::fmt;

use crate::error::{BodyFault, BodyFaultKind};
use crate::json::Value;

/// A place, as a way from the top.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'p> {
    parent: Option<&'p Place<'p>>,
    step: Step<'p>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'p> {
    Top,
    Field(&'p str),
    Item(usize),
}

pub(super) const TOP: Place<'static> = Place { parent: None, step: Step::Top };

impl<'p> Place<'p> {
    pub fn field(&'p self, name: &'p str) -> Place<'p> {
        Place { parent: Some(self), step: Step::Field(name) }
    }

    pub fn item(&'p self, at: usize) -> Place<'p> {
        Place { parent: Some(self), step: Step::Item(at) }
    }

    fn fault(&self, kind: BodyFaultKind, what: impl fmt::Display) -> BodyFault {
        let path = self.to_string();
        BodyFault { kind, message: format!("`{path}` {what}"), param: Some(path) }
    }

    pub fn wrong_type(&self, expected: &str) -> BodyFault {
        self.fault(BodyFaultKind::WrongType, format_args!("must be {expected}"))
    }

    pub fn out_of_range(&self, expected: &str) -> BodyFault {
        self.fault(BodyFaultKind::OutOfRange, format_args!("must be {expected}"))
    }

    fn missing(&self) -> BodyFault {
        self.fault(BodyFaultKind::Missing, "is required")
    }

    /// The value itself, as text.
    pub fn string<'a>(&self, value: Value<'a>) -> Result<Cow<'a, str>, BodyFault> {
        value.string().ok_or_else(|| self.wrong_type("a string"))
    }

    /// A field of the object here, as text; none where it is absent.
    pub fn opt_str<'a>(&self, object: Value<'a>, name: &str) -> Result<Option<Cow<'a, str>>, BodyFault> {
        object.get(name).map(|value| self.field(name).string(value)).transpose()
    }

    /// The same for one that must be there.
    pub fn str<'a>(&self, object: Value<'a>, name: &str) -> Result<Cow<'a, str>, BodyFault> {
        self.opt_str(object, name)?.ok_or_else(|| self.field(name).missing())
    }

    pub fn opt_bool(&self, object: Value<'_>, name: &str) -> Result<Option<bool>, BodyFault> {
        let read = |value: Value<'_>| value.bool().ok_or_else(|| self.field(name).wrong_type("true or false"));
        object.get(name).map(read).transpose()
    }

    pub fn opt_count(&self, object: Value<'_>, name: &str) -> Result<Option<u64>, BodyFault> {
        let read =
            |value: Value<'_>| value.u64().ok_or_else(|| self.field(name).wrong_type("a whole number, not negative"));
        object.get(name).map(read).transpose()
    }

    pub fn object<'a>(&self, value: Value<'a>) -> Result<Value<'a>, BodyFault> {
        if value.is_object() { Ok(value) } else { Err(self.wrong_type("an object")) }
    }

    pub fn array<'a>(&self, value: Value<'a>) -> Result<Value<'a>, BodyFault> {
        if value.is_array() { Ok(value) } else { Err(self.wrong_type("an array")) }
    }
}

/// As clients write it: `messages[2].content[0].type`.
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_first = self.parent.is_none_or(|parent| matches!(parent.step, Step::Top));
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Top => Ok(()),
            Step::Field(name) if is_first => f.write_str(name),
            Step::Field(name) => write!(f, ".{name}"),
            Step::Item(at) => write!(f, "[{at}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_as_clients_write_them() {
        let messages = TOP.field("messages");
        let message = messages.item(2);
        let content = message.field("content");
        assert_eq!(content.item(0).field("type").to_string(), "messages[2].content[0].type");
        assert_eq!(TOP.field("top_p").wrong_type("a number").param.as_deref(), Some("top_p"));
    }
}
