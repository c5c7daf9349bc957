//! crs-gossip
