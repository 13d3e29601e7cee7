//! Encodes, decodes and steps both machines without the standard library.
#![no_std]
#![no_main]

extern crate alloc;

mod memory;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use rejoin_protocol::client::{self, OnLoss};
use rejoin_protocol::codec::{Decoder, SERVER_MAGIC, encode};
use rejoin_protocol::frame::Greeting;
use rejoin_protocol::server::{self, Past};
use rejoin_protocol::spec::{Command, ProcessSpec};
use rejoin_protocol::{
    Capabilities, Client, ClientInstance, ClientName, Frame, HostId, Link, Server, SessionId,
    Timer, VersionRange,
};

/// Gives out one block of memory from its start to its end, and takes nothing back.
struct Bump {
    memory: UnsafeCell<[u8; SIZE]>,
    used: AtomicUsize,
}

const SIZE: usize = 1 << 20;

// SAFETY: every byte is given out once, to one caller.
unsafe impl Sync for Bump {}

// SAFETY: the blocks lie within `memory`, are aligned as asked for, and do not overlap.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.memory.get().cast::<u8>();
        let from = self.used.load(Ordering::Relaxed);
        let padding = start.wrapping_add(from).align_offset(layout.align());
        let end = from.saturating_add(padding).saturating_add(layout.size());
        if end > SIZE {
            return core::ptr::null_mut();
        }
        self.used.store(end, Ordering::Relaxed);
        start.wrapping_add(from + padding)
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Bump = Bump { memory: UnsafeCell::new([0; SIZE]), used: AtomicUsize::new(0) };

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    end(101)
}

/// The entry of the program. The stack is aligned for a call first.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn _start() -> ! {
    core::arch::naked_asm!("and rsp, -16", "call {main}", "ud2", main = sym main)
}

extern "C" fn main() -> ! {
    end(if starts_a_process() { 0 } else { 1 })
}

fn end(status: i32) -> ! {
    // SAFETY: exit_group takes one number and does not come back.
    unsafe {
        core::arch::asm!("syscall", in("rax") 231, in("rdi") status, options(noreturn, nostack))
    }
}

/// A client opens a session, over the wire, at a server that has none.
fn starts_a_process() -> bool {
    let session = SessionId::from_bytes([1; 16]);
    let host = HostId { machine: [2; 16], boot: [3; 16] };
    let versions = VersionRange::SUPPORTED;
    let config = client::Config {
        session,
        instance: ClientInstance::from_bytes([4; 16]),
        name: ClientName::new("nobody"),
        versions,
        spec: ProcessSpec::new(Command::LoginShell).encode().ok(),
        on_loss: OnLoss::Fail,
        take_over: false,
        window: ProcessSpec::DEFAULT_WINDOW,
    };
    let greeting = Frame::Greeting(Greeting { versions, host, host_name: "here".into() });
    let Some(greeting) = over_the_wire(&greeting) else { return false };
    let (mut client, link) = (Client::open(&config), Link(1));
    client.step(&config, client::Event::Timer(Timer::Reconnect));
    client.step(&config, client::Event::LinkOpened(link));
    let effects = client.step(&config, client::Event::Frame(link, greeting));
    let hello = effects.into_iter().find_map(|effect| match effect {
        client::Effect::Send(_, frame) => Some(frame),
        _ => None,
    });
    let Some(hello) = hello.and_then(|frame| over_the_wire(&frame)) else { return false };
    let config = server::Config { session, host, versions, capabilities: Capabilities(0) };
    let mut server = Server::Absent(Past::default());
    let effects = server.step(&config, server::Event::Frame(link, hello));
    matches!(effects[..], [server::Effect::Start { .. }])
}

fn over_the_wire(frame: &Frame) -> Option<Frame> {
    let encoded = encode(frame).ok()?;
    let mut buffer = BytesMut::new();
    buffer.extend_from_slice(&SERVER_MAGIC);
    buffer.extend_from_slice(&encoded.head);
    buffer.extend_from_slice(&encoded.payload);
    let decoded = Decoder::of_server().decode(&mut buffer).ok()?;
    decoded.filter(|decoded| decoded == frame)
}
