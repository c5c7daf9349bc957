//! Key operations: on our own ring when somebody asks, and on the whole pool when we ask.

use super::event::{KeyReport, OpId, QueryId};
use super::query::{Purpose, QueryParams, SendError};
use super::{Event, Serf};
use crate::time::Time;
use crate::wire::keyring::{KeyError, Keyring};
use crate::wire::serf::{KeyResponse, SerfMessage, decode_key_request, encode_key_request};
use std::time::Duration;

/// What is to be done with a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyOp {
    /// Add it to every ring.
    Install,
    /// Make it the one that seals.
    Use,
    /// Take it out of every ring.
    Remove,
    /// Tell all keys.
    List,
}

impl KeyOp {
    fn query(self) -> &'static str {
        match self {
            KeyOp::Install => "_serf_install-key",
            KeyOp::Use => "_serf_use-key",
            KeyOp::Remove => "_serf_remove-key",
            KeyOp::List => "_serf_list-keys",
        }
    }
}

impl Serf {
    /// Runs a key operation on all members; [`Event::Keys`] tells how it went. `key` is raw; empty for a listing.
    ///
    /// # Errors
    /// The query would be too large.
    pub fn keys(
        &mut self,
        now: Time,
        op: KeyOp,
        key: &[u8],
        relay_factor: u8,
        timeout: Option<Duration>,
    ) -> Result<OpId, SendError> {
        let id = self.next_op();
        let report = KeyReport { members: self.core.alive_count(), ..KeyReport::default() };
        let params = QueryParams { relay_factor, timeout, ..QueryParams::default() };
        let payload = encode_key_request(key);
        self.core.ask(now, id, op.query(), &payload, &params, Purpose::Keys(report))?;
        self.settle(now);
        Ok(id)
    }

    /// Does what key queries ask of us.
    pub(super) fn answer_keys(&mut self, now: Time) {
        while let Some((id, name, payload)) = self.core.key_requests.pop_front() {
            let answer = self.answer_key(&name, &payload, now, id);
            let _ = self.core.respond(now, id, &answer.encode());
        }
    }

    fn answer_key(&mut self, name: &str, payload: &[u8], now: Time, id: QueryId) -> KeyResponse {
        let ring = &mut self.list.envelope_mut().keyring;
        let refused = |message: String| KeyResponse { message, ..KeyResponse::default() };
        if name == "list-keys" {
            if ring.is_empty() {
                return refused("Keyring is empty (encryption not enabled)".into());
            }
            let keys = ring.to_base64();
            return self.fit_listing(keys, id);
        }
        if ring.is_empty() {
            return refused("No keyring to modify (encryption not enabled)".into());
        }
        let key = match decode_key_request(payload) {
            Ok(key) => key,
            Err(error) => return refused(error.to_string()),
        };
        let done: Result<(), KeyError> = match name {
            "install-key" => Keyring::install(ring, key),
            "use-key" => ring.use_key(key),
            _ => ring.remove(key),
        };
        if let Err(error) = done {
            return refused(error.to_string());
        }
        self.core.emit(now, Event::KeyringChanged);
        KeyResponse { result: true, ..KeyResponse::default() }
    }

    /// A listing that fits into a response, cut from its end where it must be.
    fn fit_listing(&self, keys: Vec<String>, id: QueryId) -> KeyResponse {
        let (limit, all) = (self.core.cfg.query_response_limit, keys.len());
        let primary = keys.first().cloned().unwrap_or_default();
        let mut answer = KeyResponse { result: true, message: String::new(), keys, primary };
        loop {
            let payload = answer.encode();
            let response = crate::wire::serf::Response {
                ltime: id.ltime,
                id: id.id,
                from: &self.core.name,
                flags: 0,
                payload: &payload,
            };
            if SerfMessage::Response(response).encode().len() <= limit || answer.keys.is_empty() {
                return answer;
            }
            answer.keys.pop();
            answer.message =
                format!("truncated key list response, showing first {} of {all} keys", answer.keys.len());
        }
    }
}
