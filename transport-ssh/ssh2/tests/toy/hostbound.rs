//! Logins whose signature names the host.

use rejoin_ssh2::testing::{ToyScript, toy_user_key};
use rejoin_ssh2::wire::{Reader, Writer};
use rejoin_ssh2::{Client, Error, Event, HandshakeMode, Violation};

use crate::driver::{Pair, config, predicted, unhurried};

const PLAIN: &str = "publickey";
const HOSTBOUND: &str = "publickey-hostbound-v00@openssh.com";

/// The method of the login, and what it says behind the user's key and before the signature.
fn login(pair: &Pair) -> (String, Vec<u8>) {
    let login = pair.server.login().unwrap();
    let mut reader = Reader::new(&login[1..]);
    let (_user, _service) = (reader.string().unwrap(), reader.string().unwrap());
    let method = reader.text().unwrap().to_owned();
    assert_eq!(reader.boolean(), Ok(true));
    let key = toy_user_key();
    assert_eq!(reader.text(), Ok(&*key.algorithm));
    assert_eq!(reader.string(), Ok(&*key.blob));
    let mut rest = Vec::new();
    while let Ok(string) = reader.string() {
        if string == b"signature" {
            assert_eq!(reader.end(), Ok(()));
            return (method, rest);
        }
        rest.extend_from_slice(string);
    }
    panic!("{login:?}");
}

fn predicting(is_hostbound: bool) -> HandshakeMode {
    let mut handshake = predicted();
    if let HandshakeMode::Predicted { is_hostbound: told, .. } = &mut handshake {
        *told = is_hostbound;
    }
    handshake
}

#[test]
fn a_login_names_the_host_where_the_server_announces_that_or_is_predicted_to() {
    let cases = [
        (unhurried(), true),
        (unhurried(), false),
        (predicting(true), true),
        (predicting(false), true),
    ];
    for (handshake, is_hostbound) in cases {
        let names_host = match &handshake {
            HandshakeMode::Predicted { is_hostbound, .. } => *is_hostbound,
            HandshakeMode::Stepwise { .. } => is_hostbound,
        };
        let mut pair = Pair::new(handshake, ToyScript { is_hostbound, ..ToyScript::default() });
        pair.start();
        let expected =
            if names_host { (HOSTBOUND, pair.server.host_key()) } else { (PLAIN, vec![]) };
        let (method, rest) = login(&pair);
        assert_eq!((&*method, rest), expected);
        assert_eq!(pair.client.learnt().unwrap().is_hostbound, is_hostbound);
    }
}

/// The user signs what the server is told, behind the number of the connection.
#[test]
fn what_is_signed_is_the_request_and_belongs_to_the_connection() {
    for handshake in [unhurried(), predicting(true)] {
        let mut pair = Pair::new(handshake, ToyScript::default());
        pair.start();
        let binding = pair.client.binding().unwrap().clone();
        assert_eq!(binding.host_key, pair.server.host_key());
        assert_eq!(binding.session_id.len(), 32);
        let signed = pair.events.iter().find_map(|event| match event {
            Event::Sign(message) => Some(message.clone()),
            _ => None,
        });
        let login = pair.server.login().unwrap();
        let request = &login[..login.len() - Writer::new().string("signature").finish().len()];
        let expected = Writer::new().string(&binding.session_id).bytes(request).finish();
        assert_eq!(signed, Some(expected));
    }
}

#[test]
fn a_prediction_that_a_server_understands_it_is_wrong_like_a_wrong_key() {
    let mut pair =
        Pair::new(predicting(true), ToyScript { is_hostbound: false, ..ToyScript::default() });
    pair.run().unwrap();
    assert!(matches!(pair.events.last(), Some(Event::AuthFailed { partial: false, .. })));
    assert!(pair.client.is_over());
}

#[test]
fn a_host_that_has_proved_nothing_binds_nothing() {
    let client = Client::new(config(predicted())).unwrap();
    assert_eq!(client.binding(), None);
}

/// What the server announces, in the place of what it would.
fn announcing(announced: &[u8]) -> ToyScript {
    let announced = announced.to_vec();
    let tamper = move |message: Vec<u8>| {
        if message[0] == 7 { vec![announced.clone()] } else { vec![message] }
    };
    ToyScript { tamper: Box::new(tamper), ..ToyScript::default() }
}

#[test]
fn another_version_of_it_is_not_known_and_what_is_no_list_is_refused() {
    let list = |count: u32, name: &str, version: &str| {
        Writer::message(7).uint32(count).string(name).string(version).finish()
    };
    let other = announcing(&list(1, "publickey-hostbound@openssh.com", "1"));
    let mut pair = Pair::new(unhurried(), other);
    pair.start();
    assert_eq!(login(&pair).0, PLAIN);
    assert!(!pair.client.learnt().unwrap().is_hostbound);
    for count in [0, 2, u32::MAX] {
        let mut pair = Pair::new(unhurried(), announcing(&list(count, "name", "")));
        assert_eq!(pair.run(), Err(Error::Peer(Violation::Malformed)), "{count}");
    }
}
