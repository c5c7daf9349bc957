//! crs-template
