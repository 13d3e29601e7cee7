//! The conversation with the script, from its first word until the server speaks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout_at};

use super::answer::{Answer, Answers, Place};
use super::script::{self, MOST_FOLDERS, Mark};
use super::server::{Platform, ServerFile, Upload};
use super::{DeployNews, Deployment, Found, Patience};
use crate::Attempt;
use crate::link::error::{LinkError, LinkErrorKind};
use crate::link::{LinkReader, LinkWriter};

/// The longest reason that is told.
const MAX_REASON: usize = 300;

/// How often it is looked whether something was printed that is no answer.
const LOOK: Duration = Duration::from_secs(1);

/// The server speaks from here on.
pub(super) struct Ready {
    pub(super) found: Found,
}

/// Why it does not.
pub(super) enum Fault {
    /// For a reason that is known.
    Told(LinkError),
    /// The stream has ended.
    Ended,
    /// More was printed than is skipped.
    Noisy,
    /// Nothing came for so long.
    Silent(Duration),
    /// For so long, the installation did not get on.
    Stalled(Duration),
}

impl Fault {
    fn while_installing(self) -> Self {
        match self {
            Self::Silent(waited) => Self::Stalled(waited),
            other => other,
        }
    }
}

pub(super) struct Talk<'a> {
    deployment: &'a Deployment,
    files: &'a Arc<[ServerFile]>,
    words: &'a str,
    answers: Answers<LinkReader>,
    writer: LinkWriter,
    /// The folders that will not do, and why.
    refused: Vec<String>,
}

impl<'a> Talk<'a> {
    pub(super) fn new(
        deployment: &'a Deployment,
        files: &'a Arc<[ServerFile]>,
        reader: LinkReader,
        writer: LinkWriter,
        mark: &Mark,
        words: &'a str,
    ) -> Self {
        let answers = Answers::new(reader, mark);
        Self { deployment, files, words, answers, writer, refused: Vec::new() }
    }

    pub(super) fn noise(&self) -> String {
        self.answers.noise()
    }

    /// What has come of the server already, and the two halves.
    pub(super) fn into_parts(self) -> (Vec<u8>, LinkReader, LinkWriter) {
        let (heard, reader) = self.answers.into_parts();
        (heard, reader, self.writer)
    }

    pub(super) async fn until_ready(&mut self, attempt: Attempt) -> Result<Ready, Fault> {
        match self.first_word(attempt).await? {
            Answer::Ready { place, platform } => self.ready(place, &platform),
            Answer::Need { platform, has_sum: false, .. } => Err(undeployable(format!(
                "the host ({platform}) has no program that could check what is put there: \
                 install sha256sum, shasum or openssl"
            ))),
            Answer::Need { platform, has_gzip, .. } => {
                self.install(&platform, has_gzip).await.map_err(Fault::while_installing)
            }
            Answer::Few(limit) => Err(few(limit)),
            other => Err(out_of_turn(&other)),
        }
    }

    /// While nothing has come, ssh may be asking its user for a password.
    async fn first_word(&mut self, attempt: Attempt) -> Result<Answer, Fault> {
        let Patience { asking, login, .. } = self.deployment.patience;
        let mut patience = if attempt == Attempt::First { asking } else { login };
        let (begin, mut is_noisy) = (Instant::now(), false);
        loop {
            let deadline = begin + patience;
            let look = deadline.min(Instant::now() + LOOK);
            if let Ok(heard) = timeout_at(look, self.answers.next()).await {
                return understood(heard);
            }
            if Instant::now() >= deadline {
                return Err(Fault::Silent(patience));
            }
            if self.answers.is_noisy() && !std::mem::replace(&mut is_noisy, true) {
                patience = patience.min(begin.elapsed() + login);
            }
        }
    }

    async fn hear(&mut self, patience: Duration) -> Result<Answer, Fault> {
        let heard = timeout_at(Instant::now() + patience, self.answers.next()).await;
        understood(heard.map_err(|_| Fault::Silent(patience))?)
    }

    fn ready(&self, place: Place, platform: &Platform) -> Result<Ready, Fault> {
        let server = self.server_for(platform).cloned();
        let found = match (place, server) {
            (Place::Folder(number), Some(server)) => Found::Folder(number, server),
            (Place::Folder(_), None) => {
                let why = "the host runs a server program that was not offered";
                return Err(Fault::Told(LinkError::new(LinkErrorKind::Other, why)));
            }
            (Place::Path, _) => Found::Path,
        };
        Ok(Ready { found })
    }

    fn server_for(&self, platform: &Platform) -> Option<&ServerFile> {
        self.files.iter().find(|server| server.platform() == platform)
    }

