//! What only the inside of a client shows.

use super::*;
use crate::{Cipher, EphemeralKey, HostKeyAlgorithm, Kex, Scheme, UserKey};

fn client() -> Client {
    let handshake = HandshakeMode::Predicted {
        ephemeral: EphemeralKey::generate(Kex::Curve25519).unwrap(),
        host_key: HostKeyAlgorithm::plain(Scheme::Ed25519),
        is_hostbound: false,
        channel: Some(0),
        ahead: 0,
    };
    let key = UserKey { blob: vec![7], algorithm: "ssh-ed25519".to_owned() };
    let ciphers = vec![Cipher::ChaCha20Poly1305];
    let config = Config { user: "somebody".to_owned(), key, command: vec![], ciphers, handshake };
    Client::new(config).unwrap()
}

#[test]
fn a_client_whose_keys_are_worn_wants_another_connection() {
    let mut client = client();
    client.input(b"no identification\n").unwrap();
    assert!(!client.is_over());
    client.transport.wear_out();
    client.input(b"no identification\n").unwrap();
    assert_eq!(client.event(), Some(Event::Rekey));
    assert!(client.is_over());
}

#[test]
fn a_client_that_was_left_says_so_and_nothing_else() {
    let mut client = client();
    client.sent(client.output().len()).unwrap();
    client.disconnect().unwrap();
    assert!(client.is_over() && client.output().len() < 100);
    client.sent(client.output().len()).unwrap();
    client.input(b"SSH-2.0-late\r\n").unwrap();
    client.disconnect().unwrap();
    assert!(client.output().is_empty() && client.event().is_none());
    assert_eq!((client.writable(), client.consumed(0)), (0, Ok(())));
}

#[test]
fn a_client_can_be_driven_from_another_thread_than_it_was_made_in() {
    fn needs_send<T: Send>(_: &T) {}
    needs_send(&client());
}
