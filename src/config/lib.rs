//! crs-config
