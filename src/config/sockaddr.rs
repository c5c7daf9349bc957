//! Address templates (`{{ GetPrivateIP }}`) over a list of interfaces that the caller supplies.
//!
//! A small part of go-sockaddr's language: a source of addresses, filters behind `|`, and `attr` or `join` at the end.

use std::net::IpAddr;

use crate::config::Cidr;

/// What the machine looks like, as far as the configuration depends on it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Machine {
    /// Host name: the default of `node_name`.
    pub hostname: String,
    /// Every address of every interface.
    pub interfaces: Vec<Interface>,
}

/// An address of an interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// `eth0`.
    pub name: String,
    /// The address.
    pub address: IpAddr,
    /// Length of its network's prefix, bits.
    pub prefix: u8,
    /// It is up.
    pub up: bool,
    /// It is the loopback interface.
    pub loopback: bool,
    /// The default route leads through it.
    pub default_route: bool,
}

/// The networks that go-sockaddr counts as private (RFC 6890 and the special ranges of IPv6).
const PRIVATE: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "::1/128",
    "::/128",
    "64:ff9b::/96",
    "::ffff:0:0/96",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "fc00::/7",
    "fe80::/10",
];

impl Interface {
    fn is_private(&self) -> bool {
        PRIVATE.iter().filter_map(|net| Cidr::parse(net)).any(|net| net.contains(self.address))
    }

    /// Neither loopback nor link-local: what go-sockaddr calls forwardable.
    fn is_forwardable(&self) -> bool {
        let local = match self.address {
            IpAddr::V4(v4) => v4.is_link_local() || v4.is_loopback() || v4.is_multicast(),
            IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_loopback() || v6.is_multicast(),
        };
        !local && !self.loopback
    }
}

impl Machine {
    /// The one private IPv4 address, as Consul looks for it when nothing is configured.
    ///
    /// # Errors
    /// Consul's text when there is none, or more than one.
    pub(crate) fn private_ipv4(&self) -> Result<IpAddr, &'static str> {
        let mut found = self
            .interfaces
            .iter()
            .filter(|one| one.up && one.address.is_ipv4() && one.is_forwardable() && one.is_private());
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one.address),
            (Some(_), Some(_)) => Err(
                "Multiple private IPv4 addresses found. Please configure one with 'bind' and/or 'advertise'.",
            ),
            (None, _) => Err("No private IPv4 address found"),
        }
    }

    /// The one public IPv6 address.
    ///
    /// # Errors
    /// Consul's text when there is none, or more than one.
    pub(crate) fn public_ipv6(&self) -> Result<IpAddr, &'static str> {
        let mut found = self
            .interfaces
            .iter()
            .filter(|one| one.up && one.address.is_ipv6() && one.is_forwardable() && !one.is_private());
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one.address),
            (Some(_), Some(_)) => Err(
                "Multiple public IPv6 addresses found. Please configure one with 'bind' and/or 'advertise'.",
            ),
            (None, _) => Err("No public IPv6 address found"),
        }
    }
}

/// Replaces every `{{ ... }}` of a text.
///
/// # Errors
/// In the form of Consul's error, without the key.
pub(crate) fn expand(text: &str, machine: &Machine) -> Result<String, String> {
    let fail = |why: String| format!("error parsing {text:?}: unable to parse template {text:?}: {why}");
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        out.push_str(&rest[..at]);
        let inner = &rest[at + 2..];
        let end =
            inner.find("}}").ok_or_else(|| fail("template: sockaddr.Parse:1: unclosed action".into()))?;
        let value = pipeline(&inner[..end], machine)
            .map_err(|why| fail(format!("template: sockaddr.Parse:1: {why}")))?;
        out.push_str(&value);
        rest = &inner[end + 2..];
    }
    out.push_str(rest);
    Ok(out.trim().to_owned())
}

enum Flow<'m> {
    Addresses(Vec<&'m Interface>),
    Text(String),
}

fn pipeline(body: &str, machine: &Machine) -> Result<String, String> {
    let mut flow: Option<Flow<'_>> = None;
    for stage in words(body)?.split(|word| *word == Word::Pipe) {
        let [Word::Name(name), arguments @ ..] = stage else {
            return Err("a function is missing".into());
        };
        let mut texts = Vec::new();
        for argument in arguments {
            match argument {
                Word::Text(text) | Word::Name(text) => texts.push(text.as_str()),
                Word::Pipe => {}
            }
        }
        flow = Some(stage_of(name, &texts, flow, machine)?);
    }
    match flow {
        Some(Flow::Text(text)) => Ok(text),
        Some(Flow::Addresses(list)) => {
            Ok(list.iter().map(|one| one.address.to_string()).collect::<Vec<_>>().join(" "))
        }
        None => Err("missing value for command".into()),
    }
}

#[derive(PartialEq, Debug)]
enum Word {
    Name(String),
    Text(String),
    Pipe,
}

