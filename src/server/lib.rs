//! crs-server
