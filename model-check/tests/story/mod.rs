//! Both machines, driven against each other as their contracts say, and recorded.
// Each test uses a part of it.
#![allow(dead_code)]

use std::collections::VecDeque;

use rejoin_model_check::recording::{RecordedRun, Recording, Track};
use rejoin_protocol::client::{self, Client, Config, OnLoss};
use rejoin_protocol::frame::Greeting;
use rejoin_protocol::record::{ClientStep, Header, ServerStep, Start, Step};
use rejoin_protocol::server::{self, Limits, Server};
use rejoin_protocol::spec::{Overflow, ProcessSpec};
use rejoin_protocol::{
    Capabilities, ClientInstance, ClientName, Epoch, ExitStatus, Frame, HostId, Item, Link, Seq,
    SessionId, Stream, Timer, VersionRange,
};

const SESSION: SessionId = SessionId::from_bytes([1; 16]);
const HOST: HostId = HostId { machine: [2; 16], boot: [3; 16] };

type ClientTrack = Track<Config, Client, ClientStep>;
type ServerTrack = Track<server::Config, Server, ServerStep>;

/// One client, and the servers that it meets. A link has the same name at both ends.
pub(crate) struct Story {
    client: Client,
    client_track: ClientTrack,
    server: Server,
    servers: Vec<ServerTrack>,
    link: Link,
    on_the_way: VecDeque<ToDo>,
}

enum ToDo {
    Client(client::Event),
    Server(server::Event),
}

pub(crate) fn text(data: &'static str) -> Item {
    Item::Output { stream: Stream::Stdout, data: data.into() }
}

/// The recording as a driver writes it.
pub(crate) fn text_of(recording: &Recording) -> String {
    let (start, steps) = match &recording.run {
        RecordedRun::Client(Track { config, state, steps }) => (
            Start::Client { config: config.clone(), state: state.clone() },
            steps.iter().map(|step| serde_json::to_string(step).unwrap()).collect::<Vec<_>>(),
        ),
        RecordedRun::Server(Track { config, state, steps })
        | RecordedRun::Attach(Track { config, state, steps }) => (
            Start::Server { config: config.clone(), state: state.clone() },
            steps.iter().map(|step| serde_json::to_string(step).unwrap()).collect(),
        ),
    };
    let header = serde_json::to_string(&Header::new(start)).unwrap();
    [vec![header], steps].concat().join("\n") + "\n"
}

impl Story {
    pub(crate) fn begin() -> Self {
        let config = Config {
            session: SESSION,
            instance: ClientInstance::from_bytes([4; 16]),
            name: ClientName::new("who@where"),
            versions: VersionRange::SUPPORTED,
            spec: Some("what".into()),
            on_loss: OnLoss::Respawn,
            take_over: false,
            window: ProcessSpec::DEFAULT_WINDOW,
        };
        let client = Client::open(&config);
        let client_track = Track { config, state: client.clone(), steps: Vec::new() };
        let server = Server::Absent(server::Past::default());
        let mut story = Self {
            client,
            client_track,
            server,
            servers: Vec::new(),
            link: Link(0),
            on_the_way: VecDeque::new(),
        };
        story.add_server(server::Past::default());
        story
    }

    fn add_server(&mut self, past: server::Past) {
        let versions = VersionRange::SUPPORTED;
        let capabilities = Capabilities::default();
        let config = server::Config { session: SESSION, host: HOST, versions, capabilities };
        self.server = Server::Absent(past);
        self.servers.push(Track { config, state: self.server.clone(), steps: Vec::new() });
    }

    pub(crate) fn recordings(self) -> Vec<Recording> {
        let recording = |name: &str, run| {
            let name = name.to_owned();
            Recording { name, run, torn: None, is_cut: false }
        };
        let mut all = vec![recording("client", RecordedRun::Client(self.client_track))];
        all.extend(
            self.servers.into_iter().map(|track| recording("server", RecordedRun::Server(track))),
        );
        all
    }

    fn client(&mut self, event: client::Event) {
        self.on_the_way.push_back(ToDo::Client(event));
        self.settle();
    }

