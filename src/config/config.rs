//! The finished configuration: validated and typed, every default filled in.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crs_types::{CheckSpec, Datacenter, NodeId, NodeName, Secret, ServiceSpec};

use crate::settings::{
    Acl, AutoEncrypt, Autopilot, CacheLimits, Checks, Connect, Dns, Http, Leave, Limits, Log, Raft,
    Telemetry, Tls, Ui,
};
use crate::templates::TemplateSettings;
use crate::watch::WatchSpec;

/// Everything the agent is told by files and flags. `Config::default()` holds Consul's defaults; a loaded one comes from
/// the builder of this crate.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// `datacenter`, lower case.
    pub datacenter: Datacenter,
    /// `primary_datacenter`; the own one unless set.
    pub primary_datacenter: Datacenter,
    /// `node_name`; the host name unless set. Empty in `Config::default()`.
    pub node_name: NodeName,
    /// `node_id`; `None`: the agent makes one and keeps it in the data directory.
    pub node_id: Option<NodeId>,
    /// `disable_host_node_id`: make a random id instead of one derived from the machine.
    pub disable_host_node_id: bool,
    /// `node_meta`. Reloadable.
    pub node_meta: BTreeMap<String, String>,
    /// `-dev`: state in memory only.
    pub dev_mode: bool,
    /// `data_dir`; `None` only in dev mode.
    pub data_dir: Option<PathBuf>,
    /// `server`.
    pub server: bool,
    /// `bootstrap`, or `bootstrap_expect` of 1.
    pub bootstrap: bool,
    /// `bootstrap_expect`; 0 where `bootstrap` stands for it.
    pub bootstrap_expect: u32,
    /// Where the cluster's ports are bound and what is told to others.
    pub network: Network,
    /// Where clients are served.
    pub listen: Listen,
    /// Whom to join.
    pub join: Join,
    /// Gossip keys and timing.
    pub gossip: Gossip,
    /// Log level and targets.
    pub log: Log,
    /// `pid_file`.
    pub pid_file: Option<PathBuf>,
    /// What ends gracefully.
    pub leave: Leave,
    /// Domain, recursors and `dns_config`.
    pub dns: Dns,
    /// `acl`.
    pub acl: Acl,
    /// Settings common to all checks.
    pub checks_config: Checks,
    /// `service` and `services`, ids filled in. Reloadable.
    pub services: Vec<ServiceSpec>,
    /// `check` and `checks`, ids filled in. Reloadable.
    pub checks: Vec<CheckSpec>,
    /// `watches`. Reloadable.
    pub watches: Vec<WatchSpec>,
    /// `http_config`.
    pub http: Http,
    /// `limits`, query times and further bounds.
    pub limits: Limits,
    /// `performance`, `raft_*`.
    pub raft: Raft,
    /// `autopilot`: the values before anyone changes them at run time.
    pub autopilot: Autopilot,
    /// `cache`.
    pub cache: CacheLimits,
    /// Certificates and `verify_*`. Reloadable.
    pub tls: Tls,
    /// `auto_encrypt`.
    pub auto_encrypt: AutoEncrypt,
    /// `connect`, as far as the minimal internal CA needs it.
    pub connect: Connect,
    /// `telemetry`.
    pub telemetry: Telemetry,
    /// `ui`, `ui_dir`, `ui_content_path`.
    pub ui: Ui,
    /// `disable_remote_exec`.
    pub disable_remote_exec: bool,
    /// `disable_coordinates`.
    pub disable_coordinates: bool,
    /// `enable_debug`.
    pub enable_debug: bool,
    /// `enable_central_service_config`.
    pub enable_central_service_config: bool,
    /// `config_entries.bootstrap`, each one compact JSON.
    pub config_entries: Vec<String>,
    /// `discovery_max_stale`: agents' discovery reads may be answered by any server within this age; zero: off.
    pub discovery_max_stale: Duration,
    /// `translate_wan_addrs`: answer with WAN addresses for nodes of other datacenters.
    pub translate_wan_addrs: bool,
    /// `auto_reload_config` (crs): reload when a configuration file changes.
    pub auto_reload_config: bool,
    /// `template` blocks and the keys of the template watcher, kept with their positions for it.
    pub templates: TemplateSettings,
}

