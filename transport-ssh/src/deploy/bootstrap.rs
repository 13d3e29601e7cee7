//! Talks to the bootstrap script until the server answers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout_at};

use super::deployment::{DeployEvent, DeployTimeouts, Deployment, InstalledServer};
use super::reply::{ReplyReader, ScriptReply, ServerPlace};
use super::script::{self, MOST_FOLDERS, ReplyMarker};
use super::server_file::{Platform, ServerFile, Upload};
use crate::link::connect::Attempt;
use crate::link::error::{LinkError, LinkErrorKind};
use crate::link::stream::{LinkReader, LinkWriter};

/// The longest reason that is reported, in characters.
const MAX_REASON: usize = 300;

/// How often to check for output that is not an answer.
const LOOK: Duration = Duration::from_secs(1);

/// The server answers from here on.
pub(super) struct ServerReady {
    pub(super) found: InstalledServer,
}

/// Why the server does not answer.
pub(super) enum BootstrapError {
    /// For a known reason.
    Known(LinkError),
    /// The stream has ended.
    Ended,
    /// More was printed than is skipped.
    Noisy,
    /// Nothing arrived for this time.
    Silent(Duration),
    /// The installation made no progress for this time.
    Stalled(Duration),
}

impl BootstrapError {
    fn while_installing(self) -> Self {
        match self {
            Self::Silent(waited) => Self::Stalled(waited),
            other => other,
        }
    }
}

pub(super) struct Bootstrap<'a> {
    deployment: &'a Deployment,
    files: &'a Arc<[ServerFile]>,
    words: &'a str,
    answers: ReplyReader<LinkReader>,
    writer: LinkWriter,
    /// The unsuitable folders, and why.
    refused: Vec<String>,
}

impl<'a> Bootstrap<'a> {
    pub(super) fn new(
        deployment: &'a Deployment,
        files: &'a Arc<[ServerFile]>,
        reader: LinkReader,
        writer: LinkWriter,
        mark: &ReplyMarker,
        words: &'a str,
    ) -> Self {
        let answers = ReplyReader::new(reader, mark);
        Self { deployment, files, words, answers, writer, refused: Vec::new() }
    }

    pub(super) fn noise(&self) -> String {
        self.answers.noise()
    }

    /// The server's bytes that were already read, and the two halves of the link.
    pub(super) fn into_parts(self) -> (Vec<u8>, LinkReader, LinkWriter) {
        let (heard, reader) = self.answers.into_parts();
        (heard, reader, self.writer)
    }

    pub(super) async fn until_ready(
        &mut self,
        attempt: Attempt,
    ) -> Result<ServerReady, BootstrapError> {
        match self.first_word(attempt).await? {
            ScriptReply::Ready { place, platform } => self.ready(place, &platform),
            ScriptReply::Need { platform, has_sum: false, .. } => Err(undeployable(format!(
                "the host ({platform}) has no program to verify the \
                       upload; install sha256sum, shasum or openssl"
            ))),
            ScriptReply::Need { platform, has_gzip, .. } => {
                self.install(&platform, has_gzip).await.map_err(BootstrapError::while_installing)
            }
            ScriptReply::Few(limit) => Err(few(limit)),
            other => Err(out_of_turn(&other)),
        }
    }

    /// While nothing has come, ssh may be asking its user for a password.
    async fn first_word(&mut self, attempt: Attempt) -> Result<ScriptReply, BootstrapError> {
        let DeployTimeouts { asking, login, .. } = self.deployment.timeouts;
        let mut patience = if attempt == Attempt::First { asking } else { login };
        let (begin, mut is_noisy) = (Instant::now(), false);
        loop {
            let deadline = begin + patience;
            let look = deadline.min(Instant::now() + LOOK);
            if let Ok(heard) = timeout_at(look, self.answers.next()).await {
                return understood(heard);
            }
            if Instant::now() >= deadline {
                return Err(BootstrapError::Silent(patience));
            }
            if self.answers.is_noisy() && !std::mem::replace(&mut is_noisy, true) {
                patience = patience.min(begin.elapsed() + login);
            }
        }
    }

    async fn hear(&mut self, patience: Duration) -> Result<ScriptReply, BootstrapError> {
        let heard = timeout_at(Instant::now() + patience, self.answers.next()).await;
        understood(heard.map_err(|_| BootstrapError::Silent(patience))?)
    }

    fn ready(
        &self,
        place: ServerPlace,
        platform: &Platform,
    ) -> Result<ServerReady, BootstrapError> {
        let server = self.server_for(platform).cloned();
        let found = match (place, server) {
            (ServerPlace::Folder(number), Some(server)) => InstalledServer::Folder(number, server),
            (ServerPlace::Folder(_), None) => {
                let why = "the host started a server program that rejoin did not ask for";
                return Err(BootstrapError::Known(LinkError::new(LinkErrorKind::Other, why)));
            }
            (ServerPlace::Path, _) => InstalledServer::Path,
        };
        Ok(ServerReady { found })
    }

    fn server_for(&self, platform: &Platform) -> Option<&ServerFile> {
        self.files.iter().find(|server| server.platform() == platform)
    }

