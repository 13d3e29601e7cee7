//! Links: two queues, two ends that learn of a loss separately.

use std::collections::VecDeque;

use rejoin_protocol::frame::{Hello, Wish};
use rejoin_protocol::{AttachNumber, ClientInstance, Frame, HostId, Incarnation, Tenure};

/// One link between a client and whatever is at its far end.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Wire {
    /// Whose link it is.
    pub party: u8,
    /// Which host it leads to.
    pub host: u8,
    /// Whether the client's machine has it open.
    pub is_open: bool,
    /// Its end at the host.
    pub host_end: HostEnd,
    /// What is wrong with it.
    pub fault: LinkFault,
    /// What is on its way to the host.
    pub to_server: VecDeque<Frame>,
    /// What is on its way to the client.
    pub to_client: VecDeque<Frame>,
    /// History: the host whose Greeting the client has read.
    pub greeted: Option<HostId>,
    /// History: whether the client has sent input on it.
    pub has_input: bool,
    /// History: the Hello that its far end read last.
    pub heard: Option<HelloFacts>,
}

/// The end of a link at the host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HostEnd {
    /// An attach program that has not joined it to a server.
    Attach(u8),
    /// A server.
    Server(u8),
    /// Nobody.
    Closed,
}

/// What is wrong with a link.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LinkFault {
    /// Nothing.
    Whole,
    /// It was reset: each end will be told; what is on its way may still arrive before.
    Reset,
    /// Nothing arrives any more, and nobody is told.
    Silent,
}

/// What a Hello said, as far as its answer can be judged by it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HelloFacts {
    /// Its attach number.
    pub attach: AttachNumber,
    /// Whose it was.
    pub instance: ClientInstance,
    /// The tenure of the holder that a Claim names.
    pub expected: Option<Tenure>,
    /// The incarnation that a Close names.
    pub closes: Option<Incarnation>,
}

impl HelloFacts {
    /// Of this Hello.
    pub fn of(hello: &Hello) -> Self {
        let (expected, closes) = match hello.wish {
            Wish::Claim { expected, .. } => (expected.map(|holder| holder.tenure), None),
            Wish::Close { incarnation, .. } => (None, Some(incarnation)),
            _ => (None, None),
        };
        Self { attach: hello.attach, instance: hello.instance, expected, closes }
    }
}

impl Wire {
    /// A link that was just opened.
    pub fn new(party: u8, host: u8, host_end: HostEnd) -> Self {
        Self {
            party,
            host,
            is_open: true,
            host_end,
            fault: LinkFault::Whole,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            greeted: None,
            has_input: false,
            heard: None,
        }
    }

    /// The client sends; what is sent on a broken link goes nowhere.
    pub fn send_to_server(&mut self, frame: Frame) {
        if self.fault == LinkFault::Whole && self.host_end != HostEnd::Closed {
            self.to_server.push_back(frame);
        }
    }

    /// The far end sends.
    pub fn send_to_client(&mut self, frame: Frame, keeps_late: bool) {
        if self.fault == LinkFault::Whole && (self.is_open || keeps_late) {
            self.to_client.push_back(frame);
        }
    }

    /// The client's end is gone.
    pub fn close_client(&mut self, keeps_late: bool) {
        self.is_open = false;
        if !keeps_late {
            self.to_client.clear();
        }
    }

    /// The far end is gone.
    pub fn close_far(&mut self) {
        self.host_end = HostEnd::Closed;
        self.to_server.clear();
    }

    /// Whether the client's end can be told that the link is gone.
    pub fn client_can_learn(&self) -> bool {
        self.is_open
            && match self.fault {
                LinkFault::Whole => self.host_end == HostEnd::Closed && self.to_client.is_empty(),
                LinkFault::Reset => true,
                LinkFault::Silent => false,
            }
    }

    /// Whether the far end can be told that the link is gone.
    pub fn far_can_learn(&self) -> bool {
        self.host_end != HostEnd::Closed
            && match self.fault {
                LinkFault::Whole => !self.is_open && self.to_server.is_empty(),
                LinkFault::Reset => true,
                LinkFault::Silent => false,
            }
    }

    /// Whether neither end has it any more, and nothing is left to arrive.
    pub fn is_forgotten(&self) -> bool {
        !self.is_open && self.host_end == HostEnd::Closed && self.to_client.is_empty()
    }
}
