//! openraft's own suite for log and state machine, over the log in memory and over files.

use std::sync::Arc;

use crs_store::{Changes, State};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};

use crate::disk::{Disk, Files, Memory};
use crate::log::{Flush, Log, LogOptions};
use crate::machine::{Machine, Progress, Publish, SnapshotRules};
use crate::snapshot::Snapshots;
use crate::types::TypeConfig;

struct Nobody;

impl Publish for Nobody {
    fn publish(&self, _: &State, _: Changes) {}
    fn restored(&self, _: &State) {}
}

struct Build {
    on_disk: bool,
    flush: Flush,
}

impl StoreBuilder<TypeConfig, Log, Machine, Option<tempfile::TempDir>> for Build {
    async fn build(&self) -> Result<(Option<tempfile::TempDir>, Log, Machine), StorageError<TypeConfig>> {
        let dir = self.on_disk.then(|| tempfile::tempdir().unwrap());
        let disk: Arc<dyn Disk> = match &dir {
            Some(dir) => Arc::new(Files::open(dir.path()).unwrap()),
            None => Arc::new(Memory::default()),
        };
        // A cache of nothing: what can be read from the disk is.
        let options = LogOptions { segment_bytes: 4096, cache_bytes: 0, flush: self.flush };
        let log = Log::open(disk.clone(), options).unwrap();
        let machine = Machine::new(
            Arc::new(Nobody),
            Snapshots::new(disk),
            None,
            log.clone(),
            SnapshotRules::default(),
            Arc::new(Progress::default()),
        );
        Ok((dir, log, machine))
    }
}

#[tokio::test]
async fn openrafts_suite_passes_in_memory() {
    Suite::test_all(Build { on_disk: false, flush: Flush::InLine }).await.unwrap();
}

#[tokio::test]
async fn openrafts_suite_passes_on_files_with_a_flush_thread() {
    Suite::test_all(Build { on_disk: true, flush: Flush::Thread }).await.unwrap();
}