/// The cluster's side: gossip and server RPC.
#[derive(Clone, PartialEq, Debug)]
pub struct Network {
    /// `bind_addr`.
    pub bind_addr: IpAddr,
    /// `advertise_addr`: what others in the datacenter reach this node under.
    pub advertise_lan: IpAddr,
    /// `advertise_addr_wan`.
    pub advertise_wan: IpAddr,
    /// `lan`, `wan`, and by family `lan_ipv4`, `lan_ipv6`, `wan_ipv4`, `wan_ipv6`.
    pub tagged_addresses: BTreeMap<String, String>,
    /// Gossip inside the datacenter: `serf_lan` or the bind address, with `ports.serf_lan`.
    pub serf_lan_bind: SocketAddr,
    /// What is told to others about it.
    pub serf_lan_advertise: SocketAddr,
    /// Gossip among servers of all datacenters; `None`: off (`ports.serf_wan = -1`).
    pub serf_wan_bind: Option<SocketAddr>,
    /// What is told to others about it.
    pub serf_wan_advertise: Option<SocketAddr>,
    /// Server RPC: the bind address with `ports.server`.
    pub rpc_bind: SocketAddr,
    /// What is told to others about it.
    pub rpc_advertise: SocketAddr,
    /// `serf_lan_allowed_cidrs`; empty: everyone.
    pub serf_lan_allowed: Vec<Cidr>,
    /// `serf_wan_allowed_cidrs`; empty: everyone.
    pub serf_wan_allowed: Vec<Cidr>,
}

/// A network: address and number of leading bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cidr {
    /// The address, host bits cleared.
    pub address: IpAddr,
    /// Leading bits that count.
    pub bits: u8,
}

impl Cidr {
    /// Reads `10.0.0.0/8`, `::1/128`; host bits are cleared.
    pub fn parse(text: &str) -> Option<Cidr> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let bits: u8 = bits.parse().ok()?;
        let address = match address {
            IpAddr::V4(v4) if bits <= 32 => IpAddr::V4((v4.to_bits() & mask32(bits)).into()),
            IpAddr::V6(v6) if bits <= 128 => IpAddr::V6((v6.to_bits() & mask128(bits)).into()),
            _ => return None,
        };
        Some(Cidr { address, bits })
    }

    /// Whether an address lies inside.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => ip.to_bits() & mask32(self.bits) == net.to_bits(),
            (IpAddr::V6(net), IpAddr::V6(ip)) => ip.to_bits() & mask128(self.bits) == net.to_bits(),
            _ => false,
        }
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

fn mask32(bits: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0)
}

fn mask128(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

/// An address clients are served on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListenAddr {
    /// TCP (for DNS also UDP).
    Tcp(SocketAddr),
    /// A socket file.
    Unix(PathBuf),
}

impl std::fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ListenAddr::Tcp(address) => address.fmt(f),
            ListenAddr::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// The clients' side. An empty list: not served.
#[derive(Clone, PartialEq, Debug)]
pub struct Listen {
    /// `client_addr`, for the banner and as default of the others.
    pub client_addrs: Vec<String>,
    /// `addresses.http` with `ports.http`. Reloadable is nothing here: a change needs a restart.
    pub http: Vec<ListenAddr>,
    /// `addresses.https` with `ports.https`.
    pub https: Vec<ListenAddr>,
    /// `addresses.dns` with `ports.dns`; TCP and UDP.
    pub dns: Vec<ListenAddr>,
    /// `addresses.grpc` with `ports.grpc`.
    pub grpc: Vec<ListenAddr>,
    /// `unix_sockets`.
    pub unix_sockets: UnixSockets,
    /// `ports`.
    pub ports: Ports,
}

/// Ports as configured; `None`: off (-1, or 0).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ports {
    /// `ports.http`.
    pub http: Option<u16>,
    /// `ports.https`.
    pub https: Option<u16>,
    /// `ports.dns`.
    pub dns: Option<u16>,
    /// `ports.grpc`.
    pub grpc: Option<u16>,
    /// `ports.serf_lan`.
    pub serf_lan: u16,
    /// `ports.serf_wan`.
    pub serf_wan: Option<u16>,
    /// `ports.server`.
    pub server: u16,
}

