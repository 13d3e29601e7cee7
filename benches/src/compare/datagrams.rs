//! A relay for datagrams, which mosh needs: they take their time, or get lost.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// More than any datagram of this size of network.
const LONGEST: usize = 64 * 1024;
const ON_THE_WAY: usize = 4096;

#[derive(Debug, Default)]
struct Silence {
    is_silent: AtomicBool,
    /// Datagrams that it has cost.
    lost: AtomicU64,
}

/// A relay of datagrams between one client, wherever it is at the moment, and a target.
#[derive(Debug)]
pub(super) struct Datagrams {
    addr: SocketAddr,
    silence: Arc<Silence>,
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
        let silence = Arc::<Silence>::default();
        let delay = round_trip / 2;
        let (client, clients) = tokio::sync::watch::channel(None);
        let mut tasks = JoinSet::new();
        let (out, queued) = mpsc::channel(ON_THE_WAY);
        tasks.spawn(take_in(Arc::clone(&near), Some(client), delay, Arc::clone(&silence), out));
        tasks.spawn(let_out(queued, Arc::clone(&far), None));
        let (out, queued) = mpsc::channel(ON_THE_WAY);
        tasks.spawn(take_in(far, None, delay, Arc::clone(&silence), out));
        tasks.spawn(let_out(queued, near, Some(clients)));
        Ok(Self { addr, silence, _tasks: tasks })
    }

    /// Where it listens.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Whether to lose what comes from now on.
    pub(super) fn silence(&self, is_silent: bool) {
        self.silence.is_silent.store(is_silent, Ordering::Relaxed);
    }
}

type Client = Option<SocketAddr>;

async fn take_in(
    from: Arc<UdpSocket>,
    client: Option<tokio::sync::watch::Sender<Client>>,
    delay: Duration,
    silence: Arc<Silence>,
    queue: mpsc::Sender<(Instant, Vec<u8>)>,
) -> io::Result<()> {
    let mut datagram = vec![0; LONGEST];
    loop {
        // What a closed port answers comes as an error here, and is no end.
        let Ok((length, sender)) = from.recv_from(&mut datagram).await else { continue };
        if silence.is_silent.load(Ordering::Relaxed) {
            silence.lost.fetch_add(1, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn hear(socket: &UdpSocket) -> Vec<u8> {
        let mut heard = [0; 100];
        let received = tokio::time::timeout(Duration::from_secs(10), socket.recv(&mut heard));
        let length = received.await.expect("a datagram").unwrap();
        heard[..length].to_vec()
    }

    #[tokio::test]
    async fn datagrams_find_both_ways_follow_a_client_that_moves_and_are_lost_in_silence() {
        let localhost = Ipv4Addr::LOCALHOST;
        let target = UdpSocket::bind((localhost, 0)).await.unwrap();
        let port = target.local_addr().unwrap().port();
        let round_trip = Duration::from_millis(20);
        let relay = Datagrams::start(localhost.into(), port, round_trip).await.unwrap();
        for _ in 0..2 {
            let client = UdpSocket::bind((localhost, 0)).await.unwrap();
            client.connect(relay.addr()).await.unwrap();
            client.send(b"question").await.unwrap();
            let mut heard = [0; 100];
            let (length, from) = target.recv_from(&mut heard).await.unwrap();
            assert_eq!(&heard[..length], b"question");
            target.send_to(b"answer", from).await.unwrap();
            assert_eq!(hear(&client).await, b"answer");
        }
        relay.silence(true);
        let client = UdpSocket::bind((localhost, 0)).await.unwrap();
        client.connect(relay.addr()).await.unwrap();
        client.send(b"lost").await.unwrap();
        let lost = async {
            while relay.silence.lost.load(Ordering::Relaxed) == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), lost).await.expect("a loss");
        relay.silence(false);
        client.send(b"passed on").await.unwrap();
        assert_eq!(hear(&target).await, b"passed on");
    }
}
