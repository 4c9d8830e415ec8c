//! Images, documents, sound and video as Bedrock takes them: by format rather than media type, and inline. Documents need
//! a name each, of few letters, and no two the same. Never a place in a bucket: Bedrock would read it with our rights.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::json::Writer;
use crate::model::{Media, MediaKind, Source};

/// A format: what it is a format of, its name at Bedrock, its media types, its endings, and how its base64 begins.
struct Format {
    kind: MediaKind,
    name: &'static str,
    mimes: &'static [&'static str],
    endings: &'static [&'static str],
    start: &'static str,
}

const fn format(
    kind: MediaKind,
    name: &'static str,
    mimes: &'static [&'static str],
    endings: &'static [&'static str],
    start: &'static str,
) -> Format {
    Format { kind, name, mimes, endings, start }
}

/// No base64 begins so.
const NONE: &str = "-";
const TEXT: &str = "txt";

#[rustfmt::skip]
const FORMATS: [Format; 33] = [
    format(MediaKind::Image, "png", &["image/png"], &["png"], "iVBORw0KGgo"),
    format(MediaKind::Image, "jpeg", &["image/jpeg", "image/jpg"], &["jpg", "jpeg"], "/9j/"),
    format(MediaKind::Image, "gif", &["image/gif"], &["gif"], "R0lGOD"),
    format(MediaKind::Image, "webp", &["image/webp"], &["webp"], "UklGR"),
    format(MediaKind::File, "pdf", &["application/pdf", "application/x-pdf"], &["pdf"], "JVBERi"),
    format(MediaKind::File, "csv", &["text/csv"], &["csv"], NONE),
    format(MediaKind::File, "doc", &["application/msword"], &["doc"], NONE),
    format(MediaKind::File, "docx", &["application/vnd.openxmlformats-officedocument.wordprocessingml.document"], &["docx"], NONE),
    format(MediaKind::File, "xls", &["application/vnd.ms-excel"], &["xls"], NONE),
    format(MediaKind::File, "xlsx", &["application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"], &["xlsx"], NONE),
    format(MediaKind::File, "html", &["text/html"], &["html", "htm"], NONE),
    format(MediaKind::File, "md", &["text/markdown", "text/x-markdown"], &["md", "markdown"], NONE),
    format(MediaKind::File, TEXT, &["text/plain", "application/json", "application/xml", "application/yaml"], &["txt", "json", "xml", "yaml", "yml", "log"], NONE),
    format(MediaKind::Audio, "mp3", &["audio/mpeg", "audio/mp3"], &["mp3"], "SUQz"),
    format(MediaKind::Audio, "wav", &["audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"], &["wav"], NONE),
    format(MediaKind::Audio, "flac", &["audio/flac", "audio/x-flac"], &["flac"], "ZkxhQ"),
    format(MediaKind::Audio, "ogg", &["audio/ogg"], &["ogg"], "T2dnU"),
    format(MediaKind::Audio, "opus", &["audio/opus"], &["opus"], NONE),
    format(MediaKind::Audio, "aac", &["audio/aac"], &["aac"], NONE),
    format(MediaKind::Audio, "m4a", &["audio/mp4", "audio/m4a", "audio/x-m4a"], &["m4a"], NONE),
    format(MediaKind::Audio, "mka", &["audio/x-matroska", "audio/matroska"], &["mka"], NONE),
    format(MediaKind::Audio, "pcm", &["audio/pcm", "audio/l16"], &["pcm"], NONE),
    format(MediaKind::Audio, "webm", &["audio/webm"], &["webm"], NONE),
    format(MediaKind::Video, "mp4", &["video/mp4"], &["mp4"], NONE),
    format(MediaKind::Video, "mov", &["video/quicktime", "video/mov"], &["mov"], NONE),
    format(MediaKind::Video, "mkv", &["video/x-matroska", "video/matroska"], &["mkv"], NONE),
    format(MediaKind::Video, "webm", &["video/webm"], &["webm"], NONE),
    format(MediaKind::Video, "flv", &["video/x-flv", "video/flv"], &["flv"], NONE),
    format(MediaKind::Video, "mpeg", &["video/mpeg"], &["mpeg"], NONE),
    format(MediaKind::Video, "mpg", &["video/mpg"], &["mpg"], NONE),
    format(MediaKind::Video, "wmv", &["video/x-ms-wmv", "video/wmv"], &["wmv"], NONE),
    format(MediaKind::Video, "three_gp", &["video/3gpp"], &["3gp"], NONE),
    // Any other text is read as what it is.
    format(MediaKind::File, TEXT, &["text/"], &[], NONE),
];

