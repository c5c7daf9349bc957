//! Addresses and ports: from keys to [`Network`] and [`Listen`].

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::config::{Cidr, Listen, ListenAddr, Network, Ports, UnixSockets};
use crate::raw::At;
use crate::reading::{Place, Reading};
use crate::sockaddr::{Machine, expand};

/// Reads addresses for one machine.
struct Addresses<'a, 'r> {
    reading: &'a mut Reading<'r>,
    machine: &'a Machine,
}

impl Addresses<'_, '_> {
    /// The text of a key with its template replaced; `None` when it was not given or is wrong.
    fn expanded(&mut self, key: &str) -> Option<(String, Place)> {
        let at = self.reading.str_set(key)?;
        match expand(&at.value, self.machine) {
            Ok(text) => Some((text, at.pos.clone())),
            Err(why) => {
                self.reading.error(key, at.pos.clone(), format!("{key}: {why}"));
                None
            }
        }
    }

    /// Exactly one IP address.
    fn one(&mut self, key: &str) -> Option<(IpAddr, Place)> {
        let (text, place) = self.expanded(key)?;
        let fault = match text.split_whitespace().collect::<Vec<_>>().as_slice() {
            [] => {
                // Empty counts as not given, except where a template found nothing.
                let given = self.reading.str_set(key).is_some_and(|at| !at.value.trim().is_empty());
                if !given {
                    return None;
                }
                format!("{key}: the address template finds no address on this machine")
            }
            [one] if one.starts_with("unix://") => format!("{key} cannot be a unix socket"),
            [one] => match parse_ip(one) {
                Some(ip) => return Some((ip, place)),
                None => format!("{key}: invalid ip address: {one}"),
            },
            _ => format!("{key} cannot contain multiple addresses"),
        };
        self.reading.error(key, place, fault);
        None
    }

    /// Any number of addresses and sockets, blank-separated.
    fn several(&mut self, key: &str) -> Option<(Vec<ListenAddr>, Place)> {
        let (text, place) = self.expanded(key)?;
        let mut found = Vec::new();
        for one in text.split_whitespace() {
            if let Some(path) = one.strip_prefix("unix://") {
                found.push(ListenAddr::Unix(PathBuf::from(path)));
            } else if let Some(ip) = parse_ip(one) {
                found.push(ListenAddr::Tcp(SocketAddr::new(ip, 0)));
            } else {
                let text = format!("{key}: invalid ip address: {one}");
                self.reading.error(key, place.clone(), text);
            }
        }
        (!found.is_empty()).then_some((found, place))
    }

