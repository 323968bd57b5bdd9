//! What names mean: families, slots, and the names that labels become. Pure.

/// The slot that a name means within a family: the base is 1, `base-N` is N.
pub(crate) fn slot_in(base: &str, name: &str) -> Option<u32> {
    if name == base {
        return Some(1);
    }
    let number = name.strip_prefix(base)?.strip_prefix('-')?;
    number.parse().ok().filter(|slot| *slot >= 1)
}

pub(crate) fn name_of(base: &str, slot: u32) -> String {
    if slot == 1 {
        base.to_owned()
    } else {
        format!("{base}-{slot}")
    }
}

/// True for a base and for all that begins like an instance of one.
pub(crate) fn is_of(base: &str, name: &str) -> bool {
    let rest = name.strip_prefix(base);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// The name that a human's label becomes; empty if nothing of it is left.
pub(crate) fn of_label(label: &str) -> String {
    let kept = label
        .to_lowercase()
        .replace(' ', "-")
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-')
        .collect::<String>();
    kept.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_slots() {
        for (name, slot) in [
            ("claude", Some(1)),
            ("claude-1", Some(1)),
            ("claude-12", Some(12)),
            ("claude-0", None),
            ("claude-music", None),
            ("claudette", None),
            ("codex", None),
        ] {
            assert_eq!(slot_in("claude", name), slot, "{name}");
        }
    }

    #[test]
    fn labels_become_names() {
        for (label, name) in [
            ("Gem Star!", "gem-star"),
            ("- Ü -", ""),
            ("Claude 2", "claude-2"),
        ] {
            assert_eq!(of_label(label), name, "{label}");
        }
    }
}
