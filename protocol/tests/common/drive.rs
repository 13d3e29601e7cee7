//! A client or a server that is driven by hand, with what the driver has to remember.

use rejoin_protocol::client::{self, OnLoss};
use rejoin_protocol::frame::{From, Hello, How, Welcome, Wish};
use rejoin_protocol::server::{self, Limits, Past};
use rejoin_protocol::spec::Overflow;
use rejoin_protocol::{
    AttachNumber, Client, ClientInstance, Frame, Holder, Incarnation, Item, Link, Seq, Server,
    Tenure, Timer,
};

use super::{ALICE, EPOCH, HOST, WINDOW, client_config, greeting, server_config, welcome};

/// A client, the last Hello that it sent, and a number for its next link.
#[derive(Clone)]
pub struct ClientDrive {
    pub config: client::Config,
    pub client: Client,
    pub hello: Option<Hello>,
    pub link: Link,
}

impl ClientDrive {
    pub fn new(config: client::Config, client: Client) -> Self {
        Self { config, client, hello: None, link: Link(0) }
    }

    pub fn open(on_loss: OnLoss) -> Self {
        let config = client_config(ALICE, on_loss);
        let client = Client::open(&config);
        Self::new(config, client)
    }

    pub fn claim(instance: ClientInstance, expected: Option<Holder>, from: From) -> Self {
        let mut config = client_config(instance, OnLoss::Respawn);
        config.take_over = true;
        let client = Client::claim(&config, expected, from);
        Self::new(config, client)
    }

    pub fn step(&mut self, event: client::Event) -> client::Effects {
        let effects = self.client.step(&self.config, event);
        for effect in &effects {
            if let client::Effect::Send(_, Frame::Hello(hello)) = effect {
                self.hello = Some(hello.clone());
            }
        }
        effects
    }

    pub fn frame(&mut self, frame: Frame) -> client::Effects {
        self.step(client::Event::Frame(self.link, frame))
    }

    /// Opens the next link.
    pub fn dial(&mut self) -> client::Effects {
        self.step(client::Event::Timer(Timer::Reconnect));
        self.link = Link(self.link.0 + 1);
        self.step(client::Event::LinkOpened(self.link))
    }

    pub fn greet(&mut self) -> client::Effects {
        self.frame(greeting(HOST))
    }

    pub fn cut(&mut self) -> client::Effects {
        self.step(client::Event::LinkLost(self.link))
    }

    pub fn input(&mut self, item: Item) -> client::Effects {
        self.step(client::Event::Input(item))
    }

    pub fn attach_number(&self) -> u64 {
        self.hello.as_ref().map_or(0, |hello| hello.attach.0)
    }

    /// The Welcome that grants the last wish, of a server that has only what the client has.
    pub fn matching(&self) -> Welcome {
        let number = self.attach_number();
        match self.hello.as_ref().map(|hello| &hello.wish) {
            Some(Wish::Resume { next_output, .. }) => {
                let mut resumed = welcome(number, How::Resumed);
                resumed.next_output = *next_output;
                resumed
            }
            Some(Wish::Claim { expected, .. }) => {
                let mut claimed = welcome(number, How::Claimed);
                claimed.tenure = expected.map_or(Tenure(0), |holder| holder.tenure.next().unwrap());
                claimed
            }
            Some(Wish::Open { incarnation, .. }) => {
                let mut opened = welcome(number, How::Opened);
                opened.incarnation = *incarnation;
                opened
            }
            _ => welcome(number, How::Opened),
        }
    }

    pub fn welcome(&mut self) -> client::Effects {
        let welcome = self.matching();
        self.frame(Frame::Welcome(welcome))
    }

    /// The Welcome to the wish that was sent last, on a link of its own if there is none.
    pub fn welcome_again(&mut self) -> client::Effects {
        if self.client.link().is_none() {
            self.dial();
            self.greet();
        }
        self.welcome()
    }

    /// The first attach, by an Open or a Claim.
    pub fn attached(mut self) -> Self {
        self.dial();
        self.greet();
        self.welcome();
        assert!(self.client.is_attached());
        self
    }
}

/// A server, with the effects of its last step.
#[derive(Clone)]
pub struct ServerDrive {
    pub config: server::Config,
    pub server: Server,
}

impl ServerDrive {
    pub fn absent(past: Past) -> Self {
        Self { config: server_config(), server: Server::Absent(past) }
    }

    pub fn step(&mut self, event: server::Event) -> server::Effects {
        self.server.step(&self.config, event)
    }

    pub fn frame(&mut self, link: u64, frame: Frame) -> server::Effects {
        self.step(server::Event::Frame(Link(link), frame))
    }

    pub fn hello(&mut self, link: u64, attach: u64, wish: Wish) -> server::Effects {
        self.frame(link, super::hello(ALICE, attach, 0, wish))
    }

    pub fn start(&mut self, overflow: Overflow) -> server::Effects {
        self.step(server::Event::Started(EPOCH, Limits { window: WINDOW, overflow }))
    }

    /// Alice's Open of incarnation 0, on link 1 with attach number 1.
    pub fn starting() -> Self {
        let mut drive = Self::absent(Past::default());
        drive.hello(1, 1, super::open(0));
        drive
    }

    /// The same, with the process running.
    pub fn attached() -> Self {
        let mut drive = Self::starting();
        drive.start(Overflow::Block);
        assert_eq!(drive.server.attached(), Some(Link(1)));
        drive
    }

    pub fn output(&mut self, text: &'static str) -> server::Effects {
        let data = bytes::Bytes::from_static(text.as_bytes());
        self.step(server::Event::Output(rejoin_protocol::Stream::Stdout, data))
    }
}

/// What is known of a session whose processes up to `used` are gone.
pub fn past(used: u64, tenure: u64) -> Past {
    Past {
        is_known: true,
        used: Some(Incarnation(used)),
        tenure: Tenure(tenure),
        ..Past::default()
    }
}

/// The frames that are sent on `link`, in order.
pub fn sent_by_client(effects: &[client::Effect], link: Link) -> Vec<Frame> {
    let frames = effects.iter().filter_map(|effect| match effect {
        client::Effect::Send(on, frame) if *on == link => Some(frame.clone()),
        _ => None,
    });
    frames.collect()
}

/// The frames that are sent on `link`, in order.
pub fn sent_by_server(effects: &[server::Effect], link: u64) -> Vec<Frame> {
    let frames = effects.iter().filter_map(|effect| match effect {
        server::Effect::Send(Link(on), frame) if *on == link => Some(frame.clone()),
        _ => None,
    });
    frames.collect()
}

/// A number that no attach of these tests reaches.
pub const FAR: AttachNumber = AttachNumber(1000);

/// A sequence number that nothing of these tests reaches.
pub const FAR_SEQ: Seq = Seq(1000);
