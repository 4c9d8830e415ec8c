//! Settings: defaults < file (TOML) < environment. Names that nobody knows are refused by name, errors say where they
//! are, and what is in force can be printed without secrets.
//! A plane's settings are a struct with `#[serde(deny_unknown_fields, default)]` all the way down and a `Default`;
//! this room never knows what they mean, and checks no relation between them.

mod environment;
mod quantity;
#[cfg(test)]
mod tests;

use std::{fs, io, path::Path, path::PathBuf};

use serde::{Serialize, de::DeserializeOwned};
use toml::de::{DeTable, DeValue};

pub use quantity::{BadQuantity, Bytes, Span};

/// Why settings were refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or not readable.
    #[error("read settings file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },

    /// The file has a mistake.
    #[error("{}:{line}:{column}: {}{message}", path.display(), named(key))]
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// The setting as `table.field`; empty when the file is not TOML at all.
        key: String,
        /// What is wrong.
        message: String,
    },

    /// A variable does not fit its setting.
    #[error("environment variable {name}: {}{message}", named(key))]
    Variable {
        /// The variable.
        name: String,
        /// The setting as `table.field`.
        key: String,
        /// What is wrong.
        message: String,
    },

    /// Variables with our prefix that name no setting.
    #[error("no such setting: {}", names.join(", "))]
    UnknownVariables {
        /// Their names, each with a suggestion where there is a close one.
        names: Vec<String>,
    },

    /// Two settings have the same variable; a mistake in the settings struct.
    #[error("settings {one} and {other} would share the environment variable {name}")]
    SharedVariable {
        /// The variable.
        name: String,
        /// The one.
        one: String,
        /// The other.
        other: String,
    },

    /// The settings struct cannot be written or read as settings; a mistake of ours, not of the operator.
    #[error("settings struct: {0}")]
    BadStruct(String),
}

fn named(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("{key}: ") }
}

/// Reads settings: `T::default()`, over it `file`, over it every variable in `variables` that starts with `prefix`
/// (such as `TOLLGATE_DATA_`). The variable of `[table] field` is `<prefix>TABLE_FIELD`; lists are written `a,b,c`, tables
/// of names `a=1,b=2`, both also in TOML's own form. A variable that is set to nothing counts as not set.
///
/// # Errors
/// The first mistake found, with file, line and key, or with the variable's name.
pub fn load<T>(
    file: Option<&Path>,
    prefix: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<T, ConfigError>
where
    T: Serialize + DeserializeOwned + Default,
{
    let mut table = match file {
        Some(path) => read::<T>(path)?,
        None => toml::Table::new(),
    };
    environment::overlay::<T>(&mut table, prefix, variables)?;
    table.try_into().map_err(|error| ConfigError::BadStruct(error.message().to_owned()))
}

/// The settings as TOML, in the order of their declaration; set secrets print as `***set***`.
///
/// # Errors
/// When the struct holds something that TOML cannot say.
pub fn to_toml<T: Serialize>(settings: &T) -> Result<String, ConfigError> {
    toml::to_string_pretty(settings).map_err(|error| ConfigError::BadStruct(error.to_string()))
}

/// The variables of all settings of `T`: pairs of variable and `table.field`, for help texts and reference files.
///
/// # Errors
/// When two settings would share a variable.
pub fn variables<T: Serialize + Default>(prefix: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let fields = environment::fields::<T>(prefix)?;
    Ok(fields.into_iter().map(|(name, field)| (name, field.key())).collect())
}

/// The environment of this process. Variables that are not UTF-8 are left out; none of ours can be meant by them.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Reads the file as a table after checking it against `T`, while lines and columns are still known.
fn read<T: DeserializeOwned>(path: &Path) -> Result<toml::Table, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    toml::from_str::<T>(&text).map_err(|error| located(path, &text, &error))?;
    toml::from_str(&text).map_err(|error| located(path, &text, &error))
}

/// Only the error's own words are kept: its display would quote the line, which may hold a secret.
fn located(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let offset = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = text.get(..offset).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    ConfigError::File {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        key: key_at(text, offset).unwrap_or_default(),
        message: error.message().to_owned(),
    }
}

/// The setting whose key or value covers `offset`.
fn key_at(text: &str, offset: usize) -> Option<String> {
    fn search(table: &DeTable<'_>, offset: usize) -> Option<Vec<String>> {
        table.iter().find_map(|(key, value)| {
            let name = key.get_ref().to_string();
            let mut deeper = match value.get_ref() {
                DeValue::Table(inner) => search(inner, offset),
                DeValue::Array(items) => items.iter().find_map(|item| search(item.get_ref().as_table()?, offset)),
                _ => None,
            };
            if deeper.is_none() && (key.span().contains(&offset) || value.span().contains(&offset)) {
                deeper = Some(Vec::new());
            }
            let mut path = deeper?;
            path.insert(0, name);
            Some(path)
        })
    }
    search(DeTable::parse(text).ok()?.get_ref(), offset).map(|path| path.join("."))
}
