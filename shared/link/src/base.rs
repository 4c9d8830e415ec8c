//! The digest of a base: SHA-256 over the SHA-256 of each chunk, in order. Both sides make it chunk by chunk, so a
//! chunk that is missing, doubled, cut or out of place shows at the end at the latest.

use sha2::Digest as _;

/// The most bytes of one chunk.
pub const CHUNK: usize = 1 << 20;

/// SHA-256 of one chunk's payload.
pub fn chunk_digest(payload: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(payload).into()
}

/// The digest of all chunks so far.
#[derive(Clone, Default)]
pub struct BaseDigest(sha2::Sha256);

impl BaseDigest {
    /// The digest of no chunks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next chunk by its digest: the sender's way.
    pub fn add(&mut self, chunk: &[u8; 32]) {
        self.0.update(chunk);
    }

    /// Adds the next chunk if its payload has the digest that came with it: the receiver's way.
    #[must_use = "a chunk that does not fit its digest ends the transfer"]
    pub fn check(&mut self, payload: &[u8], claimed: &[u8]) -> bool {
        let digest = chunk_digest(payload);
        self.add(&digest);
        digest.as_slice() == claimed
    }

    /// The digest of the whole.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(chunks: &[&str]) -> [u8; 32] {
        let mut whole = BaseDigest::new();
        chunks.iter().for_each(|chunk| whole.add(&chunk_digest(chunk.as_bytes())));
        whole.finish()
    }

    #[test]
    fn a_base_is_known_by_its_chunks_and_their_order() {
        let whole = digest(&["a", "b"]);
        for other in [vec![], vec!["a"], vec!["b", "a"], vec!["a", "b", "b"], vec!["ab"]] {
            assert_ne!(digest(&other), whole, "{other:?}");
        }
        let mut received = BaseDigest::new();
        assert!(received.check(b"a", &chunk_digest(b"a")));
        assert!(received.check(b"b", &chunk_digest(b"b")));
        assert_eq!(received.finish(), whole);
        assert!(!BaseDigest::new().check(b"a", &chunk_digest(b"b")));
        assert!(!BaseDigest::new().check(b"a", b""));
    }
}
