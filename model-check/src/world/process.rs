//! The process that a server keeps: what it reads, writes, and how it ends.

use rejoin_protocol::server::Event;
use rejoin_protocol::{Item, Seq};

use super::serve::ServerTask;
use super::{Cx, World};
use crate::names;
use crate::properties::server;
use crate::witness::Witness;

impl World {
    /// The process writes, or goes on waiting to.
    pub fn process_writes(&mut self, cx: &Cx, s: u8) {
        let server = self.server_mut(s);
        let room = server.machine.output_room();
        let Some(process) = &mut server.process else { return };
        let lengths = cx.profile.outputs;
        process.is_blocked = room < usize::from(names::output_length(process.written, lengths));
        if process.is_blocked {
            cx.seen.mark(Witness::ProducerWaits);
            return;
        }
        let seq = process.written;
        process.written = seq.next();
        let item = names::output_item(process.epoch, seq, lengths);
        let Item::Output { stream, data } = item else { return };
        let epoch = process.epoch;
        let held = seq.next().since(self.ghost.acknowledged(epoch)) * (Item::OVERHEAD + 1);
        if cx.blocks() && lengths.is_empty() {
            self.require(server::kept(held, cx.profile.window));
        }
        self.step_server(cx, s, Event::Output(stream, data));
        self.unblock(cx, s);
    }

    /// A process that was waiting reads on.
    fn unblock(&mut self, cx: &Cx, s: u8) {
        if cx.profile.has_slow_process {
            return;
        }
        while self.can_take(s) {
            self.process_takes(cx, s);
        }
    }

    /// Whether the process can take input.
    pub fn can_take(&self, s: u8) -> bool {
        self.servers[usize::from(s)].as_ref().and_then(|it| it.process.as_ref()).is_some_and(
            |process| process.is_alive && !process.is_blocked && !process.waiting.is_empty(),
        )
    }

    /// The process takes an item.
    pub fn process_takes(&mut self, cx: &Cx, s: u8) {
        let Some(process) = &mut self.server_mut(s).process else { return };
        let Some((seq, item)) = process.waiting.pop_front() else { return };
        let next = item.end(seq);
        process.taken = next;
        self.step_server(cx, s, Event::InputTaken(next));
    }

    /// The end of the process is reported.
    pub fn process_exits(&mut self, cx: &Cx, s: u8) {
        let server = self.server_mut(s);
        server.process_is_killed();
        let Some(process) = &mut server.process else { return };
        process.is_reported = true;
        let status = names::exit_status(process.epoch, process.written);
        process.written = process.written.next();
        self.step_server(cx, s, Event::Exited(status));
    }

    /// The process and its descendants are gone.
    pub fn process_ended(&mut self, cx: &Cx, s: u8) {
        let server = self.server_mut(s);
        server.is_ending = false;
        server.process_is_killed();
        if server.ends_all {
            self.end_rest(cx, s);
        }
        self.step_server(cx, s, Event::Ended(0));
    }

    pub(super) fn hand_over(&mut self, cx: &Cx, s: u8, seq: Seq, item: Item) {
        if self.server(s).has_living_process() {
            self.check_input(s, seq, &item);
        }
        let Some(process) = &mut self.server_mut(s).process else { return };
        let next = item.end(seq);
        process.handed = process.handed.max(next);
        if !process.is_alive {
            return;
        }
        if cx.profile.has_slow_process || process.is_blocked || !process.waiting.is_empty() {
            process.waiting.push_back((seq, item));
        } else {
            process.taken = next;
            self.server_mut(s).todo.push_back(ServerTask::Event(Event::InputTaken(next)));
        }
    }
}
