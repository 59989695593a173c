//! What a pbx answered about its channels, through the door and into calls.

use std::time::Duration;

use calljournal::call::{Call, CallId, State};
use calljournal::event::{Asked, Event, Kind};
use calljournal::intake::living::{About, Question};

use super::intake::{Journal, T0, answered, event, uid};

/// Asks whatever is to be asked in the session of `event`, of an Asterisk that answers so.
async fn ask(j: &Journal, event: &Event, pbx: impl Fn(&Question) -> &'static str) -> usize {
    let questions = j.intake.questions(event);
    let answers: Vec<_> = questions.into_iter().map(|q| (q.clone(), pbx(&q).to_owned())).collect();
    let count = answers.len();
    j.intake.answered(Asked { pbx: &event.pbx, at: event.at, timed: event.timed }, answers).await;
    count
}

/// The call as it is stored.
fn call(j: &Journal, id: &CallId) -> Call {
    let docs = super::texts(&mut j.sql(), &format!("SELECT doc AS s FROM calls WHERE id = '{id}'"));
    serde_json::from_str(&docs[0]).unwrap()
}

fn all_gone(question: &Question) -> &'static str {
    if question.about == About::Life { "0" } else { "" }
}

/// The first event of another call, `at` seconds into the test, by the clock that is moved there.
async fn another_call(j: &Journal, n: u32, at: i64) -> Event {
    j.pass((at - (j.clock.now().as_second() - T0)) as f64).await;
    let start = event(Kind::Start, &uid(n), &uid(n), 1, at, &["exten=100"]);
    j.accept(std::slice::from_ref(&start)).await;
    start
}

#[tokio::test]
async fn a_call_whose_channels_are_gone_ends_once_as_unknown_and_is_corrected_by_the_truth() {
    let j = Journal::open();
    let told = answered(1);
    j.accept(&told[..3]).await;
    let other = another_call(&j, 7, 400).await;
    assert_eq!(ask(&j, &other, all_gone).await, 4);
    j.pass(2.0).await;
    assert_eq!(j.notices(), ["call.ended"]);
    let id = CallId::of("office", &uid(1));
    let ended = call(&j, &id);
    assert_eq!((ended.state, ended.ended_at, ended.end_time_known), (State::Ended, None, false));
    j.accept(&told[3..]).await;
    j.pass(2.0).await;
    assert_eq!(j.notices(), ["call.ended", "call.corrected"]);
    let ended = call(&j, &id);
    assert_eq!((ended.ended_at.map(|at| at.as_second() - T0), ended.end_time_known), (Some(20), true));
}

#[tokio::test]
async fn an_asterisk_that_was_started_again_is_asked_about_all_that_lived_before() {
    let j = Journal::open();
    j.accept(&answered(500)[..3]).await;
    j.pass(1.0).await;
    let j = j.restart(5).await;
    j.intake.release_deadlines();
    let start = format!("{}.0", T0 + 6);
    let start = event(Kind::Start, &start, &start, 1, 6, &["exten=100"]);
    let mut asked = 0;
    // What lived is read beside everything else.
    for _ in 0..200 {
        asked += ask(&j, &start, all_gone).await;
        if asked == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(asked, 2);
    j.pass(2.0).await;
    assert_eq!(j.notices(), ["call.ended"]);
}

#[tokio::test]
async fn a_channel_that_a_transfer_moved_makes_its_call_part_of_the_other_at_once() {
    let j = Journal::open();
    let (a, b) = (answered(1), answered(11));
    j.accept(&a[..3]).await;
    j.accept(&b[..3]).await;
    // The phone that 1 called has called 12 itself.
    let facts = ["cause=16", "state=Up", "attendedtransfer=PJSIP/trunk-0000001"];
    let [mut own, mut end] = [
        event(Kind::Note, &uid(11), &uid(11), 2, 7, &["text=x"]),
        event(Kind::Hangup, &uid(2), &uid(1), 3, 8, &facts),
    ];
    (own.channel, end.channel) = ("PJSIP/101-00000011".into(), "PJSIP/101-00000002".into());
    j.accept(&[own, end.clone()]).await;
    let to = uid(1);
    let answers: Vec<_> = j.intake.questions(&end).into_iter().map(|q| (q, to.clone())).collect();
    assert!(!answers.is_empty());
    j.intake.answered(Asked { pbx: "office", at: end.at, timed: true }, answers).await;
    j.pass(1.0).await;
    assert_eq!(j.number("SELECT COUNT(*) AS n FROM calls"), 1);
    let merged = call(&j, &CallId::of("office", &uid(1)));
    assert_ne!(merged.state, State::Ended);
    assert!(merged.ids.contains(&CallId::of("office", &uid(11))));
}
