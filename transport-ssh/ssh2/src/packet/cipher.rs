//! The ciphers: all authenticate what they encrypt, so that there are no MACs beside them.

use aws_lc_rs::aead::chacha20_poly1305_openssh as chacha;
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use bytes::BytesMut;
use zeroize::Zeroizing;

use super::sizes::{LENGTH_LEN, MAX_PACKET, MAX_PLAIN_PACKET, MIN_PADDING, TAG_LEN};
use crate::error::{Error, Violation};

const GCM_IV_LEN: usize = 12;

/// A cipher that this client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cipher {
    /// `chacha20-poly1305@openssh.com`.
    ChaCha20Poly1305,
    /// `aes256-gcm@openssh.com` (RFC 5647 as OpenSSH changed it).
    Aes256Gcm,
    /// `aes128-gcm@openssh.com`.
    Aes128Gcm,
}

impl Cipher {
    /// All of them, in the order in which OpenSSH prefers them.
    pub const ALL: [Self; 3] = [Self::ChaCha20Poly1305, Self::Aes256Gcm, Self::Aes128Gcm];

    /// Its name in a negotiation.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChaCha20Poly1305 => "chacha20-poly1305@openssh.com",
            Self::Aes256Gcm => "aes256-gcm@openssh.com",
            Self::Aes128Gcm => "aes128-gcm@openssh.com",
        }
    }

    /// How long its key is, in bytes.
    pub(crate) fn key_len(self) -> usize {
        match self {
            Self::ChaCha20Poly1305 => chacha::KEY_LEN,
            Self::Aes256Gcm => AES_256_GCM.key_len(),
            Self::Aes128Gcm => AES_128_GCM.key_len(),
        }
    }

    /// How long its initial vector is, in bytes.
    pub(crate) fn iv_len(self) -> usize {
        match self {
            Self::ChaCha20Poly1305 => 0,
            Self::Aes256Gcm | Self::Aes128Gcm => GCM_IV_LEN,
        }
    }
}

/// What was derived for one direction. Overwritten when dropped; so are the keys that are made of it.
pub(crate) struct DirectionKeys {
    pub(crate) cipher: Cipher,
    pub(crate) key: Zeroizing<Vec<u8>>,
    pub(crate) iv: Zeroizing<Vec<u8>>,
}

/// How one direction is sealed.
#[derive(Default)]
pub(crate) enum SealingKey {
    /// Not at all, before there are keys.
    #[default]
    None,
    ChaCha(Box<chacha::SealingKey>),
    Gcm(GcmKey),
}

impl SealingKey {
    pub(crate) fn new(keys: &DirectionKeys) -> Result<Self, Error> {
        Ok(match keys.cipher {
            Cipher::ChaCha20Poly1305 => {
                Self::ChaCha(Box::new(chacha::SealingKey::new(chacha_key(keys)?)))
            }
            Cipher::Aes256Gcm | Cipher::Aes128Gcm => Self::Gcm(GcmKey::new(keys)?),
        })
    }

    /// How much padding a payload of this length gets: at least four bytes, and up to whole blocks. The
    /// length field counts only where it is not apart from what is encrypted.
    pub(super) fn padding(&self, payload_len: usize) -> usize {
        let (block, counted) = match self {
            Self::None => (8, LENGTH_LEN + 1 + payload_len),
            Self::ChaCha(_) => (8, 1 + payload_len),
            Self::Gcm(_) => (16, 1 + payload_len),
        };
        let padding = block - counted % block;
        if padding < MIN_PADDING { padding + block } else { padding }
    }

    /// Seals length and content in place, and returns the tag that follows them.
    pub(super) fn seal(
        &mut self,
        sequence: u32,
        packet: &mut [u8],
    ) -> Result<Option<[u8; TAG_LEN]>, Error> {
        match self {
            Self::None => Ok(None),
            Self::ChaCha(key) => {
                let mut tag = [0; TAG_LEN];
                key.seal_in_place(sequence, packet, &mut tag);
                Ok(Some(tag))
            }
            Self::Gcm(gcm) => gcm.seal(packet).map(Some),
        }
    }
}

/// How one direction is opened.
#[derive(Default)]
pub(crate) enum OpeningKey {
    /// It is not sealed, before there are keys.
    #[default]
    None,
    ChaCha(Box<chacha::OpeningKey>),
    Gcm(GcmKey),
}

