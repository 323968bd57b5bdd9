//! Bodies that tests throw.

use crate::types::dice::Dice;

impl Dice {
    /// Up to 23 words in any order: those of JSON, and `own`.
    pub(super) fn json(&mut self, own: &[&str]) -> String {
        const WORDS: [&str; 10] = ["{", "}", "[", "]", ",", ":", "null", " ", "\"é\"", "1"];
        let words: Vec<&str> = WORDS.iter().chain(own).copied().collect();
        (0..self.below(24))
            .map(|_| words[self.below(words.len())])
            .collect()
    }
}
