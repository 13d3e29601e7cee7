//! Frames that may mean something to a machine: ids from a few, numbers that are small, last, or near those of
//! the machine at hand.

use bytes::Bytes;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use rejoin_protocol::error::{Divergence, FrameError, Misbehaviour};
use rejoin_protocol::frame::{Bye, From, Greeting, Hello, How, Refused, Scope, Welcome, Wish};
use rejoin_protocol::reason::Counters;
use rejoin_protocol::{
    AttachNumber, Capabilities, ClientInstance, ClientName, Counter, Epoch, ExitStatus, Frame,
    Holder, HostId, Incarnation, Item, Reason, Seq, SessionId, Signal, SpawnError, SpawnErrorKind,
    Stream, Tenure, Version, VersionRange, WindowSize,
};

/// The session of every configuration here.
pub const SESSION: SessionId = SessionId::from_bytes([0x5e; 16]);

/// The machine and the boot that servers here are on.
pub const HOST: HostId = HostId { machine: [0x11; 16], boot: [0x22; 16] };

/// Bytes to decide from, and the number that what is made of them is near to.
pub struct Source<'a, 'b> {
    bytes: &'b mut Unstructured<'a>,
    near: u64,
}

impl<'a, 'b> Source<'a, 'b> {
    /// Decides with `bytes`; half of all numbers are close to `near`.
    pub fn new(bytes: &'b mut Unstructured<'a>, near: u64) -> Self {
        Self { bytes, near }
    }

    /// One of 0 to `count` - 1.
    pub fn one_of(&mut self, count: u8) -> Result<u8> {
        Ok(self.bytes.arbitrary::<u8>()? % count.max(1))
    }

    fn is(&mut self) -> Result<bool> {
        self.bytes.arbitrary()
    }

    /// A number: close to the one at hand, small, among the last, or any.
    pub fn number(&mut self) -> Result<u64> {
        let choice: u8 = self.bytes.arbitrary()?;
        let little = u64::from(choice >> 3);
        Ok(match choice % 8 {
            0..=2 => self.near.wrapping_add(little % 8),
            3 => self.near.wrapping_sub(1 + little % 8),
            4 | 5 => little % 8,
            6 => u64::MAX - little % 4,
            _ => self.bytes.arbitrary::<u64>()? >> (2 * little),
        })
    }

    /// The number of an item.
    pub fn seq(&mut self) -> Result<Seq> {
        self.number().map(Seq)
    }

    /// One of three servers.
    pub fn epoch(&mut self) -> Result<Epoch> {
        Ok(Epoch::from_bytes([0xe0 + self.one_of(3)?; 16]))
    }

    /// One of three clients.
    pub fn instance(&mut self) -> Result<ClientInstance> {
        Ok(ClientInstance::from_bytes([0xa0 + self.one_of(3)?; 16]))
    }

    fn session(&mut self) -> Result<SessionId> {
        let other = SessionId::from_bytes([0; 16]);
        Ok(if self.one_of(8)? == 7 { other } else { SESSION })
    }

    fn host(&mut self) -> Result<HostId> {
        Ok(match self.one_of(8)? {
            6 => HostId { boot: [0x23; 16], ..HOST },
            7 => HostId { machine: [0x12; 16], ..HOST },
            _ => HOST,
        })
    }

    fn version(&mut self) -> Result<Version> {
        Ok(Version(match self.one_of(8)? {
            5 => 0,
            6 => 2,
            7 => self.bytes.arbitrary()?,
            _ => 1,
        }))
    }

    fn versions(&mut self) -> Result<VersionRange> {
        Ok(VersionRange { min: self.version()?, max: self.version()? })
    }

    fn name(&mut self) -> Result<ClientName> {
        Ok(ClientName::new(self.text()?))
    }

