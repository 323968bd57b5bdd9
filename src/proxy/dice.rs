//! Chance for tests: the same throws every time.

/// A linear congruential generator.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0.to_be_bytes()[0]
    }

    /// A number from 0 to `end` - 1; `end` is at most 256.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    /// `whole` in pieces.
    pub(super) fn split<'a>(&mut self, mut whole: &'a [u8]) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        while !whole.is_empty() {
            let (piece, rest) = whole.split_at((1 + self.below(9)).min(whole.len()));
            pieces.push(piece);
            whole = rest;
        }
        pieces
    }

    /// Up to 23 words in any order: those of JSON, and `own`.
    pub(super) fn json(&mut self, own: &[&str]) -> String {
        const WORDS: [&str; 10] = ["{", "}", "[", "]", ",", ":", "null", " ", "\"é\"", "1"];
        let words: Vec<&str> = WORDS.iter().chain(own).copied().collect();
        (0..self.below(24))
            .map(|_| words[self.below(words.len())])
            .collect()
    }
}
