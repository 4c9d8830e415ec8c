//! Multipart forms: where the model's name stands, and what else is acted on: the gateway's own fields, read as in JSON and
//! taken out. Every other byte passes as it is. Strict where two readers could disagree; bounded in parts.

use memchr::memmem;

use super::tables::OWN;
use crate::error::{BodyFault, BodyFaultKind};
use crate::json::{Span, Tape, whole_number};
use crate::patch::Edits;
use crate::scan::{ActedOn, Meaning, Scan};

/// Most parts in one form.
const PARTS: usize = 128;
/// Longest head of a part, in bytes.
const HEAD: usize = 8 * 1024;
/// Longest value of a field that is acted on.
const VALUE: usize = 1024;
/// Longest value of one of our own that is read as JSON.
const OWN_VALUE: usize = 64 * 1024;
/// Most models that one form may name beside the first.
const FALLBACKS: usize = 64;
/// What stands behind the name of a field that is a list, one part for each item.
const ITEM: &str = "[]";

/// What a form has besides what every scan has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Form {
    /// The value of `model`; none when `models` names it.
    model: Option<Span>,
    /// The first boundary.
    boundary: Span,
    /// Parts that are ours, each from behind its boundary to behind the next one.
    own: Vec<Span>,
}

impl Form {
    /// Notes what changes on the way to a provider.
    pub fn edit(&self, body: &[u8], upstream_model: &str, edits: &mut Edits) {
        match self.model {
            Some(model) => edits.replace(model, upstream_model.as_bytes()),
            None => edits.insert_with(self.boundary.end, |out| {
                out.extend_from_slice(b"\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n");
                out.extend_from_slice(upstream_model.as_bytes());
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(self.boundary.of(body));
            }),
        }
        self.own.iter().for_each(|part| edits.remove(*part));
    }
}

fn fault(kind: BodyFaultKind, param: Option<&str>, message: &str) -> BodyFault {
    BodyFault { kind, param: param.map(str::to_owned), message: message.to_owned() }
}

fn malformed(message: &str) -> BodyFault {
    fault(BodyFaultKind::Malformed, None, message)
}

/// The boundary that a content type names; none when it is no multipart form.
pub(crate) fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    ((1..=70).contains(&boundary.len()) && boundary.is_ascii()).then_some(boundary)
}

/// Reads a form once.
pub(crate) fn scan(body: &[u8], content_type: &str) -> Result<Scan, BodyFault> {
    let boundary = boundary(content_type).ok_or_else(|| malformed("the content type names no boundary"))?;
    let mut scan = Scan::nothing();
    let (first, parts) = parts(body, boundary)?;
    let mut form = Form { boundary: first, ..Form::default() };
    let mut seen: Vec<String> = Vec::new();
    for part in parts {
        let head = String::from_utf8_lossy(part.head.of(body));
        let Some(name) = parameter(&head, "name") else { return Err(malformed("a part of the form has no name")) };
        let is_file = parameter(&head, "filename").is_some();
        if let Some(own) = Own::of(&name) {
            own.check(is_file, &mut seen)?;
            own.read(part.value, body, &mut scan)?;
            form.own.push(part.whole);
            continue;
        }
        if is_file {
            scan.media_parts += 1;
            scan.media_bytes += count(part.value.len());
            continue;
        }
        let acted = ["model", "stream", "n", "prompt"].into_iter().find(|known| known.eq_ignore_ascii_case(&name));
        let Some(acted) = acted else { continue };
        if acted != name || seen.contains(&name) {
            return Err(repeated(acted));
        }
        read(acted, part.value, body, &mut scan, &mut form)?;
        seen.push(name);
    }
    if scan.model.is_none() && scan.fallbacks.is_empty() {
        return Err(fault(BodyFaultKind::Missing, Some("model"), "`model` is required"));
    }
    scan.text_bytes = count(body.len()).saturating_sub(scan.media_bytes);
    scan.form = Some(Box::new(form));
    Ok(scan)
}

fn repeated(name: &str) -> BodyFault {
    fault(BodyFaultKind::Repeated, Some(name), &format!("`{name}` is given more than once, or in another case"))
}

/// A part that is ours.
struct Own<'p> {
    acted: &'static ActedOn,
    name: &'p str,
    /// What stands behind the field's name where clients write members of lists and objects as parts: `[order][]`.
    member: &'p str,
}

