//! `ACL`: tokens, policies, roles.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use crs_types::{Datacenter, Secret};

use crate::blocks::{DatacenterRead, Indexes, ReadOptions, ReplyMeta, WriteOptions};
use crate::codec::{Time, Value, record};
use crate::methods::methods;

record! {
    /// A policy or role by id; the name is for people, and where a request gives no id.
    pub struct Link {
        "ID" id: String,
        "Name" name: String,
    }

    /// Rights of a service, made of a pattern.
    pub struct ServiceIdentity {
        "ServiceName" service_name: String,
        "Datacenters" datacenters: Vec<Datacenter>,
    }

    /// Rights of a node, made of a pattern.
    pub struct NodeIdentity {
        "NodeName" node_name: String,
        "Datacenter" datacenter: Datacenter,
    }

    /// A token.
    pub struct Token {
        "AccessorID" accessor_id: String,
        "SecretID" secret_id: Secret<String>,
        "Description" description: String,
        /// Before 1.4: `client` or `management`.
        "Type" kind: String,
        /// Before 1.4.
        "Rules" rules: String,
        "AuthMethod" auth_method: String,
        "Policies" policies: Vec<Link>,
        "Roles" roles: Vec<Link>,
        "ServiceIdentities" service_identities: Vec<ServiceIdentity>,
        "NodeIdentities" node_identities: Vec<NodeIdentity>,
        "Local" local: bool,
        "ExpirationTime" expiration_time: Option<Time>,
        "ExpirationTTL" expiration_ttl: Duration,
        "CreateTime" create_time: Time,
        "Hash" hash: Bytes,
        ..indexes: Indexes,
    }

    /// A token as a list shows it: without its secret.
    pub struct TokenStub {
        "AccessorID" accessor_id: String,
        "Description" description: String,
        "AuthMethod" auth_method: String,
        "Policies" policies: Vec<Link>,
        "Roles" roles: Vec<Link>,
        "ServiceIdentities" service_identities: Vec<ServiceIdentity>,
        "NodeIdentities" node_identities: Vec<NodeIdentity>,
        "Local" local: bool,
        "Legacy" legacy: bool,
        "ExpirationTime" expiration_time: Option<Time>,
        "CreateTime" create_time: Time,
        "Hash" hash: Bytes,
        ..indexes: Indexes,
    }

    /// A policy.
    pub struct Policy {
        "ID" id: String,
        "Name" name: String,
        "Description" description: String,
        "Rules" rules: String,
        /// 0: of today, 1: before 1.4.
        "Syntax" syntax: i64,
        "Datacenters" datacenters: Vec<Datacenter>,
        "Hash" hash: Bytes,
        ..indexes: Indexes,
    }

    /// A policy as a list shows it.
    pub struct PolicyStub {
        "ID" id: String,
        "Name" name: String,
        "Description" description: String,
        "Datacenters" datacenters: Vec<Datacenter>,
        "Hash" hash: Bytes,
        ..indexes: Indexes,
    }

    /// A role.
    pub struct Role {
        "ID" id: String,
        "Name" name: String,
        "Description" description: String,
        "Policies" policies: Vec<Link>,
        "ServiceIdentities" service_identities: Vec<ServiceIdentity>,
        "NodeIdentities" node_identities: Vec<NodeIdentity>,
        "Hash" hash: Bytes,
        ..indexes: Indexes,
    }

    /// What a login through an auth method is given.
    pub struct BindingRule {
        "ID" id: String,
        "Description" description: String,
        "AuthMethod" auth_method: String,
        "Selector" selector: String,
        "BindType" bind_type: String,
        "BindName" bind_name: String,
        ..indexes: Indexes,
    }

    /// A way to log in.
    pub struct AuthMethod {
        "Name" name: String,
        "Type" kind: String,
        "DisplayName" display_name: String,
        "Description" description: String,
        "TokenLocality" token_locality: String,
        "MaxTokenTTL" max_token_ttl: Duration,
        /// Free-form.
        "Config" config: Value,
        ..indexes: Indexes,
    }

