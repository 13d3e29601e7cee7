//! Whether ssh listens for somebody: two links at a time could not both have its ports.

use std::ffi::OsStr;

use crate::ssh::SshConnect;
use crate::ssh::forwards::{Shared, SshForwards};

impl SshConnect {
    /// Whether its links forward ports, which a second one beside them could not: as its options say, and its
    /// configuration once that [is known](Self::configuration).
    pub(crate) fn forwards_ports(&self) -> bool {
        self.forwards.is_configured() || self.options.iter().any(|it| is_forwarding(it))
    }

    pub(crate) fn shared_forwards(&self) -> &Shared {
        &self.forwards
    }

    pub(crate) fn own_forwards(&self) -> SshForwards {
        SshForwards::of(self.bare())
    }
}

/// Whether this option of ssh's has it listen somewhere: on its own, or as the last one of several flags.
fn is_forwarding(option: &OsStr) -> bool {
    let option = option.to_string_lossy();
    if let Some(flags) = option.strip_prefix('-') {
        return flags.starts_with(['L', 'R', 'D', 'w']);
    }
    let name = option.split(['=', ' ']).next().unwrap_or_default().to_ascii_lowercase();
    matches!(name.as_str(), "localforward" | "remoteforward" | "dynamicforward" | "tunnel")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_forwarding_by_a_flag_and_by_a_setting_whatever_its_case() {
        for option in
            ["-L", "-L8080:localhost:80", "-R", "-D1080", "-w0", "localFORWARD=1 h:2", "Tunnel yes"]
        {
            assert!(is_forwarding(option.as_ref()), "{option}");
        }
        for option in ["-o", "-p", "22", "LogLevel=DEBUG", "ForwardAgent=yes", "-A", "host"] {
            assert!(!is_forwarding(option.as_ref()), "{option}");
        }
    }
}