impl<'p> Own<'p> {
    fn of(name: &'p str) -> Option<Own<'p>> {
        let (name, member) = name.split_at(name.find('[').unwrap_or(name.len()));
        let acted = OWN.iter().find(|acted| acted.name.eq_ignore_ascii_case(name))?;
        Some(Own { acted, name, member })
    }

    /// Whether it may stand here. Members may come in any number, but not beside the whole.
    fn check(&self, is_file: bool, seen: &mut Vec<String>) -> Result<(), BodyFault> {
        let (whole, members) = (self.name.to_owned(), format!("{}{ITEM}", self.name));
        let is_whole = self.member.is_empty();
        if self.name != self.acted.name || seen.contains(&whole) || (is_whole && seen.contains(&members)) {
            return Err(repeated(self.acted.name));
        }
        if is_file {
            return Err(self.wrong("a text and no file"));
        }
        seen.push(if is_whole { whole } else { members });
        Ok(())
    }

    fn read(&self, value: Span, body: &[u8], scan: &mut Scan) -> Result<(), BodyFault> {
        match (self.acted.meaning, self.member) {
            (Meaning::Provider, "") => {
                let (text, mut tape) = (self.text(value, body)?, Tape::default());
                let json = tape.read(text.as_bytes()).map_err(|_| self.wrong("an object in JSON"))?;
                if !json.is_null() {
                    scan.provider = json.is_object().then_some(value);
                    return scan.provider.map(drop).ok_or_else(|| self.wrong("an object in JSON"));
                }
            }
            (Meaning::Provider, _) => return Err(self.wrong("one part with an object in JSON")),
            (Meaning::Fallbacks, "") => {
                let (text, mut tape) = (self.text(value, body)?, Tape::default());
                let list = || self.wrong("a list of strings in JSON");
                let json = tape.read(text.as_bytes()).ok().filter(|json| json.is_array() || json.is_null());
                for model in json.ok_or_else(list)?.items() {
                    self.fallback(&model.string().ok_or_else(list)?, scan)?;
                }
            }
            (Meaning::Fallbacks, ITEM) => self.fallback(self.text(value, body)?.trim(), scan)?,
            (Meaning::Fallbacks, _) => return Err(self.wrong("a list of strings")),
            _ => {}
        }
        Ok(())
    }

    fn fallback(&self, model: &str, scan: &mut Scan) -> Result<(), BodyFault> {
        let name = self.acted.name;
        if model.is_empty() || scan.fallbacks.len() == FALLBACKS {
            let message = format!("`{name}` may name at most {FALLBACKS} models, none of them empty");
            return Err(fault(BodyFaultKind::OutOfRange, Some(name), &message));
        }
        scan.fallbacks.push(model.to_owned());
        Ok(())
    }

    fn text<'b>(&self, value: Span, body: &'b [u8]) -> Result<&'b str, BodyFault> {
        let text = std::str::from_utf8(value.of(body)).ok().filter(|text| text.len() <= OWN_VALUE);
        text.ok_or_else(|| self.wrong("a text that is not too long"))
    }

    fn wrong(&self, expected: &str) -> BodyFault {
        let name = self.acted.name;
        fault(BodyFaultKind::WrongType, Some(name), &format!("`{name}` must be {expected}"))
    }
}

fn read(name: &str, value: Span, body: &[u8], scan: &mut Scan, form: &mut Form) -> Result<(), BodyFault> {
    let text = value.of(body);
    if name == "prompt" {
        return Ok(());
    }
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= VALUE);
    let Some(text) = text else {
        return Err(fault(BodyFaultKind::WrongType, Some(name), &format!("`{name}` must be a short text")));
    };
    let wrong = |message: &str| Err(fault(BodyFaultKind::WrongType, Some(name), message));
    match (name, text.trim()) {
        ("model", "") => return wrong("`model` must not be empty"),
        ("model", model) => {
            scan.model = Some(model.to_owned());
            form.model = Some(value);
        }
        ("stream", "true" | "True") => scan.stream = true,
        ("stream", "false" | "False" | "") => {}
        ("stream", _) => return wrong("`stream` must be true or false"),
        (_, number) => match whole_number(number.as_bytes()) {
            Some(choices @ 1..=10) => scan.choices = choices,
            _ => return Err(fault(BodyFaultKind::OutOfRange, Some(name), "`n` must be from 1 to 10")),
        },
    }
    Ok(())
}