    async fn install(
        &mut self,
        platform: &Platform,
        is_packed: bool,
    ) -> Result<ServerReady, BootstrapError> {
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
        let mut answer = self.hear(self.deployment.timeouts.quiet).await?;
        loop {
            answer = match answer {
                ScriptReply::Send { folder } if server.is_some() && uploads < MOST_FOLDERS => {
                    uploads += 1;
                    self.send(&upload, folder).await?
                }
                ScriptReply::Ready { place, platform } => {
                    let is_installed = place != ServerPlace::Path;
                    let news =
                        if is_installed { DeployEvent::Installed } else { DeployEvent::FromPath };
                    self.deployment.tell(news);
                    return self.ready(place, &platform);
                }
                ScriptReply::No { what } if self.refused.len() < MOST_FOLDERS => {
                    self.refuse(&what);
                    self.hear(self.deployment.timeouts.quiet).await?
                }
                ScriptReply::Broken { why } => return Err(self.broken(platform, &why)),
                ScriptReply::NoFolder => return Err(self.nowhere(platform, server.is_some())),
                ScriptReply::Deaf => return Err(deaf()),
                other => return Err(out_of_turn(&other)),
            };
        }
    }

    /// Sends the upload, and returns what the script says when it has taken it.
    async fn send(
        &mut self,
        upload: &Upload,
        folder: String,
    ) -> Result<ScriptReply, BootstrapError> {
        let total = u64::try_from(upload.length).unwrap_or(u64::MAX);
        let quiet = self.deployment.timeouts.quiet;
        self.deployment.tell(DeployEvent::Installing { folder, total });
        let written = self.writer.write_all(&upload.bytes);
        tokio::pin!(written);
        let (mut is_written, mut most) = (false, 0);
        let mut deadline = Instant::now() + quiet;
        loop {
            tokio::select! {
                // Should it fail, the stream ends as well.
                _ = &mut written, if !is_written => is_written = true,
                heard = timeout_at(deadline, self.answers.next()) => {
                    match understood(heard.map_err(|_| BootstrapError::Silent(quiet))?)? {
                        // Only what has arrived proves that the link works: ssh takes far more
                        // than it has sent.
                        ScriptReply::At(sent) if sent > most && sent <= total => {
                            most = sent;
                            deadline = Instant::now() + quiet;
                            self.deployment.tell(DeployEvent::Progress { sent, total });
                        }
                        ScriptReply::At(_) => {}
                        answer => return Ok(answer),
                    }
                }
            }
        }
    }

    fn refuse(&mut self, what: &str) {
        let what: String = what.chars().take(MAX_REASON).collect();
        self.refused.push(what.clone());
        self.deployment.tell(DeployEvent::Refused { what });
    }

    fn broken(&self, platform: &Platform, why: &str) -> BootstrapError {
        let why: String = why.chars().take(MAX_REASON).collect();
        let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
        let advice = self.deployment.servers.advice(platform);
        undeployable(format!("the server program does not run on the host{why}: {advice}"))
    }

    fn nowhere(&self, platform: &Platform, has_server: bool) -> BootstrapError {
        if !has_server {
            let advice = self.deployment.servers.advice(platform);
            return undeployable(format!("there is no server program for {platform}: {advice}"));
        }
        let refused = self.refused.join("; ");
        let message = format!("no folder on the host can hold the server program: {refused}");
        let error = LinkError::new(LinkErrorKind::Undeployable, message);
        BootstrapError::Known(error.with_detail(self.refused.clone()))
    }
}

fn understood(heard: io::Result<Option<ScriptReply>>) -> Result<ScriptReply, BootstrapError> {
    match heard {
        Ok(Some(answer)) => Ok(answer),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(BootstrapError::Noisy),
        Ok(None) | Err(_) => Err(BootstrapError::Ended),
    }
}

async fn read(server: ServerFile, is_packed: bool) -> Result<Upload, BootstrapError> {
    let path = server.path().display().to_string();
    let read = tokio::task::spawn_blocking(move || server.upload(is_packed)).await;
    let read = read.map_err(io::Error::other).and_then(|read| read);
    read.map_err(|error| undeployable(format!("cannot upload {path}: {error}")))
}

fn few(limit: u64) -> BootstrapError {
    let message = format!(
        "the host allows only {limit} open files, and rejoin-server needs \
                       32; look for ulimit -n in the login shell's start-up files"
    );
    BootstrapError::Known(LinkError::new(LinkErrorKind::Other, message))
}

fn deaf() -> BootstrapError {
    let message = "the login shell gives its commands no input; look for \
                       a redirection, such as exec </dev/null, in its start-up files";
    BootstrapError::Known(LinkError::new(LinkErrorKind::Other, message))
}

fn undeployable(message: String) -> BootstrapError {
    BootstrapError::Known(LinkError::new(LinkErrorKind::Undeployable, message))
}

fn out_of_turn(answer: &ScriptReply) -> BootstrapError {
    tracing::debug!(?answer, "out of turn");
    let message = "unexpected output from the host";
    BootstrapError::Known(LinkError::new(LinkErrorKind::Other, message))
}
