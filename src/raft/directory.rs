//! The data directory: one process at a time, one node for ever.

use std::fs;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::{Disk, Files, is_full};
use crate::error::StartError;
use crate::types::ServerId;

const LOCK: &str = "lock";
const IDENTITY: &str = "identity";
/// First line of the identity file; the number is the format of the directory.
const FORMAT: &str = "crs raft directory 1";

/// A directory that this process holds. The hold ends with it, or with the process however that ends.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) disk: Arc<Files>,
    lock: Mutex<Option<fs::File>>,
}

impl Directory {
    /// Lets another process, or another start in this one, have it.
    pub(crate) fn release(&self) {
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Takes the directory for this node; makes it if it is not there.
pub(crate) fn take(path: &Path, id: ServerId) -> Result<Directory, StartError> {
    let refuse = |error: io::Error| match is_full(&error) {
        true => StartError::Full { path: path.to_owned(), error },
        false => StartError::Directory { path: path.to_owned(), error },
    };
    let disk = Files::open(path).map_err(refuse)?;
    let lock = lock(path).map_err(|error| match error {
        Locking::Held(pid) => StartError::InUse { path: path.to_owned(), pid },
        Locking::Io(error) => refuse(error),
    })?;
    let identity = path.join(IDENTITY);
    match fs::read_to_string(&identity) {
        Ok(text) => {
            let found = parse(&text).map_err(|problem| StartError::Identity { path: identity, problem })?;
            if found != id {
                return Err(StartError::OtherNode { path: path.to_owned(), found, expected: id });
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if disk.list().map_err(refuse)?.iter().any(|name| name.starts_with("log-")) {
                let problem = "it is missing, and a log is there".to_owned();
                return Err(StartError::Identity { path: identity, problem });
            }
            write(&disk, id).map_err(refuse)?;
        }
        Err(error) => return Err(StartError::Directory { path: identity, error }),
    }
    Ok(Directory { disk: Arc::new(disk), lock: Mutex::new(Some(lock)) })
}

enum Locking {
    Held(Option<u32>),
    Io(io::Error),
}

fn lock(path: &Path) -> Result<fs::File, Locking> {
    let name: PathBuf = path.join(LOCK);
    let mut file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(name)
        .map_err(Locking::Io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let mut text = String::new();
            drop(file.read_to_string(&mut text));
            return Err(Locking::Held(text.trim().parse().ok()));
        }
        Err(fs::TryLockError::Error(error)) => return Err(Locking::Io(error)),
    }
    let say = |file: &mut fs::File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    say(&mut file).map_err(Locking::Io)?;
    Ok(file)
}

fn parse(text: &str) -> Result<ServerId, String> {
    let mut lines = text.lines();
    match lines.next() {
        Some(FORMAT) => {}
        Some(line) if line.starts_with("crs raft directory ") => {
            return Err(format!("it says \"{line}\", which a newer version of crs wrote"));
        }
        _ => return Err("its first line is unknown".to_owned()),
    }
    let id = lines.next().and_then(|line| line.strip_prefix("node "));
    id.ok_or_else(|| "it names no node".to_owned())?.parse().map_err(|error| format!("{error}"))
}

fn write(disk: &Files, id: ServerId) -> io::Result<()> {
    let part = format!("{IDENTITY}.part");
    let file = disk.create(&part)?;
    file.write_at(format!("{FORMAT}\nnode {id}\n").as_bytes(), 0)?;
    file.sync_data()?;
    disk.rename(&part, IDENTITY)?;
    disk.sync_dir()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_directory_is_held_once_and_by_its_node_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("raft");
        let held = take(&path, ServerId(1)).unwrap();
        match take(&path, ServerId(1)) {
            Err(StartError::InUse { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(held);
        let error = take(&path, ServerId(2)).unwrap_err();
        assert!(matches!(error, StartError::OtherNode { found: ServerId(1), .. }), "{error}");
        assert!(error.to_string().contains("00000000-0000-0000-0000-000000000001"));
        drop(take(&path, ServerId(1)).unwrap());
        fs::write(path.join(IDENTITY), "hello").unwrap();
        assert!(matches!(take(&path, ServerId(1)), Err(StartError::Identity { .. })));
    }

    #[test]
    fn a_log_without_an_identity_is_not_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("log-0000000000000001"), "x").unwrap();
        assert!(matches!(take(dir.path(), ServerId(1)), Err(StartError::Identity { .. })));
    }

    #[test]
    fn a_file_in_its_place_is_one_clear_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("raft");
        fs::write(&path, "x").unwrap();
        let error = take(&path, ServerId(1)).unwrap_err().to_string();
        assert!(error.contains("it must be a directory"), "{error}");
    }
}