    fn text(&mut self) -> Result<&'a str> {
        let length = self.one_of(8)?;
        let bytes = self.bytes.bytes(usize::from(length).min(self.bytes.len()))?;
        Ok(std::str::from_utf8(bytes).unwrap_or("not UTF-8"))
    }

    fn holder(&mut self) -> Result<Holder> {
        let (incarnation, tenure) = (Incarnation(self.number()?), Tenure(self.number()?));
        Ok(Holder { epoch: self.epoch()?, incarnation, tenure })
    }

    /// Up to `most` bytes, all alike.
    pub fn payload(&mut self, most: usize) -> Result<Bytes> {
        let length = match self.one_of(4)? {
            0 => usize::from(self.one_of(4)?),
            1 => most,
            2 => usize::from(self.bytes.arbitrary::<u16>()?),
            _ => most.saturating_sub(usize::from(self.one_of(4)?)),
        };
        Ok(Bytes::from(vec![b'x'; length.min(most)]))
    }

    /// What a client sends to a process.
    pub fn input_item(&mut self, most: usize) -> Result<Item> {
        Ok(match self.one_of(6)? {
            0 => Item::InputEnd,
            1 => Item::Resize(WindowSize { rows: 24, cols: 80, ..WindowSize::default() }),
            2 => Item::Signal(Signal(self.bytes.arbitrary()?)),
            _ => Item::Input(self.payload(most)?),
        })
    }

    fn output_item(&mut self) -> Result<Item> {
        Ok(match self.one_of(8)? {
            0 => Item::Exit(self.exit_status()?),
            1 => Item::Gap { next: self.seq()? },
            _ => {
                let stream = if self.is()? { Stream::Stdout } else { Stream::Stderr };
                let data = self.payload(Item::MAX_PAYLOAD)?;
                let data = if data.is_empty() { Bytes::from_static(b"x") } else { data };
                Item::Output { stream, data }
            }
        })
    }

    /// How a process ends.
    pub fn exit_status(&mut self) -> Result<ExitStatus> {
        let number = self.bytes.arbitrary()?;
        Ok(if self.is()? { ExitStatus::Code(number) } else { ExitStatus::Signal(Signal(number)) })
    }

    /// Where a claimant's output starts.
    pub fn from(&mut self) -> Result<From> {
        Ok(match self.one_of(3)? {
            0 => From::FirstHeld,
            1 => From::Latest,
            _ => From::Seq(self.seq()?),
        })
    }

    fn wish(&mut self) -> Result<Wish> {
        let incarnation = Incarnation(self.number()?);
        Ok(match self.one_of(9)? {
            0..=2 => {
                Wish::Open { incarnation, host: self.host()?, spec: Bytes::from_static(b"spec") }
            }
            3 => Wish::Resume { incarnation, epoch: self.epoch()?, next_output: self.seq()? },
            4 | 5 => {
                let expected = if self.is()? { Some(self.holder()?) } else { None };
                Wish::Claim { expected, from: self.from()? }
            }
            6 => Wish::Close { incarnation, scope: Scope::Session },
            7 => Wish::Close { incarnation, scope: Scope::Process },
            _ => Wish::Unreadable,
        })
    }

    fn hello(&mut self) -> Result<Hello> {
        Ok(Hello {
            version: self.version()?,
            session: self.session()?,
            instance: self.instance()?,
            name: self.name()?,
            attach: AttachNumber(self.number()?),
            tenure: Tenure(self.number()?),
            wish: self.wish()?,
        })
    }

    fn welcome(&mut self) -> Result<Welcome> {
        let how = match self.one_of(3)? {
            0 => How::Opened,
            1 => How::Resumed,
            _ => How::Claimed,
        };
        Ok(Welcome {
            how,
            attach: AttachNumber(self.number()?),
            version: self.version()?,
            capabilities: Capabilities(0),
            epoch: self.epoch()?,
            incarnation: Incarnation(self.number()?),
            tenure: Tenure(self.number()?),
            accepted: self.seq()?,
            handed_over: self.seq()?,
            buffered: self.number()?,
            first_output: self.seq()?,
            next_output: self.seq()?,
            window: self.number()?,
        })
    }

    /// Why a process could not be started.
    pub fn spawn_error(&mut self) -> Result<SpawnError> {
        Ok(SpawnError::new(SpawnErrorKind::NotFound, self.text()?))
    }

    fn reason(&mut self) -> Result<Reason> {
        Ok(match self.one_of(16)? {
            0 => Reason::Unknown,
            1 => Reason::EpochMismatch { current: self.epoch()? },
            2 => Reason::DifferentHost { host: self.host()? },
            3 => Reason::Diverged(Divergence::Identity),
            4 => Reason::Gap { first_held: self.seq()? },
            5 => Reason::Stale { last: AttachNumber(self.number()?) },
            6 | 7 => Reason::Held { by: self.holder()?, name: self.name()? },
            8 => Reason::Superseded { by: Tenure(self.number()?), name: self.name()? },
            9 => Reason::SpawnFailed(self.spawn_error()?),
            10 => Reason::Incompatible { supported: self.versions()? },
            11 => Reason::Unresponsive,
            12 => Reason::Forbidden { message: self.text()?.to_owned() },
            13 => Reason::Exhausted(Counter::Tenure),
            _ => Reason::ProcessGone,
        })
    }

    fn counters(&mut self) -> Result<Counters> {
        let used = if self.is()? { Some(Incarnation(self.number()?)) } else { None };
        let epoch = if self.is()? { Some(self.epoch()?) } else { None };
        Ok(Counters { used, tenure: Tenure(self.number()?), epoch })
    }

    fn refused(&mut self) -> Result<Refused> {
        let attach = AttachNumber(self.number()?);
        Ok(Refused { attach, reason: self.reason()?, counters: self.counters()? })
    }

    /// How a peer can be at fault.
    pub fn misbehaviour(&mut self) -> Result<Misbehaviour> {
        Ok(match self.one_of(3)? {
            0 => Misbehaviour::Frame(FrameError::NoMagic),
            1 => Misbehaviour::WrongSide,
            _ => Misbehaviour::Silent,
        })
    }

    /// Any frame. Those that servers send come more often to a client (`is_to_client`), and the other way round.
    pub fn frame(&mut self, is_to_client: bool) -> Result<Frame> {
        let is_of_server = is_to_client ^ (self.one_of(16)? == 15);
        if is_of_server { self.frame_of_server() } else { self.frame_of_client() }
    }

    fn frame_of_server(&mut self) -> Result<Frame> {
        Ok(match self.one_of(12)? {
            0 | 1 => {
                let (versions, host) = (self.versions()?, self.host()?);
                Frame::Greeting(Greeting { versions, host, host_name: "box".to_owned() })
            }
            2 | 3 => Frame::Welcome(self.welcome()?),
            4 => Frame::Refused(self.refused()?),
            5 | 6 => Frame::Item { seq: self.seq()?, item: self.output_item()? },
            7 => Frame::Superseded { by: Tenure(self.number()?), name: self.name()? },
            8 => Frame::Closed { attach: AttachNumber(self.number()?), ended: 1 },
            _ => return self.frame_of_both(),
        })
    }

    fn frame_of_client(&mut self) -> Result<Frame> {
        Ok(match self.one_of(12)? {
            0..=3 => Frame::Hello(self.hello()?),
            4..=6 => Frame::Item { seq: self.seq()?, item: self.input_item(Item::MAX_PAYLOAD)? },
            7 => Frame::Detach,
            8 => Frame::Close,
            _ => return self.frame_of_both(),
        })
    }

    fn frame_of_both(&mut self) -> Result<Frame> {
        Ok(match self.one_of(6)? {
            0 => Frame::Ping { token: self.number()? },
            1 => Frame::Pong { token: self.number()? },
            2 => Frame::Bye(Bye::Misbehaved(self.misbehaviour()?)),
            _ => Frame::Ack { next: self.seq()? },
        })
    }
}
