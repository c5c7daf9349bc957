//! Compression, coordinates, snapshot files, and everything that travels inside a query.
#![no_main]

use crs_gossip::serf::{Coordinate, Snapshot};
use crs_gossip::wire::lzw::{compress, decompress};
use crs_gossip::wire::serf::{KeyResponse, WireMember, decode_key_request, decode_tags, encode_tags};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(plain) = decompress(data, 1 << 16) {
        assert!(plain.len() <= 1 << 16);
    }
    assert_eq!(decompress(&compress(data), data.len()).as_deref(), Ok(data));
    let _ = Coordinate::decode(data);
    let _ = KeyResponse::decode(data);
    let _ = WireMember::decode(data);
    let _ = decode_key_request(data);
    let tags = decode_tags(data);
    assert_eq!(decode_tags(&encode_tags(&tags)), tags);
    let _ = Snapshot::replay(&String::from_utf8_lossy(data), false);
});
