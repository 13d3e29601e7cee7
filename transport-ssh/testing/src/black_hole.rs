//! An address that does not answer.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

/// More than the shortest queue of connections that any system has.
const FILLING: usize = 8;

/// A loopback address where connections are neither accepted nor refused: the queue of those that wait
/// to be accepted is full. It is as if it led nowhere.
#[derive(Debug)]
pub struct BlackHole {
    addr: SocketAddr,
    _listener: OwnedFd,
    _queue: Vec<OwnedFd>,
}

impl BlackHole {
    /// Starts at a free port.
    pub fn start() -> io::Result<Self> {
        let listener = socket(SocketFlags::CLOEXEC)?;
        net::bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        net::listen(&listener, 0)?;
        let addr = net::getsockname(&listener)?.try_into()?;
        let queue = (0..FILLING).map(|_| waiting(addr)).collect::<io::Result<_>>()?;
        Ok(Self { addr, _listener: listener, _queue: queue })
    }

    /// The address that does not answer.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

fn socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    Ok(net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?)
}

/// A connection that is on its way, for as long as it takes.
fn waiting(addr: SocketAddr) -> io::Result<OwnedFd> {
    let socket = socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    match net::connect(&socket, &addr) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}
