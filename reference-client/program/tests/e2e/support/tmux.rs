//! A terminal to look at, and to type in.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::host::Host;
use super::programs::{needed, rejoin, rejoin_server};
use super::wait::{LIMIT, until, until_some};

const COLUMNS: &str = "80";
const ROWS: &str = "24";

/// A tmux server of a test's own with one terminal in it.
pub(crate) struct Tmux {
    socket: PathBuf,
    home: PathBuf,
    events: PathBuf,
    status: PathBuf,
}

impl Tmux {
    /// Runs `rejoin -t` in the terminal, with these words behind the host's name.
    pub(crate) fn rejoin(host: &Host, words: &[&str]) -> Self {
        Self::rejoin_with(host, &[], words)
    }

    /// The same, with more options in front of those for the host.
    pub(crate) fn rejoin_with(host: &Host, options: &[&str], words: &[&str]) -> Self {
        let events = host.file_for_run("events");
        let line = rejoin_line(host, &events, options, words);
        Self::start(host, events, &line)
    }

    /// Runs a local shell in the terminal, with `WHO=local` in its environment; typing `start` there is
    /// what [`Self::rejoin_with`] does.
    pub(crate) fn shell(host: &Host, options: &[&str], words: &[&str]) -> Self {
        let events = host.file_for_run("events");
        let rejoin = rejoin_line(host, &events, options, words);
        let quoted = rejoin.iter().map(|word| {
            let word = word.to_str().expect("words of tests are text");
            format!("'{}'", word.replace('\'', "'\\''"))
        });
        let start = format!("start() {{ {}; }}\n", quoted.collect::<Vec<_>>().join(" "));
        let file = host.file_for_run("profile");
        std::fs::write(&file, start).unwrap();
        let file = format!("ENV={}", file.display());
        let line = ["env", "PS1=local> ", "WHO=local", &file, "sh", "-i"].map(OsString::from);
        let tmux = Self::start(host, events, &line);
        tmux.until_seen("local>");
        tmux
    }

    /// Runs a subcommand of rejoin in the terminal, with these options in front of the host's name.
    pub(crate) fn subcommand(host: &Host, words: &[&str]) -> Self {
        Self::subcommand_with(host, words, &[])
    }

    /// The same, with more words behind the host's name.
    pub(crate) fn subcommand_with(host: &Host, words: &[&str], rest: &[&str]) -> Self {
        let mut line: Vec<OsString> = vec![rejoin().into()];
        line.extend(words.iter().map(OsString::from));
        line.extend(host.options());
        line.extend(["--server".into(), rejoin_server().into(), host.name().into()]);
        line.extend(rest.iter().map(OsString::from));
        Self::start(host, host.file_for_run("none"), &line)
    }

    /// Runs the command in the terminal without rejoin: what it must look like.
    pub(crate) fn plain(host: &Host, command: &str) -> Self {
        let line = ["sh", "-c", command].map(OsString::from);
        Self::start(host, host.file_for_run("none"), &line)
    }

