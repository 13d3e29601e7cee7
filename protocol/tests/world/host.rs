//! The host of the small world: a registry, at most one server, and its process.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use rejoin_protocol::server::{Config, Effect, Effects, Event, Limits, Past};
use rejoin_protocol::spec::Overflow;
use rejoin_protocol::{
    Epoch, ExitStatus, Frame, Incarnation, Item, Link, Seq, Server, SpawnError, SpawnErrorKind,
    Stream, Tenure, Timer,
};

use super::{History, WINDOW, World};
use crate::common::server_config;

#[derive(Debug)]
pub struct Host {
    config: Config,
    pub overflow: Overflow,
    past: Past,
    started: BTreeSet<Incarnation>,
    pub server: Option<Living>,
    generations: u64,
}

/// A server that lives, and what its driver still has to report to it.
#[derive(Debug)]
pub struct Living {
    pub machine: Server,
    generation: u64,
    incarnation: Incarnation,
    pub epoch: Option<Epoch>,
    recorded: Tenure,
    starts: bool,
    records: Option<Tenure>,
    ends: bool,
    is_kept_for_nobody: bool,
    input: VecDeque<(Seq, Item)>,
    taken: Seq,
    has_exited: bool,
}

impl Host {
    pub fn new(overflow: Overflow) -> Self {
        Self {
            config: server_config(),
            overflow,
            past: Past::default(),
            started: BTreeSet::new(),
            server: None,
            generations: 0,
        }
    }
}

impl World {
    /// The next thing that the server's end of a link learns.
    pub fn arrive_at_server(&mut self, link: u64) -> bool {
        let wire = self.wires.get_mut(&link).unwrap();
        if !wire.knows_server {
            return false;
        }
        if let Some(frame) = wire.to_server.pop_front() {
            self.read(link, frame);
            return true;
        }
        if wire.is_cut || !wire.has_client {
            wire.knows_server = false;
            wire.has_server = false;
            if self.is_bound_to_living(link) {
                self.serve(Event::LinkLost(Link(link)));
            }
            return true;
        }
        false
    }

    fn is_bound_to_living(&self, link: u64) -> bool {
        let generation = self.host.server.as_ref().map(|living| living.generation);
        generation.is_some() && self.wires[&link].bound_to == generation
    }

    fn read(&mut self, link: u64, frame: Frame) {
        if self.is_bound_to_living(link) {
            return self.serve(Event::Frame(Link(link), frame));
        }
        let is_hello = matches!(frame, Frame::Hello(_));
        if let Some(living) = self.host.server.as_ref().filter(|_| is_hello) {
            self.wires.get_mut(&link).unwrap().bound_to = Some(living.generation);
            self.serve(Event::Frame(Link(link), frame));
        } else if self.host.server.is_none() {
            self.answer_for_nobody(link, frame);
        }
    }

    /// What the attach program does while it holds the lock.
    fn answer_for_nobody(&mut self, link: u64, frame: Frame) {
        let mut machine = Server::Absent(self.host.past.clone());
        let effects = machine.step(&self.host.config, Event::Frame(Link(link), frame));
        if matches!(machine, Server::Starting(_)) {
            self.host.generations += 1;
            self.wires.get_mut(&link).unwrap().bound_to = Some(self.host.generations);
            self.host.server = Some(Living {
                machine,
                generation: self.host.generations,
                incarnation: Incarnation(0),
                epoch: None,
                recorded: Tenure(0),
                starts: false,
                records: None,
                ends: false,
                is_kept_for_nobody: false,
                input: VecDeque::new(),
                taken: Seq(0),
                has_exited: false,
            });
        }
        self.carry_out_all(effects);
    }

    pub fn serve(&mut self, event: Event) {
        let Some(living) = &mut self.host.server else { return };
        let effects = living.machine.step(&self.host.config, event);
        self.carry_out_all(effects);
    }

    fn carry_out_all(&mut self, effects: Effects) {
        for effect in effects {
            self.carry_out_for_server(effect);
        }
    }

    fn carry_out_for_server(&mut self, effect: Effect) {
        match effect {
            Effect::Send(Link(link), frame) => self.send_to_client(link, frame),
            Effect::Close(Link(link)) => {
                if let Some(wire) = self.wires.get_mut(&link) {
                    wire.has_server = false;
                    wire.knows_server = false;
                }
            }
            Effect::Bury(past) => {
                assert!(past.used >= self.host.past.used && past.tenure >= self.host.past.tenure);
                self.host.past = past;
            }
            Effect::Stop => self.stop(),
            Effect::Start { incarnation, tenure, .. } => {
                assert!(self.host.started.insert(incarnation), "{incarnation:?} starts again");
                let living = self.host.server.as_mut().unwrap();
                living.incarnation = incarnation;
                living.recorded = tenure;
                living.starts = true;
            }
            other => self.carry_out_for_process(other),
        }
    }

