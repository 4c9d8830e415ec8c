//! The edits that a request gets on its way to a provider of the same dialect: the model, usage for streams, a limit
//! where the gateway sets one, and our own fields out. Nothing else changes.

use std::io::Write;

use bytes::Bytes;

use super::{extension, quirks};
use crate::bridge::{Outbound, RequestEdits};
use crate::error::BodyFault;
use crate::json::{self, Kind, NewText};
use crate::patch::Edits;
use crate::same::{self, NewFields};
use crate::scan::{Meaning, Scan};

/// The request as the provider gets it. `scan` is the scan of this very body.
pub(super) fn patch(body: &Bytes, scan: &Scan, wanted: &RequestEdits<'_>) -> Result<Outbound, BodyFault> {
    let mut edits = Edits::default();
    same::remove_own(
        body,
        scan,
        |field| field.acted.own || extension::goes(field, wanted),
        |field| quirks::keeps(wanted.quirks, field.acted.name),
        &mut edits,
    );
    let mut new = NewFields::default();
    model(scan, wanted, &mut edits, &mut new);
    if scan.stream && !quirks::refuses_stream_options(wanted.quirks) {
        usage_on(scan, &mut edits, &mut new);
    }
    if let Some(limit) = wanted.token_limit {
        token_limit(scan, limit, wanted, &mut edits, &mut new);
    }
    let losses = extension::say(body, scan, wanted, &mut new)?;
    new.put(scan, &mut edits);
    Ok(Outbound { losses, ..edits.apply(body).into() })
}

fn model(scan: &Scan, wanted: &RequestEdits<'_>, edits: &mut Edits, new: &mut NewFields) {
    if scan.model.as_deref() == Some(wanted.upstream_model) {
        return;
    }
    match scan.field(Meaning::Model) {
        Some(field) => edits.replace_with(field.value, |out| json::write_string(out, wanted.upstream_model)),
        None => new.add("model", |out| json::write_string(out, wanted.upstream_model)),
    }
}

/// The switch, and the object that has nothing else in it.
const USAGE_ON: &[u8] = b"\"include_usage\":true";
const ONLY_USAGE_ON: &[u8] = b"{\"include_usage\":true}";

fn usage_on(scan: &Scan, edits: &mut Edits, new: &mut NewFields) {
    let Some(field) = scan.field(Meaning::StreamOptions) else {
        return new.add("stream_options", |out| out.extend_from_slice(ONLY_USAGE_ON));
    };
    match field.member {
        Some(member) if member.is_true => {}
        Some(member) => edits.replace(member.value, b"true"),
        None if field.kind != Kind::Object => edits.replace(field.value, ONLY_USAGE_ON),
        None => edits.insert_with(field.value.start + 1, |out| {
            out.extend_from_slice(USAGE_ON);
            out.extend_from_slice(if field.bare { b"" } else { b"," });
        }),
    }
}

