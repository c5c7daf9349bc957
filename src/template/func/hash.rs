//! Digests. None of them guards a secret of ours: they are what templates ask for.

use super::{Func, Param, func, str_at};
use crate::context::{Context, Outcome};
use crate::value::Value;
use Param::Str;

pub(super) static FUNCS: &[Func] = &[
    func("sha256Hex", &[Str], |context, values| hex_of(context, values, |text| sha256(text).to_vec())),
    func("md5sum", &[Str], |context, values| hex_of(context, values, |text| md5(text).to_vec())),
    func("hmacSHA256Hex", &[Str, Str], |context, values| {
        let (message, key) = (str_at(values, 0), str_at(values, 1));
        context.work(message.len())?;
        Ok(Value::text(hex(&hmac_sha256(&key, &message))))
    }),
];

fn hex_of(context: &mut Context<'_>, values: &[Value], digest: fn(&[u8]) -> Vec<u8>) -> Outcome {
    let text = str_at(values, 0);
    context.work(text.len())?;
    Ok(Value::text(hex(&digest(&text))))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text, a one bit, zeros, and its length in bits, in blocks of 64 bytes.
fn padded(text: &[u8], big_endian: bool) -> Vec<u8> {
    let mut block = text.to_vec();
    block.push(0x80);
    while block.len() % 64 != 56 {
        block.push(0);
    }
    let bits = (text.len() as u64).wrapping_mul(8);
    block.extend_from_slice(&if big_endian { bits.to_be_bytes() } else { bits.to_le_bytes() });
    block
}

/// The first 32 bits of the fraction of a root of each of the first primes (FIPS 180-4).
fn prime_roots<const N: usize>(root: fn(f64) -> f64) -> [u32; N] {
    let mut out = [0; N];
    let mut candidate = 2_u32;
    let mut found = 0;
    while found < N {
        if (2..candidate).take_while(|d| d * d <= candidate).all(|d| !candidate.is_multiple_of(d)) {
            let fraction = root(f64::from(candidate)).fract();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            {
                out[found] = (fraction * 4_294_967_296.0) as u32;
            }
            found += 1;
        }
        candidate += 1;
    }
    out
}

fn sha256(text: &[u8]) -> [u8; 32] {
    let k: [u32; 64] = prime_roots(f64::cbrt);
    let mut state: [u32; 8] = prime_roots(f64::sqrt);
    for block in padded(text, true).chunks_exact(64) {
        let mut w = [0_u32; 64];
        for (word, bytes) in w.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        for i in 16..64 {
            let a = w[i - 15].rotate_right(7) ^ w[i - 15].rotate_right(18) ^ (w[i - 15] >> 3);
            let b = w[i - 2].rotate_right(17) ^ w[i - 2].rotate_right(19) ^ (w[i - 2] >> 10);
            w[i] = w[i - 16].wrapping_add(a).wrapping_add(w[i - 7]).wrapping_add(b);
        }
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
        for i in 0..64 {
            let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let choice = (e & f) ^ (!e & g);
            let t1 = h.wrapping_add(s1).wrapping_add(choice).wrapping_add(k[i]).wrapping_add(w[i]);
            let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let majority = (a & b) ^ (a & c) ^ (b & c);
            let t2 = s0.wrapping_add(majority);
            (h, g, f, e, d, c, b, a) = (g, f, e, d.wrapping_add(t1), c, b, a, t1.wrapping_add(t2));
        }
        for (slot, value) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *slot = slot.wrapping_add(value);
        }
    }
    let mut out = [0; 32];
    for (slot, word) in out.chunks_exact_mut(4).zip(state) {
        slot.copy_from_slice(&word.to_be_bytes());
    }
    out
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&sha256(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner: Vec<u8> = block.iter().map(|byte| byte ^ 0x36).chain(message.iter().copied()).collect();
    let outer: Vec<u8> = block.iter().map(|byte| byte ^ 0x5c).chain(sha256(&inner)).collect();
    sha256(&outer)
}

/// RFC 1321.
fn md5(text: &[u8]) -> [u8; 16] {
    const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in padded(text, false).chunks_exact(64) {
        let mut words = [0_u32; 16];
        for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        let [mut a, mut b, mut c, mut d] = state;
        for i in 0_u32..64 {
            let (mix, at) = match i / 16 {
                0 => ((b & c) | (!b & d), i),
                1 => ((d & b) | (!d & c), (5 * i + 1) % 16),
                2 => (b ^ c ^ d, (3 * i + 5) % 16),
                _ => (c ^ (b | !d), (7 * i) % 16),
            };
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let constant = (f64::from(i + 1).sin().abs() * 4_294_967_296.0) as u32;
            let sum = a.wrapping_add(mix).wrapping_add(constant).wrapping_add(words[at as usize]);
            let shift = SHIFTS[(i / 16) as usize][(i % 4) as usize];
            (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(shift)));
        }
        for (slot, value) in state.iter_mut().zip([a, b, c, d]) {
            *slot = slot.wrapping_add(value);
        }
    }
    let mut out = [0; 16];
    for (slot, word) in out.chunks_exact_mut(4).zip(state) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{hex, hmac_sha256, md5, sha256};

    #[test]
    fn digests_match_their_standards() {
        assert_eq!(hex(&sha256(b"abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(hex(&sha256(b"")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(hex(&sha256(&[b'a'; 200])).len(), 64);
        assert_eq!(hex(&md5(b"")), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(hex(&md5(b"message digest")), "f96b697d7cb7938d525a2f31aaf161d0");
        // RFC 4231, case 2
        assert_eq!(
            hex(&hmac_sha256(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
