//! `Operator`: raft and its caretaker.

use std::time::Duration;

use crs_types::Datacenter;

use crate::blocks::{DatacenterRead, Indexes, WriteOptions};
use crate::codec::{Time, record};
use crate::methods::methods;

record! {
    /// A server of raft.
    pub struct RaftServer {
        "ID" id: String,
        "Node" node: String,
        "Address" address: String,
        "Leader" leader: bool,
        "ProtocolVersion" protocol_version: String,
        "Voter" voter: bool,
    }

    /// Who takes part in raft.
    pub struct RaftConfiguration {
        "Servers" servers: Vec<RaftServer>,
        "Index" index: u64,
    }

    /// Takes a server out of raft.
    pub struct RemovePeerRequest {
        "Datacenter" datacenter: Datacenter,
        "Address" address: String,
        "ID" id: String,
        ..options: WriteOptions,
    }

    /// What autopilot may do.
    pub struct AutopilotConfiguration {
        "CleanupDeadServers" cleanup_dead_servers: bool,
        "LastContactThreshold" last_contact_threshold: Duration,
        "MaxTrailingLogs" max_trailing_logs: u64,
        "MinQuorum" min_quorum: u64,
        "ServerStabilizationTime" server_stabilization_time: Duration,
        "RedundancyZoneTag" redundancy_zone_tag: String,
        "DisableUpgradeMigration" disable_upgrade_migration: bool,
        "UpgradeVersionTag" upgrade_version_tag: String,
        ..indexes: Indexes,
    }

    /// A change of it.
    pub struct AutopilotSetRequest {
        "Datacenter" datacenter: Datacenter,
        "Config" config: AutopilotConfiguration,
        /// Only if its index is still the one given.
        "CAS" cas: bool,
        ..options: WriteOptions,
    }

    /// A server's health.
    pub struct ServerHealth {
        "ID" id: String,
        "Name" name: String,
        "Address" address: String,
        "Version" version: String,
        /// Serf's numbers: 1 alive, 2 leaving, 3 left, 4 failed.
        "SerfStatus" serf_status: i64,
        "Leader" leader: bool,
        "LastContact" last_contact: Duration,
        "LastTerm" last_term: u64,
        "LastIndex" last_index: u64,
        "Healthy" healthy: bool,
        "Voter" voter: bool,
        "StableSince" stable_since: Time,
    }

    /// The health of all servers.
    pub struct ClusterHealth {
        "Healthy" healthy: bool,
        "FailureTolerance" failure_tolerance: i64,
        "Servers" servers: Vec<ServerHealth>,
    }
}

methods! {
    /// Who takes part in raft.
    RaftGetConfiguration = "Operator.RaftGetConfiguration", Read, DatacenterRead => RaftConfiguration;
    /// Takes a server out by its address.
    RaftRemovePeerByAddress = "Operator.RaftRemovePeerByAddress", Write, RemovePeerRequest => ();
    /// Takes a server out by its id.
    RaftRemovePeerById = "Operator.RaftRemovePeerByID", Write, RemovePeerRequest => ();
    /// What autopilot may do.
    AutopilotGetConfiguration = "Operator.AutopilotGetConfiguration", Read,
        DatacenterRead => AutopilotConfiguration;
    /// Whether it was changed.
    AutopilotSetConfiguration = "Operator.AutopilotSetConfiguration", Write, AutopilotSetRequest => bool;
    /// The health of all servers.
    ReadServerHealth = "Operator.ServerHealth", Read, DatacenterRead => ClusterHealth;
}
