//! A recording that holds every rule, and what becomes of it when somebody touches it: each way to
//! go wrong is found, and named by its own name.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod story;

use rejoin_model_check::properties::Property;
use rejoin_model_check::recording::{
    ReadError, RecordedRun, Recording, RecordingViolation, check, replay,
};
use rejoin_protocol::client::{Effect, Event, Notice};
use rejoin_protocol::frame::How;
use rejoin_protocol::record::{ClientStep, ServerStep};
use rejoin_protocol::server;
use rejoin_protocol::{AttachNumber, ExitStatus, Frame, Item, Link, Seq, Stream, Timer};
use story::{Story, text};

/// A client and a server, from an Open over a cut to the end.
fn whole() -> Vec<Recording> {
    let mut story = Story::begin();
    story.open();
    story.output("one");
    story.output("two");
    story.input("in");
    story.take(2);
    story.cut();
    story.output("three");
    story.reconnect();
    story.exit();
    story.finish();
    story.recordings()
}

fn client(recordings: &mut [Recording]) -> &mut Vec<ClientStep> {
    match &mut recordings[0].run {
        RecordedRun::Client(track) => &mut track.steps,
        _ => unreachable!("the first one is the client's"),
    }
}

fn server(recordings: &mut [Recording]) -> &mut Vec<ServerStep> {
    match &mut recordings[1].run {
        RecordedRun::Server(track) => &mut track.steps,
        _ => unreachable!("the second one is the server's"),
    }
}

/// The effects of the first client step that has an effect like this one, and where it stands.
fn find(
    recordings: &mut [Recording],
    is_it: impl Fn(&Effect) -> bool,
) -> (&mut Vec<Effect>, usize) {
    let steps = client(recordings).iter_mut();
    let found = steps.filter_map(|step| Some((step.effects.iter().position(&is_it)?, step)));
    let (at, step) = found.into_iter().next().expect("such an effect");
    (&mut step.effects, at)
}

fn find_served(
    recordings: &mut [Recording],
    is_it: impl Fn(&server::Effect) -> bool,
) -> (&mut Vec<server::Effect>, usize) {
    let mut steps = server(recordings).iter_mut();
    let found = steps.find_map(|step| Some((step.effects.iter().position(&is_it)?, step)));
    let (at, step) = found.expect("such an effect");
    (&mut step.effects, at)
}

#[track_caller]
fn broken(recordings: &[Recording]) -> RecordingViolation {
    check(recordings).expect_err("it must be found")
}

#[track_caller]
fn assert_broken(recordings: &[Recording], property: Property) {
    let found = broken(recordings);
    assert_eq!(found.property, property, "{found}");
}

fn is_deliver(effect: &Effect) -> bool {
    matches!(effect, Effect::Deliver(..))
}

#[test]
fn a_whole_story_is_replayed_and_holds_every_rule() {
    let recordings = whole();
    for recording in &recordings {
        replay(recording).unwrap_or_else(|difference| panic!("{difference}"));
    }
    let report = check(&recordings).unwrap_or_else(|found| panic!("{found}"));
    assert_eq!((report.clients, report.servers, report.starts), (1, 1, 1));
    assert_eq!((report.attaches, report.resumes, report.cuts), (2, 1, 1));
    assert_eq!((report.delivered, report.handed_over, report.exits), (4, 1, 1));
    assert_eq!((report.ended_clients, report.ended_servers), (1, 1));
    assert!(report.to_string().contains("1 resumes"), "{report}");
}

#[test]
fn an_effect_that_is_missing_is_a_difference() {
    let mut recordings = whole();
    let (effects, at) = find(&mut recordings, is_deliver);
    let removed = effects.remove(at);
    let difference = replay(&recordings[0]).expect_err("it is missing");
    assert_eq!(difference.expected, [format!("{removed:?}")]);
    assert_eq!(difference.got, Vec::<String>::new());
    assert_eq!(difference.state, "Attached");
    let shown = difference.to_string();
    assert!(shown.contains(&format!("step {}", difference.step)), "{shown}");
    assert!(shown.contains("machine   Deliver(Seq(0)"), "{shown}");
}

