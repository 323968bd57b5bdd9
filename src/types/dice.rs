//! Chance for tests: the same throws every time.

/// A linear congruential generator (Knuth's MMIX); what is thrown with it
/// stands in the folders that throw it.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // The low bits of such a generator have short periods.
        self.0 >> 33
    }

    pub fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// A number from 0 to `end` - 1; `end` is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap_or_default() % end
    }

    pub fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    /// `whole` in pieces of 1 to 9 bytes.
    pub fn split<'a>(&mut self, mut whole: &'a [u8]) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        while !whole.is_empty() {
            let (piece, rest) = whole.split_at((1 + self.below(9)).min(whole.len()));
            pieces.push(piece);
            whole = rest;
        }
        pieces
    }
}
