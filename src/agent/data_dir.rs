//! The data directory: held by one process, and the identity kept in it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crs_types::NodeId;

/// Why the data directory cannot be used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    #[error("data_dir {path}: cannot {action}: {error}")]
    Io { action: &'static str, path: PathBuf, error: std::io::Error },
    #[error(
        "data_dir {path} is in use by another agent{holder}; stop that one or give this one a data_dir of its own"
    )]
    InUse { path: PathBuf, holder: String },
    #[error(
        "data_dir {path} belongs to node {theirs}, but node_id is {ours}; use the data_dir of this node, or \
         take node_id out of the configuration to go on as {theirs}"
    )]
    OtherNode { path: PathBuf, theirs: String, ours: String },
    #[error("{path} holds {found:?}, which is no node id; remove the file to get a new one")]
    BadNodeId { path: PathBuf, found: String },
    #[error(
        "data_dir {0} holds the data of a Consul server; crs does not read it: save a snapshot there, start with an \
         empty data_dir, and restore it"
    )]
    Consul(PathBuf),
}

/// Holds the directory as long as it lives.
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory if need be, and takes hold of it.
    pub(crate) fn open(path: &Path) -> Result<DataDir, DataDirError> {
        let io = |action, error| DataDirError::Io { action, path: path.to_owned(), error };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(path)
            .map_err(|error| io("make it", error))?;
        if path.join("raft/raft.db").exists() {
            return Err(DataDirError::Consul(path.to_owned()));
        }
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(|error| io("write to it", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message.
                _ = lock.read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => String::new(),
                    pid => format!(" (process {pid})"),
                };
                return Err(DataDirError::InUse { path: path.to_owned(), holder });
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(io("lock it", error)),
        }
        lock.set_len(0)
            .and_then(|()| lock.write_all(format!("{}\n", std::process::id()).as_bytes()))
            .map_err(|error| io("write to it", error))?;
        Ok(DataDir { path: path.to_owned(), _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The node's id: the one kept here, else the configured one, else a new one; kept from now on.
    pub(crate) fn node_id(&self, configured: Option<&NodeId>) -> Result<NodeId, DataDirError> {
        let file = self.path.join("node-id");
        let io = |action, error| DataDirError::Io { action, path: self.path.clone(), error };
        match std::fs::read_to_string(&file) {
            Ok(text) => {
                let kept = text.trim().to_lowercase();
                if uuid::Uuid::try_parse(&kept).is_err() || kept.len() != 36 {
                    return Err(DataDirError::BadNodeId { path: file, found: text.trim().to_owned() });
                }
                match configured.filter(|ours| **ours != *kept.as_str()) {
                    Some(ours) => Err(DataDirError::OtherNode {
                        path: self.path.clone(),
                        theirs: kept,
                        ours: ours.as_str().to_owned(),
                    }),
                    None => Ok(kept.into()),
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let id = configured.cloned().unwrap_or_else(new_node_id);
                let temporary = self.path.join("node-id.new");
                let write = || {
                    let mut out = OpenOptions::new()
                        .write(true)
                        .create(true)
                        .truncate(true)
                        .mode(0o600)
                        .open(&temporary)?;
                    out.write_all(id.as_str().as_bytes())?;
                    out.sync_all()?;
                    std::fs::rename(&temporary, &file)?;
                    File::open(&self.path)?.sync_all()
                };
                write().map_err(|error| io("keep the node id in it", error))?;
                Ok(id)
            }
            Err(error) => Err(io("read the node id in it", error)),
        }
    }
}

/// A random id.
pub(crate) fn new_node_id() -> NodeId {
    uuid::Uuid::new_v4().to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_has_one_holder_and_one_id() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/data");
        let held = DataDir::open(&path).unwrap();
        let id = held.node_id(None).unwrap();
        assert_eq!(id.as_str().len(), 36);
        let text = DataDir::open(&path).err().unwrap().to_string();
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        drop(held);
        let again = DataDir::open(&path).unwrap();
        assert_eq!(again.node_id(Some(&id)).unwrap(), id);
        let other = "11111111-2222-3333-4444-555555555555".into();
        assert!(matches!(again.node_id(Some(&other)), Err(DataDirError::OtherNode { .. })));
        std::fs::write(path.join("node-id"), "junk").unwrap();
        assert!(matches!(again.node_id(None), Err(DataDirError::BadNodeId { .. })));
    }

    #[test]
    fn the_data_of_consul_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("raft")).unwrap();
        std::fs::write(dir.path().join("raft/raft.db"), "x").unwrap();
        assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::Consul(_))));
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        assert!(matches!(DataDir::open(&file), Err(DataDirError::Io { .. })));
    }
}
