//! crs-acl