    fn start(host: &Host, events: PathBuf, line: &[OsString]) -> Self {
        needed("tmux");
        let [socket, status] = ["tmux", "status"].map(|what| host.file_for_run(what));
        let tmux = Self { socket, home: host.home(), events, status };
        let mut command = tmux.command();
        command.args(["-f", "/dev/null", "new-session", "-d", "-x", COLUMNS, "-y", ROWS, "--"]);
        // Of a program that ends, tmux may miss the status.
        command.args(["sh", "-c", "\"$@\"; echo $? > \"$0\""]).arg(&tmux.status);
        let started = command.args(line).output().unwrap();
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        // The last screen stays to be looked at when the program ends.
        tmux.run(&["set-option", "-g", "remain-on-exit", "on"]);
        tmux
    }

    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).env("HOME", &self.home).env("SHELL", "/bin/sh");
        command.env("LC_ALL", "C.UTF-8").env_remove("TMUX");
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command().args(words).output().expect("tmux runs")
    }

    /// Types keys: names such as `Enter`, or text.
    pub(crate) fn keys(&self, keys: &[&str]) {
        let mut words = vec!["send-keys"];
        words.extend(keys);
        let typed = self.run(&words);
        assert!(typed.status.success(), "{}", String::from_utf8_lossy(&typed.stderr));
    }

    /// Types text as it is.
    pub(crate) fn text(&self, text: &str) {
        // To tmux, a semicolon at the end of a word would end its command.
        let text = match text.strip_suffix(';') {
            Some(text) => format!("{text}\\;"),
            None => text.to_owned(),
        };
        self.keys(&["-l", &text]);
    }

    /// What is to be seen.
    pub(crate) fn screen(&self) -> String {
        let captured = self.run(&["capture-pane", "-p"]);
        String::from_utf8_lossy(&captured.stdout).into_owned()
    }

    /// Has all that is written to the terminal from now on written to this file, too.
    pub(crate) fn record(&self, file: &Path) {
        let started = self.run(&["pipe-pane", &format!("exec cat > '{}'", file.display())]);
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    }

    /// What is to be seen, with its colours.
    pub(crate) fn cells(&self) -> String {
        let captured = self.run(&["capture-pane", "-p", "-e"]);
        String::from_utf8_lossy(&captured.stdout).into_owned()
    }

    /// Pastes text in one piece.
    pub(crate) fn paste(&self, text: &str) {
        let file = self.home.join("pasted");
        std::fs::write(&file, text).unwrap();
        for words in [&["load-buffer", file.to_str().unwrap()][..], &["paste-buffer", "-r"]] {
            let pasted = self.run(words);
            assert!(pasted.status.success(), "{}", String::from_utf8_lossy(&pasted.stderr));
        }
    }

    /// What tmux knows, in its own words for formats.
    pub(crate) fn told(&self, format: &str) -> String {
        let told = self.run(&["display-message", "-p", format]);
        String::from_utf8_lossy(&told.stdout).trim().to_owned()
    }

    /// Where the cursor is, column and row.
    pub(crate) fn cursor(&self) -> String {
        self.told("#{cursor_x},#{cursor_y}")
    }

    /// The window's title, as the programs have set it.
    pub(crate) fn title(&self) -> String {
        self.told("#{pane_title}")
    }

    /// Waits until the title says this.
    #[track_caller]
    pub(crate) fn until_titled(&self, text: &str) {
        self.until_screen(&format!("\"{text}\" in the title"), |_| self.title().contains(text));
    }

    /// Waits until the program has ended with this status.
    #[track_caller]
    pub(crate) fn until_ended_with(&self, status: i32) {
        let told = format!("{status}\n");
        self.until_screen(&format!("an end with status {status}"), |_| {
            std::fs::read_to_string(&self.status).is_ok_and(|status| status == told)
        });
    }

    /// Waits until the screen is as wanted.
    #[track_caller]
    pub(crate) fn until_screen(&self, what: &str, mut is_wanted: impl FnMut(&str) -> bool) {
        let mut last = String::new();
        let seen = std::panic::AssertUnwindSafe(|| {
            until(what, || {
                last = self.screen();
                is_wanted(&last)
            });
        });
        let is_seen = std::panic::catch_unwind(seen).is_ok();
        assert!(is_seen, "not within {LIMIT:?}: {what}; the screen is\n{last}");
    }

    /// Waits until a text is to be seen.
    #[track_caller]
    pub(crate) fn until_seen(&self, text: &str) {
        self.until_screen(&format!("\"{text}\" on the screen"), |screen| screen.contains(text));
    }

    /// Gives the terminal another size.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let resized = self.run(&["resize-window", "-x", &columns, "-y", &rows]);
        assert!(resized.status.success(), "{}", String::from_utf8_lossy(&resized.stderr));
    }

    /// The events of a kind so far.
    pub(crate) fn events_named(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.events).unwrap_or_default();
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let events = lines.map(|line| serde_json::from_str(line).expect("a line of JSON"));
        events.filter(|event: &Value| event["event"] == name).collect()
    }

    /// Waits for an event of a kind to happen a number of times.
    #[track_caller]
    pub(crate) fn nth_event(&self, name: &str, number: usize) -> Value {
        until_some(&format!("event {name} number {number}"), || {
            self.events_named(name).into_iter().nth(number - 1)
        })
    }

    /// How often an event has happened.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.events_named(name).len()
    }
}

fn rejoin_line(host: &Host, events: &Path, options: &[&str], words: &[&str]) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec![rejoin().into(), "-t".into()];
    line.extend(options.iter().map(OsString::from));
    line.extend(host.options());
    line.extend(["--server".into(), rejoin_server().into()]);
    line.extend(["--events".into(), events.into(), host.name().into()]);
    line.extend(words.iter().map(OsString::from));
    line
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}
