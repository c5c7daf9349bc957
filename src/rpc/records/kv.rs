//! Pairs of the key/value store in messages (`DirEntry`).

use crs_types::{KvEntry, SessionId};

use super::{put_struct, take_struct};
use crate::codec::{DecodeError, Decoder, Encoder, Wire};

impl Wire for KvEntry {
    fn put(&self, out: &mut Encoder) {
        put_struct!(out;
            "CreateIndex" => self.create_index,
            "Flags" => self.flags,
            "Key" => self.key,
            "LockIndex" => self.lock_index,
            "ModifyIndex" => self.modify_index,
            "Session" => self.session.clone().unwrap_or_default(),
            "Value" => self.value,
        );
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut entry = KvEntry::default();
        take_struct(input, |name, input| {
            match name {
                b"CreateIndex" => entry.create_index = Wire::take(input)?,
                b"Flags" => entry.flags = Wire::take(input)?,
                b"Key" => entry.key = Wire::take(input)?,
                b"LockIndex" => entry.lock_index = Wire::take(input)?,
                b"ModifyIndex" => entry.modify_index = Wire::take(input)?,
                b"Session" => {
                    entry.session = Some(SessionId::take(input)?).filter(|session| !session.is_empty());
                }
                b"Value" => entry.value = Wire::take(input)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(entry)
    }
}
