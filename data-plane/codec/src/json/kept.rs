//! Long texts of a request that are not written as they are meant, such as an image whose serialiser escaped every slash:
//! each is made once, kept for as long as the request is read, and shared by what is written. Must never be asked to keep
//! short ones; copying them again is cheaper. Next room: `out`.

use std::cell::OnceCell;
use std::sync::Arc;

use bytes::Bytes;

/// Texts from this length on are kept, in bytes. Those of one request are found one after the other, so they must be few.
pub(super) const LONG: usize = 64 * 1024;

/// What is kept, in the order in which it was asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept(OnceCell<Box<Link>>);

#[derive(Clone)]
struct Link {
    key: (usize, Form),
    text: Shared,
    next: Kept,
}

/// In which form a value's text is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// What the string means.
    Meant,
    /// That, rewritten by whoever reads it.
    Rewritten,
}

/// A text that several may hold.
#[derive(Clone)]
struct Shared(Arc<String>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Kept {
    /// The text under this key, made when it is asked for first.
    pub(super) fn get(&self, key: (usize, Form), make: impl FnOnce() -> String) -> &str {
        let mut here = self;
        while let Some(link) = here.0.get() {
            if link.key == key {
                return &link.text.0;
            }
            here = &link.next;
        }
        let made = || Box::new(Link { key, text: Shared(Arc::new(make())), next: Kept::default() });
        &here.0.get_or_init(made).text.0
    }

    /// Everything that is kept, the same bytes.
    pub(super) fn all(&self) -> impl Iterator<Item = Bytes> {
        let links = std::iter::successors(self.0.get(), |link| link.next.0.get());
        links.map(|link| Bytes::from_owner(link.text.clone()))
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never its text.
        write!(f, "{:?} of {} bytes, {:?}", self.key, self.text.0.len(), self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_made_once_for_each_form_and_stays_where_it_is() {
        let kept = Kept::default();
        let first = kept.get((3, Form::Meant), || "one".to_owned());
        kept.get((3, Form::Rewritten), || "two".to_owned());
        assert_eq!(kept.get((3, Form::Meant), || unreachable!("it is there")).as_ptr(), first.as_ptr());
        let all: Vec<Bytes> = kept.all().collect();
        assert_eq!(all, ["one", "two"]);
        assert_eq!(all[0].as_ptr(), first.as_ptr());
        assert!(!format!("{kept:?}").contains("one"));
    }
}
