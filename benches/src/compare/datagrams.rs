//! A relay for datagrams, which mosh needs: they take their time, or get lost.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// More than any datagram of this size of network.
const LONGEST: usize = 64 * 1024;
const ON_THE_WAY: usize = 4096;

/// A relay of datagrams between one client, wherever it is at the moment, and a target.
#[derive(Debug)]
pub(super) struct Datagrams {
    addr: SocketAddr,
    is_silent: Arc<AtomicBool>,
    _tasks: JoinSet<io::Result<()>>,
}

impl Datagrams {
    /// Listens at a free port of `address`, and passes on to `port` of the loopback.
    ///
    /// # Errors
    /// A socket cannot be had.
    pub(super) async fn start(
        address: IpAddr,
        port: u16,
        round_trip: Duration,
    ) -> io::Result<Self> {
        let near = Arc::new(UdpSocket::bind((address, 0)).await?);
        let far = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        far.connect((Ipv4Addr::LOCALHOST, port)).await?;
        let addr = near.local_addr()?;
        let is_silent = Arc::new(AtomicBool::new(false));
        let delay = round_trip / 2;
        let (client, clients) = tokio::sync::watch::channel(None);
        let mut tasks = JoinSet::new();
        let (out, queued) = mpsc::channel(ON_THE_WAY);
        tasks.spawn(take_in(Arc::clone(&near), Some(client), delay, Arc::clone(&is_silent), out));
        tasks.spawn(let_out(queued, Arc::clone(&far), None));
        let (out, queued) = mpsc::channel(ON_THE_WAY);
        tasks.spawn(take_in(far, None, delay, Arc::clone(&is_silent), out));
        tasks.spawn(let_out(queued, near, Some(clients)));
        Ok(Self { addr, is_silent, _tasks: tasks })
    }

    /// Where it listens.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Whether to lose what comes from now on.
    pub(super) fn silence(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::Relaxed);
    }
}

type Client = Option<SocketAddr>;

async fn take_in(
    from: Arc<UdpSocket>,
    client: Option<tokio::sync::watch::Sender<Client>>,
    delay: Duration,
    is_silent: Arc<AtomicBool>,
    queue: mpsc::Sender<(Instant, Vec<u8>)>,
) -> io::Result<()> {
    let mut datagram = vec![0; LONGEST];
    loop {
        // What a closed port answers comes as an error here, and is no end.
        let Ok((length, sender)) = from.recv_from(&mut datagram).await else { continue };
        if is_silent.load(Ordering::Relaxed) {
            continue;
        }
        if let Some(client) = &client {
            client.send_replace(Some(sender));
        }
        // A queue that is full loses, as any router's.
        let _ = queue.try_send((Instant::now() + delay, datagram[..length].to_vec()));
    }
}

async fn let_out(
    mut queued: mpsc::Receiver<(Instant, Vec<u8>)>,
    to: Arc<UdpSocket>,
    client: Option<tokio::sync::watch::Receiver<Client>>,
) -> io::Result<()> {
    while let Some((due, datagram)) = queued.recv().await {
        if due > Instant::now() {
            sleep_until(due).await;
        }
        // Lost, if it cannot be sent.
        let _ = match &client {
            None => to.send(&datagram).await,
            Some(client) => {
                let Some(client) = *client.borrow() else { continue };
                to.send_to(&datagram, client).await
            }
        };
    }
    Ok(())
}
