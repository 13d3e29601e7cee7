//! Several clients and one session: one has it, and the others are told so.

use rejoin_protocol::frame::{Bye, From, How};
use rejoin_protocol::{Frame, Item, Reason, Seq};
use rejoin_testing::Signal;

use crate::life::assert_one_line;
use crate::output::numbers;
use crate::support::{Host, Raw, Wishes, until};

const ECHO: &str = "echo $$; while read line; do echo \"$$ $line\"; done";

#[test]
fn a_second_client_takes_over_and_the_first_ends_and_says_by_whom() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut first = host.plan().run(ECHO);
    let pid = first.line(1);
    let mut second =
        host.plan().subcommand("attach").with(["--take-over"]).run(&first.session()[..8]);
    assert_eq!(second.event("attached")["how"], "claimed");
    let by = format!(":{}", second.pid());
    assert!(first.event("superseded")["by"].as_str().unwrap().ends_with(&by));
    assert_eq!(first.status(), 255);
    assert_one_line(&first, &format!("{by} took the session over"));
    assert_eq!(first.count("attached"), 1, "it does not fight back");
    second.write("mine\n");
    let lines = [second.line(1), second.line(1)];
    assert!(lines.iter().any(|line| line.ends_with(&format!("{pid} mine")) || *line == pid));
    until("the answer", || second.output().contains(&format!("{pid} mine\n")));
    assert_eq!(second.finish().0, 0);
}

#[test]
fn without_a_word_about_it_a_held_session_is_not_taken() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut first = host.plan().run(ECHO);
    let pid = first.line(1);
    let mut second = host.plan().subcommand("attach").run(&first.session()[..8]);
    assert_eq!(second.status(), 255);
    assert_one_line(&second, "--take-over");
    assert!(second.stderr().contains(&format!(":{}", first.pid())), "it says who holds it");
    first.write("still mine\n");
    assert_eq!(first.line(2), format!("{pid} still mine"));
    assert_eq!(first.finish().0, 0);
}

#[test]
fn who_was_superseded_during_an_outage_is_told_when_it_returns() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut first = host.plan().run(ECHO);
    first.line(1);
    host.relay().silence();
    let mut wishes = Wishes::new();
    wishes.session = first.session().parse().unwrap();
    let mut link = claim(&host, &mut wishes, From::Latest);
    host.relay().cut_all_reset();
    host.relay().resume();
    assert_eq!(first.status(), 255);
    assert_one_line(&first, "raw@test took the session over");
    assert_eq!(first.event("superseded")["by"], "raw@test");
    link.say(&Frame::Item { seq: Seq(0), item: Item::InputEnd });
    link.hear_until(exit_of);
    link.say(&wishes.close());
    link.rest();
}

fn exit_of(frame: &Frame) -> Option<()> {
    matches!(frame, Frame::Item { item: Item::Exit(_), .. }).then_some(())
}

/// Takes the session from whoever has it.
fn claim(host: &Host, wishes: &mut Wishes, from: From) -> Raw {
    let mut link = Raw::begin(host);
    link.greeting();
    link.say(&wishes.claim(None, from));
    let Reason::Held { by, .. } = link.refusal() else { panic!("somebody has it") };
    link.say(&wishes.claim(Some(by), from));
    let welcome = link.welcome();
    assert_eq!(welcome.how, How::Claimed);
    wishes.tenure = welcome.tenure;
    link
}

#[test]
fn of_two_claims_on_the_same_holder_one_succeeds() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut wishes = Wishes::new();
    let (first, _) = wishes.opened(&host, "cat");
    let mut claimants = [wishes.another(), wishes.another()];
    let mut links = claimants.each_mut().map(|claimant| {
        let mut link = Raw::begin(&host);
        link.greeting();
        link.say(&claimant.claim(None, From::FirstHeld));
        let Reason::Held { by, .. } = link.refusal() else { panic!("somebody has it") };
        (link, by)
    });
    for ((link, by), claimant) in links.iter_mut().zip(&mut claimants) {
        link.say(&claimant.claim(Some(*by), From::FirstHeld));
    }
    let answers = links.each_mut().map(|(link, _)| {
        link.hear_until(|frame| match frame {
            Frame::Welcome(_) => Some(true),
            Frame::Refused(refused) => {
                assert!(matches!(refused.reason, Reason::Held { .. }), "{refused:?}");
                Some(false)
            }
            _ => None,
        })
    });
    assert!(answers[0] != answers[1], "both or none have it");
    drop((first, links));
    host.end_sessions();
}

