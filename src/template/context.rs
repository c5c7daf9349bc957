//! What one rendering carries along: the snapshot, what it asked for, its notebook and its allowance.

use std::collections::BTreeSet;

use crate::dep::Dep;
use crate::scratch::Scratch;
use crate::snapshot::{Answer, DepSnapshot};
use crate::template::{Options, WrittenFile};
use crate::value::Value;

/// Why a function gave no value.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Its arguments or data are wrong.
    Bad(String),
    /// A limit was passed.
    Limit(String),
    /// The caller stopped the rendering.
    Stopped,
}

impl From<String> for Fault {
    fn from(text: String) -> Self {
        Fault::Bad(text)
    }
}

impl From<&str> for Fault {
    fn from(text: &str) -> Self {
        Fault::Bad(text.to_owned())
    }
}

/// What a function gives.
pub(crate) type Outcome = Result<Value, Fault>;

/// Bounds of one rendering. They hold whatever the template says: loops end, memory stays within reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nodes evaluated; a loop costs at least one per turn.
    pub steps: u64,
    /// Bytes of output.
    pub output_bytes: u64,
    /// Bytes that all functions together make on the way.
    pub work_bytes: u64,
    /// Templates that call one another.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // generous: 100,000 instances with a dozen fields each take about three million steps
        Limits { steps: 20_000_000, output_bytes: 256 << 20, work_bytes: 1 << 30, depth: 100 }
    }
}

/// One rendering.
pub(crate) struct Context<'a> {
    pub(crate) snapshot: &'a DepSnapshot,
    pub(crate) options: &'a Options,
    /// Asks now and then whether to go on.
    pub(crate) stop: Option<&'a (dyn Fn() -> bool + Send + Sync)>,
    pub(crate) used: BTreeSet<Dep>,
    pub(crate) missing: BTreeSet<Dep>,
    pub(crate) scratch: Scratch,
    pub(crate) files: Vec<WrittenFile>,
    steps: u64,
    work_bytes: u64,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        snapshot: &'a DepSnapshot,
        options: &'a Options,
        stop: Option<&'a (dyn Fn() -> bool + Send + Sync)>,
    ) -> Context<'a> {
        Context {
            snapshot,
            options,
            stop,
            used: BTreeSet::new(),
            missing: BTreeSet::new(),
            scratch: Scratch::default(),
            files: Vec::new(),
            steps: 0,
            work_bytes: 0,
        }
    }

    /// Counts a step.
    pub(crate) fn step(&mut self) -> Result<(), Fault> {
        self.steps += 1;
        if self.steps > self.options.limits.steps {
            return Err(Fault::Limit(format!("took more than {} steps", self.options.limits.steps)));
        }
        if self.steps.is_multiple_of(4096) && self.stop.is_some_and(|stop| stop()) {
            return Err(Fault::Stopped);
        }
        Ok(())
    }

    /// Counts bytes before they are made.
    pub(crate) fn work(&mut self, bytes: usize) -> Result<(), Fault> {
        self.work_bytes = self.work_bytes.saturating_add(bytes as u64);
        if self.work_bytes > self.options.limits.work_bytes {
            let limit = self.options.limits.work_bytes;
            return Err(Fault::Limit(format!("made more than {limit} bytes of text on the way")));
        }
        Ok(())
    }

    /// Asks a question: the answer, or `None` with the question noted as missing. A failed answer is an error.
    pub(crate) fn ask(&mut self, dep: Dep) -> Result<Option<&'a Answer>, Fault> {
        let snapshot = self.snapshot;
        let answer = snapshot.get(&dep);
        match answer {
            None => {
                self.missing.insert(dep.clone());
            }
            Some(Answer::Failed(reason)) => {
                let reason = reason.clone();
                self.used.insert(dep);
                return Err(Fault::Bad(reason));
            }
            Some(Answer::Value(_) | Answer::Absent) => {}
        }
        self.used.insert(dep);
        Ok(answer)
    }

    /// The value, or nothing while it is not there.
    pub(crate) fn ask_value(&mut self, dep: Dep) -> Result<Option<Value>, Fault> {
        Ok(match self.ask(dep)? {
            Some(Answer::Value(value)) => Some(value.clone()),
            _ => None,
        })
    }
}