#[test]
fn effects_in_another_order_are_a_difference() {
    let mut recordings = whole();
    let (effects, at) = find(&mut recordings, |effect| matches!(effect, Effect::Tell(_)));
    effects.swap(at, at - 1);
    replay(&recordings[0]).expect_err("the order is another");
}

#[test]
fn an_event_that_is_missing_is_a_difference_later() {
    let mut recordings = whole();
    let steps = server(&mut recordings);
    let at = steps.iter().position(|step| matches!(step.event, server::Event::Output(..)));
    steps.remove(at.unwrap());
    let difference = replay(&recordings[1]).expect_err("it is missing");
    assert!(difference.step > at.unwrap(), "{difference}");
}

#[test]
fn output_delivered_twice_is_found() {
    let mut recordings = whole();
    let (effects, at) = find(&mut recordings, is_deliver);
    effects.insert(at, effects[at].clone());
    let found = broken(&recordings);
    assert_eq!(found.property, Property::DeliveredOnce, "{found}");
    assert_eq!(found.property.rule(), Some(1));
    assert!(found.to_string().contains("number 0 is delivered where 1 comes next"), "{found}");
}

#[test]
fn output_left_out_is_found() {
    let mut recordings = whole();
    let (effects, at) = find(&mut recordings, is_deliver);
    effects.remove(at);
    // What is taken next was never offered then; without that report, the gap itself is seen.
    assert_broken(&recordings, Property::DeliveredOnce);
}

#[test]
fn other_output_than_the_process_wrote_is_found() {
    let mut recordings = whole();
    let (effects, at) = find(&mut recordings, is_deliver);
    effects[at] = Effect::Deliver(Seq(0), text("another"));
    assert_broken(&recordings, Property::SameItems);
}

#[test]
fn an_acknowledgement_of_what_was_not_taken_is_found_at_the_client() {
    let mut recordings = whole();
    let is_ack = |effect: &Effect| matches!(effect, Effect::Send(_, Frame::Ack { .. }));
    let (effects, at) = find(&mut recordings, is_ack);
    effects[at] = Effect::Send(Link(1), Frame::Ack { next: Seq(3) });
    let found = broken(&recordings);
    assert_eq!(found.property, Property::AcknowledgedIsTaken, "{found}");
    assert_eq!(found.recording, "client");
}

#[test]
fn an_acknowledgement_of_what_was_not_taken_is_found_at_the_server() {
    let mut recordings = whole();
    let is_ack =
        |effect: &server::Effect| matches!(effect, server::Effect::Send(_, Frame::Ack { .. }));
    let (effects, at) = find_served(&mut recordings, is_ack);
    effects[at] = server::Effect::Send(Link(1), Frame::Ack { next: Seq(2) });
    let found = broken(&recordings);
    assert_eq!(found.property, Property::AcknowledgedIsTaken, "{found}");
    assert_eq!(found.recording, "server");
}

#[test]
fn a_timer_that_fires_unarmed_is_found_though_it_changes_nothing() {
    let mut recordings = whole();
    let step = ClientStep { event: Event::Timer(Timer::Handshake), effects: Vec::new() };
    client(&mut recordings).insert(0, step);
    replay(&recordings[0]).expect("the machine ignores it");
    assert_broken(&recordings, Property::TimerWasArmed);
}

#[test]
fn a_frame_of_a_link_that_was_never_opened_is_found() {
    let mut recordings = whole();
    let event = Event::Frame(Link(7), Frame::Ping { token: 1 });
    client(&mut recordings).insert(1, ClientStep { event, effects: Vec::new() });
    replay(&recordings[0]).expect("the machine ignores it");
    assert_broken(&recordings, Property::LinkWasOpen);
}

#[test]
fn a_link_that_is_lost_twice_is_found_on_both_sides() {
    let mut recordings = whole();
    let steps = client(&mut recordings);
    let at = steps.iter().position(|step| matches!(step.event, Event::LinkLost(_))).unwrap();
    steps.insert(at + 1, ClientStep { event: steps[at].event.clone(), effects: Vec::new() });
    assert_broken(&recordings, Property::LinkWasOpen);

    let mut recordings = whole();
    let steps = server(&mut recordings);
    let is_loss = |step: &ServerStep| matches!(step.event, server::Event::LinkLost(_));
    let at = steps.iter().position(is_loss).unwrap();
    steps.insert(at + 1, ServerStep { event: steps[at].event.clone(), effects: Vec::new() });
    assert_broken(&recordings, Property::LinkWasOpen);
}

