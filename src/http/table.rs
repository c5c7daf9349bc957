//! Every path of the API, one row per method: the right it needs and who serves it. Adding an endpoint is adding a row.

use crs_acl::{Access, Resource};
use http::Method;

use crate::route::{Right, Route};
use crate::{agent, catalog, health, kv, session, status, txn, unbuilt};

use Access::{Read, Write};
use Resource::{Acl, Agent, Event, Key, Keyring, Node, Operator, Query, Service, Session};
use Right::{Filtered, None as Open, Required};

macro_rules! routes {
    ($($method:ident $path:literal, $right:expr, $handler:path;)*) => {
        &[$(Route {
            method: Method::$method,
            path: $path,
            right: $right,
            handler: |call| Box::pin($handler(call)),
        },)*]
    };
}

/// The table. Rows of one path stand in the order in which `Allow` names their methods.
#[rustfmt::skip]
pub const ROUTES: &[Route] = routes![
    GET "/v1/status/leader", Open, status::leader;
    GET "/v1/status/peers", Open, status::peers;

    GET "/v1/kv/", Required(Key, Read), kv::get;
    PUT "/v1/kv/", Required(Key, Write), kv::put;
    DELETE "/v1/kv/", Required(Key, Write), kv::delete;
    PUT "/v1/txn", Required(Key, Write), txn::run;

    PUT "/v1/catalog/register", Required(Node, Write), catalog::register;
    PUT "/v1/catalog/deregister", Required(Node, Write), catalog::deregister;
    GET "/v1/catalog/datacenters", Open, catalog::datacenters;
    GET "/v1/catalog/nodes", Filtered(Node, Read), catalog::nodes;
    GET "/v1/catalog/services", Filtered(Service, Read), catalog::services;
    GET "/v1/catalog/service/", Filtered(Service, Read), catalog::service;
    GET "/v1/catalog/node/", Filtered(Node, Read), catalog::node;
    GET "/v1/catalog/node-services/", Filtered(Node, Read), catalog::node_services;
    GET "/v1/catalog/connect/", Filtered(Service, Read), unbuilt::mesh;
    GET "/v1/catalog/gateway-services/", Filtered(Service, Read), unbuilt::mesh;

    GET "/v1/health/service/", Filtered(Service, Read), health::service;
    GET "/v1/health/node/", Filtered(Node, Read), health::node;
    GET "/v1/health/checks/", Filtered(Service, Read), health::of_service;
    GET "/v1/health/state/", Filtered(Node, Read), health::state;
    GET "/v1/health/connect/", Filtered(Service, Read), unbuilt::mesh;
    GET "/v1/health/ingress/", Filtered(Service, Read), unbuilt::mesh;

    GET "/v1/agent/self", Required(Agent, Read), agent::this;
    GET "/v1/agent/host", Required(Operator, Read), agent::host;
    GET "/v1/agent/members", Filtered(Node, Read), agent::members;
    GET "/v1/agent/metrics", Required(Agent, Read), agent::metrics;
    GET "/v1/agent/monitor", Required(Agent, Read), agent::monitor;
    PUT "/v1/agent/reload", Required(Agent, Write), agent::reload;
    PUT "/v1/agent/maintenance", Required(Node, Write), agent::maintenance;
    PUT "/v1/agent/join/", Required(Agent, Write), agent::join;
    PUT "/v1/agent/leave", Required(Agent, Write), agent::leave;
    PUT "/v1/agent/force-leave/", Required(Operator, Write), agent::force_leave;
    PUT "/v1/agent/token/", Required(Agent, Write), unbuilt::acl;
    GET "/v1/agent/services", Filtered(Service, Read), agent::services;
    GET "/v1/agent/service/", Required(Service, Read), agent::service;
    PUT "/v1/agent/service/register", Required(Service, Write), agent::register_service;
    PUT "/v1/agent/service/deregister/", Required(Service, Write), agent::deregister_service;
    PUT "/v1/agent/service/maintenance/", Required(Service, Write), agent::service_maintenance;
    GET "/v1/agent/health/service/id/", Required(Service, Read), agent::health_by_id;
    GET "/v1/agent/health/service/name/", Required(Service, Read), agent::health_by_name;
    GET "/v1/agent/checks", Filtered(Node, Read), agent::checks;
    PUT "/v1/agent/check/register", Required(Node, Write), agent::register_check;
    PUT "/v1/agent/check/deregister/", Required(Node, Write), agent::deregister_check;
    PUT "/v1/agent/check/pass/", Required(Node, Write), agent::pass;
    PUT "/v1/agent/check/warn/", Required(Node, Write), agent::warn;
    PUT "/v1/agent/check/fail/", Required(Node, Write), agent::fail;
    PUT "/v1/agent/check/update/", Required(Node, Write), agent::update;
    POST "/v1/agent/connect/authorize", Required(Service, Write), unbuilt::mesh;
    GET "/v1/agent/connect/ca/roots", Open, unbuilt::mesh;
    GET "/v1/agent/connect/ca/leaf/", Required(Service, Write), unbuilt::mesh;

    PUT "/v1/session/create", Required(Session, Write), session::create;
    PUT "/v1/session/destroy/", Required(Session, Write), session::destroy;
    PUT "/v1/session/renew/", Required(Session, Write), session::renew;
    GET "/v1/session/info/", Filtered(Session, Read), session::info;
    GET "/v1/session/node/", Filtered(Session, Read), session::node;
    GET "/v1/session/list", Filtered(Session, Read), session::all;

    PUT "/v1/event/fire/", Required(Event, Write), unbuilt::event;
    GET "/v1/event/list", Filtered(Event, Read), unbuilt::event;

    GET "/v1/coordinate/datacenters", Open, unbuilt::coordinate;
    GET "/v1/coordinate/nodes", Filtered(Node, Read), unbuilt::coordinate;
    GET "/v1/coordinate/node/", Filtered(Node, Read), unbuilt::coordinate;
    PUT "/v1/coordinate/update", Required(Node, Write), unbuilt::coordinate;

    GET "/v1/query", Filtered(Query, Read), unbuilt::query;
    POST "/v1/query", Required(Query, Write), unbuilt::query;
    GET "/v1/query/", Required(Query, Read), unbuilt::query;
    PUT "/v1/query/", Required(Query, Write), unbuilt::query;
    DELETE "/v1/query/", Required(Query, Write), unbuilt::query;

    GET "/v1/snapshot", Required(Acl, Write), unbuilt::snapshot;
    PUT "/v1/snapshot", Required(Acl, Write), unbuilt::snapshot;
    GET "/v1/operator/raft/configuration", Required(Operator, Read), unbuilt::operator;
    DELETE "/v1/operator/raft/peer", Required(Operator, Write), unbuilt::operator;
    GET "/v1/operator/autopilot/configuration", Required(Operator, Read), unbuilt::operator;
    PUT "/v1/operator/autopilot/configuration", Required(Operator, Write), unbuilt::operator;
    GET "/v1/operator/autopilot/health", Required(Operator, Read), unbuilt::operator;
    GET "/v1/operator/keyring", Required(Keyring, Read), unbuilt::operator;
    POST "/v1/operator/keyring", Required(Keyring, Write), unbuilt::operator;
    PUT "/v1/operator/keyring", Required(Keyring, Write), unbuilt::operator;
    DELETE "/v1/operator/keyring", Required(Keyring, Write), unbuilt::operator;

    PUT "/v1/acl/bootstrap", Open, unbuilt::acl;
    POST "/v1/acl/login", Open, unbuilt::acl;
    POST "/v1/acl/logout", Open, unbuilt::acl;
    GET "/v1/acl/replication", Open, unbuilt::acl;
    GET "/v1/acl/token/self", Open, unbuilt::acl;
    GET "/v1/acl/tokens", Required(Acl, Read), unbuilt::acl;
    PUT "/v1/acl/token", Required(Acl, Write), unbuilt::acl;
    GET "/v1/acl/token/", Required(Acl, Read), unbuilt::acl;
    PUT "/v1/acl/token/", Required(Acl, Write), unbuilt::acl;
    DELETE "/v1/acl/token/", Required(Acl, Write), unbuilt::acl;
    GET "/v1/acl/policies", Required(Acl, Read), unbuilt::acl;
    PUT "/v1/acl/policy", Required(Acl, Write), unbuilt::acl;
    GET "/v1/acl/policy/", Required(Acl, Read), unbuilt::acl;
    PUT "/v1/acl/policy/", Required(Acl, Write), unbuilt::acl;
    DELETE "/v1/acl/policy/", Required(Acl, Write), unbuilt::acl;
    GET "/v1/acl/policy/name/", Required(Acl, Read), unbuilt::acl;
    GET "/v1/acl/roles", Required(Acl, Read), unbuilt::acl;
    PUT "/v1/acl/role", Required(Acl, Write), unbuilt::acl;
    GET "/v1/acl/role/", Required(Acl, Read), unbuilt::acl;
    PUT "/v1/acl/role/", Required(Acl, Write), unbuilt::acl;
    DELETE "/v1/acl/role/", Required(Acl, Write), unbuilt::acl;
    GET "/v1/acl/role/name/", Required(Acl, Read), unbuilt::acl;
    GET "/v1/acl/auth-methods", Required(Acl, Read), unbuilt::acl;
    PUT "/v1/acl/auth-method", Required(Acl, Write), unbuilt::acl;
    GET "/v1/acl/auth-method/", Required(Acl, Read), unbuilt::acl;
    PUT "/v1/acl/auth-method/", Required(Acl, Write), unbuilt::acl;
    DELETE "/v1/acl/auth-method/", Required(Acl, Write), unbuilt::acl;
    GET "/v1/acl/binding-rules", Required(Acl, Read), unbuilt::acl;
    PUT "/v1/acl/binding-rule", Required(Acl, Write), unbuilt::acl;
    GET "/v1/acl/binding-rule/", Required(Acl, Read), unbuilt::acl;
    PUT "/v1/acl/binding-rule/", Required(Acl, Write), unbuilt::acl;
    DELETE "/v1/acl/binding-rule/", Required(Acl, Write), unbuilt::acl;
    POST "/v1/acl/rules/translate", Required(Acl, Read), unbuilt::acl;
    GET "/v1/acl/rules/translate/", Required(Acl, Read), unbuilt::acl;
    PUT "/v1/acl/create", Required(Acl, Write), unbuilt::acl;
    PUT "/v1/acl/update", Required(Acl, Write), unbuilt::acl;
    PUT "/v1/acl/destroy/", Required(Acl, Write), unbuilt::acl;
    PUT "/v1/acl/clone/", Required(Acl, Write), unbuilt::acl;
    GET "/v1/acl/info/", Open, unbuilt::acl;
    GET "/v1/acl/list", Required(Acl, Read), unbuilt::acl;
    POST "/v1/internal/acl/authorize", Open, unbuilt::acl;

    PUT "/v1/config", Required(Operator, Write), unbuilt::config;
    GET "/v1/config/", Required(Operator, Read), unbuilt::config;
    DELETE "/v1/config/", Required(Operator, Write), unbuilt::config;
    GET "/v1/internal/ui/nodes", Filtered(Node, Read), unbuilt::internal;
    GET "/v1/internal/ui/node/", Filtered(Node, Read), unbuilt::internal;
    GET "/v1/internal/ui/services", Filtered(Service, Read), unbuilt::internal;
    GET "/v1/internal/ui/gateway-services-nodes/", Filtered(Service, Read), unbuilt::internal;
    GET "/v1/internal/federation-states", Required(Operator, Read), unbuilt::mesh;
    GET "/v1/internal/federation-states/mesh-gateways", Open, unbuilt::mesh;
    GET "/v1/internal/federation-state/", Required(Operator, Read), unbuilt::mesh;

    GET "/v1/connect/ca/configuration", Required(Operator, Read), unbuilt::mesh;
    PUT "/v1/connect/ca/configuration", Required(Operator, Write), unbuilt::mesh;
    GET "/v1/connect/ca/roots", Open, unbuilt::mesh;
    GET "/v1/connect/intentions", Filtered(Service, Read), unbuilt::mesh;
    POST "/v1/connect/intentions", Required(Service, Write), unbuilt::mesh;
    GET "/v1/connect/intentions/match", Required(Service, Read), unbuilt::mesh;
    GET "/v1/connect/intentions/check", Required(Service, Read), unbuilt::mesh;
    GET "/v1/connect/intentions/", Required(Service, Read), unbuilt::mesh;
    PUT "/v1/connect/intentions/", Required(Service, Write), unbuilt::mesh;
    DELETE "/v1/connect/intentions/", Required(Service, Write), unbuilt::mesh;
    GET "/v1/discovery-chain/", Required(Service, Read), unbuilt::mesh;
    POST "/v1/discovery-chain/", Required(Service, Read), unbuilt::mesh;
];
