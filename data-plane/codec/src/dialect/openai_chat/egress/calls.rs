//! Keeps the calls of one choice apart, which come in pieces. Most providers finish one before they begin the next; that is
//! told from the arguments themselves, so that a call ends as soon as it is known to, and one that goes on later can.

use crate::json::Half;

/// Where in a JSON text its writer is.
#[derive(Debug, Default)]
pub(super) struct Balance {
    depth: usize,
    has_begun: bool,
    in_string: bool,
    is_escaped: bool,
}

impl Balance {
    /// Reads on.
    pub fn feed(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.in_string => self.is_escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => {
                    self.depth += 1;
                    self.has_begun = true;
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// Whether anything was opened.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether everything that was opened is closed.
    pub fn is_whole(&self) -> bool {
        self.has_begun && self.depth == 0 && !self.in_string
    }
}

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    /// The provider's number for it.
    pub index: u64,
    /// The provider's id; empty when it gave none.
    pub id: String,
    pub part: u32,
    pub is_open: bool,
    pub balance: Balance,
    pub half: Half,
}

/// The calls of one choice so far.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Call>);

/// What a piece of a call means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meant {
    /// A call that has not been met.
    New,
    /// More of the call at this place.
    More(usize),
}

impl Calls {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn get(&mut self, place: usize) -> Option<&mut Call> {
        self.0.get_mut(place)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Call> {
        self.0.iter_mut()
    }

    pub fn push(&mut self, call: Call) {
        self.0.push(call);
    }

    /// Which call a piece belongs to. Some providers give no number, some give all calls the same one; an id that was not
    /// met begins a call, and so does a name where the last call of that number is over.
    pub fn meant(&self, index: Option<u64>, id: &str, name: &str) -> Meant {
        let known = match index {
            Some(index) => self.0.iter().rposition(|call| call.index == index),
            None if id.is_empty() => self.0.len().checked_sub(1),
            None => self.0.iter().rposition(|call| call.id == id),
        };
        let Some(place) = known else { return Meant::New };
        let Some(call) = self.0.get(place) else { return Meant::New };
        let is_other_id = !id.is_empty() && !name.is_empty() && !call.id.is_empty() && call.id != id;
        let is_over = !name.is_empty() && id.is_empty() && call.balance.is_whole();
        match is_other_id || is_over {
            true => Meant::New,
            false => Meant::More(place),
        }
    }

    /// The number for a call that came without one.
    pub fn next_index(&self) -> u64 {
        self.0.iter().map(|call| call.index.saturating_add(1)).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_whole_when_everything_is_closed() {
        for (text, is_whole) in [
            ("", false),
            ("{", false),
            ("{}", true),
            (r#"{"a":"}"}"#, true),
            (r#"{"a":"}"#, false),
            (r#"{"a":"\"}"#, false),
            (r#"{"a":[{}]"#, false),
            (r#"{"a":[{}]} "#, true),
            ("}", false),
            ("null", false),
        ] {
            let mut whole = Balance::default();
            whole.feed(text);
            let mut pieces = Balance::default();
            text.chars().for_each(|letter| pieces.feed(&letter.to_string()));
            assert_eq!((whole.is_whole(), pieces.is_whole()), (is_whole, is_whole), "{text}");
        }
    }

    #[test]
    fn t24_pieces_find_their_call_however_it_is_numbered() {
        let mut calls = Calls::default();
        let mut call = |index: u64, id: &str, arguments: &str| {
            let mut call = Call {
                index,
                id: id.to_owned(),
                part: 0,
                is_open: true,
                balance: Balance::default(),
                half: Half::default(),
            };
            call.balance.feed(arguments);
            calls.push(call);
        };
        call(0, "a", "{}");
        call(1, "b", "{");
        call(7, "", "{}");
        for (index, id, name, meant) in [
            (Some(0), "", "", Meant::More(0)),
            (Some(0), "a", "f", Meant::More(0)),
            (Some(0), "z", "f", Meant::New),
            (Some(0), "", "f", Meant::New),
            (Some(1), "", "f", Meant::More(1)),
            (Some(2), "c", "f", Meant::New),
            (None, "b", "", Meant::More(1)),
            (None, "", "", Meant::More(2)),
            (None, "", "f", Meant::New),
            (None, "d", "f", Meant::New),
            (Some(7), "", "", Meant::More(2)),
        ] {
            assert_eq!(calls.meant(index, id, name), meant, "{index:?} {id} {name}");
        }
        assert_eq!(calls.next_index(), 8);
    }
}
