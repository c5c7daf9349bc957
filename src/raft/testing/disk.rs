//! A disk that forgets. Writes and names live apart from what was synced; a crash keeps, by a seed, any mixture of the
//! old and the new that a machine without power could leave behind.
//!
//! The model: a sector of 512 bytes holds, after a crash, any of the versions it had since the last sync, or the front
//! of one and the rest of an older one (a torn write changes only bytes that differ: what was durable in a sector that
//! is written again with the same bytes stays). Each sector decides alone, so later writes may survive earlier ones.
//! A name refers to any of the files it referred to since the directory was last synced, again each name alone, or all
//! of them as of one moment, as a journal would have it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::disk::{Disk, DiskFile};

const SECTOR: usize = 512;

/// The simulated disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
    /// A session ends with the life it was made in.
    life: Option<u64>,
}

#[derive(Debug)]
struct Inner {
    names: BTreeMap<String, usize>,
    /// The names as they were durable, then after each change since.
    history: Vec<BTreeMap<String, usize>>,
    files: Vec<Contents>,
    /// Handles of an earlier life no longer work.
    life: u64,
    /// Operations until the power goes; counts changes and syncs.
    fuse: Option<u64>,
    operations: u64,
    syncs: u64,
    syncs_lie: bool,
    fail_syncs: bool,
    space: Option<u64>,
}

#[derive(Debug, Default, Clone)]
struct Contents {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// Versions of a sector since the last sync, oldest first, without the durable one.
    versions: BTreeMap<usize, Vec<Vec<u8>>>,
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    id: usize,
    life: u64,
}

impl Default for SimDisk {
    fn default() -> Self {
        SimDisk {
            inner: Arc::new(Mutex::new(Inner {
                names: BTreeMap::new(),
                history: vec![BTreeMap::new()],
                files: Vec::new(),
                life: 0,
                fuse: None,
                operations: 0,
                syncs: 0,
                syncs_lie: false,
                fail_syncs: false,
                space: None,
            })),
            life: None,
        }
    }
}

impl SimDisk {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk as one process sees it: after the next crash nothing can be done through it any more.
    pub fn session(&self) -> SimDisk {
        SimDisk { inner: self.inner.clone(), life: Some(self.inner().life) }
    }

    /// The power goes after this many more changes and syncs: they, and all after them, fail.
    pub fn crash_after(&self, operations: u64) {
        self.inner().fuse = Some(operations);
    }

    /// The test-only switch: every sync says yes and does nothing.
    pub fn take_syncs_out(&self) {
        self.inner().syncs_lie = true;
    }

    /// From now on every sync of data fails.
    pub fn fail_syncs(&self, fail: bool) {
        self.inner().fail_syncs = fail;
    }

    /// Writing that would make the files longer than this in sum fails as a full disk does.
    pub fn limit_space(&self, bytes: Option<u64>) {
        self.inner().space = bytes;
    }

    /// Syncs of data so far.
    pub fn syncs(&self) -> u64 {
        self.inner().syncs
    }

    /// Changes and syncs so far.
    pub fn operations(&self) -> u64 {
        self.inner().operations
    }

    /// The power goes and comes back: what was not synced survives in part, by the seed. Handles of before fail.
    pub fn crash(&self, seed: u64) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut inner = self.inner();
        let names = if rng.random_bool(0.5) {
            let moment = rng.random_range(0..inner.history.len());
            inner.history[moment].clone()
        } else {
            let mut all: Vec<String> = inner.history.iter().flat_map(|names| names.keys().cloned()).collect();
            all.sort();
            all.dedup();
            let mut names = BTreeMap::new();
            for name in all {
                let moment = rng.random_range(0..inner.history.len());
                if let Some(id) = inner.history[moment].get(&name) {
                    names.insert(name, *id);
                }
            }
            names
        };
        // How much of the unsynced survives differs from crash to crash: none, all, or some.
        let keep = *[0.0, 0.1, 0.5, 0.9, 1.0].get(rng.random_range(0..5)).unwrap_or(&0.5);
        for file in &mut inner.files {
            file.crash(&mut rng, keep);
        }
        inner.history = vec![names.clone()];
        inner.names = names;
        inner.life += 1;
        inner.fuse = None;
    }

    /// Changes one byte of a file for good, as a failing medium does.
    pub fn damage(&self, name: &str, offset: usize) {
        let mut inner = self.inner();
        if let Some(id) = inner.names.get(name).copied() {
            let file = &mut inner.files[id];
            file.bytes[offset] ^= 0x40;
            file.durable[offset] ^= 0x40;
        }
    }
}