    fn server(&mut self, event: server::Event) {
        self.on_the_way.push_back(ToDo::Server(event));
        self.settle();
    }

    /// All effects of a step are carried out before the next one.
    fn settle(&mut self) {
        while let Some(next) = self.on_the_way.pop_front() {
            match next {
                ToDo::Client(event) => self.step_client(event),
                ToDo::Server(event) => self.step_server(event),
            }
        }
    }

    fn step_client(&mut self, event: client::Event) {
        let effects = self.client.step(&self.client_track.config, event.clone());
        self.client_track.steps.push(Step { event, effects: effects.clone() });
        for effect in effects {
            if let client::Effect::Send(link, frame) = effect
                && link == self.link
            {
                self.on_the_way.push_back(ToDo::Server(server::Event::Frame(link, frame)));
            }
        }
    }

    fn step_server(&mut self, event: server::Event) {
        let number = u8::try_from(self.servers.len()).unwrap();
        let track = self.servers.last_mut().unwrap();
        let effects = self.server.step(&track.config, event.clone());
        track.steps.push(Step { event, effects: effects.clone() });
        for effect in effects {
            let next = match effect {
                server::Effect::Send(link, frame) if link == self.link => {
                    ToDo::Client(client::Event::Frame(link, frame))
                }
                server::Effect::Start { .. } => {
                    let window = ProcessSpec::DEFAULT_WINDOW;
                    let limits = Limits { window, overflow: Overflow::Block };
                    let epoch = Epoch::from_bytes([number; 16]);
                    ToDo::Server(server::Event::Started(epoch, limits))
                }
                server::Effect::EndProcess(_) => ToDo::Server(server::Event::Ended(0)),
                _ => continue,
            };
            self.on_the_way.push_back(next);
        }
    }

    fn connect(&mut self) {
        self.link = Link(self.link.0 + 1);
        self.client(client::Event::Timer(Timer::Reconnect));
        self.client(client::Event::LinkOpened(self.link));
        let greeting = Greeting {
            versions: VersionRange::SUPPORTED,
            host: HOST,
            host_name: String::from("host"),
        };
        if !self.client.is_attached() {
            self.client(client::Event::Frame(self.link, Frame::Greeting(greeting)));
        }
    }

    pub(crate) fn open(&mut self) {
        self.connect();
        assert!(self.client.is_attached());
    }

    pub(crate) fn reconnect(&mut self) {
        self.connect();
        assert!(self.client.is_attached());
    }

    pub(crate) fn output(&mut self, data: &'static str) {
        self.server(server::Event::Output(Stream::Stdout, data.into()));
    }

    /// The process takes what is put in at once.
    pub(crate) fn input(&mut self, data: &'static str) {
        self.client(client::Event::Input(Item::Input(data.into())));
        self.server(server::Event::InputTaken(Seq(1)));
    }

    pub(crate) fn take(&mut self, next: u64) {
        self.client(client::Event::Taken(Seq(next)));
    }

    pub(crate) fn cut(&mut self) {
        self.client(client::Event::LinkLost(self.link));
        self.server(server::Event::LinkLost(self.link));
    }

    /// The server is killed, and the client hears of it by its link.
    pub(crate) fn lose_server(&mut self) {
        self.client(client::Event::LinkLost(self.link));
        let used = Some(self.client.incarnation());
        let past = server::Past { is_known: true, used, ..server::Past::default() };
        self.add_server(past);
    }

    /// An attach program refuses the Resume, and the server that it makes way for is opened anew.
    pub(crate) fn replace(&mut self) {
        self.connect();
        assert!(self.client.is_attached() && self.client.incarnation().0 == 1);
    }

    pub(crate) fn exit(&mut self) {
        self.server(server::Event::Exited(ExitStatus::Code(0)));
    }

    /// Takes everything, down to the end on both sides.
    pub(crate) fn finish(&mut self) {
        let all = if self.servers.len() == 1 { 4 } else { 1 };
        self.take(all);
        assert!(self.client.is_ended() && self.server.is_gone());
    }
}
