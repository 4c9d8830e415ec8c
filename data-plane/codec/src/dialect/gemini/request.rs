//! The edits that a request gets on its way to a provider of the same dialect: our own fields out, a model in the body
//! made to agree with the path, and a limit where the gateway sets one. Nothing else changes.

use std::io::Write;

use bytes::Bytes;

use crate::bridge::RequestEdits;
use crate::json::{self, Kind, NewText, Span};
use crate::patch::{self, Edits, Segments};
use crate::scan::{Field, Meaning, Scan};

/// The request as the provider gets it. `scan` is the scan of this very body.
pub(super) fn patch(body: &Bytes, scan: &Scan, wanted: &RequestEdits<'_>) -> Segments {
    let mut edits = Edits::default();
    remove_own(body, scan, &mut edits);
    if let Some(field) = scan.field(Meaning::PathModel).filter(|field| field.kind == Kind::String) {
        model(body, field, wanted.upstream_model, &mut edits);
    }
    if let Some(limit) = wanted.token_limit {
        token_limit(body, scan, limit, &mut edits);
    }
    edits.apply(body)
}

fn remove_own(body: &[u8], scan: &Scan, edits: &mut Edits) {
    let mut removed = 0;
    for field in &scan.fields {
        let inner = field.member.filter(|_| field.acted.meaning == Meaning::Usage);
        if field.acted.own || inner.is_some_and(|member| member.alone) {
            edits.remove(patch::removal(body, field.whole, field.ordinal, removed));
            removed += 1;
        } else if let Some(member) = inner {
            edits.remove(patch::removal(body, member.whole, member.ordinal, 0));
        }
    }
}

/// Says what the path says, with the folder in front where the client wrote it.
fn model(body: &[u8], field: &Field, upstream_model: &str, edits: &mut Edits) {
    const FOLDER: &str = "models/";
    let has_folder = field.value.of(body).starts_with(b"\"models/") && !upstream_model.contains('/');
    let name = if has_folder { format!("{FOLDER}{upstream_model}") } else { upstream_model.to_owned() };
    if !json::is_string(field.value.of(body), &name) {
        edits.replace_with(field.value, |out| json::write_string(out, &name));
    }
}

/// Sets the limit where the request has one, else puts it in.
fn token_limit(body: &[u8], scan: &Scan, limit: u64, edits: &mut Edits) {
    let configs = || scan.fields.iter().filter(|field| field.acted.meaning == Meaning::GenerationConfig);
    // Writing into new text cannot fail.
    let write = |out: &mut NewText| drop(write!(out, "{limit}"));
    let Some(config) = configs().find(|field| field.kind != Kind::Null).or_else(|| configs().next()) else {
        // A scanned body has contents, and they stay.
        return edits.insert_with(scan.inside, |out| {
            out.extend_from_slice(b"\"generationConfig\":{\"maxOutputTokens\":");
            write(out);
            out.extend_from_slice(b"},");
        });
    };
    match config.member {
        Some(member) => edits.replace_with(member.value, write),
        None if config.kind == Kind::Null => edits.replace_with(config.value, |out| {
            out.extend_from_slice(b"{\"maxOutputTokens\":");
            write(out);
            out.push(b'}');
        }),
        None => edits.insert_with(config.value.start + 1, |out| {
            out.extend_from_slice(b"\"maxOutputTokens\":");
            write(out);
            if !is_bare(body, config.value) {
                out.push(b',');
            }
        }),
    }
}

