//! Where each entry stands: four bytes per entry, so that the entries themselves need not be held.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::disk::DiskFile;
use crate::log::record::Position;

/// A segment and where the entries in it begin.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) sequence: u64,
    pub(crate) file: Arc<dyn DiskFile>,
    /// The index of the first entry in `offsets`.
    first: u64,
    offsets: Vec<u32>,
}

/// All segments, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Places {
    segments: VecDeque<Segment>,
}

impl Places {
    pub(crate) fn begin_segment(&mut self, sequence: u64, file: Arc<dyn DiskFile>) {
        self.segments.push_back(Segment { sequence, file, first: 0, offsets: Vec::new() });
    }

    /// The entry `index` was written at `offset` of the newest segment.
    pub(crate) fn push(&mut self, index: u64, offset: u64) {
        if let Some(segment) = self.segments.back_mut() {
            if segment.first + segment.offsets.len() as u64 != index {
                // A snapshot took the place of what is between; the older entries in here are purged.
                segment.offsets.clear();
            }
            if segment.offsets.is_empty() {
                segment.first = index;
            }
            segment.offsets.push(offset as u32);
        }
    }

    /// Entries from `from` on are gone.
    pub(crate) fn truncate(&mut self, from: u64) {
        for segment in self.segments.iter_mut().rev() {
            let keep = from.saturating_sub(segment.first) as usize;
            segment.offsets.truncate(keep);
        }
    }

    /// The file that holds the entry, and where it stands in it.
    pub(crate) fn find(&self, index: u64) -> Option<(Arc<dyn DiskFile>, Position)> {
        self.segments.iter().rev().find_map(|segment| {
            let offset = segment.offsets.get(index.checked_sub(segment.first)? as usize)?;
            Some((segment.file.clone(), Position { sequence: segment.sequence, offset: (*offset).into() }))
        })
    }

    /// Takes out the oldest segments that hold no entry after `purged`; the newest stays.
    pub(crate) fn take_purged(&mut self, purged: u64) -> Vec<Segment> {
        let mut taken = Vec::new();
        while self.segments.len() > 1 {
            let oldest = &self.segments[0];
            if !oldest.offsets.is_empty() && oldest.first + oldest.offsets.len() as u64 > purged + 1 {
                break;
            }
            taken.extend(self.segments.pop_front());
        }
        taken
    }

    pub(crate) fn len(&self) -> usize {
        self.segments.len()
    }
}
