//! The names of the log's files.

/// `log-<16 hexadecimal digits>`.
pub(crate) fn segment(sequence: u64) -> String {
    format!("log-{sequence:016x}")
}

pub(crate) fn parse_segment(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("log-").filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

/// A file of zeros that waits to become a segment, or is on its way to be one.
pub(crate) fn spare(number: u64) -> String {
    format!("spare-{number:016x}")
}

pub(crate) fn is_spare(name: &str) -> bool {
    name.starts_with("spare-")
}
