use super::*;
use proptest::prelude::*;

fn hex(s: &str) -> Vec<u8> {
    crate::vectors::hex(s)
}

#[test]
fn the_reference_output_is_met_byte_for_byte() {
    let mut seen = 0;
    for case in crate::vectors::read("lzw.txt") {
        let Some(frame) = case.frames.first() else { continue };
        let input = match case.notes.first() {
            Some(note) if note.starts_with("output length") => xorshift(20_000),
            Some(note) => hex(note),
            None => Vec::new(),
        };
        assert_eq!(compress(&input), frame.bytes, "{}", case.title);
        assert_eq!(decompress(&frame.bytes, 1 << 20).unwrap(), input, "{}", case.title);
        seen += 1;
    }
    assert!(seen >= 5, "only {seen} cases");
}

fn xorshift(n: usize) -> Vec<u8> {
    let mut x = 1u32;
    (0..n)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            x as u8
        })
        .collect()
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let bomb = compress(&vec![0; 1 << 20]);
    assert!(bomb.len() < 4096, "{}", bomb.len());
    assert_eq!(decompress(&bomb, 65_536), Err(LzwError::TooLarge(65_536)));
}

#[test]
fn a_code_from_the_future_is_refused() {
    // clear, then code 300 in 9 bits
    let bits: u32 = 256 | 300 << 9;
    assert_eq!(decompress(&bits.to_le_bytes(), 100), Err(LzwError::Code));
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(input in proptest::collection::vec(any::<u8>(), 0..20_000)) {
        prop_assert_eq!(decompress(&compress(&input), input.len()).unwrap(), input);
    }

    #[test]
    fn repetitive_input_comes_out_too(unit in proptest::collection::vec(0u8..4, 1..9), times in 1usize..6000) {
        let input = unit.repeat(times);
        prop_assert_eq!(decompress(&compress(&input), input.len()).unwrap(), input);
    }

    #[test]
    fn junk_never_panics_nor_grows(junk in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(out) = decompress(&junk, 10_000) {
            prop_assert!(out.len() <= 10_000);
        }
    }
}
