//! Settings from environment variables. What variables exist, and of what type each is, is read off the defaults.
//! Takes variables as they are handed in; never asks the process for them.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as Shape;
use toml::Value;

use super::ConfigError;

/// One setting: where it is in the tables, and its default, which shows its type.
pub(super) struct Field {
    path: Vec<String>,
    shape: Shape,
}

impl Field {
    pub(super) fn key(&self) -> String {
        self.path.join(".")
    }
}

/// All settings by the name of their variable.
pub(super) fn fields<T: Serialize + Default>(prefix: &str) -> Result<BTreeMap<String, Field>, ConfigError> {
    let shape = serde_json::to_value(T::default()).map_err(|error| ConfigError::BadStruct(error.to_string()))?;
    let mut found = BTreeMap::new();
    gather(prefix, &[], shape, &mut found)?;
    Ok(found)
}

fn gather(prefix: &str, path: &[String], shape: Shape, found: &mut BTreeMap<String, Field>) -> Result<(), ConfigError> {
    match shape {
        // An empty table is one of free names, not of fields: it is set as a whole.
        Shape::Object(fields) if !fields.is_empty() => {
            for (name, shape) in fields {
                gather(prefix, &[path, &[name]].concat(), shape, found)?;
            }
            Ok(())
        }
        shape => {
            let name = format!("{prefix}{}", path.join("_").to_uppercase());
            let field = Field { path: path.to_vec(), shape };
            let other = field.key();
            match found.insert(name.clone(), field) {
                None => Ok(()),
                Some(one) => Err(ConfigError::SharedVariable { name, one: one.key(), other }),
            }
        }
    }
}

/// Writes the variables with our prefix over `table`, each checked against `T` so that a mistake has a name.
pub(super) fn overlay<T: Serialize + DeserializeOwned + Default>(
    table: &mut toml::Table,
    prefix: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    let fields = fields::<T>(prefix)?;
    let (known, unknown): (Vec<_>, Vec<_>) = variables
        .into_iter()
        .filter(|(name, text)| !text.is_empty() && (name.starts_with(prefix) || meant(prefix, name, &fields).is_some()))
        .partition(|(name, _)| fields.contains_key(name));
    if !unknown.is_empty() {
        let suggested = |name: &str| match meant(prefix, name, &fields) {
            Some(meant) => did_you_mean(name, &meant),
            None => suggest(name, fields.keys()),
        };
        let mut names: Vec<_> = unknown.iter().map(|(name, _)| suggested(name)).collect();
        names.sort();
        return Err(ConfigError::UnknownVariables { names });
    }
    for (name, text) in known {
        if let Some(field) = fields.get(&name) {
            *table = set::<T>(table, field, &text).map_err(|message| ConfigError::Variable {
                name,
                key: field.key(),
                message,
            })?;
        }
    }
    Ok(())
}

/// `table` with the field set, by the first reading of `text` that `T` accepts.
fn set<T: DeserializeOwned>(table: &toml::Table, field: &Field, text: &str) -> Result<toml::Table, String> {
    let mut refusal = None;
    for reading in readings(&field.shape, text)? {
        let mut next = table.clone();
        place(&mut next, &field.path, reading);
        match next.clone().try_into::<T>() {
            Ok(_) => return Ok(next),
            // The first reading is the likeliest, so its refusal says most.
            Err(error) => refusal = refusal.or_else(|| Some(error.message().to_owned())),
        }
    }
    Err(refusal.unwrap_or_default())
}

fn place(table: &mut toml::Table, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        table.insert(first.clone(), value);
        return;
    }
    let inner = table.entry(first.clone()).or_insert_with(|| Value::Table(toml::Table::new()));
    if let Value::Table(inner) = inner {
        place(inner, rest, value);
    }
}

/// What `text` may mean for a setting whose default is `shape`, likeliest first. A text that does not fit stays text,
/// so that the settings struct itself says what it wanted.
fn readings(shape: &Shape, text: &str) -> Result<Vec<Value>, String> {
    let as_text = || Value::String(text.to_owned());
    Ok(match shape {
        Shape::Bool(_) => vec![text.parse().map_or_else(|_| as_text(), Value::Boolean)],
        Shape::Number(number) if number.is_f64() => vec![text.parse().map_or_else(|_| as_text(), Value::Float)],
        Shape::Number(_) => vec![text.parse().map_or_else(|_| as_text(), Value::Integer)],
        Shape::String(_) => vec![as_text()],
        // An optional setting that is off by default does not show its type.
        Shape::Null if text.starts_with(['[', '{']) => vec![as_text(), in_toml(text)?],
        Shape::Null => vec![as_text(), scalar(text)],
        Shape::Array(_) if text.starts_with('[') => vec![in_toml(text)?],
        Shape::Array(_) => lists(text),
        Shape::Object(_) if text.starts_with('{') => vec![in_toml(text)?],
        Shape::Object(_) => vec![pairs(text)?],
    })
}

fn in_toml(text: &str) -> Result<Value, String> {
    let mut table: toml::Table = toml::from_str(&format!("value = {text}")).map_err(|e| e.message().to_owned())?;
    table.remove("value").ok_or_else(|| "not a TOML value".to_owned())
}

fn scalar(text: &str) -> Value {
    let boolean = text.parse().map(Value::Boolean);
    let number = || text.parse().map(Value::Integer).or_else(|_| text.parse().map(Value::Float));
    boolean.or_else(|_| number()).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// `a,b,c`, read as texts and, should those be refused, as numbers or booleans.
fn lists(text: &str) -> Vec<Value> {
    let parts = || text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let texts = parts().map(|part| Value::String(part.to_owned())).collect();
    vec![Value::Array(texts), Value::Array(parts().map(scalar).collect())]
}

/// `a=1,b=2`, values read as texts. The text of a part is not repeated in a refusal: it may be a secret.
fn pairs(text: &str) -> Result<Value, String> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').ok_or("each part must be NAME=VALUE")?;
        Ok((name.trim().to_owned(), Value::String(value.trim().to_owned())))
    };
    let parts = text.split(',').filter(|part| !part.trim().is_empty());
    parts.map(pair).collect::<Result<toml::Table, String>>().map(Value::Table)
}

/// The name, with the closest known one when it looks like a slip of the pen.
fn suggest<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> String {
    let near = known.map(|known| (distance(name, known), known)).min();
    match near {
        Some((distance, known)) if distance <= 3 => did_you_mean(name, known),
        _ => name.to_owned(),
    }
}

/// The setting that a name without the plane's part says: `TOLLGATE_LISTEN` for `TOLLGATE_PROXY_LISTEN`. Names of ours
/// that are no such slip belong to others.
fn meant(prefix: &str, name: &str, fields: &BTreeMap<String, Field>) -> Option<String> {
    let house = prefix.split_inclusive('_').next().filter(|house| *house != prefix)?;
    let whole = format!("{prefix}{}", name.strip_prefix(house)?);
    (!name.starts_with(prefix) && fields.contains_key(&whole)).then_some(whole)
}

fn did_you_mean(name: &str, known: &str) -> String {
    format!("{name} (did you mean {known}?)")
}

/// Levenshtein distance in bytes; both names are short.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut left = i + 1;
        let mut next = Vec::with_capacity(row.len());
        next.push(left);
        for (pair, b) in row.windows(2).zip(other.bytes()) {
            let [diagonal, above] = pair else { continue };
            left = (diagonal + usize::from(a != b)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
