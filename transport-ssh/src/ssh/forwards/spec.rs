//! The forwards of a configuration, and how ssh is asked for one again.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::link::forwards::{Listen, Side};
use crate::ssh::resolve::Resolved;

/// Nobody's name: what is forwarded there gets no answer.
const NOBODY: &str = "rejoin.invalid";

/// A forward, as `ssh -G` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    /// The name of the setting.
    setting: &'static str,
    side: Side,
    listen: ListenSpec,
    /// Where it leads; none for a proxy.
    target: Option<String>,
    has_gateway: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ListenSpec {
    Port(Option<String>, u16),
    Path(String),
}

/// Something to be asked of an ssh that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// For `-O`.
    pub(crate) command: &'static str,
    /// For `-o`.
    pub(crate) setting: String,
    /// Whether there is no use in the rest if it is refused.
    pub(crate) is_needed: bool,
}

const SETTINGS: &[(&str, Side)] = &[
    ("LocalForward", Side::Local),
    ("DynamicForward", Side::Local),
    ("RemoteForward", Side::Remote),
];

/// Whether a configuration may have a forward that listens there. A setting that is not understood may be any.
pub(crate) fn may_listen(resolved: &Resolved, side: Side, listen: &Listen) -> bool {
    let settings = || SETTINGS.iter().filter(|(_, of)| *of == side);
    let mut values = settings().flat_map(|(setting, _)| resolved.get_all(setting));
    match listen {
        _ if side == Side::Tunnel => resolved.is_set("tunnel"),
        Listen::Unknown => values.next().is_some(),
        Listen::Path(_) => values.any(|value| value.contains('/')),
        Listen::Port(port) => values.any(|value| {
            let place = value.split(' ').next().and_then(ListenSpec::parse);
            place.is_none_or(|place| matches!(place, ListenSpec::Port(_, its) if its == *port))
        }),
    }
}

impl Spec {
    /// The forward that listens there. None if there is none, or more than one.
    pub(crate) fn find(resolved: &Resolved, side: Side, listen: &Listen) -> Option<Self> {
        let has_gateway = resolved.is_set("gatewayports");
        let mut found = SETTINGS.iter().filter(|(_, of)| *of == side).flat_map(|(setting, _)| {
            let values = resolved.get_all(setting);
            values.filter_map(|value| Self::parse(setting, side, value, has_gateway))
        });
        let mut found = found.by_ref().filter(|spec| spec.listens_on(listen));
        let first = found.next();
        first.filter(|_| found.next().is_none())
    }

    /// None for what cannot be told apart or given back: a path with spaces, or with tokens that ssh replaces.
    fn parse(setting: &'static str, side: Side, value: &str, has_gateway: bool) -> Option<Self> {
        let mut words = value.split(' ');
        let (listen, target) = (words.next()?, words.next());
        if words.next().is_some() || value.contains(['%', '$', '"', '\'', '\\', '#']) {
            return None;
        }
        let listen = ListenSpec::parse(listen)?;
        let target = target.filter(|target| *target != "[socks]:0").map(str::to_owned);
        Some(Self { setting, side, listen, target, has_gateway })
    }

    fn listens_on(&self, listen: &Listen) -> bool {
        match (&self.listen, listen) {
            (ListenSpec::Port(_, port), Listen::Port(wanted)) => port == wanted,
            (ListenSpec::Path(path), Listen::Path(wanted)) => path == wanted,
            _ => false,
        }
    }

    /// What to ask of an ssh that has tried this forward, and does not have it.
    ///
    /// ssh keeps a forward in its list that it could not make, and takes a request for the same one as
    /// granted. The host's are taken out of the list by cancelling them. Local ones cannot be: they are asked
    /// for in other words that mean the same.
    pub(crate) fn requests(&self) -> Option<Vec<Request>> {
        match (self.side, &self.listen) {
            // What was allocated is not known, and nothing else cancels it.
            (Side::Tunnel, _) | (Side::Remote, ListenSpec::Port(_, 0)) => None,
            (Side::Remote, _) => Some(vec![self.cancel(), self.forward()]),
            (Side::Local, listen) => Some(match listen.in_other_words(self.has_gateway) {
                Some(listen) => vec![Self { listen, ..self.clone() }.forward()],
                None => self.requests_by_decoy(),
            }),
        }
    }

