//! Consul's snapshot archive: a compressed tar of `meta.json`, `state.bin` and `SHA256SUMS`.

use std::io::{self, Read};

use flate2::read::GzDecoder;
use ring::digest::{Context, SHA256};
use serde::Deserialize;

/// Largest `meta.json` and `SHA256SUMS`, bytes.
const MAX_TEXT_BYTES: u64 = 1 << 20;
/// tar's unit, bytes.
const BLOCK: usize = 512;

/// What `meta.json` says.
#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Meta {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    pub(crate) size: i64,
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) version: i64,
}

/// Why an archive is not one, or not whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Not compressed, or cut off.
    #[error("failed to decompress snapshot: {0}")]
    Gzip(&'static str),
    /// Reading failed.
    #[error("failed to read snapshot: {0}")]
    Read(#[from] io::Error),
    /// Not a tar, or one of other files.
    #[error("failed to read snapshot: {0}")]
    Layout(String),
    /// A file is not what the list of sums says.
    #[error("failed checking integrity of snapshot: hash check failed for {0:?}")]
    Sum(String),
}

/// Reads an archive to its end, compares the sums, and says what it holds.
pub(crate) fn verify(source: impl Read) -> Result<Meta, Fault> {
    let mut source = io::BufReader::new(source);
    let mut magic = [0; 2];
    match source.read_exact(&mut magic) {
        Ok(()) if magic == [0x1f, 0x8b] => {}
        Ok(()) => return Err(Fault::Gzip("gzip: invalid header")),
        Err(_) => return Err(Fault::Gzip("EOF")),
    }
    let mut tar = GzDecoder::new((&magic[..]).chain(source));
    let mut sums: Vec<(String, String)> = Vec::new();
    let (mut meta, mut list) = (None, None);
    while let Some((name, size)) = header(&mut tar)? {
        let mut file = (&mut tar).take(size);
        let mut context = Context::new(&SHA256);
        let mut text = Vec::new();
        let keep = name != "state.bin";
        if keep && size > MAX_TEXT_BYTES {
            return Err(Fault::Layout(format!("{name:?} has {size} bytes")));
        }
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            context.update(&buffer[..count]);
            if keep {
                text.extend_from_slice(&buffer[..count]);
            }
        }
        if file.limit() > 0 {
            return Err(Fault::Layout(format!("{name:?} is cut off")));
        }
        let padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        io::copy(&mut (&mut tar).take(padding), &mut io::sink())?;
        let sum = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        match name.as_str() {
            "meta.json" => meta = Some(text),
            "SHA256SUMS" => list = Some(text),
            "state.bin" => {}
            other => return Err(Fault::Layout(format!("unexpected file {other:?} in snapshot"))),
        }
        if name != "SHA256SUMS" {
            sums.push((name, sum));
        }
    }
    // Up to the end of the compressed data, whose own sum tells whether something is missing.
    io::copy(&mut tar, &mut io::sink())?;
    let list = list.ok_or_else(|| Fault::Layout("SHA256SUMS is missing".into()))?;
    let list = String::from_utf8_lossy(&list);
    for (name, sum) in &sums {
        let listed =
            list.lines().filter_map(|line| line.split_once(' ')).find(|(_, file)| file.trim() == name);
        if listed.is_none_or(|(listed, _)| listed != sum) {
            return Err(Fault::Sum(name.clone()));
        }
    }
    if !sums.iter().any(|(name, _)| name == "state.bin") {
        return Err(Fault::Layout("state.bin is missing".into()));
    }
    let meta = meta.ok_or_else(|| Fault::Layout("meta.json is missing".into()))?;
    serde_json::from_slice(&meta)
        .map_err(|error| Fault::Layout(format!("failed to decode snapshot metadata: {error}")))
}

/// The next file's name and size; `None` at the end.
fn header(tar: &mut impl Read) -> Result<Option<(String, u64)>, Fault> {
    let mut block = [0; BLOCK];
    let mut filled = 0;
    while filled < BLOCK {
        match tar.read(&mut block[filled..])? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(Fault::Layout("unexpected EOF".into())),
            count => filled += count,
        }
    }
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let field = |from: usize, to: usize| {
        let bytes = block[from..to].split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(bytes).trim().to_owned()
    };
    let size = u64::from_str_radix(&field(124, 136), 8)
        .map_err(|_| Fault::Layout("archive/tar: invalid tar header".into()))?;
    Ok(Some((field(0, 100), size)))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tar = Vec::new();
        for (name, data) in files {
            let mut block = [0u8; BLOCK];
            block[..name.len()].copy_from_slice(name.as_bytes());
            block[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
            tar.extend(block);
            tar.extend(*data);
            tar.resize(tar.len().next_multiple_of(BLOCK), 0);
        }
        tar.resize(tar.len() + 2 * BLOCK, 0);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&tar).unwrap();
        gz.finish().unwrap()
    }

    fn sum(data: &[u8]) -> String {
        ring::digest::digest(&SHA256, data).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn whole_archives_pass_and_damaged_ones_do_not() {
        let meta = br#"{"Version":1,"ID":"2-3-4","Index":3,"Term":2,"Size":5}"#;
        let state = b"state";
        let sums = format!("{}  meta.json\n{}  state.bin\n", sum(meta), sum(state));
        let good = archive(&[("meta.json", meta), ("state.bin", state), ("SHA256SUMS", sums.as_bytes())]);
        let found = verify(good.as_slice()).unwrap();
        assert_eq!((found.id.as_str(), found.index, found.term), ("2-3-4", 3, 2));
        let changed =
            archive(&[("meta.json", meta), ("state.bin", b"stale"), ("SHA256SUMS", sums.as_bytes())]);
        assert!(matches!(verify(changed.as_slice()), Err(Fault::Sum(name)) if name == "state.bin"));
        let missing = archive(&[("meta.json", meta), ("SHA256SUMS", sums.as_bytes())]);
        assert!(verify(missing.as_slice()).is_err());
        let fault = verify(&b"{}"[..]).unwrap_err();
        assert_eq!(fault.to_string(), "failed to decompress snapshot: gzip: invalid header");
        for cut in 0..good.len() {
            assert!(verify(&good[..cut]).is_err(), "{cut} of {} bytes", good.len());
        }
    }
}
