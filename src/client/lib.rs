//! crs-client
