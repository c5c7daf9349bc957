//! crs-store
