//! What an ssh connector asks ssh about its configuration.

use std::sync::atomic::Ordering;

use super::arguments::Purpose;
use super::builder::SshConnect;
use super::configuration;
use super::resolve::{self, SshConfig, SshConfigError};
use crate::link::error::LinkError;

impl SshConnect {
    /// Reads the configuration that ssh uses for this destination, with these options (`ssh -G`). Programs
    /// in the user's `Match exec` are run.
    ///
    /// # Errors
    /// ssh does not print it within 5 seconds.
    pub async fn resolve(&self) -> Result<SshConfig, LinkError> {
        let arguments = self.arguments(Purpose::Configuration);
        let asked = SshConfig::ask(&self.program, &arguments, &self.environment, resolve::PATIENCE);
        Ok(asked.await?)
    }

    /// The configuration as if the user had started ssh, without the settings of a link, such as
    /// `RemoteCommand=none`. ssh is asked once, while the first connection starts. That connection then
    /// overrides `StdinNull`, `ForkAfterAuthentication` and `SessionType` if the configuration sets them. All
    /// clones share the answer.
    ///
    /// # Errors
    /// ssh rejects its options or its configuration, or does not print it within a minute.
    pub async fn configuration(&self) -> Result<SshConfig, SshConfigError> {
        let arguments = || self.arguments(Purpose::Question);
        let answer =
            self.config_query.answer(&self.program, arguments, &self.environment).await.clone();
        if let Ok(resolved) = &answer {
            let is_configured = resolved.forwards_ports();
            self.forwards.is_configured.store(is_configured, Ordering::Relaxed);
        }
        answer.map_err(|unresolved| match unresolved {
            SshConfigError::Refused(lines)
                if lines.first().is_some_and(|it| it.starts_with("usage: ")) =>
            {
                LinkError::bad_address(&self.destination, &lines)
                    .map_or(SshConfigError::Refused(lines), SshConfigError::BadAddress)
            }
            _ => unresolved,
        })
    }

    /// Expands the tokens of a setting that ssh prints unexpanded, such as `LocalCommand`: all but `%T`.
    ///
    /// # Errors
    /// ssh does not know a token, or does not answer.
    pub async fn expand(&self, resolved: &SshConfig, text: &str) -> Result<String, SshConfigError> {
        let Self { program, destination, environment, .. } = self;
        configuration::expanded(program, destination, resolved, text, environment).await
    }

    /// The configuration, if it was asked for and told, without a question.
    pub(crate) fn told(&self) -> Option<&SshConfig> {
        self.config_query.told()
    }
}