/// Sets the limit where the request has one, else in the field that the endpoint takes.
fn token_limit(scan: &Scan, limit: u64, wanted: &RequestEdits<'_>, edits: &mut Edits, new: &mut NewFields) {
    // Writing into new text cannot fail.
    let write = |out: &mut NewText| drop(write!(out, "{limit}"));
    let fields = [scan.field(Meaning::MaxTokens), scan.field(Meaning::MaxCompletionTokens)];
    let (usual, name) = match quirks::limits_completion(wanted.quirks) {
        false => (fields.first(), "max_tokens"),
        true => (fields.last(), "max_completion_tokens"),
    };
    let mut is_set = false;
    for field in fields.iter().flatten().filter(|field| field.kind != Kind::Null) {
        edits.replace_with(field.value, write);
        is_set = true;
    }
    match usual.copied().flatten() {
        _ if is_set => {}
        Some(null) => edits.replace_with(null.value, write),
        None => new.add(name, write),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::openai_chat::DIALECT;

    fn sent(body: &str, limit: Option<u64>, quirks: &[&str]) -> String {
        let scan = DIALECT.scan(body.as_bytes()).unwrap();
        let quirks = DIALECT.parse_quirks(quirks).unwrap();
        let carry = crate::Carry::new(b"", "o", "p", "m");
        let wanted = RequestEdits {
            upstream_model: "up/m",
            token_limit: limit,
            quirks,
            max_output: None,
            input_modalities: &[],
            require_parameters: false,
            surface: crate::fault::Surface::V1,
            carry: &carry,
        };
        let body = Bytes::copy_from_slice(body.as_bytes());
        String::from_utf8(patch(&body, &scan, &wanted).unwrap().body.into_bytes().to_vec()).unwrap()
    }

    const M: &str = r#""messages":[1]"#;

    #[test]
    fn only_declared_edits_are_made() {
        for (body, out) in [
            (format!(r#"{{"model":"x",{M}}}"#), format!(r#"{{"model":"up/m",{M}}}"#)),
            (
                format!(r#"{{ "model" : "\u0078" , {M} , "x":1.00 }}"#),
                format!(r#"{{ "model" : "up/m" , {M} , "x":1.00 }}"#),
            ),
            (format!(r#"{{"model":"up/m",{M},"stream":false}}"#), format!(r#"{{"model":"up/m",{M},"stream":false}}"#)),
            (
                format!(r#"{{"stream":true,"model":"x",{M}}}"#),
                format!(r#"{{"stream_options":{{"include_usage":true}},"stream":true,"model":"up/m",{M}}}"#),
            ),
            (
                format!(r#"{{"stream":true,"model":"up/m","stream_options":{{"include_usage":true}},{M}}}"#),
                format!(r#"{{"stream":true,"model":"up/m","stream_options":{{"include_usage":true}},{M}}}"#),
            ),
            (
                format!(r#"{{"stream":true,"model":"up/m","stream_options":{{"a":0,"include_usage": false }},{M}}}"#),
                format!(r#"{{"stream":true,"model":"up/m","stream_options":{{"a":0,"include_usage": true }},{M}}}"#),
            ),
            (
                format!(r#"{{"stream":true,"model":"up/m","stream_options":{{ "a":0}},{M}}}"#),
                format!(r#"{{"stream":true,"model":"up/m","stream_options":{{"include_usage":true, "a":0}},{M}}}"#),
            ),
            (
                format!(r#"{{"stream":true,"model":"up/m","stream_options":{{ }},{M}}}"#),
                format!(r#"{{"stream":true,"model":"up/m","stream_options":{{"include_usage":true }},{M}}}"#),
            ),
            (
                format!(r#"{{"stream":true,"model":"up/m","stream_options": null ,{M}}}"#),
                format!(r#"{{"stream":true,"model":"up/m","stream_options": {{"include_usage":true}} ,{M}}}"#),
            ),
        ] {
            assert_eq!(sent(&body, None, &[]), out);
        }
    }

    #[test]
    fn own_fields_go_and_the_rest_stays_well_formed() {
        for (body, out) in [
            (format!(r#"{{"route":1,"model":"up/m",{M}}}"#), format!(r#"{{"model":"up/m",{M}}}"#)),
            (format!(r#"{{ "route" : 1 , "tags":[],"model":"up/m",{M}}}"#), format!(r#"{{  "model":"up/m",{M}}}"#)),
            (format!(r#"{{"model":"up/m" , "route":1, {M}, "debug":{{}} }}"#), format!(r#"{{"model":"up/m" , {M} }}"#)),
            (format!(r#"{{"models":["a"],{M},"tr\u0061ce":{{}},"tags":1}}"#), format!(r#"{{"model":"up/m",{M}}}"#)),
            (format!(r#"{{"model":"up/m",{M},"usage":{{"include":true}}}}"#), format!(r#"{{"model":"up/m",{M}}}"#)),
            (
                format!(r#"{{"model":"up/m",{M},"usage":{{"include":true,"x":1}}}}"#),
                format!(r#"{{"model":"up/m",{M},"usage":{{"x":1}}}}"#),
            ),
            (
                format!(r#"{{"model":"up/m",{M},"usage":{{"x":1 , "include":true}}}}"#),
                format!(r#"{{"model":"up/m",{M},"usage":{{"x":1}}}}"#),
            ),
            (format!(r#"{{"model":"up/m",{M},"usage":7}}"#), format!(r#"{{"model":"up/m",{M},"usage":7}}"#)),
        ] {
            let sent = sent(&body, None, &[]);
            assert!(serde_json::from_str::<serde_json::Value>(&sent).is_ok(), "{sent}");
            assert_eq!(sent.replace(' ', ""), out.replace(' ', ""));
        }
    }

    #[test]
    fn a_limit_goes_where_the_request_or_the_endpoint_has_it() {
        let quirk: &[&str] = &["max-completion-tokens"];
        for (fields, quirks, out) in [
            ("", &[][..], r#"{"max_tokens":9,"model":"up/m",M}"#),
            ("", quirk, r#"{"max_completion_tokens":9,"model":"up/m",M}"#),
            (r#","max_tokens":100"#, quirk, r#"{"model":"up/m",M,"max_tokens":9}"#),
            (
                r#","max_tokens":100,"max_completion_tokens":50"#,
                quirk,
                r#"{"model":"up/m",M,"max_tokens":9,"max_completion_tokens":9}"#,
            ),
            (r#","max_tokens":null"#, &[], r#"{"model":"up/m",M,"max_tokens":9}"#),
            (r#","max_tokens":null"#, quirk, r#"{"max_completion_tokens":9,"model":"up/m",M,"max_tokens":null}"#),
        ] {
            assert_eq!(sent(&format!(r#"{{"model":"up/m",{M}{fields}}}"#), Some(9), quirks), out.replace('M', M));
        }
    }

    #[test]
    fn quirks_leave_things_alone() {
        let body = format!(
            r#"{{"model":"up/m",{M},"stream":true,"include_reasoning":true,"route":1,"usage":{{"include":true}}}}"#
        );
        assert_eq!(sent(&body, None, &["no-stream-options", "openrouter-fields"]), body);
        let some = sent(&body, None, &["no-stream-options", "include-reasoning"]);
        assert_eq!(some, format!(r#"{{"model":"up/m",{M},"stream":true,"include_reasoning":true}}"#));
    }
}