struct Part {
    head: Span,
    value: Span,
    /// From behind the boundary before it to behind the one after it.
    whole: Span,
}

/// The first boundary and the parts, by the grammar of RFC 2046: each begins behind a line with the boundary, and the last line ends with `--`.
fn parts(body: &[u8], boundary: &str) -> Result<(Span, Vec<Part>), BodyFault> {
    let opening = format!("--{boundary}");
    let closing = format!("\r\n--{boundary}");
    let cut = || malformed("the form is cut off");
    let mut at = match body.starts_with(opening.as_bytes()) {
        true => opening.len(),
        false => {
            let preamble = memmem::find(body, closing.as_bytes()).ok_or_else(cut)?;
            preamble + closing.len()
        }
    };
    let first = Span { start: at - opening.len(), end: at };
    let mut parts = Vec::new();
    loop {
        let rest = body.get(at..).unwrap_or_default();
        if rest.starts_with(b"--") {
            return Ok((first, parts));
        }
        let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if !rest.get(padding..).unwrap_or_default().starts_with(b"\r\n") {
            return Err(cut());
        }
        let start = at + padding + 2;
        if parts.len() == PARTS {
            return Err(malformed("the form has too many parts"));
        }
        let within = body.get(start..).unwrap_or_default();
        let blank = memmem::find(within, b"\r\n\r\n").filter(|head| *head <= HEAD);
        let blank = blank.ok_or_else(|| malformed("the head of a part is cut off, or too long"))?;
        let value = start + blank + 4;
        let len = memmem::find(body.get(value..).unwrap_or_default(), closing.as_bytes()).ok_or_else(cut)?;
        let end = value + len + closing.len();
        let whole = Span { start: at, end };
        parts.push(Part {
            head: Span { start, end: start + blank },
            value: Span { start: value, end: value + len },
            whole,
        });
        at = end;
    }
}

