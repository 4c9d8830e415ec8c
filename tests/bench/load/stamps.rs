//! Reads the mock's streams as they arrive: the stamp of every chunk, and whether the stream said that it was done.
//! Copes with events cut anywhere and with several in one read; anything but stamped chunks and `[DONE]` is passed over.

use memchr::{memchr, memmem};

use crate::family::Family;

/// An event that does not end within this is not the mock's.
const MAX_LINE: usize = 64 * 1024;
const STAMP_DIGITS: usize = 18;

pub struct Stamps {
    finder: memmem::Finder<'static>,
    /// What a line has in it when the stream is done.
    end: memmem::Finder<'static>,
    /// What a line has in it that tells the whole text once more.
    repeats: memmem::Finder<'static>,
    /// The beginning of a line whose end has not arrived.
    cut: Vec<u8>,
    done: bool,
}

impl Stamps {
    pub fn of(family: Family) -> Self {
        let (end, repeats) = (memmem::Finder::new(family.done()), memmem::Finder::new(b".done\""));
        Self { finder: memmem::Finder::new(b"\"t="), end, repeats, cut: Vec::new(), done: false }
    }

    /// Calls `seen` with the nanosecond at which each chunk in `data` left the mock.
    pub fn read(&mut self, mut data: &[u8], mut seen: impl FnMut(u64)) {
        while let Some(end) = memchr(b'\n', data) {
            let (line, rest) = data.split_at(end);
            if self.cut.is_empty() {
                self.line(line, &mut seen);
            } else {
                let mut whole = std::mem::take(&mut self.cut);
                whole.extend_from_slice(line);
                self.line(&whole, &mut seen);
            }
            data = rest.get(1..).unwrap_or_default();
        }
        if self.cut.len() + data.len() <= MAX_LINE {
            self.cut.extend_from_slice(data);
        }
    }

    /// Whether the mark of a good end has been seen.
    pub fn done(&self) -> bool {
        self.done
    }

    fn line(&mut self, line: &[u8], seen: &mut impl FnMut(u64)) {
        if self.end.find(line).is_some() {
            self.done = true;
        } else if let Some(at) = self.finder.find(line).filter(|_| self.repeats.find(line).is_none()) {
            let from = at + self.finder.needle().len();
            if let Some(stamp) = line.get(from..from + STAMP_DIGITS).and_then(number) {
                seen(stamp);
            }
        }
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "data: {\"content\":\"t=000000000000000012 \"}\n\n: still there\n\n\
                          data: {\"content\":\"t=000000000000000345 \"}\n\ndata: {\"usage\":{}}\n\ndata: [DONE]\n\n";

    #[test]
    fn every_stamp_is_read_wherever_the_stream_is_cut() {
        for cut in 0..=STREAM.len() {
            let (first, second) = STREAM.as_bytes().split_at(cut);
            let (mut stamps, mut seen) = (Stamps::of(Family::Chat), Vec::new());
            stamps.read(first, |stamp| seen.push(stamp));
            stamps.read(second, |stamp| seen.push(stamp));
            assert_eq!((seen, stamps.done()), (vec![12, 345], true), "cut at {cut}");
        }
    }

    #[test]
    fn a_text_that_is_told_once_more_at_the_end_is_no_chunk() {
        let stream = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"t=000000000000000012 \"}\n\n\
                      data: {\"type\":\"response.output_text.done\",\"text\":\"t=000000000000000012 \"}\n\n\
                      data: {\"type\":\"response.completed\",\"text\":\"t=000000000000000012 \"}\n\n";
        let (mut stamps, mut seen) = (Stamps::of(Family::Responses), 0);
        stamps.read(stream.as_bytes(), |_| seen += 1);
        assert_eq!((seen, stamps.done()), (1, true));
    }

    #[test]
    fn a_stream_that_stops_early_is_not_done() {
        let mut stamps = Stamps::of(Family::Chat);
        stamps.read(b"data: {\"content\":\"t=000000000000000012 \"}\n\ndata: [DO", |_| ());
        assert!(!stamps.done());
    }
}
