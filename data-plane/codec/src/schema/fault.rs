//! What can be wrong with a schema, as its sender should hear it.

/// A schema that cannot be used, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the schema {}: {message}", at(path))]
pub struct SchemaFault {
    /// JSON pointer into the schema; empty for the whole of it.
    pub path: String,
    pub kind: SchemaFaultKind,
    /// Why, without a full stop; quotes only keywords and references of the schema.
    pub message: String,
}

/// The ways a schema can be unusable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaFaultKind {
    /// Not JSON, or a keyword with a value that it cannot have.
    Malformed,
    /// A reference that leads nowhere, or outside.
    Reference,
    /// It contains itself, where that has no meaning or the target cannot say it.
    Endless,
    /// More of it than is read or written.
    TooLarge,
}

fn at(path: &str) -> String {
    if path.is_empty() { "as a whole".to_owned() } else { format!("at `{path}`") }
}

/// A fault before its place has a name.
#[derive(Debug)]
pub(super) struct Flawed {
    /// Where in the text the value at fault begins.
    pub at: usize,
    pub kind: SchemaFaultKind,
    pub message: String,
}

impl Flawed {
    pub fn malformed(at: usize, message: impl Into<String>) -> Flawed {
        Flawed { at, kind: SchemaFaultKind::Malformed, message: message.into() }
    }
}
