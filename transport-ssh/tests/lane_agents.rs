//! The fast lane, with keys that an agent does not hand out to everybody at any time.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use common::lane::{Lane, OURS, echo, failure};
use common::{Echo, in_time, until};
use rejoin_ssh::{Attempt, Connect as _, FastLaneEvent, Ineligible, SshConnect};
use rejoin_testing::needs;

/// Has the connector learn a host for which the key does not sign.
async fn refuses_to_learn(lane: &Lane, connector: &SshConnect) {
    let before = lane.news().len();
    connector.learn();
    until("it is told", || lane.news().len() > before).await;
    let news = lane.news();
    let last = news.last().unwrap();
    assert!(matches!(last, FastLaneEvent::Ineligible(Ineligible::Signature(_))), "{last:?}");
    assert!(connector.fast().is_none());
}

/// A host whose user has to confirm each use of the key, and takes a second for it.
async fn confirmed() -> Lane {
    let lane = Lane::start().await;
    lane.agent.remove_all().unwrap();
    lane.agent.add_confirmed(&lane.sshd.user_key()).unwrap();
    lane
}

#[tokio::test]
async fn never_asks_an_agent_again_that_asked_for_confirmation() {
    needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add");
    let lane = confirmed().await;
    let connector = lane.connector("exec cat");
    let mut first = Echo::start(&connector, Attempt::First).await;
    assert_eq!(lane.agent.questions(), 1, "the user's own login");
    refuses_to_learn(&lane, &connector).await;
    connector.learn();
    first.say(b"still there").await;
    assert_eq!((lane.news().len(), lane.agent.questions(), lane.logins()), (1, 1, 0));
    // A person who looks into it is not asked by the agent, either.
    let why = in_time("a check", connector.check_fast_lane()).await.unwrap_err();
    assert!(matches!(why, Ineligible::Signature(_)), "{why:?}");
    assert_eq!(lane.agent.questions(), 1);
}

#[tokio::test]
async fn an_agent_that_asks_nobody_when_its_user_logs_in_signs_for_the_fast_lane() {
    needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add");
    let lane = Lane::start().await;
    let connector = lane.connector("exec cat");
    let _first = Echo::start(&connector, Attempt::First).await;
    lane.learn(&connector).await;
    echo(&connector).await.say(b"signed").await;
}

/// Nobody has logged in by this connector yet, so that nothing is known about the agent.
#[tokio::test]
async fn an_unknown_agent_asks_at_most_once_per_process() {
    needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add");
    let lane = confirmed().await;
    let connector = lane.connector("exec cat");
    refuses_to_learn(&lane, &connector).await;
    until("the agent asks", || lane.agent.questions() == 1).await;
    connector.learn();
    // Other connectors to the same host, and to another one: while the agent asks, and later.
    let while_it_asks = lane.connector("exec cat");
    let why = in_time("a check", while_it_asks.check_fast_lane()).await.unwrap_err();
    assert!(matches!(why, Ineligible::Agent(_) | Ineligible::Signature(_)), "{why:?}");
    until("the agent answers", || lane.agent.has_keys()).await;
    refuses_to_learn(&lane, &lane.connector("exec cat")).await;
    refuses_to_learn(&lane, &lane.connector("exec true")).await;
    assert_eq!((lane.agent.questions(), lane.logins()), (1, 0));
    // ssh itself asks, as ever.
    Echo::start(&connector, Attempt::Reconnect).await;
    assert_eq!(lane.agent.questions(), 2);
}

#[tokio::test]
async fn sessions_that_learn_a_host_at_the_same_time_have_the_agent_ask_once() {
    needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add");
    let lane = confirmed().await;
    let connectors = [(); 3].map(|()| lane.connector("exec cat"));
    let [one, two, three] = &connectors;
    let all = async {
        tokio::join!(one.check_fast_lane(), two.check_fast_lane(), three.check_fast_lane())
    };
    let (one, two, three) = in_time("all checks", Box::pin(all)).await;
    assert!(one.is_err() && two.is_err() && three.is_err());
    until("the agent answers", || lane.agent.has_keys()).await;
    assert_eq!((lane.agent.questions(), lane.logins()), (1, 0));
}

#[tokio::test]
async fn a_key_that_is_to_be_confirmed_since_it_was_learnt_asks_once_and_is_left_to_ssh() {
    needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add");
    let lane = Lane::start().await;
    let (connector, other) = (lane.connector("exec cat"), lane.connector("exec cat"));
    lane.learn(&connector).await;
    lane.learn(&other).await;
    lane.agent.remove_all().unwrap();
    lane.agent.add_confirmed(&lane.sshd.user_key()).unwrap();
    let error = failure(&connector).await;
    let slow = "the key did not sign: the ssh agent: it refuses to sign or asks for confirmation";
    assert_eq!(error.message, slow);
    until("the agent asks", || lane.agent.questions() == 1).await;
    assert!(connector.fast().is_none());
    connector.learn();
    let news = lane.news().len();
    until("the agent answers", || lane.agent.has_keys()).await;
    refuses_to_learn(&lane, &lane.connector("exec cat")).await;
    assert_eq!((lane.news().len(), lane.agent.questions()), (news + 1, 1));
    let logins = lane.logins();
    assert_eq!(failure(&other).await.message, slow);
    assert!(other.fast().is_none());
    assert_eq!((lane.logins(), lane.agent.questions()), (logins, 1), "the host hears nothing");
}

/// A connector whose only key is the agent's.
fn of_agent(lane: &Lane) -> SshConnect {
    let agent = format!("IdentityAgent={}", lane.agent.socket().display());
    let options = ["-o", &agent, "-o", "IdentitiesOnly=no", "-o", "IdentityFile=/none"];
    lane.without_file("exec cat", &options)
}

#[tokio::test]
async fn a_key_that_signs_for_one_host_alone_signs_for_the_fast_lane_to_it() {
    needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add");
    let lane = Lane::start().await;
    let (key, known_hosts) =
        (lane.sshd.user_key(), lane.sshd.user_key().with_file_name("known_hosts"));
    lane.agent.remove_all().unwrap();
    lane.agent.add_constrained(&key, "rejoin-test-host", &known_hosts).unwrap();
    let connector = of_agent(&lane);
    assert_eq!(in_time("a check", connector.check_fast_lane()).await, Ok(()));
    echo(&connector).await.say(b"signed for this host").await;
    lane.until_logged(OURS, 2).await;

    // For another host it is not even offered.
    let text = std::fs::read_to_string(&known_hosts).unwrap();
    let key_of = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap();
    let other = text.replace("rejoin-test-host", "rejoin-other-host");
    let host_key = key_of(lane.sshd.user_key().with_file_name("host_key.pub"));
    let user_key = key_of(key.with_extension("pub"));
    let stranger = known_hosts.with_file_name("other_hosts");
    std::fs::write(&stranger, other.replace(host_key.trim(), user_key.trim())).unwrap();
    lane.agent.remove_all().unwrap();
    lane.agent.add_constrained(&key, "rejoin-other-host", &stranger).unwrap();
    let error = failure(&connector).await;
    assert!(error.message.starts_with("the key did not sign: the ssh agent: "), "{error}");
    let why = in_time("a check", of_agent(&lane).check_fast_lane()).await.unwrap_err();
    assert!(matches!(why, Ineligible::Login(_)), "{why:?}");
}
