//! Queries: ours with their answers, those of others with their filters, and Serf's own.

use super::core::{Action, Core, State, Timer};
use super::event::{Event, IncomingQuery, KeyReport, OpId, QueryId};
use crate::time::Time;
use crate::wire::msgpack::{Reader, Writer};
use crate::wire::serf::{
    FLAG_ACK, FLAG_NO_BROADCAST, KeyResponse, LTime, Query, Response, SerfMessage, WireMember,
};
use bytes::Bytes;
use regex::RegexBuilder;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// Serf's own queries begin with this.
const INTERNAL: &str = "_serf_";
/// Queries of others that are open at once.
const MAX_ASKED: usize = 4096;
/// What a regular expression of a stranger may take, compiled.
const MAX_REGEX_BYTES: usize = 256 * 1024;

/// How a query is asked.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct QueryParams {
    /// Only these members; empty: all.
    pub nodes: Vec<String>,
    /// Only members whose tags match these regular expressions.
    pub tags: Vec<(String, String)>,
    /// Whether acknowledgements are wanted.
    pub ack: bool,
    /// By how many others each answer is to be sent as well; at most 5 in Consul.
    pub relay_factor: u8,
    /// How long answers are waited for; none: by the size of the pool.
    pub timeout: Option<Duration>,
}

/// Why something was not sent. Nothing was changed. The texts are Serf's.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// A user event over the configured limit.
    #[error("user event exceeds configured limit of {0} bytes before encoding")]
    EventTooLarge(usize),
    /// A user event over the limit for all.
    #[error("user event exceeds sane limit of {0} bytes before encoding")]
    EventInsane(usize),
    /// An encoded user event over the configured limit.
    #[error("encoded user event exceeds configured limit of {0} bytes after encoding")]
    EncodedEventTooLarge(usize),
    /// A query over its limit.
    #[error("query exceeds limit of {0} bytes")]
    QueryTooLarge(usize),
    /// A response over its limit.
    #[error("response exceeds limit of {0} bytes")]
    ResponseTooLarge(usize),
    /// The query's time is over, or it was answered, or never asked.
    #[error("response is past the deadline")]
    NotAsked,
    /// Tags over the limit.
    #[error("Encoded length of tags exceeds limit of {0} bytes")]
    TagsTooLarge(usize),
    /// We left, or are about to.
    #[error("Serf can't do this after Leave or Shutdown")]
    Left,
}

/// A query of another that we may answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) deadline: Time,
    addr: SocketAddr,
    source: String,
    relay_factor: u8,
}

/// Why we ask.
#[derive(Debug)]
pub(super) enum Purpose {
    /// The application wants to know.
    Application,
    /// Whose is our name?
    Conflict { responses: usize, matching: usize },
    /// A key operation.
    Keys(KeyReport),
}

/// A query of ours whose time is not over.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) op: OpId,
    id: u32,
    purpose: Purpose,
    acked: BTreeSet<String>,
    answered: BTreeSet<String>,
    max_answers: usize,
}

impl Core {
    fn default_timeout(&self) -> Duration {
        let n = self.members.len();
        let scale = ((n + 1) as f64).log10().ceil().max(1.0) as u32;
        self.cfg.timing.gossip_interval * self.cfg.query_timeout_mult * scale
    }

