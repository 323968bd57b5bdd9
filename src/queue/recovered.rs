//! The flag by which a wrapper tells agentchattr's server that it was cut off.

use std::path::Path;

use anyhow::{Context, Result};

use crate::paths;
use crate::types::identity::InstanceName;

/// Writes `{data_dir}/{name}_recovered`, whose content is the name. The server
/// looks for it every 3 s, says in the chat that mentions may have been missed,
/// and removes it.
///
/// # Errors
/// If the file cannot be written.
pub fn flag_recovered(data_dir: &Path, name: &InstanceName) -> Result<()> {
    let path = data_dir.join(format!("{name}_recovered"));
    paths::private_file(&path, name.as_str().as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_holds_the_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let name = "claude-2".parse().expect("a name");
        flag_recovered(dir.path(), &name).expect("written");
        let files: Vec<_> = std::fs::read_dir(dir.path())
            .expect("listed")
            .flatten()
            .map(|entry| entry.path())
            .collect();
        assert_eq!(files, [dir.path().join("claude-2_recovered")]);
        assert_eq!(std::fs::read(&files[0]).expect("read"), b"claude-2");
        let nowhere = dir.path().join("no");
        let error = flag_recovered(&nowhere, &name).expect_err("no directory");
        assert!(error.to_string().contains("claude-2_recovered"), "{error}");
    }
}
