//! What the real API has and this one does not: one clear sentence each, so that nobody mistakes it for a typing error.

use http::StatusCode;

use crate::call::{Call, Outcome};
use crate::error::Failure;

fn not_there(what: &str) -> Failure {
    Failure::new(StatusCode::NOT_IMPLEMENTED, format!("{what} not part of this version of crs"))
}

/// `/v1/query`.
pub(crate) async fn query(_: Call) -> Outcome {
    Err(not_there("Prepared queries are"))
}

/// `/v1/event/`.
pub(crate) async fn event(_: Call) -> Outcome {
    Err(not_there("User events are"))
}

/// `/v1/coordinate/`.
pub(crate) async fn coordinate(_: Call) -> Outcome {
    Err(not_there("Network coordinates are"))
}

/// `/v1/snapshot`.
pub(crate) async fn snapshot(_: Call) -> Outcome {
    Err(not_there("Snapshots over HTTP are"))
}

/// `/v1/operator/`.
pub(crate) async fn operator(_: Call) -> Outcome {
    Err(not_there("Operator endpoints are"))
}

/// `/v1/config`.
pub(crate) async fn config(_: Call) -> Outcome {
    Err(not_there("Configuration entries are"))
}

/// `/v1/internal/`.
pub(crate) async fn internal(_: Call) -> Outcome {
    Err(not_there("The endpoints behind the web page are"))
}

/// Service mesh.
pub(crate) async fn mesh(_: Call) -> Outcome {
    Err(not_there("The service mesh is"))
}

/// `/v1/acl/`.
pub(crate) async fn acl(call: Call) -> Outcome {
    if call.settings().acl_enabled {
        return Err(not_there("ACLs are"));
    }
    Err(Failure::new(StatusCode::UNAUTHORIZED, "ACL support disabled"))
}