    /// A way to log in, as a list shows it.
    pub struct AuthMethodStub {
        "Name" name: String,
        "Type" kind: String,
        "DisplayName" display_name: String,
        "Description" description: String,
        ..indexes: Indexes,
    }

    /// A read of a token.
    pub struct TokenRead {
        "TokenID" token_id: Secret<String>,
        /// `secret` or `accessor`.
        "TokenIDType" token_id_type: String,
        "Datacenter" datacenter: Datacenter,
        ..options: ReadOptions,
    }

    /// A token, if there is one.
    pub struct TokenReply {
        "Token" token: Option<Token>,
        "Redacted" redacted: bool,
        "SourceDatacenter" source_datacenter: Datacenter,
        ..meta: ReplyMeta,
    }

    /// Policies by id.
    pub struct PoliciesRead {
        "PolicyIDs" policy_ids: Vec<String>,
        "Datacenter" datacenter: Datacenter,
        ..options: ReadOptions,
    }

    /// Policies in full.
    pub struct Policies {
        "Policies" policies: Vec<Policy>,
        ..meta: ReplyMeta,
    }

    /// Roles by id.
    pub struct RolesRead {
        "RoleIDs" role_ids: Vec<String>,
        "Datacenter" datacenter: Datacenter,
        ..options: ReadOptions,
    }

    /// Roles.
    pub struct Roles {
        "Roles" roles: Vec<Role>,
        ..meta: ReplyMeta,
    }

    /// The form before 1.4.
    pub struct LegacyPolicyRead {
        "Datacenter" datacenter: Datacenter,
        "ACL" acl: Secret<String>,
        "ETag" etag: String,
        ..options: ReadOptions,
    }

    /// Creates or changes a token, or makes one like it.
    pub struct TokenSetRequest {
        "ACLToken" token: Token,
        "Create" create: bool,
        "Datacenter" datacenter: Datacenter,
        ..options: WriteOptions,
    }

    /// Deletes a token by its accessor.
    pub struct TokenDeleteRequest {
        "TokenID" token_id: String,
        "Datacenter" datacenter: Datacenter,
        ..options: WriteOptions,
    }

    /// Which tokens to list.
    pub struct TokenListRead {
        "IncludeLocal" include_local: bool,
        "IncludeGlobal" include_global: bool,
        "Policy" policy: String,
        "Role" role: String,
        "AuthMethod" auth_method: String,
        "Datacenter" datacenter: Datacenter,
        ..options: ReadOptions,
    }

    /// Tokens.
    pub struct Tokens {
        "Tokens" tokens: Vec<TokenStub>,
        ..meta: ReplyMeta,
    }

    /// Creates or changes a policy.
    pub struct PolicySetRequest {
        "Policy" policy: Policy,
        "Datacenter" datacenter: Datacenter,
        ..options: WriteOptions,
    }

    /// Deletes a policy.
    pub struct PolicyDeleteRequest {
        "PolicyID" policy_id: String,
        "Datacenter" datacenter: Datacenter,
        ..options: WriteOptions,
    }

    /// A policy by id or name.
    pub struct PolicyRead {
        "PolicyID" policy_id: String,
        "PolicyName" policy_name: String,
        "Datacenter" datacenter: Datacenter,
        ..options: ReadOptions,
    }

    /// A policy, if there is one.
    pub struct PolicyReply {
        "Policy" policy: Option<Policy>,
        ..meta: ReplyMeta,
    }

    /// A read of everything of a kind.
    pub struct ListRead {
        "Datacenter" datacenter: Datacenter,
        ..options: ReadOptions,
    }

    /// Policies.
    pub struct PolicyStubs {
        "Policies" policies: Vec<PolicyStub>,
        ..meta: ReplyMeta,
    }

    /// Creates or changes a role.
    pub struct RoleSetRequest {
        "Role" role: Role,
        "Datacenter" datacenter: Datacenter,
        ..options: WriteOptions,
    }

    /// Deletes a role.
    pub struct RoleDeleteRequest {
        "RoleID" role_id: String,
        "Datacenter" datacenter: Datacenter,
        ..options: WriteOptions,
    }