/// Owner and mode of socket files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UnixSockets {
    /// User name or number; empty: unchanged.
    pub user: String,
    /// Group name or number; empty: unchanged.
    pub group: String,
    /// Permission bits; `None`: unchanged.
    pub mode: Option<u32>,
}

/// Whom to join, and how long to try.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Join {
    /// `start_join`: failure ends the agent.
    pub start_lan: Vec<String>,
    /// `start_join_wan`: failure ends the agent.
    pub start_wan: Vec<String>,
    /// `retry_join`, `retry_interval`, `retry_max`.
    pub retry_lan: RetryJoin,
    /// `retry_join_wan`, `retry_interval_wan`, `retry_max_wan`.
    pub retry_wan: RetryJoin,
    /// `rejoin_after_leave`.
    pub rejoin_after_leave: bool,
    /// `reconnect_timeout`: how long a failed member is tried again.
    pub reconnect_timeout_lan: Option<Duration>,
    /// `reconnect_timeout_wan`.
    pub reconnect_timeout_wan: Option<Duration>,
}

/// Addresses tried until one answers.
#[derive(Clone, PartialEq, Debug)]
pub struct RetryJoin {
    /// `address[:port]`, or `provider=...`.
    pub addresses: Vec<String>,
    /// Time between tries.
    pub interval: Duration,
    /// Tries; 0: for ever.
    pub max_attempts: u32,
}

impl Default for RetryJoin {
    fn default() -> Self {
        RetryJoin { addresses: Vec::new(), interval: Duration::from_secs(30), max_attempts: 0 }
    }
}

/// Gossip keys and timing.
#[derive(Clone, PartialEq, Debug)]
pub struct Gossip {
    /// `encrypt`, decoded: 16, 24 or 32 bytes.
    pub encrypt: Option<Secret<Vec<u8>>>,
    /// `encrypt_verify_incoming`.
    pub verify_incoming: bool,
    /// `encrypt_verify_outgoing`.
    pub verify_outgoing: bool,
    /// `disable_keyring_file`.
    pub disable_keyring_file: bool,
    /// `gossip_lan`.
    pub lan: GossipTiming,
    /// `gossip_wan`.
    pub wan: GossipTiming,
}

/// Timing of one gossip pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GossipTiming {
    /// Time between gossip messages.
    pub gossip_interval: Duration,
    /// Members a message goes to.
    pub gossip_nodes: u32,
    /// Time between probes.
    pub probe_interval: Duration,
    /// Time a probed member has to answer.
    pub probe_timeout: Duration,
    /// Retransmissions are this times log10 of the members.
    pub retransmit_mult: u32,
    /// Suspicion lasts this times log10 of the members, in probe intervals.
    pub suspicion_mult: u32,
}

impl GossipTiming {
    /// memberlist's LAN profile as Consul uses it.
    pub fn lan() -> Self {
        GossipTiming {
            gossip_interval: Duration::from_millis(200),
            gossip_nodes: 3,
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(500),
            retransmit_mult: 4,
            suspicion_mult: 4,
        }
    }

    /// memberlist's WAN profile as Consul uses it.
    pub fn wan() -> Self {
        GossipTiming {
            gossip_interval: Duration::from_millis(500),
            probe_interval: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(3),
            suspicion_mult: 6,
            ..Self::lan()
        }
    }

    /// `-dev`: everything at 100 ms.
    pub fn dev() -> Self {
        GossipTiming {
            gossip_interval: Duration::from_millis(100),
            probe_interval: Duration::from_millis(100),
            probe_timeout: Duration::from_millis(100),
            suspicion_mult: 3,
            ..Self::lan()
        }
    }
}

const UNSPECIFIED: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

