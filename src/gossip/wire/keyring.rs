//! The keys of a pool: which one seals, which ones open.

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::aes::Aes192;
use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm};
use base64::Engine as _;
use crs_types::Secret;
use rand::RngCore;
use std::fmt;

const NONCE: usize = 12;
const TAG: usize = 16;

/// What sealing adds to a message: version, nonce, tag.
pub const OVERHEAD: usize = 1 + NONCE + TAG;
/// Keys that a ring may hold; more than any rotation needs.
pub const MAX_KEYS: usize = 32;

/// Why a key operation or an opening failed. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    /// Serf's text for a key of a wrong length.
    #[error("key size must be 16, 24 or 32 bytes")]
    Length,
    /// Serf's text for making an absent key the primary one.
    #[error("Requested key is not in the keyring")]
    Absent,
    /// Serf's text for the removal of the key in use.
    #[error("Removing the primary key is not allowed")]
    Primary,
    /// More keys than [`MAX_KEYS`].
    #[error("the keyring is full: remove old keys first")]
    Full,
    /// No key opens the message, or it is too short to be sealed.
    #[error("No installed keys could decrypt the message")]
    Sealed,
    /// Sealed in a way that this version does not know.
    #[error("encryption version {0} is unknown")]
    Version(u8),
}

#[derive(Clone)]
enum Cipher {
    Aes128(Box<Aes128Gcm>),
    Aes192(Box<AesGcm<Aes192, U12>>),
    Aes256(Box<Aes256Gcm>),
}

#[derive(Clone)]
struct Key {
    raw: Secret<Vec<u8>>,
    cipher: Cipher,
}

impl Key {
    fn new(raw: &[u8]) -> Result<Key, KeyError> {
        let cipher = match raw.len() {
            16 => Aes128Gcm::new_from_slice(raw).map(|c| Cipher::Aes128(Box::new(c))),
            24 => AesGcm::new_from_slice(raw).map(|c| Cipher::Aes192(Box::new(c))),
            32 => Aes256Gcm::new_from_slice(raw).map(|c| Cipher::Aes256(Box::new(c))),
            _ => return Err(KeyError::Length),
        };
        Ok(Key { raw: Secret::new(raw.to_vec()), cipher: cipher.map_err(|_| KeyError::Length)? })
    }

    fn open(&self, nonce: &[u8; NONCE], sealed: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
        let payload = Payload { msg: sealed, aad };
        let nonce = &(*nonce).into();
        match &self.cipher {
            Cipher::Aes128(c) => c.decrypt(nonce, payload),
            Cipher::Aes192(c) => c.decrypt(nonce, payload),
            Cipher::Aes256(c) => c.decrypt(nonce, payload),
        }
        .ok()
    }

    fn seal(&self, nonce: &[u8; NONCE], plain: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
        let payload = Payload { msg: plain, aad };
        let nonce = &(*nonce).into();
        match &self.cipher {
            Cipher::Aes128(c) => c.encrypt(nonce, payload),
            Cipher::Aes192(c) => c.encrypt(nonce, payload),
            Cipher::Aes256(c) => c.encrypt(nonce, payload),
        }
        .ok()
    }
}

/// An ordered list of keys; the first is the primary one. An empty ring is one without encryption.
#[derive(Clone, Default)]
pub struct Keyring {
    keys: Vec<Key>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys)", self.keys.len())
    }
}

