//! Multipart forms: where the model's name stands, and what else is acted on. Every byte outside the model's name passes
//! as it is. Strict where two readers could disagree; bounded in parts.

use memchr::memmem;

use crate::error::{BodyFault, BodyFaultKind};
use crate::json::{Span, whole_number};
use crate::scan::Scan;

/// Most parts in one form.
const PARTS: usize = 128;
/// Longest head of a part, in bytes.
const HEAD: usize = 8 * 1024;
/// Longest value of a field that is acted on.
const VALUE: usize = 1024;

/// What a form has besides what every scan has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Form {
    /// The value of `model`.
    pub model: Option<Span>,
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
    let mut form = Form::default();
    let mut seen: Vec<String> = Vec::new();
    for part in parts(body, boundary)? {
        let head = String::from_utf8_lossy(part.head.of(body));
        let Some(name) = parameter(&head, "name") else { return Err(malformed("a part of the form has no name")) };
        let value = part.value;
        if parameter(&head, "filename").is_some() {
            scan.media_parts += 1;
            scan.media_bytes += count(value.len());
            continue;
        }
        let acted = ["model", "stream", "n", "prompt"].into_iter().find(|known| known.eq_ignore_ascii_case(&name));
        let Some(acted) = acted else { continue };
        if acted != name || seen.contains(&name) {
            let message = format!("`{acted}` is given more than once, or in another case");
            return Err(fault(BodyFaultKind::Repeated, Some(acted), &message));
        }
        read(acted, value, body, &mut scan, &mut form)?;
        seen.push(name);
    }
    if scan.model.is_none() {
        return Err(fault(BodyFaultKind::Missing, Some("model"), "`model` is required"));
    }
    scan.text_bytes = count(body.len()).saturating_sub(scan.media_bytes);
    scan.form = Some(Box::new(form));
    Ok(scan)
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
}

/// The parts, by the grammar of RFC 2046: each begins behind a line with the boundary, and the last line ends with `--`.
fn parts(body: &[u8], boundary: &str) -> Result<Vec<Part>, BodyFault> {
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
    let mut parts = Vec::new();
    loop {
        let rest = body.get(at..).unwrap_or_default();
        if rest.starts_with(b"--") {
            return Ok(parts);
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
        parts.push(Part { head: Span { start, end: start + blank }, value: Span { start: value, end: value + len } });
        at = value + len + closing.len();
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
        let place = scan.form.unwrap().model.unwrap();
        assert_eq!(place.of(body.as_bytes()), b"whisper-1");
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
