//! `admin orgs routing` and `admin keys routing`: the same words for both, since the rules are of the same form.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::Value;

use super::{Error, Said};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Replace the rules by those of a file, such as {"provider": {"zdr": true}}; docs/routing.md has all fields.
    Set {
        id: String,
        /// A file of JSON; `-` is standard input.
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
    /// The rules as they are; null when there are none.
    Show { id: String },
    /// Take the rules away.
    Clear { id: String },
}

/// What a command does with the rules of whom.
pub enum Deed {
    Show,
    /// The new text; empty takes the rules away.
    Write(String),
}

impl Command {
    /// Whose rules, and what is done with them.
    pub fn deed(&self) -> Result<(&str, Deed), Error> {
        match self {
            Command::Set { id, file } => Ok((id, Deed::Write(read(file)?))),
            Command::Show { id } => Ok((id, Deed::Show)),
            Command::Clear { id } => Ok((id, Deed::Write(String::new()))),
        }
    }
}

/// The text of a file of rules.
pub fn read(path: &Path) -> Result<String, Error> {
    let name = path.display().to_string();
    let text = match name == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(path),
    };
    let text = text.map_err(|source| Error::File { path: name.clone(), source })?;
    match text.trim().is_empty() {
        true => Err(Error::Usage(format!("{name} is empty; `routing clear` takes the rules away"))),
        false => Ok(text),
    }
}

/// Rules as they are shown: what `set` takes.
pub fn shown(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// The rules alone.
pub fn said(text: &str) -> Said {
    Said::data(shown(text))
}
