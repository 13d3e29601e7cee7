//! The worked example of SPEC section 13: a whole session with a cut in it, driven through both
//! machines and written down byte for byte. `UPDATE_SPEC=1` writes it anew into `SPEC.md`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fmt::Write as _;

use common::drive::{ClientDrive, ServerDrive, sent_by_client, sent_by_server};
use common::{EPOCH, WINDOW, input, show, wire};
use rejoin_protocol::client::{self, OnLoss};
use rejoin_protocol::codec::{CLIENT_MAGIC, SERVER_MAGIC};
use rejoin_protocol::server::{self, Limits, Past};
use rejoin_protocol::spec::{Command, Overflow, ProcessSpec};
use rejoin_protocol::{Client, ExitStatus, Frame, Link, Seq};

const START: &str = "<!-- worked example: begin -->\n";
const END: &str = "<!-- worked example: end -->\n";

/// Both machines, and the dump of what they say to each other.
struct Story {
    client: ClientDrive,
    server: ServerDrive,
    dump: String,
}

impl Story {
    fn begin() -> Self {
        let mut client = ClientDrive::open(OnLoss::Fail);
        let spec = ProcessSpec::new(Command::Exec(vec![b"cat".to_vec()]));
        client.config.spec = spec.encode().ok();
        client.client = Client::open(&client.config);
        Self { client, server: ServerDrive::absent(Past::default()), dump: String::new() }
    }

    fn say(&mut self, text: &str) {
        let _ = writeln!(self.dump, "\n# {text}");
    }

    fn write(&mut self, side: &str, what: &str, bytes: &[u8]) {
        let _ = writeln!(self.dump, "{side} {what}");
        for line in bytes.chunks(16) {
            let digits: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            let _ = writeln!(self.dump, "    {}", digits.join(" "));
        }
    }

    fn frame(&mut self, side: &str, frame: &Frame) {
        self.write(side, &show::frame(frame), &wire(frame));
    }

    /// A new link: the client's magic and what comes right behind it; the server greets before it
    /// reads any of that.
    fn connect(&mut self) {
        self.write("C", "magic", &CLIENT_MAGIC);
        let dialed = self.client.dial();
        let frames = sent_by_client(&dialed, self.client.link);
        for frame in &frames {
            self.frame("C", frame);
        }
        self.write("S", "magic", &SERVER_MAGIC);
        let greeting = common::greeting(common::HOST);
        self.frame("S", &greeting);
        let greeted = self.client.frame(greeting);
        for frame in frames {
            self.arrives(frame);
        }
        self.client_does(&greeted);
    }

    fn arrives(&mut self, frame: Frame) {
        let effects = self.server.frame(self.client.link.0, frame);
        self.server_does(&effects);
    }

    fn client_does(&mut self, effects: &[client::Effect]) {
        for frame in sent_by_client(effects, self.client.link) {
            self.frame("C", &frame);
            self.arrives(frame);
        }
    }

    fn server_does(&mut self, effects: &[server::Effect]) {
        for frame in sent_by_server(effects, self.client.link.0) {
            self.frame("S", &frame);
            let effects = self.client.frame(frame);
            self.client_does(&effects);
        }
    }

    fn server_step(&mut self, event: server::Event) {
        let effects = self.server.step(event);
        self.server_does(&effects);
    }

    fn client_step(&mut self, event: client::Event) {
        let effects = self.client.step(event);
        self.client_does(&effects);
    }
}

fn tell() -> String {
    let mut story = Story::begin();
    story.say("The first link: the client opens the session, `cat` is started.");
    story.connect();
    story.server_step(server::Event::Started(
        EPOCH,
        Limits { window: WINDOW, overflow: Overflow::Block },
    ));
    story.say("A line is typed, taken by the process, and comes back.");
    story.client_step(client::Event::Input(input("hi\n")));
    story.server_step(server::Event::InputTaken(Seq(1)));
    let effects = story.server.output("hi\n");
    story.server_does(&effects);
    story.client_step(client::Event::Taken(Seq(1)));
    story.say("Another line is typed. The link is cut, and the item below is lost on its way. Meanwhile the process writes, and the server keeps it.");
    let lost = story.client.input(input("yo\n"));
    for frame in sent_by_client(&lost, story.client.link) {
        story.frame("C", &frame);
    }
    story.client.cut();
    story.server.step(server::Event::LinkLost(Link(1)));
    story.server.output("!\n");
    story.say("The second link: what was not acknowledged is sent right after the Hello, in both directions.");
    story.connect();
    story.server_step(server::Event::InputTaken(Seq(2)));
    story.client_step(client::Event::Taken(Seq(2)));
    story.say("The process ends; its status is acknowledged, and the session forgotten.");
    story.server_step(server::Event::Exited(ExitStatus::Code(0)));
    story.client_step(client::Event::Taken(Seq(3)));
    story.server_step(server::Event::Ended(0));
    assert!(story.client.client.is_ended() && story.server.server.is_gone());
    story.dump.trim_start().to_owned()
}

#[test]
fn the_specification_shows_what_is_really_sent() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("SPEC.md");
    let spec = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = spec.split_once(START).expect("the begin of the example");
    let (shown, after) = rest.split_once(END).expect("the end of the example");
    let dump = format!("```text\n{}```\n", tell());
    if std::env::var_os("UPDATE_SPEC").is_some() {
        std::fs::write(&path, format!("{before}{START}{dump}{END}{after}")).unwrap();
    } else {
        assert_eq!(shown, dump, "UPDATE_SPEC=1 writes the example of SPEC.md anew");
    }
}

#[test]
fn the_example_has_every_step_of_a_session() {
    let dump = tell();
    let mut rest = dump.as_str();
    for step in [
        "S Greeting",
        "C Hello #1",
        "S Welcome #1 Opened",
        "C Item 0",
        "S Ack 1",
        "S Item 0",
        "C Ack 1",
        "C Item 1",
        "C Hello #2",
        "C Item 1",
        "S Welcome #2 Resumed",
        "S Item 1",
        "Exit",
        "C Ack 3",
        "C Close",
        "S Closed #2",
    ] {
        let at = rest.find(step).unwrap_or_else(|| panic!("{step} is missing in\n{rest}"));
        rest = &rest[at..];
    }
}