impl OpeningKey {
    pub(crate) fn new(keys: &DirectionKeys) -> Result<Self, Error> {
        Ok(match keys.cipher {
            Cipher::ChaCha20Poly1305 => {
                Self::ChaCha(Box::new(chacha::OpeningKey::new(chacha_key(keys)?)))
            }
            Cipher::Aes256Gcm | Cipher::Aes128Gcm => Self::Gcm(GcmKey::new(keys)?),
        })
    }

    pub(super) fn tag_len(&self) -> usize {
        if matches!(self, Self::None) { 0 } else { TAG_LEN }
    }

    /// What the length field says. It is not authenticated before the packet is opened, so it is only
    /// believed within bounds.
    pub(super) fn length(&self, sequence: u32, field: [u8; LENGTH_LEN]) -> Result<usize, Error> {
        let (field, block, apart, most) = match self {
            Self::None => (field, 8, LENGTH_LEN, MAX_PLAIN_PACKET),
            Self::ChaCha(key) => (key.decrypt_packet_length(sequence, field), 8, 0, MAX_PACKET),
            Self::Gcm(_) => (field, 16, 0, MAX_PACKET),
        };
        let length = usize::try_from(u32::from_be_bytes(field)).unwrap_or(usize::MAX);
        if length > MIN_PADDING && length <= most && (length + apart).is_multiple_of(block) {
            return Ok(length);
        }
        Err(Error::Peer(Violation::Malformed))
    }

    /// Opens a packet in place: length, content, tag.
    pub(super) fn open(&mut self, sequence: u32, packet: &mut BytesMut) -> Result<(), Error> {
        let altered = || Error::Peer(Violation::Altered);
        let end = packet.len() - self.tag_len();
        let (sealed, tag) = packet.split_at_mut(end);
        match self {
            Self::None => Ok(()),
            Self::ChaCha(key) => {
                let tag = tag.first_chunk().ok_or_else(altered)?;
                key.open_in_place(sequence, sealed, tag).map(|_| ()).map_err(|_| altered())
            }
            Self::Gcm(gcm) => gcm.open(sealed, tag),
        }
    }
}

fn chacha_key(keys: &DirectionKeys) -> Result<&[u8; chacha::KEY_LEN], Error> {
    keys.key.first_chunk().ok_or(Error::Local)
}

/// AES-GCM, whose nonces are counted by themselves and not by sequence numbers.
pub(crate) struct GcmKey {
    key: LessSafeKey,
    fixed: [u8; 4],
    /// Goes on where the derived vector started; wraps (RFC 5647 section 7.1).
    invocation: u64,
}

impl GcmKey {
    fn new(keys: &DirectionKeys) -> Result<Self, Error> {
        let algorithm = if keys.cipher == Cipher::Aes128Gcm { &AES_128_GCM } else { &AES_256_GCM };
        let key = UnboundKey::new(algorithm, &keys.key).map_err(|_| Error::Local)?;
        let (fixed, rest) = keys.iv.split_first_chunk().ok_or(Error::Local)?;
        let invocation = u64::from_be_bytes(*rest.first_chunk().ok_or(Error::Local)?);
        Ok(Self { key: LessSafeKey::new(key), fixed: *fixed, invocation })
    }

    fn next_nonce(&mut self) -> Nonce {
        let mut nonce = [0; GCM_IV_LEN];
        nonce[..4].copy_from_slice(&self.fixed);
        nonce[4..].copy_from_slice(&self.invocation.to_be_bytes());
        self.invocation = self.invocation.wrapping_add(1);
        Nonce::assume_unique_for_key(nonce)
    }

    fn seal(&mut self, packet: &mut [u8]) -> Result<[u8; TAG_LEN], Error> {
        let nonce = self.next_nonce();
        let (length, content) = packet.split_at_mut(LENGTH_LEN);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(&*length), content);
        let tag = tag.map_err(|_| Error::Local)?;
        tag.as_ref().first_chunk().copied().ok_or(Error::Local)
    }

    fn open(&mut self, sealed: &mut [u8], tag: &[u8]) -> Result<(), Error> {
        let nonce = self.next_nonce();
        let (length, content) = sealed.split_at_mut(LENGTH_LEN);
        let opened = self.key.open_in_place_separate_tag(nonce, Aad::from(&*length), tag, content);
        opened.map(|_| ()).map_err(|_| Error::Peer(Violation::Altered))
    }
}
