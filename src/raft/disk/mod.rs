//! The disk as the log and the snapshots see it: one flat directory of named files.
//!
//! A seam with three sides: [`Files`] for the real thing, [`Memory`] for an agent that keeps nothing, and the simulated
//! disk of `testing`, which forgets at a crash whatever was not synced.

mod files;
mod memory;

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

pub use files::Files;
pub use memory::Memory;

/// One flat directory. Names have no separators. Nothing is durable before a sync: the contents of a file after
/// [`DiskFile::sync_data`], its name after [`Disk::sync_dir`].
pub trait Disk: Send + Sync + Debug + 'static {
    /// The names of the files, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// A new or emptied file, open for reading and writing.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// A file that exists, open for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name, replacing what had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Takes the name away; open handles stay readable.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes names durable: creations, renames and removals so far.
    fn sync_dir(&self) -> io::Result<()>;
    /// What to call a file in an error for people.
    fn describe(&self, name: &str) -> String;
}

/// An open file. Offsets are bytes from its start.
pub trait DiskFile: Send + Sync + Debug {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Fills as much of `buffer` as there is, and says how much: less only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `data`.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the file `len` bytes of zeros with its space taken, whatever it held. Not durable before a sync.
    fn preallocate(&self, len: u64) -> io::Result<()>;
    /// Makes the contents durable. An error is final: what was written since the last sync may be gone even if a later
    /// call succeeds, so nobody may call it again and go on.
    fn sync_data(&self) -> io::Result<()>;
}

/// Reads exactly `buffer.len()` bytes or fails with `UnexpectedEof`.
pub(crate) fn read_exact_at(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    if file.read_at(buffer, offset)? == buffer.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Whether the error says that the disk or the quota is used up.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