impl Keyring {
    /// A ring of these keys, the first one primary. Doubles are dropped.
    ///
    /// # Errors
    /// A key that is not 16, 24 or 32 bytes long.
    pub fn new(keys: &[Secret<Vec<u8>>]) -> Result<Keyring, KeyError> {
        let mut ring = Keyring::default();
        for key in keys {
            ring.install(key.reveal())?;
        }
        Ok(ring)
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys, the primary one first.
    pub fn keys(&self) -> impl Iterator<Item = &Secret<Vec<u8>>> {
        self.keys.iter().map(|k| &k.raw)
    }

    /// The keys as the keyring file and `list-keys` write them.
    pub fn to_base64(&self) -> Vec<String> {
        self.keys.iter().map(|k| base64::engine::general_purpose::STANDARD.encode(k.raw.reveal())).collect()
    }

    /// Adds a key at the end; one that is there already is fine.
    ///
    /// # Errors
    /// [`KeyError::Length`], [`KeyError::Full`].
    pub fn install(&mut self, raw: &[u8]) -> Result<(), KeyError> {
        let key = Key::new(raw)?;
        if self.position(raw).is_some() {
            return Ok(());
        }
        if self.keys.len() >= MAX_KEYS {
            return Err(KeyError::Full);
        }
        self.keys.push(key);
        Ok(())
    }

    /// Makes a key the primary one.
    ///
    /// # Errors
    /// [`KeyError::Absent`].
    pub fn use_key(&mut self, raw: &[u8]) -> Result<(), KeyError> {
        let at = self.position(raw).ok_or(KeyError::Absent)?;
        let key = self.keys.remove(at);
        self.keys.insert(0, key);
        Ok(())
    }

    /// Takes a key out; one that is not there is fine.
    ///
    /// # Errors
    /// [`KeyError::Primary`].
    pub fn remove(&mut self, raw: &[u8]) -> Result<(), KeyError> {
        match self.position(raw) {
            Some(0) => Err(KeyError::Primary),
            Some(at) => {
                self.keys.remove(at);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn position(&self, raw: &[u8]) -> Option<usize> {
        self.keys.iter().position(|k| k.raw.reveal() == raw)
    }

    /// Seals a message with the primary key (version 1: no padding). `None` without keys.
    pub fn seal(&self, rng: &mut impl RngCore, plain: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
        let key = self.keys.first()?;
        let mut nonce = [0; NONCE];
        rng.fill_bytes(&mut nonce);
        let sealed = key.seal(&nonce, plain, aad)?;
        let mut out = Vec::with_capacity(1 + NONCE + sealed.len());
        out.push(1);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Some(out)
    }

    /// Opens a message with whichever key fits.
    ///
    /// # Errors
    /// [`KeyError::Sealed`], [`KeyError::Version`].
    pub fn open(&self, sealed: &[u8], aad: &[u8]) -> Result<Vec<u8>, KeyError> {
        let (&version, rest) = sealed.split_first().ok_or(KeyError::Sealed)?;
        if version > 1 {
            return Err(KeyError::Version(version));
        }
        let (nonce, body) = rest.split_first_chunk::<NONCE>().ok_or(KeyError::Sealed)?;
        if body.len() < TAG {
            return Err(KeyError::Sealed);
        }
        let mut plain =
            self.keys.iter().find_map(|key| key.open(nonce, body, aad)).ok_or(KeyError::Sealed)?;
        if version == 0 {
            // padded to blocks of 16; the last byte says by how much
            let pad = usize::from(*plain.last().ok_or(KeyError::Sealed)?);
            let len = plain.len().checked_sub(pad).ok_or(KeyError::Sealed)?;
            plain.truncate(len);
        }
        Ok(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    fn key(n: u8, len: u8) -> Vec<u8> {
        (n..n + len).collect()
    }

    #[test]
    fn the_primary_key_seals_and_every_key_opens() {
        let mut rng = SmallRng::seed_from_u64(1);
        for len in [16, 24, 32] {
            let mut old = Keyring::default();
            old.install(&key(0, len)).unwrap();
            let mut new = Keyring::default();
            new.install(&key(100, 32)).unwrap();
            new.install(&key(0, len)).unwrap();
            let sealed = old.seal(&mut rng, b"hello", b"aad").unwrap();
            assert_eq!(sealed.len(), 5 + OVERHEAD);
            assert_eq!(new.open(&sealed, b"aad").unwrap(), b"hello");
            assert_eq!(new.open(&sealed, b"other"), Err(KeyError::Sealed));
            let sealed = new.seal(&mut rng, b"hello", b"").unwrap();
            assert_eq!(old.open(&sealed, b""), Err(KeyError::Sealed));
        }
    }

    #[test]
    fn keys_are_managed_as_serf_manages_them() {
        let mut ring = Keyring::default();
        assert_eq!(ring.install(b"short"), Err(KeyError::Length));
        ring.install(&key(0, 16)).unwrap();
        ring.install(&key(1, 16)).unwrap();
        ring.install(&key(1, 16)).unwrap();
        assert_eq!(ring.to_base64().len(), 2);
        assert_eq!(ring.use_key(&key(2, 16)), Err(KeyError::Absent));
        ring.use_key(&key(1, 16)).unwrap();
        assert_eq!(ring.remove(&key(1, 16)), Err(KeyError::Primary));
        ring.remove(&key(0, 16)).unwrap();
        ring.remove(&key(0, 16)).unwrap();
        assert_eq!(ring.keys().next().unwrap().reveal(), &key(1, 16));
        assert!(!format!("{ring:?}").contains('['));
    }

    proptest! {
        #[test]
        fn junk_does_not_open(junk in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut ring = Keyring::default();
            ring.install(&key(0, 16)).unwrap();
            prop_assert!(ring.open(&junk, b"").is_err());
        }
    }
}
