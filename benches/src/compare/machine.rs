//! Where the figures were measured.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// The machine, and how busy it was.
#[derive(Deserialize, Serialize)]
pub(super) struct Machine {
    pub(super) model: String,
    pub(super) cores: usize,
    pub(super) kernel: String,
    /// The client's version of it. Nothing in reports of before it was noted.
    #[serde(default)]
    pub(super) openssh: String,
    /// Processes that wanted to run, over the last minute.
    pub(super) load_before: String,
    pub(super) load_after: String,
}

impl Machine {
    pub(super) fn look() -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            model: model.map_or("unknown processor", |(_, model)| model).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: kernel.trim().to_owned(),
            openssh: openssh().unwrap_or_default(),
            load_before: load(),
            load_after: String::new(),
        }
    }

    pub(super) fn processor(&self) -> String {
        format!("{}, {} cores", self.model, self.cores)
    }
}

/// As it says itself, without what comes behind its version.
fn openssh() -> Option<String> {
    let told = Command::new("ssh").arg("-V").output().ok()?;
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    Some(told.split([' ', ',']).next()?.to_owned())
}

pub(super) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
