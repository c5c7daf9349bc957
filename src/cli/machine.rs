//! The machine's name and addresses, for the configuration.

use std::ffi::CStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crs_config::{Interface, Machine};

/// Host name and interfaces. What cannot be found out is left empty: the configuration says what it misses.
pub(crate) fn machine() -> Machine {
    let default_routes = default_routes();
    let mut interfaces = interfaces();
    for interface in &mut interfaces {
        interface.default_route = default_routes.contains(&interface.name);
    }
    Machine { hostname: hostname(), interfaces }
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// Names of the interfaces that the default route of IPv4 leads through.
fn default_routes() -> Vec<String> {
    let table = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let rows = table.lines().skip(1).filter_map(|line| {
        let mut cells = line.split_whitespace();
        let (name, destination) = (cells.next()?, cells.next()?);
        (destination == "00000000").then(|| name.to_owned())
    });
    rows.collect()
}

// The addresses of the machine are in no file; the call below is the way the system offers.
#[allow(unsafe_code)]
fn interfaces() -> Vec<Interface> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: the call fills in the pointer or returns an error; the list is freed once, below.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut next = list;
    while !next.is_null() {
        // SAFETY: `next` is an element of the list, which lives until it is freed.
        let one = unsafe { &*next };
        next = one.ifa_next;
        // SAFETY: address and mask are null or point to a socket address of the family they name.
        let (address, mask) = unsafe { (address_of(one.ifa_addr), address_of(one.ifa_netmask)) };
        let Some(address) = address else { continue };
        // SAFETY: the name is a terminated string of the list.
        let name = unsafe { CStr::from_ptr(one.ifa_name) }.to_string_lossy().into_owned();
        let flag = |flag: i32| one.ifa_flags & flag as u32 != 0;
        found.push(Interface {
            name,
            address,
            prefix: mask.map_or(0, bits_of),
            up: flag(libc::IFF_UP),
            loopback: flag(libc::IFF_LOOPBACK),
            default_route: false,
        });
    }
    // SAFETY: the list came from getifaddrs and nothing of it is used any more.
    unsafe { libc::freeifaddrs(list) };
    found
}

#[allow(unsafe_code)]
unsafe fn address_of(address: *const libc::sockaddr) -> Option<IpAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: the caller vouches for the pointer; the family says which structure it is.
    unsafe {
        match i32::from((*address).sa_family) {
            libc::AF_INET => {
                let v4 = address.cast::<libc::sockaddr_in>();
                Some(Ipv4Addr::from(u32::from_be((*v4).sin_addr.s_addr)).into())
            }
            libc::AF_INET6 => {
                let v6 = address.cast::<libc::sockaddr_in6>();
                Some(Ipv6Addr::from((*v6).sin6_addr.s6_addr).into())
            }
            _ => None,
        }
    }
}

fn bits_of(mask: IpAddr) -> u8 {
    let bits = match mask {
        IpAddr::V4(mask) => mask.to_bits().leading_ones(),
        IpAddr::V6(mask) => mask.to_bits().leading_ones(),
    };
    bits as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_loopback_address() {
        let machine = machine();
        assert!(!machine.hostname.is_empty());
        let lo =
            machine.interfaces.iter().find(|one| one.address == IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
        assert!(lo.loopback && lo.up && lo.prefix == 8, "{lo:?}");
    }
}
