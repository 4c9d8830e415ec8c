//! Reads fields of a client's request: null is the same as absent, and a value of another type than the API's is a fault
//! that names its path.

use std::borrow::Cow;
use std::fmt::{self, Display};

use crate::error::{BodyFault, BodyFaultKind};
use crate::json::Value;

/// Something that is not of the type it must be.
pub(super) fn wrong_type(path: impl Display, expected: &str) -> BodyFault {
    let path = path.to_string();
    let message = format!("`{path}` must be {expected}");
    BodyFault { kind: BodyFaultKind::WrongType, param: Some(path), message }
}

/// Something that must be there.
pub(super) fn missing(path: impl Display) -> BodyFault {
    let path = path.to_string();
    let message = format!("`{path}` is required");
    BodyFault { kind: BodyFaultKind::Missing, param: Some(path), message }
}

/// A word that is none of those it may be.
pub(super) fn unknown_word(path: impl Display, known: &str) -> BodyFault {
    let path = path.to_string();
    let message = format!("`{path}` must be one of {known}");
    BodyFault { kind: BodyFaultKind::OutOfRange, param: Some(path), message }
}

/// Something well said that cannot be done here.
pub(super) fn unsupported(path: impl Display, why: &str) -> BodyFault {
    let path = path.to_string();
    let message = format!("`{path}`: {why}");
    BodyFault { kind: BodyFaultKind::Unsupported, param: Some(path), message }
}

/// The path of a value in a request, such as `input[2].content[0]`; made into text for faults only.
#[derive(Clone, Copy, Default)]
pub(super) struct At<'p> {
    outer: Option<&'p At<'p>>,
    name: &'p str,
    index: Option<usize>,
}

impl<'p> At<'p> {
    /// A field of the body itself.
    pub fn top(name: &'p str) -> At<'p> {
        At { outer: None, name, index: None }
    }

    /// A field in here.
    pub fn field(&'p self, name: &'p str) -> At<'p> {
        At { outer: Some(self), name, index: None }
    }

    /// An item of this list.
    pub fn item(self, index: usize) -> At<'p> {
        At { index: Some(index), ..self }
    }
}

impl Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(outer) = self.outer.filter(|outer| !outer.name.is_empty()) {
            write!(f, "{outer}.")?;
        }
        f.write_str(self.name)?;
        match self.index {
            Some(index) => write!(f, "[{index}]"),
            None => Ok(()),
        }
    }
}

/// An object of a request, and how clients call it; without a name at the top level.
#[derive(Clone, Copy)]
pub(super) struct Object<'v, 'p> {
    pub value: Value<'v>,
    pub at: At<'p>,
}

impl<'v, 'p> Object<'v, 'p> {
    /// The value at `at`, which must be an object.
    pub fn of(value: Value<'v>, at: At<'p>) -> Result<Object<'v, 'p>, BodyFault> {
        match value.is_object() {
            true => Ok(Object { value, at }),
            false => Err(wrong_type(at, "an object")),
        }
    }

    fn wrong(&self, name: &str, expected: &str) -> BodyFault {
        wrong_type(self.at.field(name), expected)
    }

    fn opt<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&Value<'v>) -> Option<T>,
    ) -> Result<Option<T>, BodyFault> {
        match self.value.get(name) {
            None => Ok(None),
            Some(value) => read(&value).map(Some).ok_or_else(|| self.wrong(name, expected)),
        }
    }

    pub fn text(&self, name: &str) -> Result<Option<Cow<'v, str>>, BodyFault> {
        self.opt(name, "a string", Value::string)
    }

    pub fn required_text(&self, name: &str) -> Result<Cow<'v, str>, BodyFault> {
        self.text(name)?.ok_or_else(|| missing(self.at.field(name)))
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>, BodyFault> {
        self.opt(name, "true or false", Value::bool)
    }

    pub fn count(&self, name: &str) -> Result<Option<u64>, BodyFault> {
        self.opt(name, "a whole number, not negative", Value::u64)
    }

    /// A number as it was written.
    pub fn number(&self, name: &str) -> Result<Option<&'v str>, BodyFault> {
        self.opt(name, "a number", Value::number)
    }

    /// An object as it was written.
    pub fn raw_object(&self, name: &str) -> Result<Option<&'v str>, BodyFault> {
        self.opt(name, "an object", |value| value.is_object().then(|| value.raw()))
    }

    pub fn object(&self, name: &str) -> Result<Option<Value<'v>>, BodyFault> {
        self.opt(name, "an object", |value| value.is_object().then_some(*value))
    }

    pub fn array(&self, name: &str) -> Result<Option<Value<'v>>, BodyFault> {
        self.opt(name, "an array", |value| value.is_array().then_some(*value))
    }

    /// An array of texts.
    pub fn texts(&self, name: &str) -> Result<Vec<Cow<'v, str>>, BodyFault> {
        let Some(array) = self.array(name)? else { return Ok(Vec::new()) };
        array.items().map(|item| item.string().ok_or_else(|| self.wrong(name, "an array of strings"))).collect()
    }
}
