//! `/v1/session/`: holders of locks.

use std::sync::Arc;

use crs_acl::{Access, Authorizer, Resource};
use crs_store::{Found, State, Stored, Topic};
use crs_types::{NodeName, Session, SessionId};
use http::StatusCode;

use crate::body;
use crate::call::{Call, Outcome};
use crate::catalog::begun;
use crate::error::Failure;
use crate::json;
use crate::params::check_uuid;
use crate::reply::Reply;

pub(crate) async fn create(mut call: Call) -> Outcome {
    call.refuse_namespace()?;
    let bytes = call.read_json_body().await?;
    let request = body::session(&bytes, &call.settings().node)?;
    call.require_own_datacenter()?;
    let authorizer = call.authorizer()?;
    let id = call.api.server().create_session(&authorizer, request).await?;
    let mut out = Vec::new();
    json::push_map(&mut out, [("ID", id.as_str())], json::push_string);
    Ok(Reply::json(out))
}

/// The id at the end of the path.
fn id(call: &Call) -> Result<SessionId, Failure> {
    if call.rest().is_empty() {
        return Err(Failure::bad_request("Missing session"));
    }
    Ok(call.rest().into())
}

/// An id that could be one, as it is stored; or Consul's text about looking it up.
fn well_formed(id: &SessionId) -> Result<SessionId, Failure> {
    check_uuid(id.as_str())
        .map(|()| id.folded())
        .map_err(|why| Failure::refused(format!("failed session lookup: index error: {why}")))
}

pub(crate) async fn destroy(call: Call) -> Outcome {
    call.refuse_namespace()?;
    call.require_own_datacenter()?;
    let id = id(&call)?;
    let id = well_formed(&id)?;
    let authorizer = call.authorizer()?;
    call.api.server().destroy_session(&authorizer, &id).await?;
    Ok(Reply::bool(true))
}

pub(crate) async fn renew(call: Call) -> Outcome {
    call.refuse_namespace()?;
    call.require_own_datacenter()?;
    let id = id(&call)?;
    let id = well_formed(&id)?;
    let authorizer = call.authorizer()?;
    match call.api.server().renew_session(&authorizer, &id).await? {
        Some(session) => Ok(Reply::json(list([&session]))),
        None => Err(Failure::new(StatusCode::NOT_FOUND, format!("Session id '{id}' not found"))),
    }
}

fn list<'a>(sessions: impl IntoIterator<Item = &'a Arc<Stored<Session>>>) -> Vec<u8> {
    let mut out = Vec::new();
    json::push_list(&mut out, sessions, |out, session| json::push_session(out, session));
    out
}

/// What the endpoints that answer a list of sessions share.
async fn answer(
    call: &Call,
    topic: Topic,
    mut read: impl FnMut(&State) -> Found<Vec<Arc<Stored<Session>>>>,
) -> Outcome {
    let options = call.read_options()?;
    begun(call.require_own_datacenter())?;
    let authorizer: Authorizer = call.authorizer()?;
    let answer = begun(call.api.server().query(&options.query, topic, |state| read(state)).await)?;
    let shown = answer
        .value
        .iter()
        .filter(|session| authorizer.allows(Resource::Session, session.value.node.as_str(), Access::Read));
    Ok(Reply::json(list(shown)).with_meta(options.meta(answer.meta)))
}

pub(crate) async fn info(call: Call) -> Outcome {
    call.refuse_namespace()?;
    call.read_options()?;
    let id = id(&call)?;
    let id = begun(well_formed(&id))?;
    answer(&call, Topic::Session(id.clone()), |state| {
        let found = state.session(&id);
        Found { index: found.index, value: found.value.into_iter().cloned().collect() }
    })
    .await
}

pub(crate) async fn node(call: Call) -> Outcome {
    call.refuse_namespace()?;
    call.read_options()?;
    if call.rest().is_empty() {
        return Err(Failure::bad_request("Missing node name"));
    }
    let name = NodeName::from(call.rest());
    answer(&call, Topic::NodeSessions(name.folded()), |state| state.node_sessions(&name)).await
}

pub(crate) async fn all(call: Call) -> Outcome {
    call.refuse_namespace()?;
    answer(&call, Topic::Sessions, |state| {
        let found = state.sessions();
        Found { index: found.index, value: found.value.cloned().collect() }
    })
    .await
}