/// Something that is no text, as it is written.
#[derive(Debug)]
pub(super) struct Shown<'m> {
    pub kind: MediaKind,
    format: &'static str,
    /// Documents only.
    name: Option<String>,
    source: Given<'m>,
}

#[derive(Debug)]
enum Given<'m> {
    Base64(&'m str),
    Plain(&'m str),
}

/// What is shown; else why it cannot be. `names` are those of the documents so far.
pub(super) fn shown<'m>(media: &'m Media<'_>, names: &mut Names) -> Result<Shown<'m>, &'static str> {
    let source = match &media.source {
        Source::Inline(data) => Given::Base64(data),
        Source::Text(text) => Given::Plain(text),
        Source::Url(_) => return Err("Bedrock takes no addresses, only the data itself"),
        Source::FileId(_) => return Err("it is a file that lies with another provider"),
    };
    let found =
        find(media, &source).ok_or("Bedrock takes nothing of its media type, or the media type is not given")?;
    let name = (found.kind == MediaKind::File).then(|| names.make(media.name.as_deref()));
    Ok(Shown { kind: found.kind, format: found.name, name, source })
}

fn find(media: &Media<'_>, source: &Given<'_>) -> Option<&'static Format> {
    if matches!(source, Given::Plain(_)) {
        return FORMATS.iter().find(|format| format.name == TEXT);
    }
    let mime = media.mime.as_deref().unwrap_or_default();
    let mime = mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let by_mime = FORMATS.iter().find(|format| {
        format.mimes.iter().any(|known| *known == mime || (known.ends_with('/') && mime.starts_with(known)))
    });
    let by_ending = || {
        let (_, ending) = media.name.as_deref()?.rsplit_once('.')?;
        let ending = ending.to_ascii_lowercase();
        let is_it = |format: &&Format| format.endings.contains(&&*ending);
        // Some endings are those of sound and of video.
        FORMATS.iter().filter(is_it).find(|format| format.kind == media.kind).or_else(|| FORMATS.iter().find(is_it))
    };
    let by_start = || {
        let Given::Base64(data) = source else { return None };
        FORMATS.iter().find(|format| data.starts_with(format.start))
    };
    by_mime.or_else(by_ending).or_else(by_start)
}

impl Shown<'_> {
    /// The name of a document.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub fn write(&self, out: &mut Writer) {
        out.begin_object();
        out.key(match self.kind {
            MediaKind::Image => "image",
            MediaKind::File => "document",
            MediaKind::Audio => "audio",
            MediaKind::Video => "video",
        });
        out.begin_object();
        out.field_str("format", self.format);
        out.opt_str("name", self.name());
        out.key("source");
        out.begin_object();
        match self.source {
            Given::Base64(data) => out.field_str("bytes", data),
            Given::Plain(text) => out.field_str("bytes", &STANDARD.encode(text)),
        }
        out.end_object();
        out.end_object();
        out.end_object();
    }
}

/// Longest name of a document that we write, in letters.
const NAME_MOST: usize = 100;

/// The names of a request's documents.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// In lowercase: Bedrock does not tell letters apart by their case.
    used: HashSet<String>,
    /// By a name in lowercase, the number that is tried next behind it: a request may have thousands of one name.
    next: HashMap<String, usize>,
    /// Whether a name that was given is not written as it was.
    pub has_changed: bool,
}

impl Names {
    /// A name that is taken, and not yet used: made of the client's without its ending, which is the format.
    fn make(&mut self, given: Option<&str>) -> String {
        let stem = given.map(|name| match name.rsplit_once('.') {
            Some((stem, ending)) if !stem.is_empty() && ending.len() <= 8 => stem,
            _ => name,
        });
        let plain = stem.map(plain).unwrap_or_default();
        self.has_changed |= stem.is_some_and(|stem| stem != plain);
        let plain = if plain.is_empty() { Cow::Borrowed("document") } else { plain };
        let mut name = plain.clone().into_owned();
        if self.used.insert(name.to_ascii_lowercase()) {
            return name;
        }
        let number = self.next.entry(plain.to_ascii_lowercase()).or_insert(2);
        loop {
            name = format!("{plain} ({number})");
            *number += 1;
            if self.used.insert(name.to_ascii_lowercase()) {
                return name;
            }
        }
    }
}

