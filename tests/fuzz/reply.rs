//! Answers in HTTP/1 before anybody knows what they carry: whatever a provider sends and however the network cuts it, the
//! same head and the same data are read, and what was not whole is never called so.

use proxy::upstream::reading::{Malformed, Reading};

use crate::driver::{Corpus, drive};

const WORDS: &[&str] = &[
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 200\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "content-length: 5\r\n",
    "content-length: 18446744073709551616\r\n",
    "transfer-encoding: chunked\r\n",
    "connection: close\r\n",
    "\r\n\r\n",
    "\r\n",
    "\n",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "ffffffffffffffff\r\n",
    ";x=y",
    "x: y\r\n",
    " folded\r\n",
];

/// Status, data, and whether it was whole.
type Read = (u16, Vec<u8>, bool);

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Read, Malformed> {
    let (mut reading, mut status, mut data) = (Reading::default(), None, Vec::new());
    for piece in pieces {
        let mut rest = piece;
        if status.is_none() {
            let Some((head, used)) = reading.head(piece)? else { continue };
            status = Some(head.status.as_u16());
            rest = &piece[used..];
        }
        assert!(reading.body(rest, &mut data)? <= rest.len());
    }
    let is_whole = status.is_some() && reading.close();
    Ok((status.unwrap_or(0), data, is_whole))
}

fn target(input: &[u8]) {
    let whole = read(std::iter::once(input));
    if let Ok((_, data, _)) = &whole {
        assert!(data.len() <= input.len(), "more came out than went in");
    }
    for size in [1, 7, 61] {
        assert_eq!(read(input.chunks(size)), whole, "in pieces of {size}");
    }
}

#[test]
fn any_reply_is_read_the_same_however_it_is_cut() {
    let inputs = [
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=\"y\"\r\n!\r\n0\r\ntrailer: x\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 429 Too Many Requests\r\nretry-after: 3\r\n\r\nuntil closed",
        "HTTP/1.0 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nextra",
    ];
    let inputs = inputs.map(|text| text.as_bytes().to_vec()).to_vec();
    drive("reply", &Corpus { inputs, words: WORDS }, target);
}
