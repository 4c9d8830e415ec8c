//! Media in this dialect: mostly addresses, which may hold the bytes themselves. Nothing is fetched, nothing is decoded.

use std::borrow::Cow;

use crate::json::Writer;
use crate::model::{Media, MediaKind, Source};

/// What an address says. A document may stand where an image is expected: then it is a document.
pub(super) fn of_url<'a>(url: Cow<'a, str>, expected: MediaKind) -> Media<'a> {
    let (kind, mime, source) = match split(&url) {
        Some((mime_end, data_start)) => {
            let mime = Some(slice(&url, 5, mime_end)).filter(|mime| !mime.is_empty());
            let kind = mime.as_deref().map_or(expected, MediaKind::of_mime);
            (kind, mime, Source::Inline(slice(&url, data_start, url.len())))
        }
        None if is_pdf(&url) => (MediaKind::File, Some("application/pdf".into()), Source::Url(url)),
        None => (expected, None, Source::Url(url)),
    };
    Media { kind, mime, source, name: None, detail: None, at: String::new() }
}

/// In `data:<mime>;base64,<data>`: where the media type ends and where the data begins.
fn split(url: &str) -> Option<(usize, usize)> {
    let rest = url.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("data:")).and(url.get(5..))?;
    let comma = 5 + rest.find(',')?;
    let head = url.get(5..comma)?;
    let base64 = head.len().checked_sub(";base64".len()).and_then(|at| head.get(at..))?;
    if !base64.eq_ignore_ascii_case(";base64") {
        return None;
    }
    let mime = head.find(';').unwrap_or(head.len());
    Some((5 + mime, comma + 1))
}

fn slice<'a>(text: &Cow<'a, str>, start: usize, end: usize) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(start..end).unwrap_or_default()),
        Cow::Owned(text) => Cow::Owned(text.get(start..end).unwrap_or_default().to_owned()),
    }
}

/// An address that ends in `.pdf`, whatever is asked of it.
fn is_pdf(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.len().checked_sub(4).and_then(|at| path.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(".pdf"))
}

/// What a file's name tells of its kind.
pub(super) fn mime_of_name(name: &str) -> Option<&'static str> {
    const ENDS: [(&str, &str); 8] = [
        (".pdf", "application/pdf"),
        (".txt", "text/plain"),
        (".md", "text/markdown"),
        (".csv", "text/csv"),
        (".json", "application/json"),
        (".html", "text/html"),
        (".png", "image/png"),
        (".jpg", "image/jpeg"),
    ];
    ENDS.iter().find(|(end, _)| name.to_ascii_lowercase().ends_with(end)).map(|(_, mime)| *mime)
}

/// A media type where one must be said.
pub(super) fn mime_or_usual<'m>(media: &'m Media<'_>) -> &'m str {
    media.mime.as_deref().unwrap_or(match media.kind {
        MediaKind::Image => "image/png",
        MediaKind::Audio => "audio/wav",
        MediaKind::Video => "video/mp4",
        MediaKind::File => "application/pdf",
    })
}

/// The word for a sound's format.
pub(super) fn audio_format<'m>(media: &'m Media<'_>) -> &'m str {
    match mime_or_usual(media) {
        "audio/mpeg" | "audio/mp3" => "mp3",
        "audio/wav" | "audio/x-wav" | "audio/wave" => "wav",
        mime => mime.strip_prefix("audio/").and_then(|format| format.split(';').next()).unwrap_or("wav"),
    }
}

/// Writes data as an address that holds it.
pub(super) fn write_data_url(out: &mut Writer, mime: &str, data: &str) {
    out.begin_string();
    out.text("data:");
    out.text(mime);
    out.text(";base64,");
    out.text(data);
    out.end_string();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t26_a_document_in_an_images_place_is_a_document() {
        for (url, kind, mime, inline) in [
            ("data:application/pdf;base64,JVBE", MediaKind::File, Some("application/pdf"), true),
            ("data:image/png;charset=x;base64,iVBO", MediaKind::Image, Some("image/png"), true),
            ("DATA:image/png;BASE64,iVBO", MediaKind::Image, Some("image/png"), true),
            ("data:;base64,iVBO", MediaKind::Image, None, true),
            ("data:text/plain,hello", MediaKind::Image, None, false),
            ("https://x/y.PDF?z=1", MediaKind::File, Some("application/pdf"), false),
            ("https://x/y.png", MediaKind::Image, None, false),
            ("data:", MediaKind::Image, None, false),
            ("", MediaKind::Image, None, false),
            ("ä", MediaKind::Image, None, false),
        ] {
            let media = of_url(url.into(), MediaKind::Image);
            let owned = of_url(url.to_owned().into(), MediaKind::Image);
            assert_eq!((media.kind, media.mime.as_deref()), (kind, mime), "{url}");
            assert_eq!((owned.kind, owned.mime.as_deref()), (kind, mime), "{url}");
            assert_eq!(matches!(media.source, Source::Inline(Cow::Borrowed("iVBO" | "JVBE"))), inline, "{url}");
        }
    }
}
