//! Media types where nobody told one: by what a file's name or address ends in. Google wants one with everything that is
//! not text.

/// Endings and what they stand for.
const ENDINGS: [(&str, &str); 36] = [
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("webp", "image/webp"),
    ("gif", "image/gif"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("bmp", "image/bmp"),
    ("svg", "image/svg+xml"),
    ("pdf", "application/pdf"),
    ("json", "application/json"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("csv", "text/csv"),
    ("html", "text/html"),
    ("htm", "text/html"),
    ("xml", "text/xml"),
    ("css", "text/css"),
    ("js", "text/javascript"),
    ("py", "text/x-python"),
    ("rtf", "text/rtf"),
    ("mp3", "audio/mp3"),
    ("wav", "audio/wav"),
    ("flac", "audio/flac"),
    ("ogg", "audio/ogg"),
    ("aac", "audio/aac"),
    ("aiff", "audio/aiff"),
    ("m4a", "audio/mp4"),
    ("mp4", "video/mp4"),
    ("mov", "video/mov"),
    ("webm", "video/webm"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpg"),
    ("avi", "video/avi"),
    ("wmv", "video/wmv"),
    ("3gp", "video/3gpp"),
];

/// The media type of a name or an address; none when its ending says nothing.
pub(super) fn of_name(name: &str) -> Option<&'static str> {
    let path = name.split(['?', '#']).next().unwrap_or_default();
    let (_, ending) = path.rsplit('/').next().unwrap_or_default().rsplit_once('.')?;
    ENDINGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(ending)).map(|(_, mime)| *mime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_tell_the_type() {
        for (name, mime) in [
            ("a.PDF", Some("application/pdf")),
            ("https://x.example/p/cat.jpeg?size=1.5#a.b", Some("image/jpeg")),
            ("https://x.example/watch?v=a.mp4", None),
            ("https://x.example", None),
            ("noending", None),
            ("", None),
        ] {
            assert_eq!(of_name(name), mime, "{name}");
        }
    }
}