    fn carry_out_for_process(&mut self, effect: Effect) {
        let living = self.host.server.as_mut().expect("a living server");
        match effect {
            Effect::RecordTenure(tenure, _) => living.records = Some(tenure),
            Effect::HandOver(seq, item) => {
                let epoch = living.epoch.unwrap();
                living.input.push_back((seq, item.clone()));
                self.check_input(epoch, &item);
            }
            Effect::EndProcess(_) => living.ends = true,
            Effect::Arm(Timer::Retention) => living.is_kept_for_nobody = true,
            Effect::Disarm(Timer::Retention) => living.is_kept_for_nobody = false,
            _ => {}
        }
    }

    fn send_to_client(&mut self, link: u64, frame: Frame) {
        let Some(wire) = self.wires.get_mut(&link) else { return };
        match &frame {
            Frame::Welcome(_) => self.owner = Some(wire.client),
            // Rule 2: acknowledged means taken by the process.
            Frame::Ack { next } => assert_eq!(*next, self.host.server.as_ref().unwrap().taken),
            _ => {}
        }
        assert!(wire.has_server || wire.is_cut, "a frame for a link that the server has closed");
        if !wire.is_cut {
            wire.to_client.push_back(frame);
        }
    }

    fn stop(&mut self) {
        let Some(living) = self.host.server.take() else { return };
        for wire in self.wires.values_mut().filter(|wire| wire.bound_to == Some(living.generation))
        {
            wire.has_server = false;
            wire.knows_server = false;
            wire.to_server.clear();
        }
    }

    /// The server is killed, and its process with it. Who gets the lock next reads the record.
    pub fn kill(&mut self) {
        if let Some(living) = &self.host.server {
            let past = &mut self.host.past;
            past.is_known = true;
            past.used = past.used.max(Some(living.incarnation));
            past.tenure = past.tenure.max(living.recorded);
        }
        self.stop();
    }

    /// What the server's driver still has to report.
    pub fn report(&mut self, works: bool) -> bool {
        let Some(living) = &mut self.host.server else { return false };
        if std::mem::take(&mut living.starts) {
            if !works {
                let error = SpawnError::new(SpawnErrorKind::Other, "no");
                self.serve(Event::StartFailed(error));
                return true;
            }
            let mut id = [0xee; 16];
            id[8..].copy_from_slice(&living.generation.to_be_bytes());
            let epoch = Epoch::from_bytes(id);
            living.epoch = Some(epoch);
            self.history.insert(epoch, History::default());
            let limits = Limits { window: WINDOW, overflow: self.host.overflow };
            self.serve(Event::Started(epoch, limits));
        } else if let Some(tenure) = living.records.take() {
            if works {
                living.recorded = tenure;
            }
            self.serve(if works { Event::TenureRecorded } else { Event::TenureNotRecorded });
        } else if std::mem::take(&mut living.ends) {
            self.serve(Event::Ended(0));
        } else {
            return false;
        }
        true
    }

    /// The process reads one item.
    pub fn consume(&mut self) -> bool {
        let Some(living) = &mut self.host.server else { return false };
        if living.has_exited {
            return false;
        }
        let Some((seq, item)) = living.input.pop_front() else { return false };
        living.taken = item.end(seq);
        let next = living.taken;
        self.serve(Event::InputTaken(next));
        true
    }

    /// The process writes, if its log takes it.
    pub fn produce(&mut self, len: usize) {
        let Some(living) = &self.host.server else { return };
        let room = living.machine.output_room();
        if living.has_exited || room == 0 {
            return;
        }
        let outputs = &mut self.history.get_mut(&living.epoch.unwrap()).unwrap().outputs;
        let mut data = outputs.len().to_be_bytes().to_vec();
        data.resize(len.max(8), b'x');
        data.truncate(room);
        let data = Bytes::from(data);
        let stream = Stream::Stdout;
        outputs.push(Item::Output { stream, data: data.clone() });
        self.serve(Event::Output(stream, data));
    }

    pub fn exit(&mut self) {
        let Some(living) = &mut self.host.server else { return };
        let (Some(epoch), false) = (living.epoch, living.has_exited) else { return };
        living.has_exited = true;
        let status = ExitStatus::Code(7);
        self.history.get_mut(&epoch).unwrap().outputs.push(Item::Exit(status));
        self.serve(Event::Exited(status));
    }

    pub fn retention(&mut self) {
        if self.host.server.as_ref().is_some_and(|living| living.is_kept_for_nobody) {
            self.serve(Event::Timer(Timer::Retention));
        }
    }

    pub fn has_exited(&self) -> bool {
        self.host.server.as_ref().is_some_and(|living| living.has_exited)
    }
}
