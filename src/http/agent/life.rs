//! The life of the agent: maintenance, reload, joining and leaving.

use crs_acl::{Access, Resource};

use super::services::enable;
use crate::call::{Call, Outcome};
use crate::error::Failure;
use crate::reply::Reply;

pub(crate) async fn maintenance(call: Call) -> Outcome {
    let enable = enable(&call)?;
    call.require_on_own_node(Resource::Node, Access::Write)?;
    call.agent()?.set_node_maintenance(enable, call.param("reason"), call.token()).await?;
    Ok(Reply::empty())
}

pub(crate) async fn reload(call: Call) -> Outcome {
    call.require_on_own_node(Resource::Agent, Access::Write)?;
    // A client that goes away must not leave a reload half done.
    let agent = call.agent()?.clone();
    let reloaded = tokio::spawn(async move { agent.reload().await }).await;
    match reloaded {
        Ok(Ok(())) => Ok(Reply::empty()),
        Ok(Err(text)) => Err(Failure::refused(text)),
        Err(error) => Err(Failure::refused(error.to_string())),
    }
}

pub(crate) async fn leave(call: Call) -> Outcome {
    call.require_on_own_node(Resource::Agent, Access::Write)?;
    call.agent()?.leave();
    Ok(Reply::empty())
}

pub(crate) async fn join(call: Call) -> Outcome {
    call.require_on_own_node(Resource::Agent, Access::Write)?;
    let address = call.rest();
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    Err(Failure::refused(format!(
        "1 error occurred:\n\t* Failed to join {host}: this version of crs runs alone, it does not join other agents\n\n"
    )))
}

pub(crate) async fn force_leave(call: Call) -> Outcome {
    call.authorizer()?.require(Resource::Operator, "", Access::Write)?;
    let name = call.rest();
    if call.agent()?.config().node_name == *name {
        // Nobody forces out who is there to answer; Consul says nothing either.
        return Ok(Reply::empty());
    }
    Err(Failure::refused(format!("agent: No node found with name '{name}'")))
}
