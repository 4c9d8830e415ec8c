//! How data is shown: JSON on one line for programs, tables and `name: value` lines for people.

use serde_json::{Map, Value};

/// Data as it is shown.
pub fn text(data: &Value, json: bool) -> String {
    if json { data.to_string() } else { human(data) }
}

fn human(data: &Value) -> String {
    match data {
        Value::Array(rows) if rows.is_empty() => "(none)".to_owned(),
        Value::Array(rows) => table(rows),
        Value::Object(fields) => lines(fields),
        other => cell(other),
    }
}

fn lines(fields: &Map<String, Value>) -> String {
    let width = fields.keys().map(String::len).max().unwrap_or(0);
    let mut out = Vec::new();
    for (name, value) in fields {
        match value {
            Value::Array(rows) if rows.iter().any(Value::is_object) => out.push(format!("{name}:\n{}", table(rows))),
            value => out.push(format!("{:<w$}  {}", format!("{name}:"), cell(value), w = width + 1)),
        }
    }
    out.join("\n")
}

fn table(rows: &[Value]) -> String {
    let mut columns: Vec<&str> = Vec::new();
    for name in rows.iter().filter_map(Value::as_object).flat_map(Map::keys) {
        if !columns.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    let text = |row: &Value, name: &str| row.get(name).map_or_else(String::new, cell);
    let widths: Vec<usize> = columns
        .iter()
        .map(|name| rows.iter().map(|row| text(row, name).chars().count()).max().unwrap_or(0).max(name.len()))
        .collect();
    let line = |cells: Vec<String>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let head = line(columns.iter().map(|name| name.to_uppercase()).collect());
    let body = rows.iter().map(|row| line(columns.iter().map(|name| text(row, name)).collect()));
    std::iter::once(head).chain(body).collect::<Vec<_>>().join("\n")
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| format!("{name}={}", cell(value))).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

/// An empty text as JSON null: a value that is not there.
pub fn or_null(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { Value::String(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn people_get_tables() {
        let rows = json!([{"id": "org_1", "name": "Acme"}, {"id": "org_22", "name": null}]);
        assert_eq!(human(&rows), "ID      NAME\norg_1   Acme\norg_22  -");
        assert_eq!(human(&json!([])), "(none)");
        assert_eq!(human(&json!({"id": "x", "revision": 3})), "id:        x\nrevision:  3");
    }
}