#[test]
fn a_link_that_was_not_asked_for_is_found() {
    let mut recordings = whole();
    let step =
        ClientStep { event: Event::LinkOpened(Link(9)), effects: vec![Effect::Close(Link(9))] };
    client(&mut recordings).insert(0, step);
    replay(&recordings[0]).expect("the machine closes it");
    assert_broken(&recordings, Property::ReportWasAsked);
}

#[test]
fn a_closed_link_that_has_effects_is_found() {
    let mut recordings = whole();
    let steps = server(&mut recordings);
    let is_loss = |step: &ServerStep| matches!(step.event, server::Event::LinkLost(_));
    let at = steps.iter().position(is_loss).unwrap();
    steps[at].event = server::Event::Frame(Link(1), Frame::Detach);
    steps[at].effects = vec![server::Effect::Close(Link(1))];
    let event = server::Event::Frame(Link(1), Frame::Ping { token: 0 });
    let effects = vec![server::Effect::Send(Link(1), Frame::Pong { token: 0 })];
    steps.insert(at + 1, ServerStep { event, effects });
    assert_broken(&recordings, Property::ClosedLinkIgnored);
}

#[test]
fn output_taken_that_was_not_offered_is_found() {
    let mut recordings = whole();
    let steps = client(&mut recordings);
    let taken = steps.iter_mut().find(|step| matches!(step.event, Event::Taken(_))).unwrap();
    taken.event = Event::Taken(Seq(4));
    assert_broken(&recordings, Property::TakenWasOffered);
}

#[test]
fn input_taken_that_was_not_handed_over_is_found() {
    let mut recordings = whole();
    let steps = server(&mut recordings);
    let is_taken = |step: &&mut ServerStep| matches!(step.event, server::Event::InputTaken(_));
    steps.iter_mut().find(is_taken).unwrap().event = server::Event::InputTaken(Seq(2));
    assert_broken(&recordings, Property::TakenWasOffered);
}

#[test]
fn input_handed_over_twice_or_changed_is_found() {
    let is_hand_over = |effect: &server::Effect| matches!(effect, server::Effect::HandOver(..));
    let mut recordings = whole();
    let (effects, at) = find_served(&mut recordings, is_hand_over);
    effects.insert(at, effects[at].clone());
    assert_broken(&recordings, Property::HandedOverOnce);

    let mut recordings = whole();
    let (effects, at) = find_served(&mut recordings, is_hand_over);
    effects[at] = server::Effect::HandOver(Seq(0), Item::Input("other".into()));
    assert_broken(&recordings, Property::SameItems);
}

#[test]
fn output_read_without_room_is_found() {
    let mut recordings = whole();
    let data = vec![b'x'; Item::MAX_PAYLOAD + 1].into();
    let steps = server(&mut recordings);
    let is_output = |step: &ServerStep| matches!(step.event, server::Event::Output(..));
    let at = steps.iter().position(is_output).unwrap();
    steps[at].event = server::Event::Output(Stream::Stdout, data);
    assert_broken(&recordings, Property::RoomWasAsked);
}

#[test]
fn input_that_a_living_process_hands_back_is_found() {
    let mut recordings = whole();
    let steps = client(&mut recordings);
    let step = steps.iter_mut().find(|step| matches!(step.event, Event::Input(_))).unwrap();
    step.effects = vec![Effect::Return(Item::Input("in".into()))];
    assert_broken(&recordings, Property::RoomWasAsked);
}

#[test]
fn a_second_start_of_an_incarnation_is_found() {
    let mut recordings = whole();
    let mut again = recordings[1].clone();
    again.name = String::from("another server");
    recordings.push(again);
    let found = broken(&recordings);
    assert_eq!(found.property, Property::StartedOnce, "{found}");
    assert_eq!(found.property.rule(), Some(5));
    assert_eq!(found.recording, "another server");
}