impl Network {
    /// Consul's ports on a bind address, told to others under another one.
    pub fn on(bind: IpAddr, advertise: IpAddr) -> Self {
        let family = if advertise.is_ipv4() { "ipv4" } else { "ipv6" };
        let tagged = ["lan".into(), "wan".into(), format!("lan_{family}"), format!("wan_{family}")];
        Network {
            bind_addr: bind,
            advertise_lan: advertise,
            advertise_wan: advertise,
            tagged_addresses: tagged.into_iter().map(|key: String| (key, advertise.to_string())).collect(),
            serf_lan_bind: (bind, 8301).into(),
            serf_lan_advertise: (advertise, 8301).into(),
            serf_wan_bind: Some((bind, 8302).into()),
            serf_wan_advertise: Some((advertise, 8302).into()),
            rpc_bind: (bind, 8300).into(),
            rpc_advertise: (advertise, 8300).into(),
            serf_lan_allowed: Vec::new(),
            serf_wan_allowed: Vec::new(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        let at = |port: u16| vec![ListenAddr::Tcp((LOOPBACK, port).into())];
        Listen {
            client_addrs: vec!["127.0.0.1".into()],
            http: at(8500),
            https: Vec::new(),
            dns: at(8600),
            grpc: Vec::new(),
            unix_sockets: UnixSockets::default(),
            ports: Ports {
                http: Some(8500),
                https: None,
                dns: Some(8600),
                grpc: None,
                serf_lan: 8301,
                serf_wan: Some(8302),
                server: 8300,
            },
        }
    }
}

impl Default for Gossip {
    fn default() -> Self {
        Gossip {
            encrypt: None,
            verify_incoming: true,
            verify_outgoing: true,
            disable_keyring_file: false,
            lan: GossipTiming::lan(),
            wan: GossipTiming::wan(),
        }
    }
}

impl Default for Config {
    /// Consul's defaults for a client agent without a data directory or a name. What depends on the machine stands at
    /// neutral values: bound to all addresses, advertising the loopback one.
    fn default() -> Self {
        Config {
            datacenter: "dc1".into(),
            primary_datacenter: "dc1".into(),
            node_name: NodeName::default(),
            node_id: None,
            disable_host_node_id: true,
            node_meta: BTreeMap::new(),
            dev_mode: false,
            data_dir: None,
            server: false,
            bootstrap: false,
            bootstrap_expect: 0,
            network: Network::on(UNSPECIFIED, LOOPBACK),
            listen: Listen::default(),
            join: Join::default(),
            gossip: Gossip::default(),
            log: Log::default(),
            pid_file: None,
            leave: Leave { on_terminate: true, skip_on_interrupt: false },
            dns: Dns::default(),
            acl: Acl::default(),
            checks_config: Checks::default(),
            services: Vec::new(),
            checks: Vec::new(),
            watches: Vec::new(),
            http: Http::default(),
            limits: Limits::default(),
            raft: Raft::default(),
            autopilot: Autopilot::default(),
            cache: CacheLimits::default(),
            tls: Tls::default(),
            auto_encrypt: AutoEncrypt::default(),
            connect: Connect::default(),
            telemetry: Telemetry::default(),
            ui: Ui::default(),
            disable_remote_exec: true,
            disable_coordinates: false,
            enable_debug: false,
            enable_central_service_config: false,
            config_entries: Vec::new(),
            discovery_max_stale: Duration::ZERO,
            translate_wan_addrs: false,
            auto_reload_config: false,
            templates: TemplateSettings::default(),
        }
    }
}

impl Config {
    /// What `-dev` starts from: a lone server in memory on the loopback address, with the page, debug output and fast
    /// timers.
    pub fn dev_defaults() -> Self {
        let mut config = Config {
            dev_mode: true,
            server: true,
            bootstrap: true,
            network: Network::on(LOOPBACK, LOOPBACK),
            leave: Leave { on_terminate: false, skip_on_interrupt: true },
            disable_remote_exec: false,
            enable_debug: true,
            ..Config::default()
        };
        config.listen.ports.grpc = Some(8502);
        config.listen.grpc = vec![ListenAddr::Tcp((LOOPBACK, 8502).into())];
        config.gossip.lan = GossipTiming::dev();
        config.gossip.wan = GossipTiming::dev();
        config.log.level = crate::LogLevel::Debug;
        config.checks_config.update_interval = Duration::ZERO;
        config.connect.enabled = true;
        config.ui.enabled = true;
        config.raft = Raft::dev();
        config
    }
}
