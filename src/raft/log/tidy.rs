//! What keeps out of the way of writing: making the next segment before it is needed, and giving back the space of
//! those that are not needed any more. On a thread of its own, or in line for simulation.

use std::io;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::disk::{Disk, DiskFile, is_full};
use crate::log::name;

/// A file of zeros, synced, that can become a segment.
struct Spare {
    name: String,
    file: Arc<dyn DiskFile>,
    capacity: u64,
}

#[derive(Default)]
struct Slot {
    spare: Option<Spare>,
    preparing: bool,
    made: u64,
}

struct Shared {
    disk: Arc<dyn Disk>,
    slot: Mutex<Slot>,
}

enum Task {
    Prepare { capacity: u64 },
    Reclaim { names: Vec<String>, capacity: u64 },
}

/// See the module. Dropping it ends the thread after what it has begun.
pub(crate) struct Tidy {
    shared: Arc<Shared>,
    thread: Option<(mpsc::Sender<Task>, thread::JoinHandle<()>)>,
}

impl Tidy {
    /// In line: nothing is made ahead, space is given back at once.
    pub(crate) fn in_line(disk: Arc<dyn Disk>) -> Self {
        Tidy { shared: Arc::new(Shared { disk, slot: Mutex::default() }), thread: None }
    }

    pub(crate) fn threaded(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let shared = Arc::new(Shared { disk, slot: Mutex::default() });
        let (sender, tasks) = mpsc::channel();
        let worker = shared.clone();
        let handle = thread::Builder::new().name("crs-log-tidy".to_owned()).spawn(move || {
            for task in tasks {
                worker.run(task);
            }
        })?;
        Ok(Tidy { shared, thread: Some((sender, handle)) })
    }

    /// Has a segment ready soon. Does nothing in line.
    pub(crate) fn prepare(&self, capacity: u64) {
        let Some((sender, _)) = &self.thread else { return };
        let mut slot = self.shared.slot();
        if slot.spare.is_none() && !slot.preparing {
            slot.preparing = true;
            drop(sender.send(Task::Prepare { capacity }));
        }
    }

    /// These segments are not needed any more; the entries in them are purged, durably.
    pub(crate) fn reclaim(&self, names: Vec<String>, capacity: u64) {
        if names.is_empty() {
            return;
        }
        let task = Task::Reclaim { names, capacity };
        match &self.thread {
            Some((sender, _)) => drop(sender.send(task)),
            None => self.shared.run(task),
        }
    }

    /// A file of at least `capacity` zeros under this name. The name is not durable yet.
    pub(crate) fn take(&self, name: &str, capacity: u64) -> io::Result<(Arc<dyn DiskFile>, u64)> {
        let ready = self.shared.slot().spare.take_if(|spare| spare.capacity >= capacity);
        match ready {
            Some(spare) => {
                self.shared.disk.rename(&spare.name, name)?;
                Ok((spare.file, spare.capacity))
            }
            None => Ok((zeroed(&*self.shared.disk, name, capacity)?, capacity)),
        }
    }
}

impl Drop for Tidy {
    fn drop(&mut self) {
        if let Some((sender, handle)) = self.thread.take() {
            drop(sender);
            drop(handle.join());
        }
    }
}

fn zeroed(disk: &dyn Disk, name: &str, capacity: u64) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.create(name)?;
    let made = file.preallocate(capacity).and_then(|()| file.sync_data());
    if let Err(error) = made {
        // Half a segment on a full disk would keep it full.
        drop(disk.remove(name));
        return Err(error);
    }
    Ok(file)
}

impl Shared {
    fn slot(&self) -> std::sync::MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_name(&self) -> String {
        let mut slot = self.slot();
        slot.made += 1;
        name::spare(slot.made)
    }

    fn run(&self, task: Task) {
        let (result, prepared) = match task {
            Task::Prepare { capacity } => (self.prepare(capacity), true),
            Task::Reclaim { names, capacity } => (self.reclaim(names, capacity), false),
        };
        if prepared {
            self.slot().preparing = false;
        }
        match result {
            Ok(()) => {}
            // Neither is needed now; if a segment is needed and cannot be made, the writer says so.
            Err(error) if is_full(&error) => {
                tracing::warn!(%error, "No space for the next segment of the log; free some before writes stop");
            }
            Err(error) => tracing::warn!(%error, "Tidying the log failed"),
        }
    }

    fn prepare(&self, capacity: u64) -> io::Result<()> {
        let name = self.next_name();
        let file = zeroed(&*self.disk, &name, capacity)?;
        self.slot().spare = Some(Spare { name, file, capacity });
        Ok(())
    }

    /// Oldest first, so that a crash in between leaves no gap. One may become the next segment.
    fn reclaim(&self, names: Vec<String>, capacity: u64) -> io::Result<()> {
        for old in names {
            let wanted = self.slot().spare.is_none();
            if !wanted {
                self.disk.remove(&old)?;
                continue;
            }
            let name = self.next_name();
            self.disk.rename(&old, &name)?;
            // Its old name must be gone for good before its contents go.
            self.disk.sync_dir()?;
            let file = self.disk.open(&name)?;
            file.preallocate(capacity)?;
            file.sync_data()?;
            self.slot().spare = Some(Spare { name, file, capacity });
        }
        self.disk.sync_dir()
    }
}
