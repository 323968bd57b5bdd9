//! What must hold for whatever bytes come, for the fuzzer and for the corpus
//! that it starts from. Pure.
//!
//! `cargo fuzz` finds the doors by `cfg(fuzzing)` (`tests/fuzz`,
//! `scripts/fuzz`); `cargo test` tries every file of `tests/fuzz/corpus`.

mod http;
mod reader;
mod rpc;
mod sse;

pub use http::http;
pub use rpc::rpc;
pub use sse::sse;

/// Some prefixes of `data`, shortest first: as many as `cuts` says where they
/// end.
fn prefixes<'a>(data: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts
        .iter()
        .map(|&cut| data.len() * usize::from(cut) / 256)
        .collect();
    ends.sort_unstable();
    ends.dedup();
    ends.push(data.len());
    ends.into_iter().map(|end| &data[..end]).collect()
}

/// The first bytes say where to cut the others.
fn cut(data: &[u8]) -> (&[u8], &[u8]) {
    data.split_at(data.len().min(4))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::types::dice::Dice;

    #[test]
    fn what_the_fuzzer_starts_from_holds_and_what_is_like_it() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus");
        for (name, target) in [("sse", sse as fn(&[u8])), ("rpc", rpc), ("http", http)] {
            let mut tried = 0;
            for entry in fs::read_dir(format!("{root}/{name}")).expect("a corpus") {
                let data = fs::read(entry.expect("an entry").path()).expect("a file");
                target(&data);
                let mut dice = Dice::new(11);
                for _ in 0..200 {
                    let mut other = data.clone();
                    for _ in 0..=dice.below(3) {
                        let at = dice.below(other.len() + 1);
                        match dice.below(3) {
                            0 => other.insert(at, dice.byte()),
                            1 if at < other.len() => other[at] = dice.byte(),
                            _ => other.truncate(at),
                        }
                    }
                    target(&other);
                }
                tried += 1;
            }
            assert!(tried > 5, "{name} has {tried} files");
        }
    }
}
