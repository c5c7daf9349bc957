//! The agent's checks.

use crs_acl::{Access, Resource};
use crs_types::{CheckId, CheckStatus, Error, HealthCheck};

use super::{compile_filter, push_agent_check};
use crate::body::{check_definition, check_update};
use crate::call::{Call, Outcome};
use crate::error::Failure;
use crate::filter::passes;
use crate::json;
use crate::reply::Reply;

pub(crate) async fn list(call: Call) -> Outcome {
    call.refuse_namespace()?;
    let authorizer = call.authorizer()?;
    let filter = compile_filter(&call, &HealthCheck::default())?;
    let checks = call.agent()?.local().checks();
    let shown = checks.iter().map(|check| &*check.record).filter(|check| {
        let (resource, name) = owner(check);
        authorizer.allows(resource, name, Access::Read) && passes(filter.as_ref(), *check)
    });
    let mut out = Vec::with_capacity(checks.len() * 320);
    json::push_map(&mut out, shown.map(|check| (check.check_id.as_str(), check)), push_agent_check);
    Ok(Reply::json(out))
}

/// On what the rights of a check are: its service, or the node.
fn owner(check: &HealthCheck) -> (Resource, &str) {
    if check.service_id.is_empty() {
        (Resource::Node, check.node.as_str())
    } else {
        (Resource::Service, check.service_name.as_str())
    }
}

/// The right to change a check that is there.
fn require_write(call: &Call, id: &CheckId) -> Result<(), Failure> {
    let authorizer = call.authorizer()?;
    if let Some(check) = call.agent()?.local().check(id) {
        let (resource, name) = owner(&check.record);
        authorizer.require(resource, name, Access::Write)?;
    }
    Ok(())
}

pub(crate) async fn register(mut call: Call) -> Outcome {
    call.refuse_namespace()?;
    let body = call.read_json_body().await?;
    let mut spec = check_definition(&body)?;
    if spec.token.is_empty() {
        spec.token = call.token();
    }
    let service = call.agent()?.local().service(&spec.service_id);
    match service {
        Some(service) => {
            let name = service.record.service.clone();
            call.authorizer()?.require(Resource::Service, name.as_str(), Access::Write)?;
        }
        None => call.require_on_own_node(Resource::Node, Access::Write)?,
    }
    require_write(&call, &spec.id)?;
    call.agent()?.register_check(spec).await?;
    Ok(Reply::empty())
}

pub(crate) async fn deregister(call: Call) -> Outcome {
    call.refuse_namespace()?;
    let id = CheckId::from(call.rest());
    require_write(&call, &id)?;
    if id.is_empty() {
        return Err(Failure::refused("CheckID missing"));
    }
    call.agent()?.deregister_check(&id).await?;
    Ok(Reply::empty())
}

fn report(call: &Call, status: CheckStatus, output: String) -> Outcome {
    let id = CheckId::from(call.rest());
    require_write(call, &id)?;
    call.agent()?.report_ttl(&id, status, output)?;
    Ok(Reply::empty())
}

pub(crate) async fn pass(call: Call) -> Outcome {
    report(&call, CheckStatus::Passing, call.param("note").to_owned())
}

pub(crate) async fn warn(call: Call) -> Outcome {
    report(&call, CheckStatus::Warning, call.param("note").to_owned())
}

pub(crate) async fn fail(call: Call) -> Outcome {
    report(&call, CheckStatus::Critical, call.param("note").to_owned())
}

pub(crate) async fn update(mut call: Call) -> Outcome {
    let body = call.read_json_body().await?;
    let (status, output) = check_update(&body)?;
    let status = match CheckStatus::from(status.as_str()) {
        CheckStatus::Other(_) => {
            return Err(Error::bad_request(format!("Invalid check status: '{status}'")).into());
        }
        status => status,
    };
    report(&call, status, output)
}
