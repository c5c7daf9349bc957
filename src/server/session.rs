//! Sessions: endpoints, and the leader's clock that ends those whose time is over.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crs_acl::{Access, Authorizer, Resource};
use crs_store::{Command, Stored};
use crs_types::{
    CheckId, Error, ErrorKind, NodeName, Session, SessionBehavior, SessionId, format_duration, parse_duration,
};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::server::Server;

/// Longest TTL. Consul's value.
const TTL_MAX: Duration = Duration::from_secs(24 * 3600);
/// A session lives this many times its TTL without renewal: the TTL is a promise about the earliest end.
const TTL_GRACE: u32 = 2;
/// Lock-delay where none was given. Consul's value.
pub const DEFAULT_LOCK_DELAY: Duration = Duration::from_secs(15);

/// A session as a client asks for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionRequest {
    /// For people.
    pub name: String,
    /// The node it is bound to.
    pub node: NodeName,
    /// See [`Session::lock_delay`].
    pub lock_delay: Duration,
    /// `release`, `delete`, or empty for `release`.
    pub behavior: String,
    /// Go duration, or empty.
    pub ttl: String,
    /// `None`: `serfHealth`.
    pub node_checks: Option<Vec<CheckId>>,
    /// Checks of services.
    pub service_checks: Option<Vec<CheckId>>,
}

impl Server {
    /// Makes a session; its id.
    ///
    /// # Errors
    /// Consul's refusals, a missing right, or those of [`Server::write`].
    pub async fn create_session(
        &self,
        authorizer: &Authorizer,
        request: SessionRequest,
    ) -> Result<SessionId, Error> {
        if request.node.is_empty() {
            return Err(Error::refused("Must provide Node"));
        }
        authorizer.require(Resource::Session, request.node.as_str(), Access::Write)?;
        let behavior = match request.behavior.as_str() {
            "" | "release" => SessionBehavior::Release,
            "delete" => SessionBehavior::Delete,
            other => return Err(Error::refused(format!("Invalid Behavior setting '{other}'"))),
        };
        let ttl = check_ttl(&request.ttl, self.settings().session_ttl_min)?;
        let id = SessionId::from(uuid::Uuid::new_v4().to_string());
        let session = Session {
            id: id.clone(),
            name: request.name,
            node: request.node,
            node_checks: request.node_checks.or_else(|| Some(vec!["serfHealth".into()])),
            service_checks: request.service_checks,
            lock_delay: request.lock_delay,
            behavior,
            ttl: request.ttl,
        };
        self.write(Command::SessionCreate(Box::new(session))).await?;
        if let Some(ttl) = ttl {
            self.session_clock().renew(Instant::now(), &id, ttl);
        }
        Ok(id)
    }

    /// Ends a session; one that is not there is fine.
    ///
    /// # Errors
    /// A missing right, or those of [`Server::write`].
    pub async fn destroy_session(&self, authorizer: &Authorizer, id: &SessionId) -> Result<(), Error> {
        let state = self.published().state();
        if let Some(session) = state.session(id).value {
            authorizer.require(Resource::Session, session.value.node.as_str(), Access::Write)?;
        }
        self.write(Command::SessionDestroy { id: id.clone() }).await?;
        self.session_clock().forget(id);
        Ok(())
    }

    /// Gives a session its full time again; the session, or `None` if there is none.
    ///
    /// # Errors
    /// A missing right, or no leader: only the leader keeps the time.
    pub async fn renew_session(
        &self,
        authorizer: &Authorizer,
        id: &SessionId,
    ) -> Result<Option<Arc<Stored<Session>>>, Error> {
        if !self.leads() {
            self.hold_for_leader().await?;
        }
        let state = self.published().state();
        let Some(session) = state.session(id).value.cloned() else { return Ok(None) };
        authorizer.require(Resource::Session, session.value.node.as_str(), Access::Write)?;
        if let Some(ttl) = ttl_of(&session.value) {
            self.session_clock().renew(Instant::now(), id, ttl);
        }
        Ok(Some(session))
    }

    /// Ends sessions whose time is over, for as long as this server leads. A new leader does not know when each was
    /// renewed, so every session starts with its full time.
    pub(crate) async fn expire_sessions(&self) {
        let clock = self.session_clock();
        let state = self.published().state();
        let with_ttl = state.sessions().value.filter_map(|s| Some((s.value.id.clone(), ttl_of(&s.value)?)));
        clock.restart(Instant::now(), with_ttl);
        loop {
            for id in clock.due(Instant::now()) {
                debug!(target: "agent.server", session = %id, "Session TTL expired");
                if let Err(error) = self.write(Command::SessionDestroy { id: id.clone() }).await {
                    warn!(target: "agent.server", session = %id, %error, "Failed to end a session, trying again");
                    clock.renew(Instant::now(), &id, Duration::from_secs(1));
                }
            }
            clock.next_due().await;
        }
    }
}

