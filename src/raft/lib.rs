//! crs-raft