/// A parameter of the part's `content-disposition`.
fn parameter(head: &str, name: &str) -> Option<String> {
    let line = head.split("\r\n").find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    line.split(';').skip(1).find_map(|parameter| {
        let (known, value) = parameter.trim().split_once('=')?;
        known.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=xyz";

    fn form(parts: &[(&str, &str)]) -> String {
        let parts = parts
            .iter()
            .map(|(head, value)| format!("--xyz\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n"));
        parts.collect::<String>() + "--xyz--\r\n"
    }

    #[test]
    fn the_model_is_found_where_it_stands_and_files_are_media() {
        let body = form(&[
            ("name=\"file\"; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg", "--xy\r\n--notxyz\u{0}"),
            ("name=\"model\"", "whisper-1"),
            ("name=\"stream\"", "true"),
            ("name=\"n\"", "3"),
        ]);
        let scan = scan(body.as_bytes(), TYPE).unwrap();
        assert_eq!((scan.model.as_deref(), scan.stream, scan.choices), (Some("whisper-1"), true, 3));
        assert_eq!((scan.media_parts, scan.media_bytes), (1, 15));
        assert_eq!(scan.form.as_ref().unwrap().model.unwrap().of(body.as_bytes()), b"whisper-1");
        assert_eq!(sent(&body), body.replace("whisper-1", "up/m"));
    }

    /// What a provider gets.
    fn sent(body: &str) -> String {
        let scan = scan(body.as_bytes(), TYPE).unwrap();
        let mut edits = Edits::default();
        scan.form.unwrap().edit(body.as_bytes(), "up/m", &mut edits);
        String::from_utf8(edits.apply_in_one(Bytes::copy_from_slice(body.as_bytes())).to_vec()).unwrap()
    }

    #[test]
    fn our_own_fields_are_read_as_in_json_and_taken_out() {
        let file = ("name=\"file\"; filename=\"a\"", "\u{1}\r\n--\r\n");
        let (model, up) = (("name=\"model\"", "m"), ("name=\"model\"", "up/m"));
        let provider = ("name=\"provider\"", r#" {"order":["x"]} "#);
        let models = ("name=\"models\"", r#"["a\u002fb","c"]"#);
        let body = form(&[provider, file, model, ("name=\"route\"", "fallback"), models, ("name=\"tags[]\"", "t")]);
        let read = scan(body.as_bytes(), TYPE).unwrap();
        assert_eq!(read.provider.unwrap().of(body.as_bytes()), br#" {"order":["x"]} "#);
        assert_eq!(read.fallbacks, ["a/b", "c"]);
        assert_eq!(sent(&body), form(&[file, up]));
        for (own, fallbacks) in [
            (&[("name=\"transforms\"", "[]"), ("name=\"usage\"", "{}"), ("name=\"provider\"", "null")][..], 0),
            (&[("name=\"models[]\"", "a"), ("name=\"models[]\"", "b"), ("name=\"trace[id]\"", "\u{e4}")], 2),
            (&[("name=\"models\"", "null")], 0),
        ] {
            let body = form(&[own, &[model]].concat());
            let read = scan(body.as_bytes(), TYPE).unwrap();
            assert_eq!((read.provider, read.fallbacks.len()), (None, fallbacks), "{body}");
            assert_eq!(sent(&body), form(&[up]), "{body}");
        }
    }

    #[test]
    fn a_form_whose_model_stands_in_the_list_gets_one_of_its_own() {
        let (models, file) = (("name=\"models\"", r#"["a"]"#), ("name=\"file\"; filename=\"a\"", "x"));
        let up = ("name=\"model\"", "up/m");
        for own in [&[models, file][..], &[file, models]] {
            assert_eq!(sent(&form(own)), form(&[up, file]));
            assert_eq!(sent(&format!("preamble\r\n{}", form(own))), format!("preamble\r\n{}", form(&[up, file])));
        }
    }

    #[test]
    fn fields_of_ours_that_cannot_be_read_are_named() {
        let model = ("name=\"model\"", "m");
        for (own, param, kind) in [
            (&[("name=\"provider\"", "fast")][..], "provider", BodyFaultKind::WrongType),
            (&[("name=\"provider\"", "[]")], "provider", BodyFaultKind::WrongType),
            (&[("name=\"provider\"", "")], "provider", BodyFaultKind::WrongType),
            (&[("name=\"provider[order][]\"", "x")], "provider", BodyFaultKind::WrongType),
            (&[("name=\"Provider\"", "{}")], "provider", BodyFaultKind::Repeated),
            (&[("name=\"provider\"", "{}"), ("name=\"provider\"", "{}")], "provider", BodyFaultKind::Repeated),
            (&[("name=\"models\"", "a")], "models", BodyFaultKind::WrongType),
            (&[("name=\"models\"", "[1]")], "models", BodyFaultKind::WrongType),
            (&[("name=\"models\"", r#"[""]"#)], "models", BodyFaultKind::OutOfRange),
            (&[("name=\"models[]\"", "a"), ("name=\"models\"", r#"["b"]"#)], "models", BodyFaultKind::Repeated),
            (&[("name=\"models\"", r#"["b"]"#), ("name=\"models[]\"", "a")], "models", BodyFaultKind::Repeated),
            (&[("name=\"route\"; filename=\"r\"", "x")], "route", BodyFaultKind::WrongType),
        ] {
            let body = form(&[&[model], own].concat());
            let fault = scan(body.as_bytes(), TYPE).unwrap_err();
            assert_eq!((fault.param.as_deref(), fault.kind), (Some(param), kind), "{body}");
        }
    }

    #[test]
    fn forms_that_two_readers_could_read_two_ways_are_refused() {
        let model = ("name=\"model\"", "m");
        for (body, kind) in [
            (form(&[model, model]), BodyFaultKind::Repeated),
            (form(&[("name=\"Model\"", "m")]), BodyFaultKind::Repeated),
            (form(&[("name=\"stream\"", "true")]), BodyFaultKind::Missing),
            (form(&[model, ("name=\"stream\"", "maybe")]), BodyFaultKind::WrongType),
            (form(&[model, ("name=\"n\"", "99")]), BodyFaultKind::OutOfRange),
            (form(&[("x=\"y\"", "m")]), BodyFaultKind::Malformed),
            (form(&[model]).replace("--xyz--", ""), BodyFaultKind::Malformed),
            (String::new(), BodyFaultKind::Malformed),
        ] {
            assert_eq!(scan(body.as_bytes(), TYPE).unwrap_err().kind, kind, "{body}");
        }
        assert_eq!(boundary("multipart/form-data"), None);
        assert_eq!(boundary("application/json; boundary=x"), None);
        assert_eq!(boundary("Multipart/Form-Data; charset=utf-8; boundary=\"a b\""), Some("a b"));
    }
}
