//! `/v1/status`: who leads, who votes.

use crate::call::{Call, Outcome};
use crate::json;
use crate::reply::Reply;

pub(crate) async fn leader(call: Call) -> Outcome {
    // what makes no sense is refused, though neither answer waits or has an index
    call.read_options()?;
    call.require_own_datacenter()?;
    let mut out = Vec::new();
    json::push_string(&mut out, call.api.server().leader().as_deref().unwrap_or(""));
    Ok(Reply::json(out))
}

pub(crate) async fn peers(call: Call) -> Outcome {
    call.read_options()?;
    call.require_own_datacenter()?;
    let mut out = Vec::new();
    json::push_list(&mut out, call.api.server().peers(), |out, peer| json::push_string(out, &peer));
    Ok(Reply::json(out))
}
