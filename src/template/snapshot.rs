//! The answers known at one moment. Rendering looks at nothing else.

use std::collections::HashMap;
use std::time::SystemTime;

use crate::dep::Dep;
use crate::value::Value;

/// An answer to a [`Dep`].
#[derive(Clone, Debug)]
pub enum Answer {
    /// Data; see [`crate::decode`] for its shape per kind.
    Value(Value),
    /// The server answered that there is no such key, or the environment that there is no such variable. `key` waits
    /// for it, `keyOrDefault` and `env` do not.
    Absent,
    /// It cannot be had (a file that is not there, a program that failed): the rendering fails with this text.
    Failed(String),
}

/// What is known: answers by question, and the time.
#[derive(Clone, Debug, Default)]
pub struct DepSnapshot {
    answers: HashMap<Dep, Answer>,
    /// Answers [`Dep::Now`].
    pub now: Option<SystemTime>,
}

impl DepSnapshot {
    /// Nothing known yet.
    pub fn new() -> DepSnapshot {
        DepSnapshot::default()
    }

    /// Puts an answer in the place of what was known.
    pub fn insert(&mut self, dep: Dep, answer: Answer) {
        self.answers.insert(dep, answer);
    }

    /// Forgets an answer.
    pub fn remove(&mut self, dep: &Dep) {
        self.answers.remove(dep);
    }

    /// The answer, if there is one yet.
    pub fn get(&self, dep: &Dep) -> Option<&Answer> {
        self.answers.get(dep)
    }

    /// Forgets what no template asks for any more.
    pub fn retain(&mut self, keep: impl Fn(&Dep) -> bool) {
        self.answers.retain(|dep, _| keep(dep));
    }
}
