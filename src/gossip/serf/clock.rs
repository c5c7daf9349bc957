//! Lamport's clock: a time that only says what came after what.

use crate::wire::serf::LTime;

/// A clock that starts at 1, as Serf's do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock(LTime);

impl Default for Clock {
    fn default() -> Self {
        Clock(1)
    }
}

impl Clock {
    /// The time for what happens now.
    pub fn time(self) -> LTime {
        self.0
    }

    /// Something happened.
    pub fn increment(&mut self) {
        self.0 = self.0.saturating_add(1);
    }

    /// Something of that time was heard of: ours is later.
    pub fn witness(&mut self, seen: LTime) {
        if seen >= self.0 {
            self.0 = seen.saturating_add(1);
        }
    }
}
