//! Whether a process is stopped, as Ctrl-Z and SIGSTOP leave it: it answers
//! nothing until it is continued.

use std::fs;

/// True if the process is there and stopped. Only Linux tells: elsewhere none
/// is.
#[must_use]
pub fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| state(&stat) == Some('T'))
}

/// The state in a line of `/proc/PID/stat`; the name before it may hold
/// anything.
fn state(stat: &str) -> Option<char> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.trim_start().chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_stopped_whatever_its_name_is() {
        for (stat, is) in [
            ("7 (wrapper) T 1 7 7 0", Some('T')),
            ("7 (a) R (b)) S 1 7", Some('S')),
            ("7", None),
        ] {
            assert_eq!(state(stat), is, "{stat}");
        }
        assert!(!is_stopped(std::process::id()));
    }
}
