//! `PreparedQuery`.

use std::collections::BTreeMap;

use crs_store::Instance;
use crs_types::{CheckId, Datacenter, ServiceName};

use crate::blocks::{DatacenterRead, Indexes, ReadOptions, ReplyMeta, Source, WriteOptions};
use crate::codec::record;
use crate::methods::methods;

record! {
    /// A query that is kept under an id and a name.
    pub struct PreparedQuery {
        "ID" id: String,
        "Name" name: String,
        "Session" session: String,
        "Token" token: crs_types::Secret<String>,
        "Template" template: Template,
        "Service" service: ServiceQuery,
        "DNS" dns: DnsOptions,
        ..indexes: Indexes,
    }

    /// Makes the query answer names that it was not given.
    pub struct Template {
        "Type" kind: String,
        "Regexp" regexp: String,
        "RemoveEmptyTags" remove_empty_tags: bool,
    }

    /// What is looked for.
    pub struct ServiceQuery {
        "Service" service: ServiceName,
        "Near" near: String,
        "Failover" failover: Failover,
        "OnlyPassing" only_passing: bool,
        "Connect" connect: bool,
        "IgnoreCheckIDs" ignore_check_ids: Vec<CheckId>,
        "Tags" tags: Vec<String>,
        "NodeMeta" node_meta: Option<BTreeMap<String, String>>,
        "ServiceMeta" service_meta: Option<BTreeMap<String, String>>,
    }

    /// Where to look next.
    pub struct Failover {
        "NearestN" nearest_n: i64,
        "Datacenters" datacenters: Vec<Datacenter>,
    }

    /// How DNS answers.
    pub struct DnsOptions {
        "TTL" ttl: String,
    }

    /// A write.
    pub struct ApplyRequest {
        "Datacenter" datacenter: Datacenter,
        /// `create`, `update`, `delete`.
        "Op" op: String,
        "Query" query: Option<PreparedQuery>,
        ..options: WriteOptions,
    }

    /// A read of one query.
    pub struct QueryRead {
        "Datacenter" datacenter: Datacenter,
        "QueryID" query_id: String,
        ..options: ReadOptions,
    }

    /// Queries.
    pub struct Queries {
        "Queries" queries: Vec<PreparedQuery>,
        ..meta: ReplyMeta,
    }

    /// A run of a query.
    pub struct ExecuteRequest {
        "Datacenter" datacenter: Datacenter,
        "QueryIDOrName" query_id_or_name: String,
        /// 0: all.
        "Limit" limit: i64,
        "Connect" connect: bool,
        "Source" source: Source,
        "Agent" agent: Source,
        ..options: ReadOptions,
    }

    /// What a run found.
    pub struct Executed {
        "Service" service: ServiceName,
        "Nodes" nodes: Vec<Instance>,
        "DNS" dns: DnsOptions,
        "Datacenter" datacenter: Datacenter,
        "Failovers" failovers: i64,
        ..meta: ReplyMeta,
    }

    /// A query as a template made it.
    pub struct Explained {
        "Query" query: PreparedQuery,
        ..meta: ReplyMeta,
    }
}

methods! {
    /// Creates, changes or deletes; the reply is the id.
    Apply = "PreparedQuery.Apply", Write, ApplyRequest => String;
    /// One query.
    Get = "PreparedQuery.Get", Read, QueryRead => Queries;
    /// All queries.
    List = "PreparedQuery.List", Read, DatacenterRead => Queries;
    /// Runs one.
    Execute = "PreparedQuery.Execute", Read, ExecuteRequest => Executed;
    /// What would be run.
    Explain = "PreparedQuery.Explain", Read, ExecuteRequest => Explained;
}
