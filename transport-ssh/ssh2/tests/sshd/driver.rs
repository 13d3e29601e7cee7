//! A client over a real socket.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rejoin_ssh2::{Client, Config, Error, Event};

use crate::keys::Signer;

const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Driver {
    pub(crate) client: Client,
    /// How many times something was written.
    pub(crate) flights: usize,
    stream: TcpStream,
    incoming: Receiver<Vec<u8>>,
}

impl Driver {
    pub(crate) fn connect(addr: SocketAddr, config: Config) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut reading = stream.try_clone().unwrap();
        let (sender, incoming) = channel();
        thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            // It ends with the connection.
            while let Ok(count @ 1..) = reading.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { client: Client::new(config).unwrap(), flights: 0, stream, incoming }
    }

    /// What the client tells next; None when the server has closed the connection.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.client.event() {
                return Ok(Some(event));
            }
            self.write_out();
            match self.incoming.recv_timeout(DEADLINE) {
                Ok(bytes) => self.client.input(&bytes)?,
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return Ok(None),
                Err(error) => panic!("{error} after {DEADLINE:?}"),
            }
        }
    }

    pub(crate) fn write_out(&mut self) {
        let output = self.client.output();
        if output.is_empty() {
            return;
        }
        self.flights += 1;
        let count = output.len();
        // A server that has gone says so to the reader.
        let _ = self.stream.write_all(output);
        self.client.sent(count).unwrap();
    }

    /// Goes on until the command is started; any host is the right one.
    pub(crate) fn start(&mut self, signer: &Signer) -> Result<(), Error> {
        loop {
            match self.next()?.expect("the server closed the connection") {
                Event::HostKey { .. } => self.client.accept_host()?,
                Event::Sign(message) => self.client.signed(&signer.sign(&message))?,
                Event::Authenticated => {}
                Event::Started => return Ok(()),
                event => panic!("{event:?}"),
            }
        }
    }

    /// Reads what the command says and how it ends.
    pub(crate) fn finish(&mut self) -> Result<(Vec<u8>, Option<u32>), Error> {
        let (mut output, mut status) = (Vec::new(), None);
        while let Some(event) = self.next()? {
            match event {
                Event::Data(data) => {
                    output.extend_from_slice(&data);
                    self.client.consumed(data.len())?;
                }
                Event::Exit(found) => status = Some(found),
                // A talkative sshd says its part there.
                Event::Stderr(data) => self.client.consumed(data.len())?,
                Event::Eof => {}
                Event::Closed => break,
                event => panic!("{event:?}"),
            }
        }
        self.write_out();
        Ok((output, status))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The reader has the socket, too; it ends when the server has closed its side.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}
