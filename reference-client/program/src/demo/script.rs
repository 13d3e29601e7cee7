//! The process of the demo, and what it must have written.

/// Lines that each process counts.
pub(super) const LINES: u64 = 450;

/// What it exits with.
pub(super) const EXIT: u8 = 7;

/// Counts, slowly; then waits for one line of input, and repeats it.
pub(super) fn command() -> String {
    format!(
        "echo \"process $$\"; n=0; \
         while [ $n -lt {LINES} ]; do n=$((n+1)); echo \"line $n of {LINES}\"; sleep 0.01; done; \
         read -r word; echo \"heard: $word\"; exit {EXIT}"
    )
}

fn line(n: u64) -> String {
    format!("line {n} of {LINES}\n")
}

/// The output of one process, as far as it was received.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    received: Vec<u8>,
}

impl Transcript {
    pub(super) fn push(&mut self, data: &[u8]) {
        self.received.extend_from_slice(data);
    }

    pub(super) fn len(&self) -> usize {
        self.received.len()
    }

    /// The number that the process says it has.
    pub(super) fn pid(&self) -> Option<i32> {
        let first = self.received.split(|byte| *byte == b'\n').next()?;
        let text = std::str::from_utf8(first).ok()?;
        // Only a whole line tells the whole number.
        let is_whole = self.received.len() > first.len();
        text.strip_prefix("process ")?.parse().ok().filter(|_| is_whole)
    }

    /// How many lines were counted, whole ones.
    pub(super) fn lines(&self) -> u64 {
        let pieces = self.received.split(|byte| *byte == b'\n').count() as u64;
        // One piece is the process's number, and one stands behind the last line.
        pieces.saturating_sub(2).min(LINES)
    }

    /// Compares every byte with what the process writes: nothing missing, nothing twice.
    pub(super) fn verify(&self, word: &str) -> Result<(), String> {
        let pid = self.pid().ok_or("the process did not say its number")?;
        let lines: String = (1..=LINES).map(line).collect();
        let expected = format!("process {pid}\n{lines}heard: {word}\n");
        let pairs = self.received.iter().zip(expected.as_bytes());
        match pairs.enumerate().find(|(_, (received, expected))| received != expected) {
            Some((at, _)) => Err(format!("byte {at} of process {pid} is not what it wrote")),
            None if self.received.len() > expected.len() => {
                Err(format!("process {pid} wrote less than was received"))
            }
            None => Ok(()),
        }
    }

    /// The same, and that it is complete.
    pub(super) fn verify_whole(&self, word: &str) -> Result<(), String> {
        self.verify(word)?;
        if self.received.ends_with(format!("heard: {word}\n").as_bytes()) {
            Ok(())
        } else {
            Err(String::from("the end of the output is missing"))
        }
    }
}
