//! What the kernel says of a process stands in lines, each with a name.

/// The number in the line that begins with `key`; None: there is none.
pub(crate) fn number(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}
