//! Frames from a peer: whatever they are, the connection ends or goes on, within its limits.
#![no_main]

use crs_rpc::mux::{MuxLimits, Side, session};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fuzz_target!(|data: &[u8]| {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else { return };
    runtime.block_on(async {
        let (mut far, near) = tokio::io::duplex(1 << 20);
        let limits = MuxLimits { streams: 4, unread_bytes: 1 << 16 };
        let (mux, mut incoming, driver) = session(near, Side::Server, limits);
        let peer = async {
            let _ = far.write_all(data).await;
            let _ = far.shutdown().await;
            let _ = far.read_to_end(&mut Vec::new()).await;
        };
        let user = async {
            while let Some(mut stream) = incoming.accept().await {
                let mut space = [0; 64];
                if let Ok(len) = stream.read(&mut space).await {
                    let _ = stream.write(&space[..len]).await;
                }
            }
        };
        tokio::join!(peer, user, driver);
        assert_eq!(mux.streams(), 0);
    });
});