/// Letters, digits, `-`, `(`, `)`, `[`, `]`, and single spaces between them.
fn plain(name: &str) -> Cow<'_, str> {
    let keep = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '(' | ')' | '[' | ']');
    let is_plain = name.len() <= NAME_MOST
        && name.trim() == name
        && !name.contains("  ")
        && name.chars().all(|letter| keep(letter) || letter == ' ');
    if is_plain {
        return Cow::Borrowed(name);
    }
    let spaced: String = name.chars().map(|letter| if keep(letter) { letter } else { ' ' }).take(NAME_MOST).collect();
    Cow::Owned(spaced.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(
        kind: MediaKind,
        mime: Option<&'static str>,
        name: Option<&'static str>,
        data: &'static str,
    ) -> Media<'static> {
        let source = Source::Inline(data.into());
        Media { kind, mime: mime.map(Into::into), source, name: name.map(Into::into), detail: None, at: String::new() }
    }

    #[test]
    fn t26_a_format_is_found_by_type_or_ending_or_first_bytes() {
        for (kind, mime, name, data, expected) in [
            (MediaKind::Image, Some("image/jpg"), None, "", Some((MediaKind::Image, "jpeg"))),
            (MediaKind::Image, Some("IMAGE/PNG; x=1"), None, "", Some((MediaKind::Image, "png"))),
            (MediaKind::Image, None, None, "UklGRabc", Some((MediaKind::Image, "webp"))),
            (MediaKind::Image, Some("image/tiff"), None, "SUkq", None),
            (MediaKind::Image, Some("application/pdf"), None, "", Some((MediaKind::File, "pdf"))),
            (MediaKind::File, Some("application/octet-stream"), Some("a.b.DOCX"), "", Some((MediaKind::File, "docx"))),
            (MediaKind::File, None, None, "JVBERi0xLjQ", Some((MediaKind::File, "pdf"))),
            (MediaKind::File, Some("text/x-python"), None, "", Some((MediaKind::File, "txt"))),
            (MediaKind::File, Some("image/gif"), Some("x.gif"), "", Some((MediaKind::Image, "gif"))),
            (MediaKind::File, None, Some("noending"), "AAAA", None),
            (MediaKind::Audio, Some("audio/wav"), None, "", Some((MediaKind::Audio, "wav"))),
            (MediaKind::Audio, None, Some("x.webm"), "", Some((MediaKind::Audio, "webm"))),
            (MediaKind::Video, None, Some("x.webm"), "", Some((MediaKind::Video, "webm"))),
            (MediaKind::Video, Some("video/3gpp"), None, "", Some((MediaKind::Video, "three_gp"))),
        ] {
            let media = media(kind, mime, name, data);
            let found = shown(&media, &mut Names::default()).ok().map(|shown| (shown.kind, shown.format));
            assert_eq!(found, expected, "{media:?}");
        }
    }

    #[test]
    fn documents_have_names_that_are_taken_and_no_two_the_same() {
        let long = "x".repeat(300);
        let mut names = Names::default();
        for (given, made) in [
            (None, "document"),
            (None, "document (2)"),
            (Some("Report.pdf"), "Report"),
            (Some("report.docx"), "report (2)"),
            (Some("John's  notes_v2.pdf"), "John s notes v2"),
            (Some("분기보고서.pdf"), "document (3)"),
            (Some(".pdf"), "pdf"),
            (Some("a (1) [b]-c"), "a (1) [b]-c"),
            (Some(&*long), &long[..100]),
        ] {
            assert_eq!(names.make(given), made);
        }
        assert!(names.has_changed);
    }

    #[test]
    fn thousands_of_documents_of_one_name_are_named_at_once() {
        let mut names = Names::default();
        let most = 65_536;
        // Half of the numbers are taken by names that were given so.
        let given: Vec<String> = (2..most / 2).map(|number| format!("A ({number}).pdf")).collect();
        given.iter().for_each(|name| drop(names.make(Some(name))));
        let last = (0..most / 2).map(|_| names.make(Some("a.pdf"))).last();
        assert_eq!(last.as_deref(), Some("a (65534)"));
    }
}
