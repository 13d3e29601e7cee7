//! What a person sees while the server program is put on a host.

use rejoin_ssh::DeployEvent;

use crate::terminal::quote::shown;
use crate::volume::Volume;

/// What a person sees while the server program is put on a host.
#[derive(Debug)]
pub(crate) struct Deploying {
    destination: String,
    volume: Volume,
    /// Whether a line can change in its place.
    is_live: bool,
}

/// What to show.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// A line of its own.
    Line(String),
    /// A line that the next one takes the place of; none takes it away.
    Moving(Option<String>),
    Nothing,
}

impl Deploying {
    pub(crate) fn new(destination: &str, volume: Volume, is_live: bool) -> Self {
        Self { destination: shown(destination), volume, is_live }
    }

    pub(crate) fn show(&self, news: &DeployEvent) -> Show {
        let Self { destination, volume, is_live } = self;
        if *volume == Volume::Quiet {
            return Show::Nothing;
        }
        match news {
            DeployEvent::Installing { total, .. } if *is_live => self.moving(0, *total),
            DeployEvent::Installing { folder, total } => {
                let (total, mut place) = (megabytes(*total), String::new());
                if *volume == Volume::Verbose {
                    place = format!(", in {}", shown(folder));
                }
                Show::Line(format!(
                    "rejoin: installing rejoin-server ({total}) on {destination}{place}"
                ))
            }
            DeployEvent::Progress { sent, total } if *is_live => self.moving(*sent, *total),
            DeployEvent::Installed if *is_live => Show::Moving(None),
            DeployEvent::Unsafe { what } => Show::Line(format!(
                "rejoin: not using a server program that another user can have put there: {}",
                shown(what)
            )),
            DeployEvent::Unused { what } if *volume == Volume::Verbose => {
                Show::Line(format!("rejoin: not using a server program: {}", shown(what)))
            }
            DeployEvent::Refused { what } if *volume == Volume::Verbose => {
                Show::Line(format!("rejoin: no place for rejoin-server: {}", shown(what)))
            }
            DeployEvent::FromPath if *volume == Volume::Verbose => Show::Line(format!(
                "rejoin: nothing can be installed on {destination}: its own rejoin-server is used"
            )),
            _ => Show::Nothing,
        }
    }

    fn moving(&self, sent: u64, total: u64) -> Show {
        let percent = sent.saturating_mul(100).checked_div(total).unwrap_or(0).min(100);
        Show::Moving(Some(format!(
            "rejoin: installing rejoin-server ({}) on {}: {percent} %",
            megabytes(total),
            self.destination
        )))
    }
}

fn megabytes(bytes: u64) -> String {
    // Rounded up, so that nothing is 0.0 MB long.
    let tenths = bytes.div_ceil(100_000);
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installing() -> DeployEvent {
        DeployEvent::Installing { folder: "/f".to_owned(), total: 3_120_000 }
    }

    fn line(volume: Volume, is_live: bool, news: &DeployEvent) -> Show {
        Deploying::new("h\x1b", volume, is_live).show(news)
    }

    #[test]
    fn a_terminal_sees_a_line_that_moves_and_goes_away() {
        let show = |news| line(Volume::Normal, true, &news);
        let text = |percent| format!("rejoin: installing rejoin-server (3.2 MB) on h: {percent} %");
        assert_eq!(show(installing()), Show::Moving(Some(text(0))));
        let progress = DeployEvent::Progress { sent: 1_560_000, total: 3_120_000 };
        assert_eq!(show(progress), Show::Moving(Some(text(50))));
        assert_eq!(show(DeployEvent::Installed), Show::Moving(None));
    }

    #[test]
    fn elsewhere_it_is_one_line_and_with_q_none() {
        let told = "rejoin: installing rejoin-server (3.2 MB) on h".to_owned();
        assert_eq!(line(Volume::Unread, false, &installing()), Show::Line(told));
        let progress = DeployEvent::Progress { sent: 1, total: 2 };
        assert_eq!(line(Volume::Unread, false, &progress), Show::Nothing);
        assert_eq!(line(Volume::Quiet, true, &installing()), Show::Nothing);
    }

    #[test]
    fn an_unsafe_server_program_is_reported_always_and_an_unsuitable_one_with_v() {
        let what = "/x: why\x1b".to_owned();
        let (unsafe_one, unused) =
            (DeployEvent::Unsafe { what: what.clone() }, DeployEvent::Unused { what });
        let told =
            "rejoin: not using a server program that another user can have put there: /x: why";
        for volume in [Volume::Unread, Volume::Normal, Volume::Verbose] {
            assert_eq!(line(volume, false, &unsafe_one), Show::Line(told.to_owned()));
        }
        assert_eq!(line(Volume::Quiet, false, &unsafe_one), Show::Nothing);
        assert_eq!(line(Volume::Normal, false, &unused), Show::Nothing);
        let told = "rejoin: not using a server program: /x: why".to_owned();
        assert_eq!(line(Volume::Verbose, false, &unused), Show::Line(told));
    }

    #[test]
    fn folders_that_will_not_do_are_told_to_who_asks() {
        let refused = DeployEvent::Refused { what: "/x: Read-only file system".to_owned() };
        assert_eq!(line(Volume::Normal, true, &refused), Show::Nothing);
        let told = "rejoin: no place for rejoin-server: /x: Read-only file system".to_owned();
        assert_eq!(line(Volume::Verbose, true, &refused), Show::Line(told));
    }
}