#[test]
fn an_ending_without_a_word_is_found() {
    let mut recordings = whole();
    let is_closed = |effect: &Effect| matches!(effect, Effect::Tell(Notice::Closed { .. }));
    let (effects, at) = find(&mut recordings, is_closed);
    effects.remove(at);
    assert_broken(&recordings, Property::EndingIsTold);
}

#[test]
fn an_effect_after_the_end_is_found() {
    let mut recordings = whole();
    let effects = vec![Effect::Arm(Timer::Reconnect)];
    client(&mut recordings).push(ClientStep { event: Event::Close, effects });
    assert_broken(&recordings, Property::EndIsFinal);

    let mut recordings = whole();
    let effects = vec![server::Effect::Arm(Timer::Retention)];
    let event = server::Event::Displaced;
    server(&mut recordings).push(ServerStep { event, effects });
    assert_broken(&recordings, Property::EndIsFinal);
}

#[test]
fn an_answer_to_another_attach_is_found() {
    let mut recordings = whole();
    let is_welcome =
        |effect: &server::Effect| matches!(effect, server::Effect::Send(_, Frame::Welcome(_)));
    let (effects, at) = find_served(&mut recordings, is_welcome);
    let server::Effect::Send(_, Frame::Welcome(welcome)) = &mut effects[at] else { unreachable!() };
    welcome.attach = AttachNumber(9);
    assert_broken(&recordings, Property::AnswerNamesAttach);
}

#[test]
fn a_takeover_that_was_not_recorded_is_found() {
    let mut recordings = whole();
    let is_welcome =
        |effect: &server::Effect| matches!(effect, server::Effect::Send(_, Frame::Welcome(_)));
    let (effects, at) = find_served(&mut recordings, is_welcome);
    let server::Effect::Send(_, Frame::Welcome(welcome)) = &mut effects[at] else { unreachable!() };
    welcome.how = How::Claimed;
    assert_broken(&recordings, Property::TenureFirst);
}

#[test]
fn a_second_attached_link_is_found() {
    let mut recordings = whole();
    let steps = server(&mut recordings);
    let is_loss = |step: &ServerStep| matches!(step.event, server::Event::LinkLost(_));
    // As if the first link had not been lost, and the machine had forgotten it.
    steps.remove(steps.iter().position(is_loss).unwrap());
    assert_broken(&recordings, Property::OneLinkServed);
}

#[test]
fn a_server_that_ends_without_a_tombstone_is_found() {
    let mut recordings = whole();
    let is_bury = |effect: &server::Effect| matches!(effect, server::Effect::Bury(_));
    let (effects, at) = find_served(&mut recordings, is_bury);
    effects.remove(at);
    assert_broken(&recordings, Property::TombstoneFirst);
}

#[test]
fn an_answer_before_the_tombstone_is_found() {
    let mut recordings = whole();
    let is_bury = |effect: &server::Effect| matches!(effect, server::Effect::Bury(_));
    let (effects, at) = find_served(&mut recordings, is_bury);
    let bury = effects.remove(at);
    effects.insert(at + 1, bury);
    assert_broken(&recordings, Property::TombstoneFirst);
}

#[test]
fn output_behind_the_exit_is_found() {
    let mut recordings = whole();
    let is_exit = |effect: &Effect| matches!(effect, Effect::Deliver(_, Item::Exit(_)));
    let (effects, at) = find(&mut recordings, is_exit);
    effects.insert(at + 1, Effect::Deliver(Seq(4), text("late")));
    assert_broken(&recordings, Property::ExitIsLast);
}

#[test]
fn an_exit_that_is_not_the_last_item_is_found_at_the_server() {
    let mut recordings = whole();
    let is_item = |effect: &server::Effect| {
        matches!(effect, server::Effect::Send(_, Frame::Item { item: Item::Output { .. }, .. }))
    };
    let (effects, at) = find_served(&mut recordings, is_item);
    let item = Item::Exit(ExitStatus::Code(0));
    effects[at] = server::Effect::Send(Link(1), Frame::Item { seq: Seq(0), item });
    assert_broken(&recordings, Property::SameItems);
}

