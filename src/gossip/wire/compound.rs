//! Several messages in one: a count, their lengths, then the messages back to back.

use super::message::kind;

/// Never more: memberlist 0.2.2 counts in 8 bits and misreads what has 128 members or more.
pub const MAX_MEMBERS: usize = 127;
/// The bytes that a compound costs by itself.
pub const HEADER: usize = 2;
/// The bytes that each member costs more.
pub const PER_MEMBER: usize = 2;

/// Packs messages into as few compounds as the limit on members needs. One message stays as it is.
pub fn encode(messages: &[impl AsRef<[u8]>]) -> Vec<Vec<u8>> {
    if let [one] = messages {
        return vec![one.as_ref().to_vec()];
    }
    messages
        .chunks(MAX_MEMBERS)
        .map(|chunk| {
            let body: usize = chunk.iter().map(|m| m.as_ref().len()).sum();
            let mut out = Vec::with_capacity(HEADER + PER_MEMBER * chunk.len() + body);
            out.push(kind::COMPOUND);
            out.push(chunk.len() as u8);
            for message in chunk {
                let len = u16::try_from(message.as_ref().len()).unwrap_or(u16::MAX);
                out.extend_from_slice(&len.to_be_bytes());
            }
            for message in chunk {
                let message = message.as_ref();
                out.extend_from_slice(&message[..message.len().min(usize::from(u16::MAX))]);
            }
            out
        })
        .collect()
}

/// The members of a compound (without its type byte) that are whole, and how many are cut off.
pub fn decode(body: &[u8]) -> (impl Iterator<Item = &[u8]>, usize) {
    let count = body.first().map_or(0, |n| usize::from(*n));
    let lengths = body.get(1..1 + 2 * count).unwrap_or(&[]);
    let mut rest = body.get(1 + 2 * count..).unwrap_or(&[]);
    let mut whole = 0;
    let mut left = rest.len();
    for pair in lengths.chunks_exact(2) {
        let len = usize::from(u16::from_be_bytes([pair[0], pair[1]]));
        if len > left {
            break;
        }
        left -= len;
        whole += 1;
    }
    let members = lengths.chunks_exact(2).take(whole).map(move |pair| {
        let (member, after) = rest.split_at(usize::from(u16::from_be_bytes([pair[0], pair[1]])));
        rest = after;
        member
    });
    (members, count - whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cut_tail_leaves_the_whole_members() {
        let packed = encode(&[&b"one"[..], b"two", b"three"]).remove(0);
        let (members, cut) = decode(&packed[1..packed.len() - 1]);
        assert_eq!(members.collect::<Vec<_>>(), [b"one", b"two"]);
        assert_eq!(cut, 1);
    }

    #[test]
    fn many_members_are_split_below_the_count_that_old_agents_misread() {
        let packed = encode(&vec![[1u8]; 300]);
        assert_eq!(packed.iter().map(|p| p[1]).collect::<Vec<_>>(), [127, 127, 46]);
    }

    proptest! {
        #[test]
        fn junk_yields_slices_of_itself(junk in proptest::collection::vec(any::<u8>(), 0..300)) {
            let (members, cut) = decode(&junk);
            prop_assert!(members.map(<[u8]>::len).sum::<usize>() <= junk.len());
            prop_assert!(cut <= 255);
        }
    }
}
