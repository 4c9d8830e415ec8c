//! Writes of several short pieces, joined into one: a plain send is cheaper for the kernel than a vectored one, by more
//! than a copy of so little costs. Long pieces are never copied.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::AsyncWrite;

/// What is copied at most, in bytes: a head and a small body.
pub(crate) const MOST: usize = 4 * 1024;

thread_local! {
    static ROOM: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(MOST));
}

/// Writes what it can of these pieces, in order.
pub(crate) fn poll_write<W: AsyncWrite + ?Sized>(
    writer: Pin<&mut W>,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [piece] = pieces {
        return writer.poll_write(cx, piece);
    }
    let length = pieces.iter().fold(0, |sum: usize, piece| sum.saturating_add(piece.len()));
    if length > MOST {
        return writer.poll_write_vectored(cx, pieces);
    }
    ROOM.with_borrow_mut(|room| {
        room.clear();
        pieces.iter().for_each(|piece| room.extend_from_slice(piece));
        writer.poll_write(cx, room)
    })
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn every_byte_goes_out_in_order_whatever_the_pieces_are() {
        let long = vec![b'l'; MOST];
        for pieces in [&[&b"one"[..]][..], &[b"head", b"", b"body"], &[b"head", &long], &[], &[b"", b""]] {
            let (mut near, mut far) = tokio::io::duplex(16 * 1024);
            let whole = pieces.concat();
            let mut sent = 0;
            while sent < whole.len() {
                let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
                let mut rest = &mut slices[..];
                IoSlice::advance_slices(&mut rest, sent);
                sent += poll_fn(|cx| poll_write(Pin::new(&mut near), cx, rest)).await.unwrap();
            }
            drop(near);
            let mut seen = Vec::new();
            far.read_to_end(&mut seen).await.unwrap();
            assert_eq!(seen, whole);
        }
    }
}
