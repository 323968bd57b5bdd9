//! What the hub keeps in its data directory, for this user alone.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::ops::RangeInclusive;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Uid;

use crate::types::identity::Token;

const TOKEN: &str = "human.token";
/// Characters that the human's token may have.
const TOKEN_LENGTH: RangeInclusive<usize> = 32..=128;
/// More bytes than any token's file has.
const MOST_READ: u64 = 1024;
const LOCK: &str = "hub.lock";
const STORE: &str = "hub.db";

/// The token with which the human's verbs speak to the hub of this data
/// directory.
///
/// # Errors
/// If there is none (no hub was ever started there), or it is no token.
pub fn human_token(data_dir: &Path) -> Result<Token> {
    let path = data_dir.join(TOKEN);
    let mut text = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(MOST_READ).read_to_end(&mut text))
        .with_context(|| format!("cannot read the hub's token {}", path.display()))?;
    let token = str::from_utf8(&text).unwrap_or_default().trim();
    ensure!(
        TOKEN_LENGTH.contains(&token.len()) && token.bytes().all(|b| b.is_ascii_hexdigit()),
        "{} does not hold a token: remove it, and the hub makes another",
        path.display()
    );
    Ok(Token::new(token))
}

/// Makes the data directory ours alone, and takes its lock: two hubs never
/// share one. Released when dropped.
pub(super) fn claim(data_dir: &Path) -> Result<Flock<File>> {
    private(data_dir)
        .with_context(|| format!("cannot use the data directory {}", data_dir.display()))?;
    let path = data_dir.join(LOCK);
    let file = open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
            bail!("another hub uses the data directory {}", data_dir.display())
        }
        Err((_, errno)) => Err(errno).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// The human's token, made at the first start.
pub(super) fn make_human_token(data_dir: &Path) -> Result<Token> {
    let path = data_dir.join(TOKEN);
    if !path.exists() {
        new_human_token(data_dir)?;
    }
    human_token(data_dir)
}

/// Makes another token for the human, in place of the one there was.
pub(super) fn new_human_token(data_dir: &Path) -> Result<Token> {
    let path = data_dir.join(TOKEN);
    let token = Token::random();
    let write = || -> std::io::Result<()> {
        // Readable by us alone, as every temporary file.
        let mut file = tempfile::NamedTempFile::new_in(data_dir)?;
        file.write_all(token.expose().as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(token)
}

/// The path of the store, which exists from now on with mode 0600; `SQLite`
/// gives its journals the same.
pub(super) fn store(data_dir: &Path) -> Result<std::path::PathBuf> {
    let path = data_dir.join(STORE);
    open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(path)
}

fn open(path: &Path) -> std::io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Makes a directory with mode 0700, or gives that to one of ours. A shared
/// one (`/tmp`) or somebody else's is refused.
fn private(dir: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let meta = fs::metadata(dir)?;
    ensure!(
        meta.uid() == Uid::current().as_raw(),
        "it belongs to somebody else"
    );
    ensure!(meta.mode() & 0o1000 == 0, "it is shared with everybody");
    if meta.mode() & 0o777 != 0o700 {
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    }
    Ok(())
}
