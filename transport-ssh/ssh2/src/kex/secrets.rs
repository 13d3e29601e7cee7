//! The shared secret of an exchange, and the keys derived from it.

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use super::method::Kex;
use crate::packet::{Cipher, DirectionKeys};
use crate::wire::Writer;

/// The messages of an exchange (RFC 5656 section 4).
pub(crate) struct ExchangeTranscript<'a> {
    pub(crate) client_ident: &'a [u8],
    pub(crate) server_ident: &'a [u8],
    pub(crate) client_init: &'a [u8],
    pub(crate) server_init: &'a [u8],
    pub(crate) host_key: &'a [u8],
    pub(crate) client_public: &'a [u8],
    pub(crate) server_public: &'a [u8],
}

/// The shared secret and the exchange hash. Overwritten when dropped.
pub(crate) struct ExchangeSecrets {
    kex: Kex,
    shared: Zeroizing<Vec<u8>>,
    hash: Vec<u8>,
}

/// The side that sends.
#[derive(Clone, Copy)]
pub(crate) enum Sender {
    Client,
    Server,
}

impl ExchangeSecrets {
    pub(crate) fn new(
        kex: Kex,
        exchange: &ExchangeTranscript<'_>,
        shared: Zeroizing<Vec<u8>>,
    ) -> Self {
        let said = Writer::new()
            .string(exchange.client_ident)
            .string(exchange.server_ident)
            .string(exchange.client_init)
            .string(exchange.server_init)
            .string(exchange.host_key)
            .string(exchange.client_public)
            .string(exchange.server_public)
            .finish();
        let mut context = digest::Context::new(kex.digest());
        context.update(&said);
        context.update(&shared);
        Self { kex, shared, hash: context.finish().as_ref().to_vec() }
    }

    /// The exchange hash. The first one, and there is no second here, is the session id as well.
    pub(crate) fn hash(&self) -> &[u8] {
        &self.hash
    }

    /// The keys of what `side` sends.
    pub(crate) fn keys(&self, side: Sender, cipher: Cipher) -> DirectionKeys {
        let (iv, key) = match side {
            Sender::Client => (b'A', b'C'),
            Sender::Server => (b'B', b'D'),
        };
        DirectionKeys {
            cipher,
            iv: self.derive(iv, cipher.iv_len()),
            key: self.derive(key, cipher.key_len()),
        }
    }

    /// RFC 4253 section 7.2.
    fn derive(&self, letter: u8, length: usize) -> Zeroizing<Vec<u8>> {
        // As long as it can become, so that it is never moved and left behind.
        let block = self.kex.digest().output_len();
        let mut derived = Zeroizing::new(Vec::with_capacity(length + block));
        while derived.len() < length {
            let mut context = digest::Context::new(self.kex.digest());
            context.update(&self.shared);
            context.update(&self.hash);
            if derived.is_empty() {
                context.update(&[letter]);
                context.update(&self.hash);
            } else {
                context.update(&derived);
            }
            derived.extend_from_slice(context.finish().as_ref());
        }
        derived.truncate(length);
        derived
    }
}