fn words(body: &str) -> Result<Vec<Word>, String> {
    let mut out = Vec::new();
    let mut rest = body.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '|' {
            out.push(Word::Pipe);
            rest = &rest[1..];
        } else if first == '"' || first == '`' {
            let end = rest[1..].find(first).ok_or("unterminated quoted string")?;
            out.push(Word::Text(rest[1..=end].to_owned()));
            rest = &rest[end + 2..];
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || c == '|').unwrap_or(rest.len());
            out.push(Word::Name(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Ok(out)
}

fn stage_of<'m>(
    name: &str,
    arguments: &[&str],
    flow: Option<Flow<'m>>,
    machine: &'m Machine,
) -> Result<Flow<'m>, String> {
    let all = || machine.interfaces.iter().collect::<Vec<_>>();
    let outward = |list: Vec<&'m Interface>| {
        let mut list: Vec<_> = list.into_iter().filter(|one| one.up && one.is_forwardable()).collect();
        sort(&mut list, "default,type,size");
        list
    };
    let first = |list: Vec<&'m Interface>| {
        Flow::Text(list.first().map(|one| one.address.to_string()).unwrap_or_default())
    };
    let joined = |list: Vec<&'m Interface>| {
        Flow::Text(list.iter().map(|one| one.address.to_string()).collect::<Vec<_>>().join(" "))
    };
    let private = || outward(all()).into_iter().filter(|one| one.is_private()).collect::<Vec<_>>();
    let public = || outward(all()).into_iter().filter(|one| !one.is_private()).collect::<Vec<_>>();
    let named = |name: &str| outward(all()).into_iter().filter(|one| one.name == name).collect::<Vec<_>>();
    let argument = |n: usize| {
        arguments.get(n).copied().ok_or_else(|| format!("wrong number of args for {name}: want {}", n + 1))
    };
    Ok(match name {
        "GetAllInterfaces" => Flow::Addresses(all()),
        "GetDefaultInterfaces" => {
            Flow::Addresses(outward(all()).into_iter().filter(|one| one.default_route).collect())
        }
        "GetPrivateInterfaces" => Flow::Addresses(private()),
        "GetPublicInterfaces" => Flow::Addresses(public()),
        "GetPrivateIP" => first(private()),
        "GetPrivateIPs" => joined(private()),
        "GetPublicIP" => first(public()),
        "GetPublicIPs" => joined(public()),
        "GetInterfaceIP" => first(named(argument(0)?)),
        "GetInterfaceIPs" => joined(named(argument(0)?)),
        "include" | "exclude" | "sort" | "limit" | "offset" | "unique" | "attr" | "join" => {
            let Some(Flow::Addresses(list)) = flow else {
                return Err(format!("{name} needs a list of addresses before it"));
            };
            return filter(name, arguments, list);
        }
        other => return Err(format!("function {other:?} not defined")),
    })
}

fn filter<'m>(name: &str, arguments: &[&str], mut list: Vec<&'m Interface>) -> Result<Flow<'m>, String> {
    let argument = |n: usize| {
        arguments.get(n).copied().ok_or_else(|| format!("wrong number of args for {name}: want {}", n + 1))
    };
    Ok(match name {
        "include" | "exclude" => {
            let (kind, wanted) = (argument(0)?, argument(1)?);
            let mut kept = Vec::new();
            for one in list {
                if selects(kind, wanted, one)? == (name == "include") {
                    kept.push(one);
                }
            }
            Flow::Addresses(kept)
        }
        "sort" => {
            sort(&mut list, argument(0)?);
            Flow::Addresses(list)
        }
        "limit" => {
            let count = argument(0)?.parse().map_err(|_| "limit needs a number".to_owned())?;
            list.truncate(count);
            Flow::Addresses(list)
        }
        "offset" => {
            let count: usize = argument(0)?.parse().map_err(|_| "offset needs a number".to_owned())?;
            Flow::Addresses(list.into_iter().skip(count).collect())
        }
        "unique" => {
            let mut kept: Vec<&Interface> = Vec::new();
            for one in list {
                if !kept.iter().any(|other| other.address == one.address) {
                    kept.push(one);
                }
            }
            Flow::Addresses(kept)
        }
        "attr" => match list.first() {
            Some(one) => Flow::Text(attribute(argument(0)?, one)?),
            None => Flow::Text(String::new()),
        },
        _ => {
            let (which, between) = (argument(0)?, argument(1)?);
            let texts = list.iter().map(|one| attribute(which, one)).collect::<Result<Vec<_>, _>>()?;
            Flow::Text(texts.join(between))
        }
    })
}

