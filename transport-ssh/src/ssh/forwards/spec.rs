//! The forwards of a configuration, and how ssh is asked for one again.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::link::forwards::{ForwardKind, ListenAddress};
use crate::ssh::resolve::SshConfig;

/// A name that does not exist: connections forwarded to it fail.
const NOBODY: &str = "rejoin.invalid";

/// A forward, as `ssh -G` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForwardSpec {
    /// The name of the setting.
    setting: &'static str,
    kind: ForwardKind,
    listen: ListenSpec,
    /// The target; `None` for a proxy.
    target: Option<String>,
    has_gateway: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ListenSpec {
    Port(Option<String>, u16),
    Path(String),
}

/// A request to a running ssh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MuxRequest {
    /// For `-O`.
    pub(crate) command: &'static str,
    /// For `-o`.
    pub(crate) setting: String,
    /// Whether the remaining requests are useless if this one is refused.
    pub(crate) is_needed: bool,
}

const SETTINGS: &[(&str, ForwardKind)] = &[
    ("LocalForward", ForwardKind::Local),
    ("DynamicForward", ForwardKind::Local),
    ("RemoteForward", ForwardKind::Remote),
];

/// Whether a configuration may have a forward that listens there. A setting that is not understood may be any.
pub(crate) fn may_listen(resolved: &SshConfig, kind: ForwardKind, listen: &ListenAddress) -> bool {
    let settings = || SETTINGS.iter().filter(|(_, of)| *of == kind);
    let mut values = settings().flat_map(|(setting, _)| resolved.get_all(setting));
    match listen {
        _ if kind == ForwardKind::Tunnel => resolved.is_set("tunnel"),
        ListenAddress::Unknown => values.next().is_some(),
        ListenAddress::Path(_) => values.any(|value| value.contains('/')),
        ListenAddress::Port(port) => values.any(|value| {
            let place = value.split(' ').next().and_then(ListenSpec::parse);
            place.is_none_or(|place| matches!(place, ListenSpec::Port(_, its) if its == *port))
        }),
    }
}

impl ForwardSpec {
    /// The forward that listens there. None if there is none, or more than one.
    pub(crate) fn find(
        resolved: &SshConfig,
        kind: ForwardKind,
        listen: &ListenAddress,
    ) -> Option<Self> {
        let has_gateway = resolved.is_set("gatewayports");
        let mut found = SETTINGS.iter().filter(|(_, of)| *of == kind).flat_map(|(setting, _)| {
            let values = resolved.get_all(setting);
            values.filter_map(|value| Self::parse(setting, kind, value, has_gateway))
        });
        let mut found = found.by_ref().filter(|spec| spec.listens_on(listen));
        let first = found.next();
        first.filter(|_| found.next().is_none())
    }

    /// `None` if the value is ambiguous or cannot be passed back: a path with spaces, or with tokens that ssh expands.
    fn parse(
        setting: &'static str,
        kind: ForwardKind,
        value: &str,
        has_gateway: bool,
    ) -> Option<Self> {
        let mut words = value.split(' ');
        let (listen, target) = (words.next()?, words.next());
        if words.next().is_some() || value.contains(['%', '$', '"', '\'', '\\', '#']) {
            return None;
        }
        let listen = ListenSpec::parse(listen)?;
        let target = target.filter(|target| *target != "[socks]:0").map(str::to_owned);
        Some(Self { setting, kind, listen, target, has_gateway })
    }

    fn listens_on(&self, listen: &ListenAddress) -> bool {
        match (&self.listen, listen) {
            (ListenSpec::Port(_, port), ListenAddress::Port(wanted)) => port == wanted,
            (ListenSpec::Path(path), ListenAddress::Path(wanted)) => path == wanted,
            _ => false,
        }
    }

