//! Which number a request draws its first endpoint with. Requests of one conversation draw the same one on every proxy, so
//! they find the cache that the last one filled; nothing has to be remembered for that, and over many conversations the draw
//! is as by chance. A provider that fails is passed over all the same: the number says who would be first, not who must be.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use crate::{offers::Offer, pipeline::arrival::Arrival, purse::Purse};

/// From 0 up to, but not including, 1: by the session that the sender names, else by how the conversation begins where a
/// cache makes it cheaper, else by chance.
pub(super) fn draw(offer: &Offer, purse: &Purse, arrival: &Arrival) -> f64 {
    let (scan, body) = (&arrival.scan, &arrival.body);
    let named = arrival.session.as_deref().filter(|session| !session.is_empty()).map(str::as_bytes);
    let session = scan.session(body).map(unquoted).or(named);
    let opening = || Some(scan.opening(body)).filter(|[first, _]| offer.has_cache && !first.is_empty());
    let tie = session.map(|session| [session, b""]).or_else(opening);
    match tie {
        Some(tie) => number(&(purse.org.id, offer.entry.model.id.as_str(), tie)),
        None => rand::random(),
    }
}

/// The header and the field are the same word.
fn unquoted(raw: &[u8]) -> &[u8] {
    raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default()
}

fn number(tie: &impl Hash) -> f64 {
    let mut hasher = DefaultHasher::new();
    tie.hash(&mut hasher);
    // As many bits as such a number has.
    (hasher.finish() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_tie_draws_the_same_and_many_ties_draw_evenly() {
        assert_eq!(number(&("a", 1)), number(&("a", 1)));
        let draws: Vec<f64> = (0..100_000).map(|tie| number(&tie)).collect();
        assert!(draws.iter().all(|draw| (0.0..1.0).contains(draw)));
        for tenth in 0..10 {
            let share = draws.iter().filter(|draw| (**draw * 10.0) as usize == tenth).count() as f64 / 100_000.0;
            assert!((share - 0.1).abs() < 0.005, "{tenth}: {share}");
        }
    }
}
