//! Loopback addresses that nobody else uses.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A port that no agent uses; holding it is the claim on an address.
const CLAIM_PORT: u16 = 8299;

/// An address of 127.0.0.0/8 that is ours while this value lives, across processes too.
#[derive(Debug)]
pub struct Loopback {
    address: Ipv4Addr,
    _claim: TcpListener,
}

impl Loopback {
    /// Claims an address that no other test of this machine holds.
    ///
    /// # Panics
    /// When no address of thousands tried is free.
    pub fn claim() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        let start = std::process::id().wrapping_mul(2_654_435_761) ^ clock;
        for _ in 0..5000 {
            let mixed = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(40_503));
            let [_, b, c, d] = mixed.to_be_bytes();
            let address = Ipv4Addr::new(127, b.clamp(1, 250), c, d.clamp(2, 250));
            if let Ok(claim) = TcpListener::bind((address, CLAIM_PORT)) {
                return Loopback { address, _claim: claim };
            }
        }
        panic!("no loopback address is free: is 127.0.0.0/8 configured on this machine?");
    }

    /// The address.
    pub fn get(&self) -> Ipv4Addr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn claims_differ() {
        let claims: Vec<Loopback> = (0..20).map(|_| Loopback::claim()).collect();
        let distinct: HashSet<Ipv4Addr> = claims.iter().map(Loopback::get).collect();
        assert_eq!(distinct.len(), claims.len());
        assert!(distinct.iter().all(Ipv4Addr::is_loopback));
    }
}