impl Inner {
    fn same_life(&self, life: Option<u64>) -> io::Result<()> {
        match life {
            Some(life) if life != self.life => Err(io::Error::other("a handle from before the crash")),
            _ => Ok(()),
        }
    }

    fn change(&mut self, life: Option<u64>) -> io::Result<()> {
        self.same_life(life)?;
        self.operations += 1;
        match &mut self.fuse {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn renamed(&mut self) {
        let names = self.names.clone();
        self.history.push(names);
    }

    fn room_for(&self, more: u64) -> io::Result<()> {
        let used: u64 = self.names.values().map(|id| self.files[*id].bytes.len() as u64).sum();
        match self.space {
            Some(space) if used + more > space => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

impl Contents {
    fn crash(&mut self, rng: &mut SmallRng, keep: f64) {
        // The length is metadata of its own: either of the two.
        let len = if rng.random_bool(0.5) { self.durable.len() } else { self.bytes.len() };
        let mut after = self.durable.clone();
        after.resize(len, 0);
        for (sector, versions) in &self.versions {
            let start = sector * SECTOR;
            if start >= len || !rng.random_bool(keep) {
                continue;
            }
            let newer = &versions[rng.random_range(0..versions.len())];
            let end = (start + newer.len()).min(len);
            let tear = if rng.random_bool(0.2) { rng.random_range(0..=end - start) } else { end - start };
            after[start..start + tear].copy_from_slice(&newer[..tear]);
        }
        self.bytes = after.clone();
        self.durable = after;
        self.versions.clear();
    }

    fn write(&mut self, data: &[u8], offset: usize) {
        let end = offset + data.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(data);
        let mut sector = offset / SECTOR;
        while sector * SECTOR < end {
            let start = sector * SECTOR;
            let stop = (start + SECTOR).min(self.bytes.len());
            let version = self.bytes[start..stop].to_vec();
            self.versions.entry(sector).or_default().push(version);
            sector += 1;
        }
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.inner().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.inner();
        inner.change(self.life)?;
        let id = inner.files.len();
        inner.files.push(Contents::default());
        inner.names.insert(name.to_owned(), id);
        inner.renamed();
        Ok(Arc::new(SimFile { disk: self.clone(), id, life: inner.life }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inner = self.inner();
        inner.same_life(self.life)?;
        let id = *inner.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), id, life: inner.life }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.change(self.life)?;
        let id = inner.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        inner.names.insert(to.to_owned(), id);
        inner.renamed();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.change(self.life)?;
        inner.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        inner.renamed();
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.change(self.life)?;
        if !inner.syncs_lie {
            let names = inner.names.clone();
            inner.history = vec![names];
        }
        Ok(())
    }

    fn describe(&self, name: &str) -> String {
        name.to_owned()
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.inner().files[self.id].bytes.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let inner = self.disk.inner();
        let bytes = inner.files[self.id].bytes.get(offset as usize..).unwrap_or_default();
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.change(Some(self.life))?;
        let more = (offset + data.len() as u64).saturating_sub(inner.files[self.id].bytes.len() as u64);
        inner.room_for(more)?;
        inner.files[self.id].write(data, offset as usize);
        Ok(())
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.change(Some(self.life))?;
        let more = len.saturating_sub(inner.files[self.id].bytes.len() as u64);
        inner.room_for(more)?;
        inner.files[self.id].write(&vec![0; len as usize], 0);
        inner.files[self.id].bytes.truncate(len as usize);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.change(Some(self.life))?;
        inner.syncs += 1;
        if inner.fail_syncs {
            return Err(io::Error::other("simulated failure of a sync"));
        }
        if !inner.syncs_lie {
            let file = &mut inner.files[self.id];
            file.durable = file.bytes.clone();
            file.versions.clear();
        }
        Ok(())
    }
}