    /// A role by id or name.
    pub struct RoleRead {
        "RoleID" role_id: String,
        "RoleName" role_name: String,
        "Datacenter" datacenter: Datacenter,
        ..options: ReadOptions,
    }

    /// A role, if there is one.
    pub struct RoleReply {
        "Role" role: Option<Role>,
        ..meta: ReplyMeta,
    }

    /// Roles, of a policy if one is named.
    pub struct RoleListRead {
        "Policy" policy: String,
        "Datacenter" datacenter: Datacenter,
        ..options: ReadOptions,
    }

    /// Creates or changes a binding rule.
    pub struct BindingRuleSetRequest {
        "BindingRule" rule: BindingRule,
        "Datacenter" datacenter: Datacenter,
        ..options: WriteOptions,
    }

    /// Deletes a binding rule.
    pub struct BindingRuleDeleteRequest {
        "BindingRuleID" rule_id: String,
        "Datacenter" datacenter: Datacenter,
        ..options: WriteOptions,
    }

    /// A binding rule by id.
    pub struct BindingRuleRead {
        "BindingRuleID" rule_id: String,
        "Datacenter" datacenter: Datacenter,
        ..options: ReadOptions,
    }

    /// A binding rule, if there is one.
    pub struct BindingRuleReply {
        "BindingRule" rule: Option<BindingRule>,
        ..meta: ReplyMeta,
    }

    /// Binding rules, of an auth method if one is named.
    pub struct BindingRuleListRead {
        "AuthMethod" auth_method: String,
        "Datacenter" datacenter: Datacenter,
        ..options: ReadOptions,
    }

    /// Binding rules.
    pub struct BindingRules {
        "BindingRules" rules: Vec<BindingRule>,
        ..meta: ReplyMeta,
    }

    /// Creates or changes an auth method.
    pub struct AuthMethodSetRequest {
        "AuthMethod" method: AuthMethod,
        "Datacenter" datacenter: Datacenter,
        ..options: WriteOptions,
    }

    /// Deletes an auth method.
    pub struct AuthMethodDeleteRequest {
        "AuthMethodName" name: String,
        "Datacenter" datacenter: Datacenter,
        ..options: WriteOptions,
    }

    /// An auth method by name.
    pub struct AuthMethodRead {
        "AuthMethodName" name: String,
        "Datacenter" datacenter: Datacenter,
        ..options: ReadOptions,
    }

    /// An auth method, if there is one.
    pub struct AuthMethodReply {
        "AuthMethod" method: Option<AuthMethod>,
        ..meta: ReplyMeta,
    }

    /// Auth methods.
    pub struct AuthMethodStubs {
        "AuthMethods" methods: Vec<AuthMethodStub>,
        ..meta: ReplyMeta,
    }

    /// What is shown to log in.
    pub struct LoginAuth {
        "AuthMethod" auth_method: String,
        "BearerToken" bearer_token: Secret<String>,
        "Meta" meta: Option<BTreeMap<String, String>>,
    }

    /// Logs in.
    pub struct LoginRequest {
        "Auth" auth: LoginAuth,
        "Datacenter" datacenter: Datacenter,
        ..options: WriteOptions,
    }

    /// Logs out: the token of the request is dropped.
    pub struct LogoutRequest {
        "Datacenter" datacenter: Datacenter,
        ..options: WriteOptions,
    }

    /// A right that is asked about.
    pub struct Right {
        "Resource" resource: String,
        "Segment" segment: String,
        "Access" access: String,
    }

    /// Asks what a token may.
    pub struct AuthorizeRequest {
        "Datacenter" datacenter: Datacenter,
        "Requests" requests: Vec<Right>,
        ..options: ReadOptions,
    }

    /// What it may.
    pub struct Authorized {
        "Allow" allow: bool,
        "Resource" resource: String,
        "Segment" segment: String,
        "Access" access: String,
    }