#[test]
fn items_sent_out_of_order_are_found() {
    let mut recordings = whole();
    let is_item = |effect: &server::Effect| {
        matches!(effect, server::Effect::Send(_, Frame::Item { seq: Seq(1), .. }))
    };
    let (effects, at) = find_served(&mut recordings, is_item);
    effects.insert(at, effects[at].clone());
    assert_broken(&recordings, Property::SentInOrder);
}

#[test]
fn attach_numbers_that_do_not_rise_are_found() {
    let mut recordings = whole();
    let is_hello = |effect: &Effect| matches!(effect, Effect::Send(_, Frame::Hello(_)));
    let steps = client(&mut recordings).iter_mut();
    let last = steps.flat_map(|step| &mut step.effects).filter(|effect| is_hello(effect)).last();
    let Some(Effect::Send(_, Frame::Hello(hello))) = last else { unreachable!() };
    hello.attach = AttachNumber(1);
    assert_broken(&recordings, Property::AttachRises);
}

#[test]
fn old_input_for_a_replacement_is_found() {
    let mut story = Story::begin();
    story.open();
    story.input("old");
    story.lose_server();
    story.replace();
    story.exit();
    story.finish();
    let mut recordings = story.recordings();
    let report = check(&recordings).unwrap_or_else(|found| panic!("{found}"));
    assert_eq!((report.replacements, report.servers, report.starts), (1, 2, 2));
    let is_second = |effect: &Effect| matches!(effect, Effect::Tell(Notice::Attached { incarnation, .. }) if incarnation.0 == 1);
    let (effects, at) = find(&mut recordings, is_second);
    let old = Frame::Item { seq: Seq(0), item: Item::Input("old".into()) };
    effects.insert(at + 1, Effect::Send(Link(2), old));
    assert_broken(&recordings, Property::InputStaysBehind);
}

#[test]
fn an_unfinished_last_line_is_told_and_the_rest_is_read() {
    let recordings = whole();
    let text = story::text_of(&recordings[1]);
    let read = Recording::parse(String::from("server"), text.as_bytes()).unwrap();
    assert_eq!(read, recordings[1]);
    let torn = &text[..text.len() - 5];
    let read = Recording::parse(String::from("server"), torn.as_bytes()).unwrap();
    assert_eq!(read.run.len(), recordings[1].run.len() - 1);
    assert!(read.torn.is_some());
    assert_eq!(replay(&read).unwrap().torn, 1);
}

#[test]
fn what_a_recording_that_was_cut_does_not_hold_is_not_missed() {
    let mut recordings = whole();
    let steps = server(&mut recordings);
    let is_output = |step: &ServerStep| matches!(step.event, server::Event::Output(..));
    steps.truncate(steps.iter().position(is_output).unwrap());
    assert_broken(&recordings, Property::SameItems);
    let text = story::text_of(&recordings[1]) + "\"cut\"\n";
    recordings[1] = Recording::parse(String::from("server"), text.as_bytes()).unwrap();
    assert!(recordings[1].is_cut);
    let report = check(&recordings).unwrap_or_else(|found| panic!("{found}"));
    assert_eq!((report.cut, report.torn), (1, 0));
}

#[test]
fn what_is_no_recording_is_refused_and_the_line_is_named() {
    let parse = |text: &str| Recording::parse(String::new(), text.as_bytes());
    assert!(matches!(parse(""), Err(ReadError::NoHeader)));
    assert!(matches!(parse("{\"format\":1"), Err(ReadError::NoHeader)));
    assert!(matches!(parse("{\"format\":2}\n"), Err(ReadError::Format { found: 2 })));
    assert!(matches!(parse("no json\n"), Err(ReadError::Line { number: 1, .. })));
    let text = story::text_of(&whole()[0]);
    let mut lines: Vec<&str> = text.lines().collect();
    lines[3] = "{}";
    let error = parse(&lines.join("\n")).expect_err("line 4 is no step");
    assert!(error.to_string().starts_with("line 4 is not"), "{error}");
}