    async fn install(&mut self, platform: &Platform, is_packed: bool) -> Result<Ready, Fault> {
        let server = self.server_for(platform).cloned();
        let upload = match &server {
            Some(server) => read(server.clone(), is_packed).await?,
            None => Upload { bytes: Vec::new(), length: 0 },
        };
        let version = &self.deployment.version;
        let length = upload.bytes.len();
        let script = script::install(server.as_ref(), (length, is_packed), version, self.words);
        // Should it fail, the stream ends as well.
        let _ = self.writer.write_all(&script).await;
        let mut uploads = 0;
        let mut answer = self.hear(self.deployment.patience.quiet).await?;
        loop {
            answer = match answer {
                Answer::Send { folder } if server.is_some() && uploads < MOST_FOLDERS => {
                    uploads += 1;
                    self.send(&upload, folder).await?
                }
                Answer::Ready { place, platform } => {
                    let is_installed = place != Place::Path;
                    let news =
                        if is_installed { DeployNews::Installed } else { DeployNews::FromPath };
                    self.deployment.tell(news);
                    return self.ready(place, &platform);
                }
                Answer::No { what } if self.refused.len() < MOST_FOLDERS => {
                    self.refuse(&what);
                    self.hear(self.deployment.patience.quiet).await?
                }
                Answer::Broken { why } => return Err(self.broken(platform, &why)),
                Answer::NoFolder => return Err(self.nowhere(platform, server.is_some())),
                Answer::Deaf => return Err(deaf()),
                other => return Err(out_of_turn(&other)),
            };
        }
    }

    /// Sends the upload, and returns what the script says when it has taken it.
    async fn send(&mut self, upload: &Upload, folder: String) -> Result<Answer, Fault> {
        let total = u64::try_from(upload.length).unwrap_or(u64::MAX);
        let quiet = self.deployment.patience.quiet;
        self.deployment.tell(DeployNews::Installing { folder, total });
        let written = self.writer.write_all(&upload.bytes);
        tokio::pin!(written);
        let (mut is_written, mut most) = (false, 0);
        let mut deadline = Instant::now() + quiet;
        loop {
            tokio::select! {
                // Should it fail, the stream ends as well.
                _ = &mut written, if !is_written => is_written = true,
                heard = timeout_at(deadline, self.answers.next()) => {
                    match understood(heard.map_err(|_| Fault::Silent(quiet))?)? {
                        // Only what has arrived proves that the link works: ssh takes far more
                        // than it has sent.
                        Answer::At(sent) if sent > most && sent <= total => {
                            most = sent;
                            deadline = Instant::now() + quiet;
                            self.deployment.tell(DeployNews::Progress { sent, total });
                        }
                        Answer::At(_) => {}
                        answer => return Ok(answer),
                    }
                }
            }
        }
    }

    fn refuse(&mut self, what: &str) {
        let what: String = what.chars().take(MAX_REASON).collect();
        self.refused.push(what.clone());
        self.deployment.tell(DeployNews::Refused { what });
    }

    fn broken(&self, platform: &Platform, why: &str) -> Fault {
        let why: String = why.chars().take(MAX_REASON).collect();
        let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
        let advice = self.deployment.servers.advice(platform);
        undeployable(format!("the server program does not run on the host{why}: {advice}"))
    }

    fn nowhere(&self, platform: &Platform, has_server: bool) -> Fault {
        if !has_server {
            let advice = self.deployment.servers.advice(platform);
            return undeployable(format!("there is no server program for {platform}: {advice}"));
        }
        let refused = self.refused.join("; ");
        let message = format!("no folder of the host can hold the server program: {refused}");
        let error = LinkError::new(LinkErrorKind::Undeployable, message);
        Fault::Told(error.with_detail(self.refused.clone()))
    }
}

fn understood(heard: io::Result<Option<Answer>>) -> Result<Answer, Fault> {
    match heard {
        Ok(Some(answer)) => Ok(answer),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Fault::Noisy),
        Ok(None) | Err(_) => Err(Fault::Ended),
    }
}

async fn read(server: ServerFile, is_packed: bool) -> Result<Upload, Fault> {
    let path = server.path().display().to_string();
    let read = tokio::task::spawn_blocking(move || server.upload(is_packed)).await;
    let read = read.map_err(io::Error::other).and_then(|read| read);
    read.map_err(|error| undeployable(format!("{path}: cannot be sent to the host: {error}")))
}

fn few(limit: u64) -> Fault {
    let message = format!(
        "only {limit} files may be open on the host, and rejoin-server needs 32: look for ulimit -n in the \
         start-up files of the login shell"
    );
    Fault::Told(LinkError::new(LinkErrorKind::Other, message))
}

fn deaf() -> Fault {
    let message = "the host's login shell gives its commands no input: look for a redirection, such as \
                   exec </dev/null, in its start-up files";
    Fault::Told(LinkError::new(LinkErrorKind::Other, message))
}

fn undeployable(message: String) -> Fault {
    Fault::Told(LinkError::new(LinkErrorKind::Undeployable, message))
}

fn out_of_turn(answer: &Answer) -> Fault {
    tracing::debug!(?answer, "out of turn");
    let message = "the host answered something else than it was asked";
    Fault::Told(LinkError::new(LinkErrorKind::Other, message))
}
