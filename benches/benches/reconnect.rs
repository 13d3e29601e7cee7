//! From nothing to the first byte replayed over a new link, and a large backlog after it: one body
//! for every transport.

#![allow(missing_docs, reason = "the macros of criterion document nothing")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::path::Path;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use rejoin_benches::hosts::{self, ServerSocket};
use rejoin_benches::prober::Prober;
use rejoin_benches::programs::Programs;
use rejoin_protocol::spec::ProcessSpec;
use rejoin_ssh::{Connect, SshConnect};
use rejoin_testing::{Relay, Sshd};
use tokio::runtime::Runtime;

/// As much as the largest window holds beside what its items cost, in whole megabytes.
const BACKLOG: usize = 63 * 1024 * 1024;
/// What is replayed of it: the rest may still be in a pipe.
const REPLAYED: usize = BACKLOG - (1 << 20);
/// Writes once and stays: something to replay, and nothing to do.
const IDLE: &str = "echo ready; exec sleep 1000";

struct Stage {
    runtime: Runtime,
    programs: Programs,
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let programs = Programs::built().unwrap();
        Self { runtime, programs, folder: tempfile::tempdir().unwrap() }
    }

    fn registry(&self) -> std::path::PathBuf {
        self.folder.path().join("sessions")
    }

    fn attach(&self) -> rejoin_ssh::UnixConnect {
        let _runtime = self.runtime.enter();
        let _ = std::fs::remove_file(self.folder.path().join("attach"));
        let server = &self.programs.server;
        hosts::attach_per_connection(server, self.folder.path(), &self.registry()).unwrap()
    }

    fn ssh(&self, sshd: &Sshd, port: u16) -> SshConnect {
        let (server, registry) = (self.programs.server.display(), self.registry());
        let command = format!("{server} --registry {} attach", registry.display());
        SshConnect::new(sshd.destination(), command).options(sshd.ssh_options(port))
    }

    /// The body of every transport.
    fn resumes(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        name: &str,
        prober: &mut Prober,
        connect: &dyn Connect,
    ) {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                self.runtime.block_on(async {
                    let mut sum = Duration::ZERO;
                    for _ in 0..count {
                        sum += prober.resume(connect).await.unwrap();
                    }
                    sum
                })
            });
        });
    }

    fn opened(&self, connect: &dyn Connect) -> Prober {
        self.runtime.block_on(Prober::open(connect, IDLE)).unwrap()
    }

    fn close(&self, prober: Prober, connect: &dyn Connect) {
        self.runtime.block_on(prober.close(connect)).unwrap();
    }

    fn over_ssh(&self, group: &mut BenchmarkGroup<'_, WallTime>, sshd: &Sshd, millis: u64) {
        let round_trip = Duration::from_millis(millis);
        let relay = Relay::builder(sshd.addr()).round_trip(round_trip).start();
        let relay = self.runtime.block_on(relay).unwrap();
        let connect = self.ssh(sshd, relay.addr().port());
        let mut prober = self.opened(&connect);
        let name = format!("ssh, round trip {millis} ms");
        self.resumes(group, &name, &mut prober, &connect);
        self.close(prober, &connect);
    }
}

fn first_byte(criterion: &mut Criterion) {
    let stage = Stage::new();
    let mut group = criterion.benchmark_group("link open to first replayed byte");
    let memory = {
        let _runtime = stage.runtime.enter();
        hosts::in_memory(6)
    };
    let mut prober = stage.opened(&memory);
    stage.resumes(&mut group, "memory", &mut prober, &memory);

    let attach = stage.attach();
    let mut prober = stage.opened(&attach);
    let socket = ServerSocket::of(&stage.registry(), prober.session());
    stage.resumes(&mut group, "Unix socket of the server", &mut prober, &socket);
    stage.resumes(&mut group, "Unix socket, attach program", &mut prober, &attach);
    stage.close(prober, &attach);
    group.finish();
    over_ssh(criterion, &stage);
}

fn over_ssh(criterion: &mut Criterion, stage: &Stage) {
    if !is_sshd_there() {
        eprintln!("passed over: sshd is not installed");
        return;
    }
    let mut group = criterion.benchmark_group("link open to first replayed byte");
    // Each takes long, and there is no more to learn from more of them.
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_secs(5));
    let sshd = Sshd::start().unwrap();
    let connect = stage.ssh(&sshd, sshd.addr().port());
    let mut prober = stage.opened(&connect);
    stage.resumes(&mut group, "ssh", &mut prober, &connect);
    stage.close(prober, &connect);
    for round_trip in [50, 200] {
        stage.over_ssh(&mut group, &sshd, round_trip);
    }
}

fn is_sshd_there() -> bool {
    ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].iter().any(|path| Path::new(path).exists())
}

fn backlog(criterion: &mut Criterion) {
    let stage = Stage::new();
    let mut group = criterion.benchmark_group("replay 62 MiB");
    group.throughput(Throughput::Bytes(REPLAYED as u64));
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    let memory = {
        let _runtime = stage.runtime.enter();
        hosts::in_memory(BACKLOG)
    };
    stage.replays(&mut group, "memory", stage.opened(&memory), &memory, &memory);
    let attach = stage.attach();
    let prober = stage.with_backlog(&attach);
    let socket = ServerSocket::of(&stage.registry(), prober.session());
    stage.replays(&mut group, "Unix socket of the server", prober, &socket, &attach);
    let prober = stage.with_backlog(&attach);
    stage.replays(&mut group, "Unix socket, attach program", prober, &attach, &attach);
}

impl Stage {
    /// A session whose process has written all that is replayed, with nobody attached: to somebody who
    /// acknowledges nothing, as a prober does, it would be let write a little only.
    fn with_backlog(&self, attach: &dyn Connect) -> Prober {
        let written = self.registry().with_extension("written");
        let command =
            format!("head -c {BACKLOG} /dev/zero; touch {}; exec sleep 1000", written.display());
        let opened = Prober::with_window(attach, &command, ProcessSpec::MAX_WINDOW);
        let prober = self.runtime.block_on(opened).unwrap();
        while !written.exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::fs::remove_file(written).unwrap();
        prober
    }

    fn replays(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        name: &str,
        mut prober: Prober,
        connect: &dyn Connect,
        close: &dyn Connect,
    ) {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                self.runtime.block_on(async {
                    let mut sum = Duration::ZERO;
                    for _ in 0..count {
                        sum += prober.replay(connect, REPLAYED).await.unwrap();
                    }
                    sum
                })
            });
        });
        self.close(prober, close);
    }
}

criterion_group!(benches, first_byte, backlog);
criterion_main!(benches);