    /// ssh takes out of its list what listens where the forward would. So one that leads nowhere has to
    /// listen there for a moment.
    fn requests_by_decoy(&self) -> Vec<Request> {
        let port = self.target.as_deref().and_then(|it| it.rsplit_once(':')).map(|it| it.1);
        let target = self.target.as_ref().map(|_| format!("[{NOBODY}]:{}", port.unwrap_or("1")));
        let decoy = Self { target, ..self.clone() };
        vec![decoy.forward(), self.cancel(), self.forward()]
    }

    fn forward(&self) -> Request {
        Request { command: "forward", setting: self.words(), is_needed: true }
    }

    fn cancel(&self) -> Request {
        Request { command: "cancel", setting: self.words(), is_needed: false }
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

    /// The same place on this machine. None if there are no other words for it.
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

    fn resolved(lines: &str) -> Resolved {
        Resolved::of(&format!("hostname h\nport 22\n{lines}")).unwrap()
    }

    fn requests(line: &str, listen: &Listen) -> Option<Vec<String>> {
        let side = if line.starts_with("remote") { Side::Remote } else { Side::Local };
        let spec = Spec::find(&resolved(line), side, listen)?;
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
            let requests = requests(line, &Listen::Port(8080));
            assert_eq!(requests, Some(vec![expected.to_owned()]), "{line}");
        }
    }

    #[test]
    fn a_port_on_all_addresses_is_freed_in_the_list_by_one_that_leads_nowhere() {
        let found = requests("localforward [*]:8080 [h]:80", &Listen::Port(8080)).unwrap();
        let expected = [
            "forward LocalForward=[*]:8080 [rejoin.invalid]:80",
            "cancel LocalForward=[*]:8080 [h]:80",
            "forward LocalForward=[*]:8080 [h]:80",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_the_host_listens_on_is_cancelled_before_it_is_asked_for_again() {
        let found = requests("remoteforward 8080 [h]:80", &Listen::Port(8080)).unwrap();
        let expected = ["cancel RemoteForward=8080 [h]:80", "forward RemoteForward=8080 [h]:80"];
        assert_eq!(found, expected);
        let proxy = requests("remoteforward 8080 [socks]:0", &Listen::Port(8080)).unwrap();
        assert_eq!(proxy, ["cancel RemoteForward=8080", "forward RemoteForward=8080"]);
    }

    #[test]
    fn a_socket_is_asked_for_by_another_path_to_it() {
        let found = requests("localforward /run/s [h]:80", &Listen::Path("/run/s".to_owned()));
        assert_eq!(found.unwrap(), ["forward LocalForward=//run/s [h]:80"]);
    }

    #[test]
    fn what_no_forward_listens_on_is_known() {
        let resolved = resolved("localforward [::1]:80 [h]:1\nremoteforward /run/a b [h]:1");
        let may_listen = |side, listen| may_listen(&resolved, side, &listen);
        assert!(
            may_listen(Side::Local, Listen::Port(80)) && may_listen(Side::Local, Listen::Unknown)
        );
        assert!(may_listen(Side::Remote, Listen::Path("/run/a b".to_owned())));
        for (side, listen) in [
            (Side::Local, Listen::Port(1)),
            (Side::Local, Listen::Path("/run/a b".to_owned())),
            (Side::Remote, Listen::Port(80)),
            (Side::Tunnel, Listen::Unknown),
        ] {
            assert!(!may_listen(side, listen.clone()), "{side:?} {listen:?}");
        }
    }

    #[test]
    fn what_cannot_be_told_apart_or_given_back_is_not_asked_for() {
        let two = "localforward [127.0.0.1]:8080 /a\nlocalforward [127.0.0.2]:8080 /b";
        assert_eq!(requests(two, &Listen::Port(8080)), None);
        assert_eq!(requests("localforward 8081 /a", &Listen::Port(8080)), None);
        assert_eq!(requests("remoteforward 0 [h]:80", &Listen::Port(0)), None);
        assert_eq!(requests("localforward /a b [h]:80", &Listen::Path("/a".to_owned())), None);
        assert_eq!(requests("localforward /%h /b", &Listen::Path("/%h".to_owned())), None);
    }
}
