//! Multipart forms: where the model's name stands, and what else is acted on: the gateway's own fields, read as in JSON and
//! taken out. Every other byte passes as it is. Strict where two readers could disagree; bounded in parts. Next room:
//! `head`, which reads content types and the heads of parts.

mod head;

use memchr::memmem;

use self::head::Disposition;
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
const BREAK: &[u8] = b"\r\n";

/// What a form has besides what every scan has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Form {
    /// The value of `model`; none when `models` names it.
    model: Option<Span>,
    /// The first boundary.
    boundary: Span,
    /// What the form goes on with: our own words for the boundary that was read.
    content_type: String,
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

impl Scan {
    /// The content type that a multipart form has to go on with; none for what is no form. The client's own may be read in
    /// two ways, this one in one.
    pub fn form_type(&self) -> Option<&str> {
        self.form.as_ref().map(|form| form.content_type.as_str())
    }
}

/// Reads a form once.
pub(crate) fn scan(body: &[u8], content_type: &str) -> Result<Scan, BodyFault> {
    let boundary = head::boundary(content_type)?;
    let mut scan = Scan::nothing();
    let (first, parts) = parts(body, boundary)?;
    let mut form = Form { boundary: first, content_type: head::content_type(boundary), ..Form::default() };
    let mut seen: Vec<String> = Vec::new();
    for part in parts {
        let Disposition { name, is_file } = head::disposition(part.head.of(body))?;
        if let Some(own) = Own::of(&name) {
            own.check(is_file, &mut seen)?;
            own.read(part.value, body, &mut scan)?;
            form.own.push(part.whole);
            continue;
        }
        let acted = acted_on(&name);
        if is_file && acted.is_none() {
            scan.media_parts += 1;
            scan.media_bytes += count(part.value.len());
        }
        let Some(acted) = acted else { continue };
        if acted != name || seen.contains(&name) {
            return Err(repeated(acted));
        }
        if is_file {
            let message = format!("`{acted}` must be a text and no file");
            return Err(fault(BodyFaultKind::WrongType, Some(acted), &message));
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

/// The field that a name means, for the laxest of readers: some trim names, and some take `n[]` for `n`.
fn acted_on(name: &str) -> Option<&'static str> {
    let plain = name.split('[').next().unwrap_or_default().trim();
    ["model", "stream", "n", "prompt"].into_iter().find(|known| known.eq_ignore_ascii_case(plain))
}

fn repeated(name: &str) -> BodyFault {
    fault(BodyFaultKind::Repeated, Some(name), &format!("`{name}` is given more than once, or in another spelling"))
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
        let acted = OWN.iter().find(|acted| acted.name.eq_ignore_ascii_case(name.trim()))?;
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
            // A wish that is dropped in silence is a promise broken.
            (Meaning::Preference, _) => return Err(self.wrong("left out of a form: `provider` says it in JSON")),
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

/// The first boundary and the parts, by the grammar of RFC 2046: each begins behind a line with the boundary, and the last
/// line ends with `--`. Nothing but white space may stand behind it: some readers go on there.
fn parts(body: &[u8], boundary: &str) -> Result<(Span, Vec<Part>), BodyFault> {
    let opening = format!("--{boundary}");
    let cut = || malformed("the form is cut off");
    let begin = if body.starts_with(opening.as_bytes()) { 0 } else { delimiter(body, 0, &opening)? };
    let first = Span { start: begin, end: begin + opening.len() };
    let mut at = first.end;
    let mut parts = Vec::new();
    loop {
        let rest = body.get(at..).unwrap_or_default();
        if let Some(behind) = rest.strip_prefix(b"--") {
            return match behind.iter().all(u8::is_ascii_whitespace) {
                true => Ok((first, parts)),
                false => Err(malformed("something stands behind the end of the form")),
            };
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
        let line = delimiter(body, value, &opening)?;
        let end = line + opening.len();
        parts.push(Part {
            head: Span { start, end: start + blank },
            value: Span { start: value, end: line - BREAK.len() },
            whole: Span { start: at, end },
        });
        at = end;
    }
}

/// Where the next boundary begins, which stands on a line of its own. One behind half a line break, or right where a value
/// should begin, is a boundary for some readers and not for others.
fn delimiter(body: &[u8], from: usize, opening: &str) -> Result<usize, BodyFault> {
    let within = body.get(from..).unwrap_or_default();
    for at in memmem::find_iter(within, opening.as_bytes()) {
        let before = within.get(..at).unwrap_or_default();
        if before.ends_with(BREAK) {
            return Ok(from + at);
        }
        if matches!(before.last(), None | Some(b'\r' | b'\n')) {
            return Err(malformed("a boundary of the form does not stand on a line of its own"));
        }
    }
    Err(malformed("the form is cut off"))
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
