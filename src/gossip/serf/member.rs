//! Members as Serf sees them: with a history that outlives their death.

use crate::memberlist::node::NodeRecord;
use crate::time::Time;
use crate::wire::serf::{LTime, Tags};
use hashbrown::HashTable;
use std::fmt;
use std::hash::Hasher;
use std::net::SocketAddr;
use std::sync::Arc;

/// What became of a member. The numbers are Serf's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum MemberStatus {
    /// It answers.
    Alive = 1,
    /// It said that it leaves.
    Leaving = 2,
    /// It left, or was made to.
    Left = 3,
    /// It stopped answering.
    Failed = 4,
}

impl fmt::Display for MemberStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MemberStatus::Alive => "alive",
            MemberStatus::Leaving => "leaving",
            MemberStatus::Left => "left",
            MemberStatus::Failed => "failed",
        })
    }
}

/// A member. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// What it says of itself.
    pub record: Arc<NodeRecord>,
    /// What became of it.
    pub status: MemberStatus,
    /// The time of the last intent about it.
    pub status_ltime: LTime,
    /// When it failed or left.
    pub gone_at: Time,
}

impl Member {
    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.record.name
    }

    /// Where it is reached.
    pub fn addr(&self) -> SocketAddr {
        self.record.addr
    }

    /// Its tags.
    pub fn tags(&self) -> &Tags {
        self.record.tags()
    }
}

/// All members by name.
#[derive(Debug)]
pub(super) struct Members {
    slots: Vec<Member>,
    index: HashTable<u32>,
    key: u64,
}

impl Members {
    pub(super) fn new(key: u64) -> Self {
        Members { slots: Vec::new(), index: HashTable::new(), key }
    }

    fn hash(key: u64, name: &str) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write_u64(key);
        hasher.write(name.as_bytes());
        hasher.finish()
    }

    fn find(&self, name: &str) -> Option<usize> {
        let same = |at: &u32| *self.slots[*at as usize].record.name == *name;
        self.index.find(Self::hash(self.key, name), same).map(|at| *at as usize)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Member> {
        Some(&self.slots[self.find(name)?])
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Member> {
        let at = self.find(name)?;
        Some(&mut self.slots[at])
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.slots.iter()
    }

    pub(super) fn insert(&mut self, member: Member) {
        let hashed = Self::hash(self.key, &member.record.name);
        self.slots.push(member);
        let (slots, key) = (&self.slots, self.key);
        self.index.insert_unique(hashed, (slots.len() - 1) as u32, |at| {
            Self::hash(key, &slots[*at as usize].record.name)
        });
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Member> {
        let at = self.find(name)?;
        let last = self.slots.len() - 1;
        if let Ok(entry) = self.index.find_entry(Self::hash(self.key, name), |i| *i as usize == at) {
            entry.remove();
        }
        if at != last {
            let moved = Self::hash(self.key, &self.slots[last].record.name);
            if let Some(i) = self.index.find_mut(moved, |i| *i as usize == last) {
                *i = at as u32;
            }
        }
        Some(self.slots.swap_remove(at))
    }
}