#[test]
fn of_two_links_of_one_client_the_newer_attach_wins_whoever_comes_first() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut wishes = Wishes::new();
    let (mut last, welcome) = wishes.opened(&host, "cat");
    for is_newer_first in [false, true, false, true] {
        let [older, newer] = [0, 1].map(|_| wishes.resume(&welcome, Seq(0)));
        let mut links = [Raw::begin(&host), Raw::begin(&host)];
        for link in &mut links {
            link.greeting();
        }
        let [first, second] = if is_newer_first { [&newer, &older] } else { [&older, &newer] };
        links[0].say(first);
        links[0].welcome();
        links[1].say(second);
        let [mut first, mut second] = links;
        assert!(last.rest().contains(&Frame::Bye(Bye::Replaced)), "the link before is told");
        if is_newer_first {
            assert_eq!(second.refusal(), Reason::Stale { last: attach_of(&newer) });
            last = first;
        } else {
            second.welcome();
            assert!(first.rest().contains(&Frame::Bye(Bye::Replaced)));
            last = second;
        }
    }
    last.say(&Frame::Item { seq: Seq(0), item: Item::Input("whole\n".into()) });
    assert_eq!(data_of(&mut last), b"whole\n");
    drop(last);
    host.end_sessions();
}

fn attach_of(hello: &Frame) -> rejoin_protocol::AttachNumber {
    match hello {
        Frame::Hello(hello) => hello.attach,
        other => panic!("no Hello: {other:?}"),
    }
}

fn data_of(link: &mut Raw) -> Vec<u8> {
    link.hear_until(|frame| match frame {
        Frame::Item { item: Item::Output { data, .. }, .. } => Some(data.to_vec()),
        _ => None,
    })
}

#[test]
fn two_links_of_one_client_that_race_leave_one_attached() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut wishes = Wishes::new();
    let (mut opener, welcome) = wishes.opened(&host, "cat");
    for _ in 0..5 {
        let hellos = [0, 1].map(|_| wishes.resume(&welcome, Seq(0)));
        let links = hellos.map(|hello| {
            let mut link = Raw::begin(&host);
            link.greeting();
            std::thread::spawn(move || {
                link.say(&hello);
                let is_welcome = |frame: &Frame| match frame {
                    Frame::Welcome(_) => Some(true),
                    Frame::Refused(_) => Some(false),
                    _ => None,
                };
                let is_welcome = link.hear_until(is_welcome);
                (link, is_welcome)
            })
        });
        let [(mut older, was_welcome), (newer, is_welcome)] =
            links.map(|link| link.join().unwrap());
        assert!(is_welcome, "the newer attach was refused");
        if was_welcome {
            assert!(older.rest().contains(&Frame::Bye(Bye::Replaced)));
        }
        assert!(opener.rest().contains(&Frame::Bye(Bye::Replaced)));
        opener = newer;
    }
    drop(opener);
    host.end_sessions();
}

#[test]
fn after_a_killed_client_attach_continues_and_repeats_nothing_within() {
    const HALF: usize = 30_000;
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let script = format!("seq {HALF}; until [ -e ~/go ]; do sleep 0.01; done; seq {HALF}; exit 4");
    let mut first = host.plan().run(&script);
    first.until_written(numbers(HALF).len());
    first.signal(Signal::KILL);
    assert_eq!(first.status(), 137);
    host.until_session_is("detached");

    let mut second = host.plan().subcommand("attach").run_words::<&str>([]);
    second.event("attached");
    host.cut();
    second.nth_event("attached", 2);
    std::fs::write(host.home().join("go"), "").unwrap();
    let (status, output) = second.finish();
    let output = String::from_utf8(output).unwrap();
    // What the first one took without saying so may come again, in front; all else comes once.
    let repeated = output.strip_suffix(&numbers(HALF)).expect("all of the second half");
    assert!(numbers(HALF).ends_with(repeated), "{} bytes in front", repeated.len());
    assert_eq!(status, 4);
}

#[test]
fn a_claim_gets_the_output_that_it_asks_for_and_no_other() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut wishes = Wishes::new();
    let (mut first, welcome) = wishes.opened(&host, "echo one; sleep 0.2; echo two; cat");
    let seqs = [0, 1].map(|_| {
        first.hear_until(|frame| match frame {
            Frame::Item { seq, item: Item::Output { .. } } => Some(*seq),
            _ => None,
        })
    });
    assert_eq!(seqs, [Seq(0), Seq(1)]);
    let mut second = claim(&host, &mut wishes.another(), From::Seq(Seq(1)));
    assert_eq!(data_of(&mut second), b"two\n");
    let mut third = claim(&host, &mut wishes.another(), From::FirstHeld);
    assert_eq!(data_of(&mut third), b"one\n");
    assert_eq!(data_of(&mut third), b"two\n");
    let mut back = Raw::begin(&host);
    back.greeting();
    back.say(&wishes.resume(&welcome, Seq(0)));
    assert!(matches!(back.refusal(), Reason::Superseded { .. }));
    drop((first, second, third));
    host.end_sessions();
}
