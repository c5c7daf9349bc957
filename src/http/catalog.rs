//! `/v1/catalog/`: nodes, services, and where they run.

use crs_acl::{Access, Authorizer, Resource};
use crs_server::Answer;
use crs_store::{Found, Instance, Topic};
use crs_types::{Node, NodeName, NodeService, ServiceName};

use crate::body;
use crate::call::{Call, Outcome};
use crate::error::Failure;
use crate::filter::{self, CatalogService, Filter, passes};
use crate::json;
use crate::near::nearest_first;
use crate::options::ReadOptions;
use crate::reply::Reply;

/// The reads of this room fail with index headers, since Consul had begun them.
pub(crate) fn begun<T, E: Into<Failure>>(result: Result<T, E>) -> Result<T, Failure> {
    result.map_err(|error| error.into().showing_index())
}

/// `?node-meta=key:value`, each of which a node must have.
pub(crate) struct NodeMeta(Vec<(String, String)>);

impl NodeMeta {
    pub(crate) fn of(call: &Call) -> NodeMeta {
        let pairs = call.params("node-meta").map(|pair| {
            let (key, value) = pair.split_once(':').unwrap_or((pair, ""));
            (key.to_owned(), value.to_owned())
        });
        NodeMeta(pairs.collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn matches(&self, node: &Node) -> bool {
        self.0.iter().all(|(key, value)| node.meta.as_ref().is_some_and(|meta| meta.get(key) == Some(value)))
    }
}

/// `?tag=`, each of which an instance must have, without regard to case.
pub(crate) struct Tags(Vec<String>);

impl Tags {
    pub(crate) fn of(call: &Call) -> Tags {
        Tags(call.params("tag").map(str::to_lowercase).collect())
    }

    pub(crate) fn matches(&self, service: &NodeService) -> bool {
        self.0.iter().all(|wanted| service.tags.iter().any(|tag| tag.to_lowercase() == *wanted))
    }
}

/// Whether a caller may see an instance.
pub(crate) fn may_see(authorizer: &Authorizer, instance: &Instance) -> bool {
    authorizer.allows_everything()
        || authorizer.allows(Resource::Node, instance.node.value.node.as_str(), Access::Read)
            && authorizer.allows(Resource::Service, instance.service.value.service.as_str(), Access::Read)
}

pub(crate) async fn datacenters(call: Call) -> Outcome {
    let options = call.discovery_options()?;
    let mut out = Vec::new();
    json::push_list(&mut out, [&call.settings().datacenter], |out, dc| json::push_string(out, dc.as_str()));
    // No headers of a read here, only the cache's.
    Ok(if options.cached && call.settings().use_cache {
        Reply::json(out).cache_hit()
    } else {
        Reply::json(out)
    })
}

pub(crate) async fn nodes(call: Call) -> Outcome {
    let options = call.discovery_options()?;
    begun(call.require_own_datacenter())?;
    let authorizer = call.authorizer()?;
    let filter = filter::compile(call.param("filter"), &Node::default())?;
    let meta = NodeMeta::of(&call);
    let read = call
        .api
        .server()
        .query(&options.query, Topic::Nodes, |state| Found { index: state.nodes().index, value: () });
    let answer = begun(read.await)?;
    let nodes = answer.state.nodes().value.filter(|node| {
        authorizer.allows(Resource::Node, node.value.node.as_str(), Access::Read)
            && meta.matches(&node.value)
            && passes(filter.as_ref(), &node.value)
    });
    let nodes = nearest_first(&call, nodes, |node| &node.value.node);
    let mut out = Vec::with_capacity(nodes.len() * 256);
    json::push_list(&mut out, nodes, |out, node| json::push_node(out, node));
    Ok(Reply::json(out).with_meta(options.discovery_meta(answer.meta)))
}

pub(crate) async fn services(call: Call) -> Outcome {
    call.refuse_namespace()?;
    let options = call.discovery_options()?;
    begun(call.require_own_datacenter())?;
    let authorizer = call.authorizer()?;
    let meta = NodeMeta::of(&call);
    let read = call.api.server().query(&options.query, Topic::ServiceNames, |state| Found {
        index: state.service_names_index(),
        value: (),
    });
    let answer = begun(read.await)?;
    let names = answer.state.service_names(|node| meta.matches(node)).value;
    let shown = names
        .iter()
        .filter(|(name, _)| authorizer.allows(Resource::Service, name.as_str(), Access::Read))
        .map(|(name, tags)| (name.as_str(), tags));
    let mut out = Vec::with_capacity(names.len() * 32);
    json::push_map(&mut out, shown, |out, tags| {
        json::push_list(out, tags, |out, tag| json::push_string(out, tag));
    });
    Ok(Reply::json(out).with_meta(options.cacheable_meta(answer.meta, call.settings())))
}

pub(crate) async fn service(call: Call) -> Outcome {
    call.refuse_namespace()?;
    let options = call.discovery_options()?;
    if call.rest().is_empty() {
        return Err(Failure::bad_request("Missing service name"));
    }
    begun(call.require_own_datacenter())?;
    let authorizer = call.authorizer()?;
    let (meta, tags) = (NodeMeta::of(&call), Tags::of(&call));
    let (node, service) = Default::default();
    let filter = filter::compile(call.param("filter"), &CatalogService { node: &node, service: &service })?;
    let name = ServiceName::from(call.rest());
    let topic = Topic::Service(name.folded());
    let answer = begun(call.api.server().query(&options.query, topic, |state| state.service(&name)).await)?;
    let instances = answer.value.iter().filter(|instance| {
        let (node, service) = (&instance.node.value, &instance.service.value);
        may_see(&authorizer, instance)
            && meta.matches(node)
            && tags.matches(service)
            && passes(filter.as_ref(), &CatalogService { node, service })
    });
    let instances = nearest_first(&call, instances, |instance| &instance.node.value.node);
    let mut out = Vec::with_capacity(instances.len() * 768);
    json::push_list(&mut out, instances, |out, instance| {
        json::push_catalog_service(out, &instance.node, &instance.service);
    });
    Ok(Reply::json(out).with_meta(options.cacheable_meta(answer.meta, call.settings())))
}

/// What the two endpoints about one node share.
struct OneNode {
    options: ReadOptions,
    answer: Answer<Option<crs_store::NodeView>>,
    authorizer: Authorizer,
    filter: Option<Filter>,
}

async fn one_node(call: &Call) -> Result<OneNode, Failure> {
    call.refuse_namespace()?;
    let options = call.discovery_options()?;
    if call.rest().is_empty() {
        return Err(Failure::bad_request("Missing node name"));
    }
    begun(call.require_own_datacenter())?;
    let authorizer = call.authorizer()?;
    let filter = filter::compile(call.param("filter"), &NodeService::default())?;
    let name = NodeName::from(call.rest());
    let topic = Topic::Node(name.folded());
    let mut answer = begun(call.api.server().query(&options.query, topic, |state| state.node(&name)).await)?;
    if !authorizer.allows(Resource::Node, name.as_str(), Access::Read) {
        answer.value = None;
    }
    Ok(OneNode { options, answer, authorizer, filter })
}

impl OneNode {
    fn shows(&self, service: &NodeService) -> bool {
        self.authorizer.allows(Resource::Service, service.service.as_str(), Access::Read)
            && passes(self.filter.as_ref(), service)
    }

    fn reply(&self, out: Vec<u8>) -> Reply {
        Reply::json(out).with_meta(self.options.discovery_meta(self.answer.meta))
    }
}

pub(crate) async fn node(call: Call) -> Outcome {
    let one = one_node(&call).await?;
    let mut out = Vec::new();
    match &one.answer.value {
        None => out.extend_from_slice(b"null"),
        Some(view) => {
            out.extend_from_slice(br#"{"Node":"#);
            json::push_node(&mut out, &view.node);
            out.extend_from_slice(br#","Services":"#);
            let services = view.services.iter().filter(|service| one.shows(&service.value));
            let services = services.map(|service| (service.value.id.as_str(), service));
            json::push_map(&mut out, services, |out, service| json::push_service(out, service));
            out.push(b'}');
        }
    }
    Ok(one.reply(out))
}

pub(crate) async fn node_services(call: Call) -> Outcome {
    let one = one_node(&call).await?;
    let mut out = br#"{"Node":"#.to_vec();
    match &one.answer.value {
        None => out.extend_from_slice(br#"null,"Services":null}"#),
        Some(view) => {
            json::push_node(&mut out, &view.node);
            out.extend_from_slice(br#","Services":"#);
            if view.services.is_empty() {
                out.extend_from_slice(b"null");
            } else {
                let services = view.services.iter().filter(|service| one.shows(&service.value));
                json::push_list(&mut out, services, |out, service| json::push_service(out, service));
            }
            out.push(b'}');
        }
    }
    Ok(one.reply(out))
}

pub(crate) async fn register(mut call: Call) -> Outcome {
    let bytes = call.read_json_body().await?;
    let request = body::registration(&bytes)?;
    call.require_datacenter(&request.datacenter)?;
    let authorizer = call.authorizer()?;
    call.api.server().register(&authorizer, request.registration).await?;
    Ok(Reply::bool(true))
}

pub(crate) async fn deregister(mut call: Call) -> Outcome {
    let bytes = call.read_json_body().await?;
    let request = body::deregistration(&bytes)?;
    call.require_datacenter(&request.datacenter)?;
    let authorizer = call.authorizer()?;
    call.api.server().deregister(&authorizer, request.what).await?;
    Ok(Reply::bool(true))
}
