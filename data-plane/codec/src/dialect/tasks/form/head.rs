//! Heads of forms: the content type of the whole and the disposition of each part. Whoever reads the form behind us has
//! to read the same, so what readers are known to read in two ways is refused and never guessed at: escapes in quotes,
//! names said twice, names in pieces, lines that end in half a break. Next room: `mod`, which acts on what was found.

use super::malformed;
use crate::error::BodyFault;

const BOUNDARY: &str = "the content type must name one boundary of 1 to 70 plain characters";
const CONTROL: &str = "the head of a part has a control character in it";
const LINE: &str = "the head of a part has a line that is no field";
const DISPOSITION: &str = "a part of the form must have one `Content-Disposition: form-data`, and one name in it";
const ESCAPED: &str = "the name of a part is written with escapes";
const ENCODED: &str = "a part of the form has a transfer encoding";

/// A parameter behind a semicolon.
struct Parameter<'t> {
    /// As it is written.
    name: &'t str,
    /// Without its quotes.
    value: &'t str,
}

impl Parameter<'_> {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Whether some reader could take it for `name`: in itself, in another character set, or as a piece of it.
    fn speaks_of(&self, name: &str) -> bool {
        self.name.split('*').next().is_some_and(|plain| plain.eq_ignore_ascii_case(name))
    }
}

/// The boundary that a content type names, to the letter.
pub(super) fn boundary(content_type: &str) -> Result<&str, BodyFault> {
    let refused = || malformed(BOUNDARY);
    let (kind, behind) = content_type.split_at(content_type.find(';').unwrap_or(content_type.len()));
    if !trim(kind).eq_ignore_ascii_case("multipart/form-data") {
        return Err(malformed("the content type is no multipart form"));
    }
    let parameters = parameters(behind).ok_or_else(refused)?;
    let mut named = parameters.iter().filter(|parameter| parameter.speaks_of("boundary"));
    match (named.next(), named.next()) {
        (Some(only), None) if only.is("boundary") && is_boundary(only.value) => Ok(only.value),
        _ => Err(refused()),
    }
}

/// The content type that providers get, whatever the client's looked like: one boundary and nothing else.
pub(super) fn content_type(boundary: &str) -> String {
    match boundary.bytes().all(is_token) {
        true => format!("multipart/form-data; boundary={boundary}"),
        false => format!("multipart/form-data; boundary=\"{boundary}\""),
    }
}

/// What RFC 2046 allows.
fn is_boundary(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    (1..=70).contains(&text.len()) && text.bytes().all(is_allowed) && !text.ends_with(' ')
}

/// What the head of a part says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Disposition {
    pub name: String,
    pub is_file: bool,
}

/// Reads the head of a part, without the empty line behind it.
pub(super) fn disposition(head: &[u8]) -> Result<Disposition, BodyFault> {
    let head = String::from_utf8_lossy(head);
    let mut found = None;
    for line in head.split("\r\n") {
        if line.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(malformed(CONTROL));
        }
        let field = line.split_once(':').filter(|(field, _)| !field.is_empty() && field.bytes().all(is_token));
        let (field, value) = field.ok_or_else(|| malformed(LINE))?;
        if field.eq_ignore_ascii_case("content-disposition") && found.replace(value).is_some() {
            return Err(malformed(DISPOSITION));
        }
        // Readers that undo it would see another value.
        if field.eq_ignore_ascii_case("content-transfer-encoding") && !is_plain_encoding(trim(value)) {
            return Err(malformed(ENCODED));
        }
    }
    read(found.ok_or_else(|| malformed(DISPOSITION))?)
}

fn is_plain_encoding(encoding: &str) -> bool {
    ["binary", "8bit", "7bit"].iter().any(|plain| plain.eq_ignore_ascii_case(encoding))
}

fn read(value: &str) -> Result<Disposition, BodyFault> {
    let refused = || malformed(DISPOSITION);
    let (kind, behind) = value.split_at(value.find(';').unwrap_or(value.len()));
    let parameters = parameters(behind).filter(|_| trim(kind).eq_ignore_ascii_case("form-data"));
    let (mut name, mut file, mut foreign_file) = (None, None, None);
    for parameter in parameters.ok_or_else(refused)? {
        let place = match () {
            () if parameter.is("name") => &mut name,
            () if parameter.is("filename") => &mut file,
            // Most libraries write it beside the plain one, or alone where the name is not in ASCII.
            () if parameter.is("filename*") => &mut foreign_file,
            () if parameter.speaks_of("name") || parameter.speaks_of("filename") => return Err(refused()),
            () => continue,
        };
        if place.replace(parameter.value).is_some() {
            return Err(refused());
        }
    }
    let name = name.ok_or_else(refused)?;
    if name.contains(['\\', '%']) || name.contains("=?") {
        return Err(malformed(ESCAPED));
    }
    Ok(Disposition { name: name.to_owned(), is_file: file.is_some() || foreign_file.is_some() })
}

/// Everything behind the first word of a field: `;` and a parameter, any number of times. None when the text can be read
/// in two ways: with a quote inside a word, or with a backslash before one, which ends the text for some and not for others.
fn parameters(text: &str) -> Option<Vec<Parameter<'_>>> {
    let mut found = Vec::new();
    let mut rest = trim(text);
    while !rest.is_empty() {
        rest = trim(rest.strip_prefix(';')?);
        if rest.is_empty() || rest.starts_with(';') {
            continue;
        }
        let (name, behind) = rest.split_once('=')?;
        if name.is_empty() || !name.bytes().all(is_token) {
            return None;
        }
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').filter(|(value, _)| !value.ends_with('\\'))?,
            None => {
                let (value, behind) = behind.split_at(behind.find(';').unwrap_or(behind.len()));
                let is_word = |value: &&str| !value.contains(['"', '\\', ' ', '\t']);
                (Some(trim(value)).filter(is_word)?, behind)
            }
        };
        found.push(Parameter { name, value });
        rest = trim(behind);
    }
    Some(found)
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// A character of a word that needs no quotes.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