    /// The requests to an ssh that has tried this forward and failed.
    ///
    /// ssh keeps a forward in its list that it could not make, and takes a request for the same one as
    /// granted. The host's are taken out of the list by cancelling them. Local ones cannot be: they are asked
    /// for in other words that mean the same.
    pub(crate) fn requests(&self) -> Option<Vec<MuxRequest>> {
        match (self.kind, &self.listen) {
            // The allocated port is unknown, and is needed to cancel it.
            (ForwardKind::Tunnel, _) | (ForwardKind::Remote, ListenSpec::Port(_, 0)) => None,
            (ForwardKind::Remote, _) => Some(vec![self.cancel(), self.forward()]),
            (ForwardKind::Local, listen) => Some(match listen.in_other_words(self.has_gateway) {
                Some(listen) => vec![Self { listen, ..self.clone() }.forward()],
                None => self.requests_by_decoy(),
            }),
        }
    }

    /// ssh takes out of its list what listens where the forward would. So one that leads nowhere has to
    /// listen there for a moment.
    fn requests_by_decoy(&self) -> Vec<MuxRequest> {
        let port = self.target.as_deref().and_then(|it| it.rsplit_once(':')).map(|it| it.1);
        let target = self.target.as_ref().map(|_| format!("[{NOBODY}]:{}", port.unwrap_or("1")));
        let decoy = Self { target, ..self.clone() };
        vec![decoy.forward(), self.cancel(), self.forward()]
    }

    fn forward(&self) -> MuxRequest {
        MuxRequest { command: "forward", setting: self.words(), is_needed: true }
    }

    fn cancel(&self) -> MuxRequest {
        MuxRequest { command: "cancel", setting: self.words(), is_needed: false }
    }

    fn words(&self) -> String {
        let listen = match &self.listen {
            ListenSpec::Port(None, port) => port.to_string(),
            ListenSpec::Port(Some(host), port) => format!("[{host}]:{port}"),
            ListenSpec::Path(path) => path.clone(),
        };
        let target = self.target.as_ref().map(|target| format!(" {target}")).unwrap_or_default();
        format!("{}={listen}{target}", self.setting)
    }
}

impl ListenSpec {
    fn parse(text: &str) -> Option<Self> {
        if text.contains('/') {
            return Some(Self::Path(text.to_owned()));
        }
        if let Ok(port) = text.parse() {
            return Some(Self::Port(None, port));
        }
        let (host, port) = text.strip_prefix('[')?.rsplit_once("]:")?;
        Some(Self::Port(Some(host.to_owned()), port.parse().ok()?))
    }

    /// Another notation for the same address on this machine. `None` if there is none.
    fn in_other_words(&self, has_gateway: bool) -> Option<Self> {
        let (host, port) = match self {
            Self::Path(path) if path.starts_with('/') => {
                return Some(Self::Path(format!("/{path}")));
            }
            Self::Path(path) => return Some(Self::Path(format!("./{path}"))),
            Self::Port(host, port) => (host.as_deref(), *port),
        };
        let other = match (host, has_gateway) {
            (None, false) => Some("localhost".to_owned()),
            (None, true) | (Some(""), false) => Some("*".to_owned()),
            (Some("localhost"), false) | (Some("*" | ""), true) => None,
            (Some(host), _) => Some(other_address(host).or_else(|| other_case(host))?),
        };
        Some(Self::Port(other, port))
    }
}

fn other_address(host: &str) -> Option<String> {
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Some(format!("{:#010x}", address.to_bits()));
    }
    let address = host.parse::<Ipv6Addr>().ok()?;
    let long = address.segments().map(|part| format!("{part:04x}")).join(":");
    let words = [long, address.to_string()];
    words.into_iter().find(|word| word != host)
}

