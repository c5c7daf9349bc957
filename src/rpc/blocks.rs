//! The parts that requests and replies share.

use std::collections::BTreeMap;
use std::time::Duration;

use crs_types::{Consistency, Datacenter, Index, NodeName, QueryMeta, QueryOptions, Secret};

use crate::codec::record;

record! {
    /// `QueryOptions`: how a read is to be done. The last five are for the client agent's own cache; servers pass
    /// over them.
    pub struct ReadOptions {
        "Token" token: Secret<String>,
        "MinQueryIndex" min_query_index: Index,
        "MaxQueryTime" max_query_time: Duration,
        "AllowStale" allow_stale: bool,
        "RequireConsistent" require_consistent: bool,
        "Filter" filter: String,
        "MaxStaleDuration" max_stale_duration: Duration,
        "UseCache" use_cache: bool,
        "MaxAge" max_age: Duration,
        "MustRevalidate" must_revalidate: bool,
        "StaleIfError" stale_if_error: Duration,
    }

    /// `WriteRequest`.
    pub struct WriteOptions {
        "Token" token: Secret<String>,
    }

    /// `QueryMeta`: how a reply was made.
    pub struct ReplyMeta {
        "Index" index: Index,
        "LastContact" last_contact: Duration,
        "KnownLeader" known_leader: bool,
        /// Never said on the wire.
        "ConsistencyLevel" consistency_level: String,
    }

    /// `RaftIndex`.
    pub struct Indexes {
        "CreateIndex" create_index: Index,
        "ModifyIndex" modify_index: Index,
    }

    /// `QuerySource`: from where the distance of the results is measured.
    pub struct Source {
        "Datacenter" datacenter: Datacenter,
        "Segment" segment: String,
        "Node" node: NodeName,
        "Ip" ip: String,
    }

    /// A read of a whole datacenter.
    pub struct DatacenterRead {
        "Datacenter" datacenter: Datacenter,
        "NodeMetaFilters" node_meta_filters: Option<BTreeMap<String, String>>,
        "Source" source: Source,
        ..options: ReadOptions,
    }

    /// A read about a node.
    pub struct NodeRead {
        "Datacenter" datacenter: Datacenter,
        "Node" node: NodeName,
        ..options: ReadOptions,
    }
}

impl ReadOptions {
    /// From what a caller asked for; the datacenter is the request's own field.
    pub fn new(options: &QueryOptions, filter: impl Into<String>) -> Self {
        ReadOptions {
            token: options.token.clone(),
            min_query_index: options.min_index,
            max_query_time: options.wait.unwrap_or_default(),
            allow_stale: options.consistency == Consistency::Stale,
            require_consistent: options.consistency == Consistency::Consistent,
            max_stale_duration: options.max_stale.unwrap_or_default(),
            filter: filter.into(),
            ..ReadOptions::default()
        }
    }

    /// How long a server may wait before it answers: what was asked for, within Consul's default and maximum, and the
    /// sixteenth that servers add.
    pub fn longest_wait(&self) -> Duration {
        if self.min_query_index == Index::ZERO {
            return Duration::ZERO;
        }
        let wait = match self.max_query_time {
            Duration::ZERO => Duration::from_secs(300),
            wait => wait.min(Duration::from_secs(600)),
        };
        wait + wait / 16
    }

    /// As the endpoints take it. Both consistencies at once are the stronger one.
    pub fn to_query(&self, datacenter: &Datacenter) -> QueryOptions {
        QueryOptions {
            datacenter: Some(datacenter.clone()).filter(|datacenter| !datacenter.is_empty()),
            token: self.token.clone(),
            consistency: match (self.require_consistent, self.allow_stale) {
                (true, _) => Consistency::Consistent,
                (false, true) => Consistency::Stale,
                (false, false) => Consistency::Default,
            },
            max_stale: Some(self.max_stale_duration).filter(|limit| !limit.is_zero()),
            min_index: self.min_query_index,
            wait: Some(self.max_query_time).filter(|wait| !wait.is_zero()),
        }
    }
}

impl From<QueryMeta> for ReplyMeta {
    fn from(meta: QueryMeta) -> Self {
        ReplyMeta {
            // Never 0 where an answer was read.
            index: Index(meta.index.shown()),
            last_contact: meta.last_contact,
            known_leader: meta.known_leader,
            consistency_level: String::new(),
        }
    }
}

impl From<&ReplyMeta> for QueryMeta {
    fn from(meta: &ReplyMeta) -> Self {
        QueryMeta { index: meta.index, last_contact: meta.last_contact, known_leader: meta.known_leader }
    }
}
