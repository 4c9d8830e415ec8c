//! An organisation's own names for models, and presets by themselves. They travel as JSON, as rules do.

use std::sync::Arc;

use domain::routing::{Names, Preset};

/// The JSON text of names; empty where there are none.
pub fn write_names(names: Option<&Arc<Names>>) -> String {
    names.map_or_else(String::new, |names| json(&**names))
}

/// Reads the JSON text of names; none where it is empty, or names nothing.
pub fn read_names(text: &str) -> Result<Option<Arc<Names>>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let names: Names = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok((!names.is_empty()).then(|| Arc::new(names)))
}

/// The JSON text of a preset.
pub fn write_preset(preset: &Preset) -> String {
    json(preset)
}

/// Reads a preset as people write it. The reason names the field.
pub fn read_preset(text: &str) -> Result<Preset, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// Texts, numbers and lists can always be written. If they could not, no reader may take them for nothing.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "?".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_they_were_read() {
        let text = r#"{"models":["a/b"],"provider":{"zdr":true},"fallbacks":{"models":["c/d"]},"timeout":5}"#;
        let preset = read_preset(text).unwrap();
        assert_eq!(write_preset(&preset), text);
        let mut names = Names::default();
        names.set_alias("fast", vec!["a/b".into(), "c/d:nitro".into()]).unwrap();
        assert_eq!(names.set_preset("mail", preset.clone()), Ok(1));
        assert_eq!(names.set_preset("mail", Preset::default()), Ok(2));
        assert!(names.remove_preset("mail", Some(2)));
        let names = Arc::new(names);
        let written = write_names(Some(&names));
        let again = read_names(&written).unwrap().unwrap();
        assert_eq!(again, names, "{written}");
        let mut again = Names::clone(&again);
        assert_eq!(again.set_preset("mail", Preset::default()), Ok(3), "no number is given twice");
        assert_eq!((read_names(""), read_names("{}"), write_names(None)), (Ok(None), Ok(None), String::new()));
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for (text, named) in [
            (r#"{"model":"a/b"}"#, "model"),
            (r#"{"temperature":1}"#, "temperature"),
            (r#"{"provider":{"ordre":[]}}"#, "ordre"),
            (r#"{"provider":{"only":[]}}"#, "`only` is empty"),
            (r#"[]"#, "an object"),
        ] {
            let reason = read_preset(text).unwrap_err();
            assert!(reason.contains(named), "{text}: {reason}");
        }
        assert!(read_names(r#"{"moons":{}}"#).unwrap_err().contains("moons"));
    }
}
