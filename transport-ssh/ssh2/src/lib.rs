//! An SSH-2 client without I/O that starts a command on a known server in three round trips.
//!
//! An ordinary client needs nine or more: it waits for each answer before it sends the next message. After
//! an earlier login, most answers of a server are known. This client sends at once everything that an
//! answer cannot change:
//!
//! 1. The TCP connection: a round trip outside of this crate.
//! 2. Identification, KEXINIT and the client's half of the key exchange. The server answers with its own
//!    lists, its half, the host key and a signature.
//! 3. When the signature is verified **and** the caller has accepted the host key: NEWKEYS, the signed
//!    login request, the channel, the command and its first input. The server answers with the command's
//!    output.
//!
//! [`Client`] is the only entry point. It connects to one server, logs in with one key, runs one command in
//! one channel, and has one set of keys: it is for the first seconds of a connection, until an ordinary
//! `ssh` is up. If it cannot do something, it returns an [`Error`]; it never works around a problem. It has
//! no I/O, no clock and no thread, and its memory is bounded whatever a server sends.
//!
//! ```no_run
//! use std::io::{Read as _, Write as _};
//! use rejoin_ssh2::{Client, Config, Event};
//!
//! # fn sign(message: &[u8]) -> Vec<u8> { message.to_vec() }
//! fn run(
//!     config: Config,
//!     known_host: &[u8],
//!     mut stream: std::net::TcpStream,
//! ) -> Result<(), Box<dyn std::error::Error>> {
//!     let mut client = Client::new(config)?;
//!     let mut buffer = [0; 16 * 1024];
//!     loop {
//!         while let Some(event) = client.event() {
//!             match event {
//!                 Event::HostKey { blob, .. } if blob == known_host => client.accept_host()?,
//!                 Event::HostKey { .. } => return Err("the host key is not the known one".into()),
//!                 Event::Sign(message) => client.signed(&sign(&message))?,
//!                 Event::Data(data) => {
//!                     std::io::stdout().write_all(&data)?;
//!                     client.consumed(data.len())?;
//!                 }
//!                 other => println!("{other:?}"),
//!             }
//!         }
//!         stream.write_all(client.output())?;
//!         client.sent(client.output().len())?;
//!         if client.is_over() {
//!             return Ok(());
//!         }
//!         let count = stream.read(&mut buffer)?;
//!         if count == 0 {
//!             return Err("the server closed the connection".into());
//!         }
//!         client.input(&buffer[..count])?;
//!     }
//! }
//! ```
//!
//! # Predicted, not guessed
//!
//! RFC 4253 section 7 has guesses: a client may send its half of an exchange before the methods are
//! negotiated, and announces that in its KEXINIT. Such a guess is right only if both sides *prefer* the same
//! key exchange and host key type. A client cannot ensure that: with most servers the guess would be wrong,
//! and some servers do not handle a wrong guess. But the negotiation chooses the first name in the client's
//! list that the server also has. So a client that knows the server's lists, and offers a single name of
//! each, knows the result.
//!
//! **This departs from RFC 4253 section 7.1** in one point: a packet that is sent before the negotiation
//! must be announced with `first_kex_packet_follows`, and this one is not. To a server that reads in order,
//! the client looks like one with a very short round trip. If the server's lists have changed, there is no
//! common method and the connection ends, as with any client that offers this little. The error is
//! [`Error::Mispredicted`] (or the server's disconnect message), and the caller must learn the server
//! again.
//!
//! The client predicts the result of the negotiation, the number of the channel, whether the server
//! supports logins that name the host (`publickey-hostbound-v00@openssh.com`), and how much input the server
//! accepts when it has started the command. That input is sent in the same flight as the command; a server
//! that reads in order has granted the window by then. The client never predicts the server's bytes: the
//! exchange hash is computed from what was received.
//!
//! # What a server learns, and when
//!
//! Before the host key is accepted: this client's identification with its version, its lists, and an
//! ephemeral public key. Nothing names the user, the key or the command. These follow encrypted, with
//! keys that only the accepted host has. A host that is not accepted learns nothing of them.
//!
//! The client requires strict key exchange (CVE-2023-48795) from the server.
//!
//! # Learning
//!
//! With [`HandshakeMode::Stepwise`] the client predicts nothing. After the login, [`Client::learnt`] has what the
//! connection showed about the server, for [`HandshakeMode::Predicted`].
#![forbid(unsafe_code)]

mod binding;
mod client;
mod config;
mod error;
mod event;
#[cfg(test)]
#[path = "hex_tests.rs"]
mod hex;
mod host_key;
mod kex;
mod message;
mod negotiate;
mod packet;
mod profile;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
pub mod wire;

pub use binding::SessionBinding;
pub use client::{Client, MAX_OUTPUT, WINDOW};
pub use config::{Config, HandshakeMode, UserKey};
pub use error::{Error, Method, Misprediction, Misuse, Unsuitable, Violation};
pub use event::{Event, Refusal};
pub use host_key::{HostKeyAlgorithm, Scheme};
pub use kex::{EphemeralKey, Kex};
pub use negotiate::NameLists;
pub use packet::Cipher;
pub use profile::{Flight, ServerProfile, mss};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
