//! An SSH-2 client without I/O, that has a command running on a server it knows in three round trips.
//!
//! An ordinary client takes nine or more: it waits for each answer before it says the next thing. Of a
//! server that one has been logged in to before, most answers are known. This client says everything at
//! once that an answer cannot change:
//!
//! 1. The TCP connection: a round trip that is not this crate's.
//! 2. Identification, KEXINIT and the client's half of the key exchange. The server answers with its own
//!    lists, its half, the host key and a signature.
//! 3. When the signature was verified **and** the caller has accepted the host key: NEWKEYS, the request to
//!    log in with its signature, the channel, the command and its first input. The server answers with the command's
//!    output.
//!
//! [`Client`] is the whole of it. It speaks to one server, logs in with one key, runs one command in one
//! channel, and has one set of keys: it is for the first seconds of a connection's life, until an
//! ordinary `ssh` has come up. What it cannot do it says, and never works around: see [`Error`]. There is
//! no I/O in it, no clock, no thread, and what a server can make it keep is bounded.
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
//!                 Event::HostKey { .. } => return Err("this is another host".into()),
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
//!             return Err("the host has gone".into());
//!         }
//!         client.input(&buffer[..count])?;
//!     }
//! }
//! ```
//!
//! # Predicted, not guessed
//!
//! RFC 4253 section 7 knows a guess: a client may send its half of an exchange before the methods are
//! settled, and says so in its KEXINIT. That guess is right only if both sides *prefer* the same key
//! exchange and the same kind of host key, which a client cannot bring about: with most servers it would be
//! wrong, and some do not bear a wrong one. But the methods are settled by the client's preference:
//! the first of its names that the server has, too. So a client that knows a server's lists, and offers a
//! single name out of each, knows what will come of it.
//!
//! **This departs from RFC 4253 section 7.1** in one point: a packet that is sent before the methods are
//! settled has to be announced with `first_kex_packet_follows`, and this one is not. To a server that reads
//! what comes in order it looks like a client that is very near. If the server's lists have changed, there
//! is no common method, and the connection ends, as it would with any client that offers as little; what
//! comes of it here is [`Error::Mispredicted`] (or the server's own farewell), and the lists are to be
//! learnt anew.
//!
//! What is predicted is the outcome of a negotiation, the number of a channel, that the server understands a
//! login that names the host (`publickey-hostbound-v00@openssh.com`), and that the server takes
//! some input once it has started the command: that may follow the command in the same flight, and to a server
//! that reads in order it comes within a window that it has granted by then. Never is a byte of the
//! server's predicted. The exchange hash is made of what really came.
//!
//! # What a server is told, and when
//!
//! Until a host key is accepted: how this client identifies itself with its version, its lists, and an
//! ephemeral public key. Nothing that names the user, the key or the command. These come after, sealed with keys that
//! only the accepted host has. A host that is not accepted learns nothing of them.
//!
//! Strict key exchange (CVE-2023-48795) is demanded of the server, not only offered.
//!
//! # Learning
//!
//! With [`Opening::Unhurried`] nothing is predicted. What such a connection has taught is
//! [`Client::learnt`] when the user is logged in; [`Opening::Predicted`] makes use of it.
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
mod learnt;
mod message;
mod negotiate;
mod packet;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
pub mod wire;

pub use binding::Binding;
pub use client::{Client, MAX_OUTPUT, WINDOW};
pub use config::{Config, Opening, UserKey};
pub use error::{Error, Method, Misprediction, Misuse, Unsuitable, Violation};
pub use event::{Event, Refusal};
pub use host_key::{HostKeyAlgorithm, Scheme};
pub use kex::{Ephemeral, Kex};
pub use learnt::{Flight, Learnt, mss};
pub use negotiate::Lists;
pub use packet::Cipher;
