//! crs-agent