    /// How far a secondary datacenter is with what it copies.
    pub struct ReplicationReport {
        "Enabled" enabled: bool,
        "Running" running: bool,
        "SourceDatacenter" source_datacenter: Datacenter,
        "ReplicationType" replication_type: String,
        "ReplicatedIndex" replicated_index: u64,
        "ReplicatedRoleIndex" replicated_role_index: u64,
        "ReplicatedTokenIndex" replicated_token_index: u64,
        "LastSuccess" last_success: Time,
        "LastError" last_error: Time,
    }
}

methods! {
    /// A token by its secret or accessor; what an agent resolves tokens with.
    ReadToken = "ACL.TokenRead", Read, TokenRead => TokenReply;
    /// Policies in full, by id.
    PolicyResolve = "ACL.PolicyResolve", Read, PoliciesRead => Policies;
    /// Roles by id.
    RoleResolve = "ACL.RoleResolve", Read, RolesRead => Roles;
    /// Before 1.4; asked only while a server says it is that old.
    GetPolicy = "ACL.GetPolicy", Read, LegacyPolicyRead => Value;
    /// The first token.
    BootstrapTokens = "ACL.BootstrapTokens", Write, DatacenterRead => Token;
    /// Creates or changes a token.
    TokenSet = "ACL.TokenSet", Write, TokenSetRequest => Token;
    /// Makes a token like another.
    TokenClone = "ACL.TokenClone", Write, TokenSetRequest => Token;
    /// Deletes a token.
    TokenDelete = "ACL.TokenDelete", Write, TokenDeleteRequest => String;
    /// Tokens.
    TokenList = "ACL.TokenList", Read, TokenListRead => Tokens;
    /// Creates or changes a policy.
    PolicySet = "ACL.PolicySet", Write, PolicySetRequest => Policy;
    /// Deletes a policy; the reply is its name.
    PolicyDelete = "ACL.PolicyDelete", Write, PolicyDeleteRequest => String;
    /// A policy.
    ReadPolicy = "ACL.PolicyRead", Read, PolicyRead => PolicyReply;
    /// Policies.
    PolicyList = "ACL.PolicyList", Read, ListRead => PolicyStubs;
    /// Creates or changes a role.
    RoleSet = "ACL.RoleSet", Write, RoleSetRequest => Role;
    /// Deletes a role.
    RoleDelete = "ACL.RoleDelete", Write, RoleDeleteRequest => String;
    /// A role.
    ReadRole = "ACL.RoleRead", Read, RoleRead => RoleReply;
    /// Roles.
    RoleList = "ACL.RoleList", Read, RoleListRead => Roles;
    /// Creates or changes a binding rule.
    BindingRuleSet = "ACL.BindingRuleSet", Write, BindingRuleSetRequest => BindingRule;
    /// Deletes a binding rule.
    BindingRuleDelete = "ACL.BindingRuleDelete", Write, BindingRuleDeleteRequest => bool;
    /// A binding rule.
    ReadBindingRule = "ACL.BindingRuleRead", Read, BindingRuleRead => BindingRuleReply;
    /// Binding rules.
    BindingRuleList = "ACL.BindingRuleList", Read, BindingRuleListRead => BindingRules;
    /// Creates or changes an auth method.
    AuthMethodSet = "ACL.AuthMethodSet", Write, AuthMethodSetRequest => AuthMethod;
    /// Deletes an auth method.
    AuthMethodDelete = "ACL.AuthMethodDelete", Write, AuthMethodDeleteRequest => bool;
    /// An auth method.
    ReadAuthMethod = "ACL.AuthMethodRead", Read, AuthMethodRead => AuthMethodReply;
    /// Auth methods.
    AuthMethodList = "ACL.AuthMethodList", Read, ListRead => AuthMethodStubs;
    /// Logs in.
    Login = "ACL.Login", Write, LoginRequest => Token;
    /// Logs out.
    Logout = "ACL.Logout", Write, LogoutRequest => bool;
    /// What a token may.
    Authorize = "ACL.Authorize", Read, AuthorizeRequest => Vec<Authorized>;
    /// How far a secondary datacenter is.
    ReplicationStatus = "ACL.ReplicationStatus", Read, DatacenterRead => ReplicationReport;
}