    fn bind(&mut self, dev: bool) -> IpAddr {
        let default = if dev { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        let default = IpAddr::V4(default);
        let Some((text, place)) = self.expanded("bind_addr") else { return default };
        let fault = match text.split_whitespace().collect::<Vec<_>>().as_slice() {
            [] => "bind_addr cannot be empty".to_owned(),
            [one] if one.starts_with("unix://") => "bind_addr cannot be a unix socket".to_owned(),
            [one] => match parse_ip(one) {
                Some(ip) => return ip,
                // Consul says only the first part, whatever was given.
                None => format!("bind_addr cannot be empty: {one:?} is no IP address"),
            },
            _ => "bind_addr cannot contain multiple addresses. Use 'addresses.{dns,http,https}' instead."
                .to_owned(),
        };
        self.reading.error("bind_addr", place, fault);
        default
    }

    fn port(&mut self, key: &str, default: i64, can_be_off: bool) -> Option<u16> {
        let at = self.reading.int_set(key).cloned();
        let At { value, pos } = at.unwrap_or(At { value: default, pos: None });
        match u16::try_from(value) {
            Ok(0) | Err(_) if can_be_off && (value == 0 || value == -1) => None,
            Ok(port) if port > 0 => Some(port),
            _ => {
                self.reading.error(key, pos, format!("{key}: invalid port: {value}"));
                None
            }
        }
    }

    fn advertised(&mut self, key: &str, what: &str) -> Option<IpAddr> {
        let (ip, place) = self.one(key)?;
        if ip.is_unspecified() {
            self.reading.error(key, place, format!("{what} cannot be 0.0.0.0, :: or [::]"));
            return None;
        }
        Some(ip)
    }

    fn of_family(&mut self, key: &str, v4: bool) -> Option<IpAddr> {
        let (ip, place) = self.one(key)?;
        if ip.is_ipv4() == v4 && !ip.is_unspecified() {
            return Some(ip);
        }
        let family = if v4 { "ipv4" } else { "ipv6" };
        self.reading.error(key, place, format!("{key} must be an {family} address"));
        None
    }
}

fn parse_ip(text: &str) -> Option<IpAddr> {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse().ok()
}

/// The networks of a list.
pub(crate) fn cidrs(reading: &mut Reading<'_>, path: &str, shown: &str) -> Vec<Cidr> {
    let mut found = Vec::new();
    for at in reading.list(path) {
        match Cidr::parse(at.value.trim()) {
            Some(cidr) => found.push(cidr),
            None => reading.error(path, at.pos.clone(), format!("{shown}: invalid cidr: {}", at.value)),
        }
    }
    found
}

/// Everything about addresses and ports.
pub(crate) fn network(reading: &mut Reading<'_>, machine: &Machine, dev: bool) -> (Network, Listen) {
    let mut a = Addresses { reading, machine };
    let bind = a.bind(dev);
    let v4 = a.of_family("advertise_addr_ipv4", true);
    let v6 = a.of_family("advertise_addr_ipv6", false);
    let lan = a.advertised("advertise_addr", "Advertise address");
    let lan_given = a.reading.str_set("advertise_addr").is_some_and(|at| !at.value.is_empty());
    let lan = lan.or(if bind.is_ipv4() { v4 } else { v6 }).or(v4).or(v6).unwrap_or_else(|| {
        if !bind.is_unspecified() {
            return bind;
        }
        let found = if bind.is_ipv4() { machine.private_ipv4() } else { machine.public_ipv6() };
        match found {
            Ok(ip) => ip,
            Err(_) if lan_given || a.reading.is_poisoned("bind_addr") => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Err(text) => {
                let place = a.reading.place("bind_addr");
                a.reading.error("bind_addr", place, text);
                IpAddr::V4(Ipv4Addr::LOCALHOST)
            }
        }
    });
    let wan_v4 = a.of_family("advertise_addr_wan_ipv4", true);
    let wan_v6 = a.of_family("advertise_addr_wan_ipv6", false);
    let wan = a.advertised("advertise_addr_wan", "Advertise WAN address");
    let wan = wan.or(if lan.is_ipv4() { wan_v4 } else { wan_v6 }).unwrap_or(lan);

    let mut tagged =
        BTreeMap::from([("lan".to_owned(), lan.to_string()), ("wan".to_owned(), wan.to_string())]);
    let families = [
        ("lan_ipv4", v4.or(Some(lan).filter(IpAddr::is_ipv4))),
        ("lan_ipv6", v6.or(Some(lan).filter(IpAddr::is_ipv6))),
        ("wan_ipv4", wan_v4.or(Some(wan).filter(IpAddr::is_ipv4))),
        ("wan_ipv6", wan_v6.or(Some(wan).filter(IpAddr::is_ipv6))),
    ];
    for (tag, ip) in families {
        if let Some(ip) = ip {
            tagged.insert(tag.to_owned(), ip.to_string());
        }
    }

    let grpc_default = if dev { 8502 } else { -1 };
    let ports = Ports {
        dns: a.port("ports.dns", 8600, true),
        http: a.port("ports.http", 8500, true),
        https: a.port("ports.https", -1, true),
        grpc: a.port("ports.grpc", grpc_default, true),
        server: a.port("ports.server", 8300, false).unwrap_or(8300),
        serf_lan: a.port("ports.serf_lan", 8301, false).unwrap_or(8301),
        serf_wan: a.port("ports.serf_wan", 8302, true),
    };

    let serf_lan = a.one("serf_lan").map_or(bind, |(ip, _)| ip);
    let serf_wan = a.one("serf_wan").map_or(bind, |(ip, _)| ip);
    let (mut client, place) = a.several("client_addr").unwrap_or_default();
    let given = client.len();
    client.retain(|one| matches!(one, ListenAddr::Tcp(_)));
    if client.len() < given {
        a.reading.error("client_addr", place, "client_addr cannot be a unix socket");
    }
    if client.is_empty() {
        client.push(ListenAddr::Tcp((Ipv4Addr::LOCALHOST, 0).into()));
    }
    let client_addrs = client
        .iter()
        .map(|one| match one {
            ListenAddr::Tcp(address) => address.ip().to_string(),
            one @ ListenAddr::Unix(_) => one.to_string(),
        })
        .collect();
    let mut served = |key: &str, port: Option<u16>, name: &str, sockets: bool| -> Vec<ListenAddr> {
        let (list, place) = match a.several(key) {
            Some((list, place)) => (list, place),
            None => (client.clone(), None),
        };
        let Some(port) = port else { return Vec::new() };
        let mut found = Vec::new();
        for one in list {
            match one {
                ListenAddr::Tcp(address) => found.push(ListenAddr::Tcp((address.ip(), port).into())),
                ListenAddr::Unix(_) if !sockets => {
                    a.reading.error(key, place.clone(), format!("{name} address cannot be a unix socket"));
                }
                one @ ListenAddr::Unix(_) => found.push(one),
            }
        }
        found
    };
    let dns = served("addresses.dns", ports.dns, "DNS", false);
    let http = served("addresses.http", ports.http, "HTTP", true);
    let https = served("addresses.https", ports.https, "HTTPS", true);
    let grpc = served("addresses.grpc", ports.grpc, "GRPC", true);

    let network = Network {
        bind_addr: bind,
        advertise_lan: lan,
        advertise_wan: wan,
        tagged_addresses: tagged,
        serf_lan_bind: (serf_lan, ports.serf_lan).into(),
        serf_lan_advertise: (lan, ports.serf_lan).into(),
        serf_wan_bind: ports.serf_wan.map(|port| (serf_wan, port).into()),
        serf_wan_advertise: ports.serf_wan.map(|port| (wan, port).into()),
        rpc_bind: (bind, ports.server).into(),
        rpc_advertise: (lan, ports.server).into(),
        serf_lan_allowed: cidrs(reading, "serf_lan_allowed_cidrs", "serf_lan_allowed_cidrs"),
        serf_wan_allowed: cidrs(reading, "serf_wan_allowed_cidrs", "serf_wan_allowed_cidrs"),
    };
    let listen = Listen { client_addrs, http, https, dns, grpc, unix_sockets: unix_sockets(reading), ports };
    no_address_twice(reading, &network, &listen);
    (network, listen)
}

fn unix_sockets(reading: &mut Reading<'_>) -> UnixSockets {
    let mode = reading.str_set("unix_sockets.mode").filter(|at| !at.value.is_empty()).and_then(|at| {
        let mode = u32::from_str_radix(&at.value, 8).ok().filter(|mode| *mode <= 0o7777);
        if mode.is_none() {
            let text = format!("unix_sockets.mode: {:?} is no file mode in octal digits", at.value);
            reading.error("unix_sockets.mode", at.pos.clone(), text);
        }
        mode
    });
    UnixSockets {
        user: reading.text("unix_sockets.user", ""),
        group: reading.text("unix_sockets.group", ""),
        mode,
    }
}

/// Consul's order and names.
fn no_address_twice(reading: &mut Reading<'_>, network: &Network, listen: &Listen) {
    let mut taken: Vec<(String, &str)> = Vec::new();
    let mut take = |reading: &mut Reading<'_>, address: String, name: &'static str, key: &str| {
        if let Some((_, other)) = taken.iter().find(|(known, _)| *known == address) {
            let place = reading.place(key);
            reading.error(key, place, format!("{name} address {address} already configured for {other}"));
        } else {
            taken.push((address, name));
        }
    };
    for (list, name, key) in [
        (&listen.dns, "DNS", "ports.dns"),
        (&listen.http, "HTTP", "ports.http"),
        (&listen.https, "HTTPS", "ports.https"),
        (&listen.grpc, "GRPC", "ports.grpc"),
    ] {
        for address in list {
            take(reading, address.to_string(), name, key);
        }
    }
    take(reading, network.rpc_advertise.to_string(), "RPC Advertise", "ports.server");
    take(reading, network.serf_lan_advertise.to_string(), "Serf Advertise LAN", "ports.serf_lan");
    if let Some(wan) = network.serf_wan_advertise {
        take(reading, wan.to_string(), "Serf Advertise WAN", "ports.serf_wan");
    }
}
