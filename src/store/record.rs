//! A record as the state keeps it: value, indexes, and the room for its encoded forms.

use std::sync::OnceLock;

use crs_types::Index;

/// A record with its indexes. Replaced as a whole on change, so that whatever was encoded of it stays true.
#[derive(Debug)]
pub struct Stored<T> {
    /// The record.
    pub value: T,
    /// Index of the command that made it.
    pub create_index: Index,
    /// Index of the command that last changed it.
    pub modify_index: Index,
    encoded: [OnceLock<Box<[u8]>>; 2],
}

impl<T: PartialEq> PartialEq for Stored<T> {
    /// The encoded forms follow from the rest.
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
            && self.create_index == other.create_index
            && self.modify_index == other.modify_index
    }
}

impl<T: Eq> Eq for Stored<T> {}

impl<T> Stored<T> {
    /// A record that is not encoded yet.
    pub fn new(value: T, create_index: Index, modify_index: Index) -> Self {
        Stored { value, create_index, modify_index, encoded: Default::default() }
    }

    /// The encoded form number `FORM` (0 or 1; what they mean is the reader's business), made at first need and kept
    /// as long as the record.
    pub fn encoded<const FORM: usize>(&self, encode: impl FnOnce(&Self) -> Vec<u8>) -> &[u8] {
        const { assert!(FORM < 2) };
        self.encoded[FORM].get_or_init(|| encode(self).into_boxed_slice())
    }
}
