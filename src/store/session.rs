//! Sessions: made, ended, and taken down with the nodes and checks they are bound to.

use std::sync::Arc;

use crs_types::{CheckId, CheckStatus, Error, Index, KvEntry, NodeName, Session, SessionBehavior, SessionId};

use crate::catalog_read::Found;
use crate::change::{Changes, Topic};
use crate::record::Stored;
use crate::state::State;

impl State {
    pub(crate) fn create_session(&mut self, session: &Session, changes: &mut Changes) -> Result<(), Error> {
        // Ids are made at random before they are proposed; a second session of one id would take over its locks.
        if self.sessions.contains_key(&session.id) {
            return Err(Error::refused(format!("Session '{}' exists already", session.id)));
        }
        let node = session.node.folded();
        let entry = self.nodes.get(&node).ok_or_else(|| Error::refused("Missing node registration"))?;
        for check in checks_of(session) {
            let check = entry
                .checks
                .get(check)
                .ok_or_else(|| Error::refused(format!("Missing check '{check}' registration")))?;
            if check.value.status == CheckStatus::Critical {
                let id = &check.value.check_id;
                return Err(Error::refused(format!("Check '{id}' is in critical state")));
            }
        }
        self.insert_session(Arc::new(Stored::new(session.clone(), self.index, self.index)));
        self.touch_session(&session.id, &node, changes);
        Ok(())
    }

    pub(crate) fn insert_session(&mut self, session: Arc<Stored<Session>>) {
        let id = session.value.id.clone();
        self.node_sessions.insert((session.value.node.folded(), id.clone()), session.modify_index);
        self.sessions.insert(id, session);
    }

    /// Ends a session; whether there was one. Its keys are released or deleted, and no one may lock them for its
    /// lock-delay.
    pub(crate) fn end_session(&mut self, id: &SessionId, changes: &mut Changes) -> bool {
        let Some(session) = self.sessions.remove(id) else { return false };
        let session = &session.value;
        let node = session.node.folded();
        self.node_sessions.remove(&(node.clone(), id.clone()));
        self.touch_session(id, &node, changes);
        let from = (id.clone(), Arc::from(""));
        let held: Vec<Arc<str>> = self
            .held_keys
            .range(from..)
            .take_while(|((holder, _), _)| holder == id)
            .map(|((_, key), ())| key.clone())
            .collect();
        for key in held {
            if !session.lock_delay.is_zero() {
                changes.delay_lock(key.clone(), session.lock_delay);
            }
            match session.behavior {
                SessionBehavior::Delete => self.kv_bury(&key, changes),
                SessionBehavior::Release => {
                    let Some(record) = self.kv.get(&*key) else { continue };
                    let entry = KvEntry { session: None, modify_index: self.index, ..record.entry.clone() };
                    self.kv_insert(entry);
                    changes.touch(Topic::Key(key));
                }
            }
        }
        true
    }

    /// A check turned critical or went: the sessions bound to it end.
    pub(crate) fn end_sessions_of_check(&mut self, node: &NodeName, check: &CheckId, changes: &mut Changes) {
        for id in self.sessions_of(node) {
            let bound =
                self.sessions.get(&id).is_some_and(|session| checks_of(&session.value).any(|id| id == check));
            if bound {
                self.end_session(&id, changes);
            }
        }
    }

    /// A node went: so do its sessions.
    pub(crate) fn end_sessions_of_node(&mut self, node: &NodeName, changes: &mut Changes) {
        for id in self.sessions_of(node) {
            self.end_session(&id, changes);
        }
    }

    fn sessions_of(&self, node: &NodeName) -> Vec<SessionId> {
        let from = (node.clone(), SessionId::default());
        let of_node = self.node_sessions.range(from..).take_while(|((of, _), _)| of == node);
        of_node.map(|((_, id), _)| id.clone()).collect()
    }

    fn touch_session(&mut self, id: &SessionId, node: &NodeName, changes: &mut Changes) {
        self.sessions_index = self.index;
        changes.touch(Topic::Sessions);
        changes.touch(Topic::Session(id.clone()));
        changes.touch(Topic::NodeSessions(node.clone()));
    }

    /// One session; the index is the table's where it is missing.
    pub fn session(&self, id: &SessionId) -> Found<Option<&Arc<Stored<Session>>>> {
        let session = self.sessions.get(id);
        let index = session.map_or(self.sessions_index, |session| session.modify_index);
        Found { index, value: session }
    }

    /// All sessions, by id.
    pub fn sessions(&self) -> Found<impl Iterator<Item = &Arc<Stored<Session>>>> {
        Found { index: self.sessions_index, value: self.sessions.values() }
    }

    /// The sessions of a node, by id.
    pub fn node_sessions(&self, node: &NodeName) -> Found<Vec<Arc<Stored<Session>>>> {
        let ids = self.sessions_of(&node.folded());
        let value = ids.iter().filter_map(|id| self.sessions.get(id)).cloned().collect();
        // The end of a session leaves nothing behind to carry its index, so the table's stands for it.
        Found { index: self.sessions_index, value }
    }

    /// Whether a session holds this key, and since when it is locked.
    pub fn lock_holder(&self, key: &str) -> Option<(SessionId, Index)> {
        let record = self.kv.get(key)?;
        record.entry.session.clone().map(|session| (session, record.entry.modify_index))
    }
}

fn checks_of(session: &Session) -> impl Iterator<Item = &CheckId> {
    session.node_checks.iter().flatten().chain(session.service_checks.iter().flatten())
}
