//! crs-http