fn ttl_of(session: &Session) -> Option<Duration> {
    parse_duration(&session.ttl).ok().filter(|ttl| !ttl.is_zero())
}

/// Consul's bounds and words.
fn check_ttl(text: &str, min: Duration) -> Result<Option<Duration>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let ttl = parse_duration(text)
        .map_err(|error| Error::new(ErrorKind::Refused, format!("Session TTL '{text}' invalid: {error}")))?;
    if !ttl.is_zero() && (ttl < min || ttl > TTL_MAX) {
        return Err(Error::refused(format!(
            "Invalid Session TTL '{}', must be between [{}={}]",
            ttl.as_nanos(),
            format_duration(min),
            format_duration(TTL_MAX)
        )));
    }
    Ok(Some(ttl).filter(|ttl| !ttl.is_zero()))
}

/// When which session ends.
#[derive(Debug, Default)]
pub(crate) struct SessionClock {
    ends: Mutex<Ends>,
    /// An earlier end than the one waited for may be there.
    earlier: Notify,
}

#[derive(Debug, Default)]
struct Ends {
    by_session: HashMap<SessionId, Instant>,
    by_time: BTreeSet<(Instant, SessionId)>,
}

impl Ends {
    fn set(&mut self, id: &SessionId, end: Instant) {
        self.remove(id);
        self.by_session.insert(id.clone(), end);
        self.by_time.insert((end, id.clone()));
    }

    fn remove(&mut self, id: &SessionId) {
        if let Some(old) = self.by_session.remove(id) {
            self.by_time.remove(&(old, id.clone()));
        }
    }
}

impl SessionClock {
    fn lock(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn renew(&self, now: Instant, id: &SessionId, ttl: Duration) {
        self.lock().set(id, now + ttl * TTL_GRACE);
        self.earlier.notify_one();
    }

    fn forget(&self, id: &SessionId) {
        self.lock().remove(id);
    }

    fn restart(&self, now: Instant, sessions: impl Iterator<Item = (SessionId, Duration)>) {
        let mut ends = self.lock();
        *ends = Ends::default();
        for (id, ttl) in sessions {
            ends.set(&id, now + ttl * TTL_GRACE);
        }
    }

    /// Takes out those whose time is over.
    fn due(&self, now: Instant) -> Vec<SessionId> {
        let mut ends = self.lock();
        let due: Vec<SessionId> =
            ends.by_time.iter().take_while(|(end, _)| *end <= now).map(|(_, id)| id.clone()).collect();
        for id in &due {
            ends.remove(id);
        }
        due
    }

    /// Returns when a session may be due.
    async fn next_due(&self) {
        let next = self.lock().by_time.first().map(|(end, _)| *end);
        match next {
            Some(end) => tokio::select! {
                () = tokio::time::sleep_until(end) => {}
                () = self.earlier.notified() => {}
            },
            None => self.earlier.notified().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttls_are_bounded_in_consuls_words() {
        let min = Duration::from_secs(10);
        assert_eq!(check_ttl("", min), Ok(None));
        assert_eq!(check_ttl("0s", min), Ok(None));
        assert_eq!(check_ttl("10s", min), Ok(Some(min)));
        let said = |text| check_ttl(text, min).unwrap_err().text;
        assert_eq!(said("5s"), "Invalid Session TTL '5000000000', must be between [10s=24h0m0s]");
        assert_eq!(said("25h"), "Invalid Session TTL '90000000000000', must be between [10s=24h0m0s]");
        assert_eq!(said("zz"), "Session TTL 'zz' invalid: time: invalid duration \"zz\"");
    }

    #[test]
    fn a_session_ends_at_twice_its_ttl_unless_renewed() {
        let (clock, now) = (SessionClock::default(), Instant::now());
        let at = |s| now + Duration::from_secs(s);
        let (a, b) = (SessionId::from("a"), SessionId::from("b"));
        clock.restart(
            now,
            [(a.clone(), Duration::from_secs(10)), (b.clone(), Duration::from_secs(20))].into_iter(),
        );
        assert!(clock.due(at(19)).is_empty());
        clock.renew(at(19), &a, Duration::from_secs(10));
        assert!(clock.due(at(38)).is_empty());
        assert_eq!(clock.due(at(39)), [a]);
        assert_eq!(clock.due(at(40)), [b]);
        assert!(clock.due(at(4000)).is_empty());
    }
}
