//! How much memory a server can make a client take. A program of its own, in which nothing else takes any.
#![allow(clippy::unwrap_used)]

use std::fs;

use rejoin_ssh2::testing::{ToyScript, ToyServer, toy_user_key};
use rejoin_ssh2::wire::Writer;
use rejoin_ssh2::{
    Cipher, Client, Config, EphemeralKey, Event, HandshakeMode, HostKeyAlgorithm, Kex, MAX_OUTPUT,
    Scheme, WINDOW,
};

/// How many bytes come of the command: some of what the window allows.
const COUNT: usize = WINDOW / 4;

/// The most memory that this process has had, in bytes, where the system tells.
fn most_memory() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    most.trim().strip_suffix(" kB")?.parse::<usize>().ok().map(|most| most << 10)
}

/// A client whose command has started, and its server.
fn started() -> (Client, ToyServer) {
    let handshake = HandshakeMode::Predicted {
        ephemeral: EphemeralKey::generate(Kex::Curve25519).unwrap(),
        host_key: HostKeyAlgorithm::plain(Scheme::Ed25519),
        is_hostbound: true,
        channel: Some(0),
        ahead: 0,
    };
    let config = Config {
        user: "somebody".to_owned(),
        key: toy_user_key(),
        command: b"say it back".to_vec(),
        ciphers: Cipher::ALL.to_vec(),
        handshake,
    };
    let (mut client, mut server) =
        (Client::new(config).unwrap(), ToyServer::new(ToyScript::default()).unwrap());
    loop {
        let output = client.output().to_vec();
        client.sent(output.len()).unwrap();
        server.input(&output).unwrap();
        client.input(&server.take_output()).unwrap();
        while let Some(event) = client.event() {
            match event {
                Event::HostKey { .. } => client.accept_host().unwrap(),
                Event::Sign(_) => client.signed(b"signature").unwrap(),
                Event::Started => return (client, server),
                _ => {}
            }
        }
    }
}

fn data(byte: u8) -> Vec<u8> {
    Writer::message(94).uint32(0).string([byte]).finish()
}

fn error_data(byte: u8) -> Vec<u8> {
    Writer::message(95).uint32(0).uint32(1).string([byte]).finish()
}

/// Both directions at once, so that no test runs beside another one's memory.
#[test]
fn single_bytes_take_about_as_much_memory_as_they_are() {
    let (mut client, mut server) = started();
    let before = most_memory();
    // The worst for what is made of it: the two kinds in turn.
    for at in 0..COUNT {
        let message = if at % 2 == 0 { data(1) } else { error_data(2) };
        server.say(&message).unwrap();
        client.input(&server.take_output()).unwrap();
    }
    let mut written = 0;
    while client.write(b"x").unwrap() == 1 {
        written += 1;
    }
    assert!(written >= MAX_OUTPUT, "{written}");
    let grown = most_memory().zip(before).map(|(most, before)| most - before);
    assert!(grown.is_none_or(|grown| grown < 4 * (COUNT + 2 * MAX_OUTPUT)), "{grown:?}");

    let (mut output, mut error_output) = (0, 0);
    while let Some(event) = client.event() {
        match event {
            Event::Data(data) if data.iter().all(|byte| *byte == 1) => output += data.len(),
            Event::Stderr(data) if data.iter().all(|byte| *byte == 2) => error_output += data.len(),
            event => panic!("{event:?}"),
        }
    }
    assert_eq!((output, error_output), (COUNT / 2, COUNT / 2));
}
