//! Everything that is read on the server port. What can be read is written in one form, which reads the same.
#![no_main]

use crs_rpc::codec::{Decoder, Extent, Time, Value, Wire, decode, encode};
use crs_rpc::envelope::{RequestHeader, take_response};
use crs_rpc::methods::{
    acl, catalog, coordinate, health, internal, kv, operator, prepared_query, session, txn,
};
use crs_rpc::snapshot::SnapshotRequest;
use libfuzzer_sys::fuzz_target;

fn settles<T: Wire>(data: &[u8]) {
    if let Ok(value) = decode::<T>(data) {
        let written = encode(&value);
        let Ok(again) = decode::<T>(&written) else { panic!("what was written cannot be read") };
        assert_eq!(encode(&again), written);
    }
}

fuzz_target!(|data: &[u8]| {
    let _ = Decoder::new(data).skip();
    let _ = take_response(data);
    let mut extent = Extent::new(1 << 16);
    let whole = Extent::new(1 << 16).scan(data);
    // Piece by piece it ends in the same place.
    let pieces = (0..=data.len()).find_map(|end| extent.scan(&data[..end]).transpose());
    match (whole, pieces) {
        (Ok(Some(end)), Some(Ok(same))) => assert_eq!(end, same),
        (Ok(None), None) | (Err(_), Some(Err(_))) => {}
        other => panic!("{other:?}"),
    }
    settles::<Value>(data);
    settles::<Vec<Time>>(data);
    settles::<RequestHeader>(data);
    settles::<SnapshotRequest>(data);
    settles::<catalog::RegisterRequest>(data);
    settles::<catalog::Services>(data);
    settles::<catalog::ServiceNodes>(data);
    settles::<catalog::NodeServices>(data);
    settles::<health::Instances>(data);
    settles::<kv::Entries>(data);
    settles::<session::ApplyRequest>(data);
    settles::<coordinate::UpdateRequest>(data);
    settles::<internal::NodeDump>(data);
    settles::<operator::ClusterHealth>(data);
    settles::<txn::ApplyRequest>(data);
    settles::<prepared_query::Executed>(data);
    settles::<acl::TokenReply>(data);
});
