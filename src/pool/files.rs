//! The snapshot file and the keyring file of a pool.

use base64::Engine as _;
use crs_gossip::serf::Snapshot;
use crs_gossip::wire::keyring::{KeyError, Keyring};
use crs_types::Secret;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A snapshot file larger than this is not read; it could not have been written by an agent.
const MAX_SNAPSHOT: u64 = 64 * 1024 * 1024;
/// A keyring file larger than this is not read.
const MAX_KEYRING: u64 = 1024 * 1024;
/// Below this size a snapshot file is left to grow.
const MIN_COMPACT: u64 = 128 * 1024;

/// A file could not be read or written. The pool goes on without it where it runs already.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system's reason.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Larger than anything an agent writes.
    #[error("{} is larger than {limit} bytes: it is no file of this agent", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// The keyring file holds no JSON list of keys in base64.
    #[error("{} is no JSON list of keys in base64: {reason}", path.display())]
    Keyring {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A key in the keyring file is none.
    #[error("{}: {error}", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: KeyError,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FileError + '_ {
    move |error| FileError::Io { path: path.to_owned(), error }
}

fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
    };
    let mut out = Vec::new();
    file.take(limit + 1).read_to_end(&mut out).map_err(at(path))?;
    if out.len() as u64 > limit {
        return Err(FileError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(Some(out))
}

/// Writes a file whole or not at all.
fn replace(path: &Path, text: &[u8], mode: u32) -> Result<(), FileError> {
    let temporary = path.with_extension("compact");
    let write = || {
        let mut file =
            OpenOptions::new().create(true).write(true).truncate(true).mode(mode).open(&temporary)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        match path.parent().filter(|p| !p.as_os_str().is_empty()) {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(at(path))
}

fn make_folder(path: &Path) -> Result<(), FileError> {
    match path.parent().filter(|p| !p.as_os_str().is_empty()) {
        Some(folder) => fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder)),
        None => Ok(()),
    }
}

/// The file that lets a restarted member rejoin.
#[derive(Debug)]
pub struct SnapshotFile {
    path: PathBuf,
    file: File,
    size: u64,
    pending: String,
}

impl SnapshotFile {
    /// Reads what is there, and opens the file for more. A torn last line is passed over.
    ///
    /// # Errors
    /// The file cannot be read, written, or is too large.
    pub fn open(path: &Path, rejoin_after_leave: bool) -> Result<(SnapshotFile, Snapshot), FileError> {
        make_folder(path)?;
        let text = read(path, MAX_SNAPSHOT)?.unwrap_or_default();
        let (snapshot, odd) = Snapshot::replay(&String::from_utf8_lossy(&text), rejoin_after_leave);
        if odd > 0 {
            tracing::warn!(path = %path.display(), lines = odd, "Snapshot file holds lines that make no sense");
        }
        let mut file =
            OpenOptions::new().create(true).append(true).mode(0o644).open(path).map_err(at(path))?;
        let mut size = text.len() as u64;
        if text.last().is_some_and(|b| *b != b'\n') {
            // end a torn line, or the next one would be lost with it
            file.write_all(b"\n").map_err(at(path))?;
            size += 1;
        }
        let out = SnapshotFile { path: path.to_owned(), file, size, pending: String::new() };
        Ok((out, snapshot))
    }

    /// Adds a line, to be written by [`SnapshotFile::flush`].
    pub fn push(&mut self, line: &str) {
        self.pending.push_str(line);
        self.pending.push('\n');
    }

    /// Whether lines wait.
    pub fn is_dirty(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Writes what waits. True if the file grew so much that it should be replaced.
    ///
    /// # Errors
    /// The system's; what waited is lost then, as the file is only a hint for a restart.
    pub fn flush(&mut self, alive: usize) -> Result<bool, FileError> {
        let text = std::mem::take(&mut self.pending);
        self.file.write_all(text.as_bytes()).map_err(at(&self.path))?;
        self.size += text.len() as u64;
        Ok(self.size > MIN_COMPACT.max(2 * 128 * alive as u64))
    }

    /// Puts this text in the place of the whole file.
    ///
    /// # Errors
    /// The system's; the old file goes on then.
    pub fn compact(&mut self, image: &str) -> Result<(), FileError> {
        replace(&self.path, image.as_bytes(), 0o644)?;
        self.file = OpenOptions::new().append(true).open(&self.path).map_err(at(&self.path))?;
        self.size = image.len() as u64;
        Ok(())
    }
}

/// The file that holds the keys of a pool: a JSON list of keys in base64, the primary one first.
#[derive(Clone, Debug)]
pub struct KeyringFile {
    path: PathBuf,
}

impl KeyringFile {
    /// The file at this path, which need not be there.
    pub fn new(path: &Path) -> Self {
        KeyringFile { path: path.to_owned() }
    }

    /// Reads the keys; `None` when there is no file.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn load(&self) -> Result<Option<Keyring>, FileError> {
        let Some(text) = read(&self.path, MAX_KEYRING)? else { return Ok(None) };
        let odd = |reason: String| FileError::Keyring { path: self.path.clone(), reason };
        let list: Vec<String> = serde_json::from_slice(&text).map_err(|e| odd(e.to_string()))?;
        let mut keys = Vec::new();
        for key in &list {
            let raw = base64::engine::general_purpose::STANDARD
                .decode(key)
                .map_err(|_| odd("a key is no base64".into()))?;
            keys.push(Secret::new(raw));
        }
        let ring = Keyring::new(&keys).map_err(|error| FileError::Key { path: self.path.clone(), error })?;
        Ok(Some(ring))
    }

    /// Writes the keys, readable for the owner only.
    ///
    /// # Errors
    /// The system's; the old file is unchanged then.
    pub fn save(&self, ring: &Keyring) -> Result<(), FileError> {
        make_folder(&self.path)?;
        let mut text = serde_json::to_vec_pretty(&ring.to_base64())
            .map_err(|e| FileError::Keyring { path: self.path.clone(), reason: e.to_string() })?;
        text.push(b'\n');
        replace(&self.path, &text, 0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_with_a_torn_end_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serf/local.snapshot");
        fs::create_dir(folder.path().join("serf")).unwrap();
        fs::write(&path, "alive: a 127.0.0.1:1\nclock: 3\nalive: b 127.0").unwrap();
        let (mut file, snapshot) = SnapshotFile::open(&path, false).unwrap();
        assert_eq!((snapshot.alive.len(), snapshot.clock), (1, 3));
        file.push("clock: 4");
        assert!(!file.flush(1).unwrap());
        let (mut file, snapshot) = SnapshotFile::open(&path, false).unwrap();
        assert_eq!(snapshot.clock, 4);
        file.compact("clock: 9\n").unwrap();
        file.push("event-clock: 2");
        file.flush(1).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "clock: 9\nevent-clock: 2\n");
    }

    #[test]
    fn a_keyring_is_written_for_its_owner_only_and_read_again() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = KeyringFile::new(&folder.path().join("serf/local.keyring"));
        assert!(file.load().unwrap().is_none());
        let keys = [Secret::new(vec![1; 32]), Secret::new(vec![2; 16])];
        file.save(&Keyring::new(&keys).unwrap()).unwrap();
        let ring = file.load().unwrap().unwrap();
        assert_eq!(ring.keys().cloned().collect::<Vec<_>>(), keys);
        let mode = fs::metadata(folder.path().join("serf/local.keyring")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(folder.path().join("serf/local.keyring"), "[\"!\"]").unwrap();
        assert!(matches!(file.load(), Err(FileError::Keyring { .. })));
    }
}
