//! The client, and a server that has its keys, means every word, and says what no good server would: from one of
//! its messages on, or in front of it. Everything is sealed as it should be, but for bytes that are meant not to be.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use rejoin_ssh2::testing::{AuthReply, ToyScript, ToyServer};
use rejoin_ssh2::wire::Writer;
use rejoin_ssh2::{Cipher, Kex};
use rejoin_ssh2_fuzz::{Beginning, User};

/// Words that a client looks for.
const WORDS: [&str; 14] = [
    "exit-status",
    "exit-signal",
    "eow@openssh.com",
    "keepalive@openssh.com",
    "hostkeys-00@openssh.com",
    "server-sig-algs",
    "publickey-hostbound@openssh.com",
    "ping@openssh.com",
    "ssh-userauth",
    "publickey,keyboard-interactive",
    "session",
    "ssh-ed25519",
    "TERM",
    "",
];

#[derive(Arbitrary, Debug)]
struct Plan {
    is_hurried: bool,
    is_strict: bool,
    is_slow: bool,
    /// Whether it says what it would have said as well.
    is_added: bool,
    kex: u8,
    cipher: u8,
    auth_reply: u8,
    /// The number of its channel (lowest bit), whether it takes a login that names the host, and whether the client
    /// expects the other kind.
    choices: u8,
    window: u16,
    /// With which of its messages it begins.
    stage: u8,
    said: Vec<Message>,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Message {
    Bytes(Vec<u8>),
    Fields(u8, Vec<Field>),
}

#[derive(Arbitrary, Debug)]
enum Field {
    Byte(u8),
    Small(u8),
    Number(u32),
    Word(u8),
    String(Vec<u8>),
    Long(u16),
}

#[derive(Arbitrary, Debug)]
enum Step {
    Say(Message),
    /// As they are, not sealed.
    Bytes(Vec<u8>),
    Write(u16),
    Finish,
    Go,
}

impl Plan {
    fn is_hostbound(&self) -> bool {
        self.choices & 2 == 0
    }
}

impl Message {
    fn payload(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Fields(kind, fields) => {
                let start = Writer::message(*kind);
                fields.iter().fold(start, |writer, field| field.put(writer)).finish()
            }
        }
    }
}

impl Field {
    fn put(&self, writer: Writer) -> Writer {
        match self {
            Self::Byte(byte) => writer.byte(*byte),
            Self::Small(number) => writer.uint32((*number).into()),
            Self::Number(number) => writer.uint32(*number),
            Self::Word(number) => writer.string(WORDS[usize::from(*number) % WORDS.len()]),
            Self::String(bytes) => writer.string(bytes),
            Self::Long(length) => writer.string(vec![b'y'; usize::from(*length)]),
        }
    }
}

fuzz_target!(|plan: Plan| {
    let kex = [Kex::Curve25519, Kex::NistP256, Kex::MlKem768X25519][usize::from(plan.kex) % 3];
    let cipher = Cipher::ALL[usize::from(plan.cipher) % Cipher::ALL.len()];
    let is_hostbound = plan.is_hostbound() ^ (plan.choices & 4 != 0);
    let hurried = Beginning::Hurried { is_hostbound };
    let beginning = if plan.is_hurried { hurried } else { Beginning::Unhurried };
    let user = User::new(beginning, kex, cipher, plan.is_slow).expect("random numbers");
    let server = ToyServer::new(script(&plan)).expect("random numbers");
    let mut pair = Pair { user, server };
    pair.user.write(10);
    let _over = pair.follow(&plan.steps);
});

fn script(plan: &Plan) -> ToyScript {
    let said: Vec<Vec<u8>> = plan.said.iter().map(Message::payload).collect();
    let (is_added, mut until) = (plan.is_added, plan.stage % 16);
    let tamper = move |message: Vec<u8>| {
        let is_meant = until == 0;
        until = until.wrapping_sub(1);
        match (is_meant, is_added) {
            (false, _) => vec![message],
            (true, false) => said.clone(),
            (true, true) => said.iter().cloned().chain([message]).collect(),
        }
    };
    ToyScript {
        is_strict: plan.is_strict,
        auth_reply: match plan.auth_reply % 8 {
            6 => AuthReply::Partial,
            7 => AuthReply::Refused,
            _ => AuthReply::Accepted,
        },
        channel: u32::from(plan.choices & 1),
        is_hostbound: plan.is_hostbound(),
        window: u32::from(plan.window),
        tamper: Box::new(tamper),
        host_key: Some([7; 32]),
        ..ToyScript::default()
    }
}

struct Pair {
    user: User,
    server: ToyServer,
}

impl Pair {
    /// None once the client is over.
    fn follow(&mut self, steps: &[Step]) -> Option<()> {
        self.go()?;
        for step in steps {
            match step {
                // What is too long for a packet is not said.
                Step::Say(message) => drop(self.server.say(&message.payload())),
                Step::Bytes(bytes) => self.user.hear(bytes)?,
                Step::Write(length) => self.user.write(usize::from(*length) * 16),
                Step::Finish => self.user.finish(),
                Step::Go => self.go()?,
            }
        }
        self.go()
    }

    /// Goes on until neither has anything to say, or for long enough.
    fn go(&mut self) -> Option<()> {
        for _ in 0..64 {
            let output = self.user.take_output();
            // A client that was lied to may say what makes no sense to the server.
            let _ = self.server.input(&output);
            let is_exchange = |kind: &u8| [20, 30].contains(kind);
            let has_told = !self.server.heard().iter().all(is_exchange);
            assert!(
                self.user.has_accepted || !has_told,
                "a host that is not accepted is told more"
            );
            let answer = self.server.take_output();
            if answer.is_empty() && output.is_empty() {
                break;
            }
            self.user.hear(&answer)?;
        }
        Some(())
    }
}