fn other_case(name: &str) -> Option<String> {
    let other = name.to_ascii_uppercase();
    let other = if other == name { name.to_ascii_lowercase() } else { other };
    (other != name).then_some(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(lines: &str) -> SshConfig {
        SshConfig::of(&format!("hostname h\nport 22\n{lines}")).unwrap()
    }

    fn requests(line: &str, listen: &ListenAddress) -> Option<Vec<String>> {
        let kind =
            if line.starts_with("remote") { ForwardKind::Remote } else { ForwardKind::Local };
        let spec = ForwardSpec::find(&resolved(line), kind, listen)?;
        let requests = spec.requests()?;
        Some(requests.into_iter().map(|it| format!("{} {}", it.command, it.setting)).collect())
    }

    #[test]
    fn a_local_port_is_asked_for_in_other_words_that_mean_the_same() {
        for (line, expected) in [
            ("localforward 8080 [h]:80", "forward LocalForward=[localhost]:8080 [h]:80"),
            ("dynamicforward 8080", "forward DynamicForward=[localhost]:8080"),
            ("localforward [localhost]:8080 /s", "forward LocalForward=8080 /s"),
            ("localforward [127.0.0.1]:8080 /s", "forward LocalForward=[0x7f000001]:8080 /s"),
            (
                "localforward [::1]:8080 /s",
                "forward LocalForward=[0000:0000:0000:0000:0000:0000:0000:0001]:8080 /s",
            ),
            ("localforward [name]:8080 /s", "forward LocalForward=[NAME]:8080 /s"),
            ("localforward 8080 /s\ngatewayports yes", "forward LocalForward=[*]:8080 /s"),
            ("localforward [*]:8080 /s\ngatewayports yes", "forward LocalForward=8080 /s"),
        ] {
            let requests = requests(line, &ListenAddress::Port(8080));
            assert_eq!(requests, Some(vec![expected.to_owned()]), "{line}");
        }
    }

    #[test]
    fn a_port_on_all_addresses_is_freed_in_the_list_by_one_that_leads_nowhere() {
        let found = requests("localforward [*]:8080 [h]:80", &ListenAddress::Port(8080)).unwrap();
        let expected = [
            "forward LocalForward=[*]:8080 [rejoin.invalid]:80",
            "cancel LocalForward=[*]:8080 [h]:80",
            "forward LocalForward=[*]:8080 [h]:80",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_the_host_listens_on_is_cancelled_before_it_is_asked_for_again() {
        let found = requests("remoteforward 8080 [h]:80", &ListenAddress::Port(8080)).unwrap();
        let expected = ["cancel RemoteForward=8080 [h]:80", "forward RemoteForward=8080 [h]:80"];
        assert_eq!(found, expected);
        let proxy = requests("remoteforward 8080 [socks]:0", &ListenAddress::Port(8080)).unwrap();
        assert_eq!(proxy, ["cancel RemoteForward=8080", "forward RemoteForward=8080"]);
    }

    #[test]
    fn a_socket_is_asked_for_by_another_path_to_it() {
        let found =
            requests("localforward /run/s [h]:80", &ListenAddress::Path("/run/s".to_owned()));
        assert_eq!(found.unwrap(), ["forward LocalForward=//run/s [h]:80"]);
    }

    #[test]
    fn what_no_forward_listens_on_is_known() {
        let resolved = resolved("localforward [::1]:80 [h]:1\nremoteforward /run/a b [h]:1");
        let may_listen = |kind, listen| may_listen(&resolved, kind, &listen);
        assert!(
            may_listen(ForwardKind::Local, ListenAddress::Port(80))
                && may_listen(ForwardKind::Local, ListenAddress::Unknown)
        );
        assert!(may_listen(ForwardKind::Remote, ListenAddress::Path("/run/a b".to_owned())));
        for (kind, listen) in [
            (ForwardKind::Local, ListenAddress::Port(1)),
            (ForwardKind::Local, ListenAddress::Path("/run/a b".to_owned())),
            (ForwardKind::Remote, ListenAddress::Port(80)),
            (ForwardKind::Tunnel, ListenAddress::Unknown),
        ] {
            assert!(!may_listen(kind, listen.clone()), "{kind:?} {listen:?}");
        }
    }

    #[test]
    fn requests_no_ambiguous_forward() {
        let two = "localforward [127.0.0.1]:8080 /a\nlocalforward [127.0.0.2]:8080 /b";
        assert_eq!(requests(two, &ListenAddress::Port(8080)), None);
        assert_eq!(requests("localforward 8081 /a", &ListenAddress::Port(8080)), None);
        assert_eq!(requests("remoteforward 0 [h]:80", &ListenAddress::Port(0)), None);
        assert_eq!(
            requests("localforward /a b [h]:80", &ListenAddress::Path("/a".to_owned())),
            None
        );
        assert_eq!(requests("localforward /%h /b", &ListenAddress::Path("/%h".to_owned())), None);
    }
}
