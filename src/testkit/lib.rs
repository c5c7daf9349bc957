//! crs-testkit