    /// Asks the pool.
    pub(super) fn ask(
        &mut self,
        now: Time,
        op: OpId,
        name: &str,
        payload: &[u8],
        params: &QueryParams,
        purpose: Purpose,
    ) -> Result<(), SendError> {
        let mut filters = Vec::new();
        if !params.nodes.is_empty() {
            let mut w = Writer::typed(0);
            w.array(params.nodes.len());
            for node in &params.nodes {
                w.str(node);
            }
            filters.push(w.finish());
        }
        for (tag, expr) in &params.tags {
            let mut w = Writer::typed(1);
            w.map(2).str("Expr").str(expr).str("Tag").str(tag);
            filters.push(w.finish());
        }
        let timeout = params.timeout.unwrap_or_else(|| self.default_timeout());
        let source = self.name.clone();
        let query = Query {
            ltime: self.query_clock.time(),
            id: rand::Rng::random_range(&mut self.rng, 0..1 << 31),
            addr: Some(self.addr),
            source: &source,
            filters: filters.iter().map(Vec::as_slice).collect(),
            flags: if params.ack { FLAG_ACK } else { 0 },
            relay_factor: params.relay_factor,
            timeout_ns: i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX),
            name,
            payload,
        };
        let (id, ltime) = (query.id, query.ltime);
        let body = SerfMessage::Query(query.clone()).encode();
        if body.len() > self.cfg.query_limit {
            return Err(SendError::QueryTooLarge(self.cfg.query_limit));
        }
        let running = Running {
            op,
            id,
            purpose,
            acked: BTreeSet::new(),
            answered: BTreeSet::new(),
            max_answers: self.members.len().max(1) * 2,
        };
        self.running.insert(ltime, running);
        self.at(now + timeout, Timer::QueryEnd(ltime));
        self.handle_query(now, &query);
        Core::rumor(&mut self.query_queue, &body, None);
        Ok(())
    }

    /// A query was heard of. True if it is to be passed on.
    pub(super) fn handle_query(&mut self, now: Time, q: &Query<'_>) -> bool {
        self.query_clock.witness(q.ltime);
        if !self.seen_queries.is_new(self.query_clock.time(), q.ltime, q.id) {
            return false;
        }
        self.snapshot_line(format!("query-clock: {}", q.ltime));
        let pass_on = q.flags & FLAG_NO_BROADCAST == 0;
        let (Some(addr), true) = (q.addr, self.matches(&q.filters)) else { return pass_on };
        let id = QueryId { ltime: q.ltime, id: q.id };
        if self.asked.len() >= MAX_ASKED {
            self.asked.retain(|_, asked| asked.deadline > now);
            if self.asked.len() >= MAX_ASKED {
                return pass_on;
            }
        }
        let timeout = Duration::from_nanos(u64::try_from(q.timeout_ns).unwrap_or(0));
        // nobody may keep us waiting for a day
        let deadline = now + timeout.min(Duration::from_secs(3600));
        let asked = Asked { deadline, addr, source: q.source.to_owned(), relay_factor: q.relay_factor };
        if q.flags & FLAG_ACK != 0 {
            // an acknowledgement is always within the limit
            let _ = self.send_response(now, id, &asked, FLAG_ACK, &[]);
        }
        self.asked.insert(id, asked);
        match q.name.strip_prefix(INTERNAL) {
            Some(name) => self.answer_internal(now, id, name, q.payload),
            None => {
                let query = IncomingQuery {
                    id,
                    name: q.name.to_owned(),
                    payload: Bytes::copy_from_slice(q.payload),
                    source: q.source.to_owned(),
                    deadline,
                };
                self.deliver_query(now, query);
            }
        }
        pass_on
    }

    fn matches(&self, filters: &[&[u8]]) -> bool {
        filters.iter().all(|filter| self.matches_one(filter).unwrap_or(false))
    }

    fn matches_one(&self, filter: &[u8]) -> Option<bool> {
        let (kind, body) = filter.split_first()?;
        let mut r = Reader::new(body);
        match kind {
            0 => {
                let mut mine = false;
                for _ in 0..r.array().ok()? {
                    mine |= r.bytes().ok()? == self.name.as_bytes();
                }
                Some(mine)
            }
            1 => {
                let (mut tag, mut expr) = ("", "");
                r.fields(|key, r| {
                    match key {
                        "Tag" => tag = r.str()?,
                        "Expr" => expr = r.str()?,
                        _ => return Ok(false),
                    }
                    Ok(true)
                })
                .ok()?;
                let regex = RegexBuilder::new(expr).size_limit(MAX_REGEX_BYTES).build().ok()?;
                let value = self.cfg.tags.get(tag).map_or("", String::as_str);
                Some(regex.is_match(value))
            }
            _ => None,
        }
    }

    fn send_response(
        &mut self,
        now: Time,
        id: QueryId,
        asked: &Asked,
        flags: u32,
        payload: &[u8],
    ) -> Result<(), SendError> {
        let name = self.name.clone();
        let response = Response { ltime: id.ltime, id: id.id, from: &name, flags, payload };
        let body = SerfMessage::Response(response).encode();
        let limit = self.cfg.query_response_limit;
        if body.len() > limit {
            return Err(SendError::ResponseTooLarge(limit));
        }
        if asked.addr == self.addr {
            self.handle_response(now, &response);
            return Ok(());
        }
        self.actions.push_back(Action::Send { to: asked.addr, body: body.clone() });
        if asked.relay_factor > 0 {
            self.actions.push_back(Action::Relay {
                factor: asked.relay_factor.min(5),
                to: asked.addr,
                name: asked.source.clone(),
                body,
            });
        }
        Ok(())
    }

    /// Answers a query of another, once.
    pub(super) fn respond(&mut self, now: Time, id: QueryId, payload: &[u8]) -> Result<(), SendError> {
        let asked = self.asked.remove(&id).filter(|a| a.deadline > now).ok_or(SendError::NotAsked)?;
        let sent = self.send_response(now, id, &asked, 0, payload);
        if sent.is_err() {
            self.asked.insert(id, asked);
        }
        sent
    }

    fn answer_internal(&mut self, now: Time, id: QueryId, name: &str, payload: &[u8]) {
        match name {
            "conflict" => {
                let Ok(node) = std::str::from_utf8(payload) else { return };
                if *node == *self.name {
                    return;
                }
                let member = self.members.get(node).map(|m| WireMember {
                    name: m.name().to_string(),
                    addr: Some(m.addr().ip()),
                    port: m.addr().port(),
                    tags: m.tags().clone(),
                    status: m.status as u8,
                    vsn: m.record.vsn,
                });
                let _ = self.respond(now, id, &WireMember::encode(member.as_ref()));
            }
            "install-key" | "use-key" | "remove-key" | "list-keys" => {
                self.key_requests.push_back((id, name.to_owned(), payload.to_vec()));
            }
            // the acknowledgement was all that `ping` asks for
            _ => {}
        }
    }

    /// An answer or an acknowledgement to a query of ours.
    pub(super) fn handle_response(&mut self, now: Time, r: &Response<'_>) {
        let Some(running) = self.running.get_mut(&r.ltime).filter(|q| q.id == r.id) else { return };
        let op = running.op;
        let set = if r.flags & FLAG_ACK != 0 { &mut running.acked } else { &mut running.answered };
        if set.len() >= running.max_answers || !set.insert(r.from.to_owned()) {
            return;
        }
        let from = r.from.to_owned();
        if r.flags & FLAG_ACK != 0 {
            if matches!(running.purpose, Purpose::Application) {
                self.emit(now, Event::QueryAck { op, from });
            }
            return;
        }
        let own = self.addr;
        match &mut running.purpose {
            Purpose::Application => {
                let payload = Bytes::copy_from_slice(r.payload);
                self.emit(now, Event::QueryResponse { op, from, payload });
            }
            Purpose::Conflict { responses, matching } => {
                if let Ok(member) = WireMember::decode(r.payload) {
                    *responses += 1;
                    let ours = member.is_some_and(|m| m.addr == Some(own.ip()) && m.port == own.port());
                    *matching += usize::from(ours);
                }
            }
            Purpose::Keys(report) => {
                count_key_response(report, from, r.payload);
                if report.responses == report.members {
                    self.query_over(now, r.ltime);
                }
            }
        }
    }

    /// The time of a query of ours is over, or all answered.
    pub(super) fn query_over(&mut self, now: Time, ltime: LTime) {
        let Some(running) = self.running.remove(&ltime) else { return };
        let op = running.op;
        match running.purpose {
            Purpose::Application => self.emit(now, Event::QueryDone { op }),
            Purpose::Conflict { responses, matching } => {
                if matching < responses / 2 + 1 && self.state == State::Alive {
                    self.emit(now, Event::NameLost);
                }
            }
            Purpose::Keys(mut report) => {
                if report.errors != 0 {
                    report.error =
                        Some(format!("{}/{} nodes reported failure", report.errors, report.members));
                } else if report.responses != report.members {
                    report.error =
                        Some(format!("{}/{} nodes reported success", report.responses, report.members));
                }
                self.emit(now, Event::Keys { op, report });
            }
        }
    }

    pub(super) fn conflict_runs(&self) -> bool {
        self.running.values().any(|q| matches!(q.purpose, Purpose::Conflict { .. }))
    }
}

fn count_key_response(report: &mut KeyReport, from: String, payload: &[u8]) {
    report.responses += 1;
    let answer = match KeyResponse::decode(payload) {
        Ok(answer) => answer,
        Err(error) => {
            report.errors += 1;
            report.messages.push((from, format!("Failed to decode key query response: {error}")));
            return;
        }
    };
    report.errors += usize::from(!answer.result);
    if !answer.result || !answer.message.is_empty() {
        report.messages.push((from, answer.message));
    }
    let count = |list: &mut Vec<(String, usize)>, key: String| match list.iter_mut().find(|(k, _)| *k == key)
    {
        Some((_, n)) => *n += 1,
        None => list.push((key, 1)),
    };
    for key in answer.keys {
        count(&mut report.keys, key);
    }
    if !answer.primary.is_empty() {
        count(&mut report.primaries, answer.primary);
    }
}