fn attribute(which: &str, one: &Interface) -> Result<String, String> {
    Ok(match which {
        "address" | "host" => one.address.to_string(),
        "name" => one.name.clone(),
        "network" => format!("{}/{}", one.address, one.prefix),
        "mask_bits" => one.prefix.to_string(),
        "type" => (if one.address.is_ipv4() { "IPv4" } else { "IPv6" }).to_owned(),
        other => return Err(format!("unsupported attribute {other:?}")),
    })
}

fn selects(kind: &str, wanted: &str, one: &Interface) -> Result<bool, String> {
    Ok(match kind {
        "address" => wanted.parse::<IpAddr>().is_ok_and(|wanted| wanted == one.address),
        "network" => {
            let net = Cidr::parse(wanted).ok_or_else(|| format!("invalid network {wanted:?}"))?;
            net.contains(one.address)
        }
        "name" => {
            // A plain name, or a name with a closing `.*`; whole expressions are not spoken here.
            match wanted.trim_start_matches('^').trim_end_matches('$').strip_suffix(".*") {
                Some(start) => one.name.starts_with(start),
                None => one.name == wanted.trim_start_matches('^').trim_end_matches('$'),
            }
        }
        "type" => match wanted.to_ascii_lowercase().as_str() {
            "ip" => true,
            "ipv4" => one.address.is_ipv4(),
            "ipv6" => one.address.is_ipv6(),
            other => return Err(format!("unsupported address type {other:?}")),
        },
        "flag" | "flags" => {
            let mut all = true;
            for flag in wanted.split('|') {
                all &= match flag {
                    "up" => one.up,
                    "loopback" => one.loopback,
                    "forwardable" => one.is_forwardable(),
                    "down" => !one.up,
                    other => return Err(format!("unsupported flag {other:?}")),
                };
            }
            all
        }
        "rfc" | "RFC" => match wanted {
            "6890" => one.is_private(),
            "1918" => match one.address {
                IpAddr::V4(v4) => v4.is_private(),
                IpAddr::V6(_) => false,
            },
            other => return Err(format!("unsupported RFC {other}")),
        },
        other => return Err(format!("unsupported selector {other:?}")),
    })
}

fn sort(list: &mut [&Interface], by: &str) {
    // The last criterion first: the sort is stable.
    for one in by.split(',').rev() {
        let (one, down) = match one.trim().strip_prefix('-') {
            Some(one) => (one, true),
            None => (one.trim().trim_start_matches('+'), false),
        };
        match one {
            "default" => list.sort_by_key(|one| !one.default_route),
            "type" => list.sort_by_key(|one| one.address.is_ipv6()),
            "size" => list.sort_by_key(|one| one.prefix),
            "address" => list.sort_by_key(|one| one.address),
            "name" => list.sort_by(|a, b| a.name.cmp(&b.name)),
            _ => {}
        }
        if down {
            list.reverse();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        let one = |name: &str, address: &str, prefix, default_route| Interface {
            name: name.into(),
            address: address.parse().unwrap(),
            prefix,
            up: true,
            loopback: name == "lo",
            default_route,
        };
        Machine {
            hostname: "h".into(),
            interfaces: vec![
                one("lo", "127.0.0.1", 8, false),
                one("eth1", "10.0.0.5", 24, false),
                one("eth0", "192.168.1.7", 24, true),
                one("eth0", "fe80::1", 64, true),
                one("eth2", "8.8.4.4", 24, false),
            ],
        }
    }

    #[test]
    fn speaks_the_common_part_of_the_language() {
        for (text, wanted) in [
            ("1.2.3.4", Ok("1.2.3.4")),
            ("{{ GetPrivateIP }}", Ok("192.168.1.7")),
            ("{{GetPublicIP}}", Ok("8.8.4.4")),
            ("{{ GetInterfaceIP \"eth1\" }}", Ok("10.0.0.5")),
            ("{{ GetInterfaceIP \"lo\" }}", Ok("")),
            (
                "{{ GetPrivateInterfaces | include \"network\" \"10.0.0.0/8\" | attr \"address\" }}",
                Ok("10.0.0.5"),
            ),
            (
                "{{ GetAllInterfaces | include \"name\" \"^eth.*\" | include \"type\" \"ipv4\" | sort \"address\" | join \"address\" \" \" }}",
                Ok("8.8.4.4 10.0.0.5 192.168.1.7"),
            ),
            ("{{ GetAllInterfaces | exclude \"flags\" \"loopback\" | limit 1 | attr \"name\" }}", Ok("eth1")),
            (
                "{{ zz }}",
                Err(
                    "error parsing \"{{ zz }}\": unable to parse template \"{{ zz }}\": template: sockaddr.Parse:1: function \"zz\" not defined",
                ),
            ),
        ] {
            assert_eq!(expand(text, &machine()).as_deref().map_err(String::as_str), wanted, "{text}");
        }
        assert!(expand("{{ GetPrivateIP", &machine()).is_err());
        assert!(machine().private_ipv4().unwrap_err().starts_with("Multiple private"));
    }
}