/// Whether an object has no fields.
fn is_bare(body: &[u8], object: Span) -> bool {
    let inner = object.of(body).get(1..).unwrap_or_default();
    inner.trim_ascii_start().starts_with(b"}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::gemini::DIALECT;

    fn sent(body: &str, limit: Option<u64>) -> String {
        let scan = DIALECT.scan(body.as_bytes()).unwrap().at(Some("public".to_owned()), false);
        let carry = crate::Carry::new(b"", "o", "p", "m");
        let wanted = RequestEdits {
            upstream_model: "up-m",
            token_limit: limit,
            quirks: crate::Quirks::default(),
            max_output: None,
            input_modalities: &[],
            require_parameters: false,
            surface: crate::fault::Surface::V1,
            carry: &carry,
        };
        let body = Bytes::copy_from_slice(body.as_bytes());
        String::from_utf8(patch(&body, &scan, &wanted).into_bytes().to_vec()).unwrap()
    }

    const C: &str = r#""contents":[1]"#;

    #[test]
    fn t12_the_models_name_agrees_in_all_places() {
        for (body, out) in [
            (format!(r#"{{ {C} ,"x":1.00}}"#), format!(r#"{{ {C} ,"x":1.00}}"#)),
            (format!(r#"{{"model":"x",{C}}}"#), format!(r#"{{"model":"up-m",{C}}}"#)),
            (format!(r#"{{{C},"model" : "models/a/b"}}"#), format!(r#"{{{C},"model" : "models/up-m"}}"#)),
            (format!(r#"{{{C},"model":"models/up-m"}}"#), format!(r#"{{{C},"model":"models/up-m"}}"#)),
            (format!(r#"{{{C},"model":null}}"#), format!(r#"{{{C},"model":null}}"#)),
            (format!(r#"{{"route":1,{C},"models":["a"],"usage":{{"include":true}}}}"#), format!(r#"{{{C}}}"#)),
            (
                format!(r#"{{{C},"usage":{{"x":1,"include":true}},"safetySettings":[]}}"#),
                format!(r#"{{{C},"usage":{{"x":1}},"safetySettings":[]}}"#),
            ),
            (r#"{"contents":{"parts":[]},"tags":[]}"#.to_owned(), r#"{"contents":{"parts":[]}}"#.to_owned()),
        ] {
            assert_eq!(sent(&body, None), out);
        }
    }

    #[test]
    fn a_limit_goes_where_the_request_has_it() {
        for (fields, out) in [
            ("", r##"{"generationConfig":{"maxOutputTokens":9},#}"##),
            (r#","generationConfig":{}"#, r##"{#,"generationConfig":{"maxOutputTokens":9}}"##),
            (r#","generationConfig":{ "topK":1}"#, r##"{#,"generationConfig":{"maxOutputTokens":9, "topK":1}}"##),
            (r#","generationConfig":null"#, r##"{#,"generationConfig":{"maxOutputTokens":9}}"##),
            (
                r#","generationConfig":null,"generation_config":{"max_output_tokens" : 70 }"#,
                r#"{#,"generationConfig":null,"generation_config":{"max_output_tokens" : 9 }}"#,
            ),
            (r#","generationConfig":{"maxOutputTokens":null}"#, r##"{#,"generationConfig":{"maxOutputTokens":9}}"##),
        ] {
            assert_eq!(sent(&format!("{{{C}{fields}}}"), Some(9)), out.replace('#', C));
        }
    }

    #[test]
    fn what_is_read_once_may_be_said_once() {
        for (body, param) in [
            (r#"{"contents":[1],"generationConfig":{},"generation_config":{}}"#, "generation_config"),
            (
                r#"{"contents":[1],"generationConfig":{"maxOutputTokens":1,"max_output_tokens":2}}"#,
                "generationConfig.maxOutputTokens",
            ),
            (r#"{"contents":[1],"CONTENTS":[]}"#, "contents"),
            (r#"{"contents":[]}"#, "contents"),
            (r#"{"contents":"x"}"#, "contents"),
            (r#"{"model":"x"}"#, "contents"),
            (r#"{"contents":[1],"model":7}"#, "model"),
            (r#"{"contents":[1],"generationConfig":{"candidateCount":9}}"#, "generationConfig.candidateCount"),
        ] {
            assert_eq!(DIALECT.scan(body.as_bytes()).unwrap_err().param.as_deref(), Some(param), "{body}");
        }
        let scan = DIALECT
            .scan(br#"{"contents":[1],"model":"models/body","generationConfig":{"maxOutputTokens":5}}"#)
            .unwrap();
        assert_eq!((scan.model.as_deref(), scan.output_limit()), (Some("models/body"), Some(5)));
        let scan = scan.at(Some("path".to_owned()), true);
        assert_eq!((scan.model.as_deref(), scan.stream), (Some("path"), true));
    }
}
