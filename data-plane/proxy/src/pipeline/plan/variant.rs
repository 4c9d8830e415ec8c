//! Variants of a slug: `author/model:nitro` asks for the model and says how to choose among its endpoints.

use domain::routing::{By, Preferences, Sort};

/// What stands behind the colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    /// The fastest first.
    Nitro,
    /// The cheapest first.
    Floor,
    /// Those first whose tool calls are right.
    Exacto,
    /// Only what costs nothing.
    Free,
}

const ALL: [(&str, Variant); 4] =
    [(":nitro", Variant::Nitro), (":floor", Variant::Floor), (":exacto", Variant::Exacto), (":free", Variant::Free)];

/// A name without its variant, if it has one.
pub(super) fn split(name: &str) -> (&str, Option<Variant>) {
    let found = ALL.into_iter().find_map(|(end, variant)| Some((name.strip_suffix(end)?, variant)));
    found.map_or((name, None), |(plain, variant)| (plain, Some(variant)))
}

impl Variant {
    /// Adds what it stands for to what is wished in words, which wins.
    pub fn wishes(self, wish: &mut Preferences) {
        let by = match self {
            Variant::Nitro => By::Throughput,
            Variant::Floor => By::Price,
            Variant::Exacto => By::Exacto,
            Variant::Free => {
                wish.free = true;
                return;
            }
        };
        wish.sort.get_or_insert(Sort::Word(by));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_what_stands_behind_the_last_colon() {
        assert_eq!(split("a/b:nitro"), ("a/b", Some(Variant::Nitro)));
        assert_eq!(split("a/b:floor"), ("a/b", Some(Variant::Floor)));
        assert_eq!(split("a/b:free"), ("a/b", Some(Variant::Free)));
        assert_eq!(split("b:1:exacto"), ("b:1", Some(Variant::Exacto)));
        assert_eq!(split("a/b:online"), ("a/b:online", None));
        assert_eq!(split("a/b"), ("a/b", None));
    }

    #[test]
    fn words_win_over_the_variant() {
        let mut wish = Preferences { sort: Some(Sort::Word(By::Price)), ..Preferences::default() };
        Variant::Nitro.wishes(&mut wish);
        assert_eq!(wish.by(), Some(By::Price));
        let mut wish = Preferences::default();
        Variant::Nitro.wishes(&mut wish);
        assert_eq!(wish.by(), Some(By::Throughput));
        Variant::Free.wishes(&mut wish);
        assert!(wish.free);
    }
}
