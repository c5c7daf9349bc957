//! Holds events back for a moment, so that a storm becomes one report.
//!
//! Optional, on the receiving side only: what goes over the network is not changed.

use super::event::{Event, MemberChange, UserEvent};
use super::member::Member;
use crate::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// When what was held back goes on: after a span in all, or after a quiet one.
#[derive(Debug)]
struct Window {
    span: Duration,
    quiet: Duration,
    first: Option<Time>,
    last: Time,
}

impl Window {
    fn touch(&mut self, now: Time) {
        self.first.get_or_insert(now);
        self.last = now;
    }

    fn due(&self) -> Option<Time> {
        Some((self.first? + self.span).min(self.last + self.quiet))
    }
}

/// Holds back changes of members and user events that allow it.
#[derive(Debug)]
pub(super) struct Coalescer {
    members: Window,
    latest: BTreeMap<Arc<str>, (MemberChange, Member)>,
    reported: BTreeMap<Arc<str>, MemberChange>,
    users: Window,
    events: BTreeMap<String, Vec<UserEvent>>,
}

impl Coalescer {
    pub(super) fn new(spans: [Duration; 4]) -> Self {
        let window = |span, quiet| Window { span, quiet, first: None, last: Time::ZERO };
        let [span, quiet, user_span, user_quiet] = spans;
        Coalescer {
            members: window(span, quiet),
            latest: BTreeMap::new(),
            reported: BTreeMap::new(),
            users: window(user_span, user_quiet),
            events: BTreeMap::new(),
        }
    }

    /// Takes an event, or gives it back to be reported at once.
    pub(super) fn push(&mut self, now: Time, event: Event) -> Option<Event> {
        match event {
            Event::Members { change, members } if !self.members.span.is_zero() => {
                self.members.touch(now);
                for member in members {
                    self.latest.insert(member.name().clone(), (change, member));
                }
                None
            }
            Event::User(event) if event.coalesce && !self.users.span.is_zero() => {
                self.users.touch(now);
                let kept = self.events.entry(event.name.clone()).or_default();
                match kept.first().map(|k| k.ltime) {
                    Some(ltime) if ltime > event.ltime => {}
                    Some(ltime) if ltime == event.ltime => kept.push(event),
                    _ => *kept = vec![event],
                }
                None
            }
            event => Some(event),
        }
    }

    /// When [`Coalescer::flush`] has something.
    pub(super) fn due(&self) -> Option<Time> {
        [self.members.due(), self.users.due()].into_iter().flatten().min()
    }

    /// Events whose time has come.
    pub(super) fn flush(&mut self, now: Time, out: &mut Vec<Event>) {
        if self.members.due().is_some_and(|due| due <= now) {
            self.members.first = None;
            let mut groups: BTreeMap<MemberChange, Vec<Member>> = BTreeMap::new();
            for (name, (change, member)) in std::mem::take(&mut self.latest) {
                // an update tells news even after an update; any other change only when it is one
                if self.reported.get(&name) == Some(&change) && change != MemberChange::Update {
                    continue;
                }
                if change == MemberChange::Reap {
                    self.reported.remove(&name);
                } else {
                    self.reported.insert(name, change);
                }
                groups.entry(change).or_default().push(member);
            }
            out.extend(groups.into_iter().map(|(change, members)| Event::Members { change, members }));
        }
        if self.users.due().is_some_and(|due| due <= now) {
            self.users.first = None;
            out.extend(std::mem::take(&mut self.events).into_values().flatten().map(Event::User));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(ltime: u64, payload: &str) -> Event {
        let payload = payload.as_bytes().to_vec().into();
        Event::User(UserEvent { ltime, name: "deploy".into(), payload, coalesce: true })
    }

    #[test]
    fn of_user_events_of_one_name_the_latest_is_reported() {
        let second = Duration::from_secs(1);
        let mut c = Coalescer::new([Duration::ZERO, Duration::ZERO, 3 * second, second]);
        let at = |ms| Time::ZERO + Duration::from_millis(ms);
        assert!(c.push(at(0), user(5, "a")).is_none());
        assert!(c.push(at(500), user(4, "old")).is_none());
        assert!(c.push(at(900), user(6, "b")).is_none());
        let mut out = Vec::new();
        c.flush(at(1800), &mut out);
        assert!(out.is_empty());
        assert_eq!(c.due(), Some(at(1900)));
        c.flush(at(1900), &mut out);
        assert_eq!(out, [user(6, "b")]);
        assert_eq!(c.due(), None);
    }
}
