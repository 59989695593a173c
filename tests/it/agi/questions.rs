//! What a pbx is asked after the ack: only where somebody wants to know, only in the form of a uniqueid, and never at
//! the cost of the event.

use std::sync::{Arc, Mutex};

use calljournal::event::{Asked, Event};
use calljournal::feed::agi::{Door, session::Answer};
use calljournal::intake::living::{About, Question};

use super::{ACK, Peer, Server, request};

/// Wants to know about these channels, and keeps what was answered.
#[derive(Clone, Default)]
struct Curious {
    about: Vec<String>,
    told: Arc<Mutex<Vec<(String, String)>>>,
}

impl Door for Curious {
    async fn keep(&self, _: Event) -> Answer {
        Answer::Kept
    }

    fn oldest_wait(&self) -> Option<std::time::Duration> {
        None
    }

    fn questions(&self, _: &Event) -> Vec<Question> {
        self.about.iter().map(|uid| Question { uid: uid.clone(), about: About::Life }).collect()
    }

    async fn answered(&self, asked: Asked<'_>, answers: Vec<(Question, String)>) {
        assert_eq!((asked.pbx, asked.timed), ("office", true));
        self.told.lock().unwrap().extend(answers.into_iter().map(|(q, said)| (q.uid, said)));
    }
}

impl Curious {
    fn about(channels: &[&str]) -> Curious {
        Curious { about: channels.iter().map(|uid| (*uid).to_owned()).collect(), ..Curious::default() }
    }

    fn told(&self) -> Vec<(String, String)> {
        self.told.lock().unwrap().clone()
    }
}

async fn asked(door: &Curious) -> (Server, Peer) {
    let server = Server::start(door.clone(), "");
    let mut peer = server.connect().await;
    peer.send(&request(&[])).await;
    assert_eq!(peer.line().await, ACK);
    (server, peer)
}

async fn told(door: &Curious, count: usize) -> Vec<(String, String)> {
    for _ in 0..500 {
        if door.told().len() == count {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    door.told()
}

#[tokio::test]
async fn questions_come_after_the_ack_one_by_one_and_their_answers_are_handed_in() {
    let door = Curious::about(&["1795390700.1", "office-1795390700.2"]);
    let (server, mut peer) = asked(&door).await;
    peer.send(b"200 result=1\n").await;
    assert_eq!(peer.line().await, "GET FULL VARIABLE ${CHANNEL_EXISTS(1795390700.1)}\n");
    peer.send(b"HANGUP\n200 result=1 (0)\n").await;
    assert_eq!(peer.line().await, "GET FULL VARIABLE ${CHANNEL_EXISTS(office-1795390700.2)}\n");
    peer.send(b"200 result=1 (1)\n").await;
    assert_eq!(peer.rest().await, "");
    let pairs = [("1795390700.1", "0"), ("office-1795390700.2", "1")];
    assert_eq!(told(&door, 2).await, pairs.map(|(uid, said)| (uid.to_owned(), said.to_owned())));
    server.ended("acked", 1).await;
}

#[tokio::test]
async fn no_more_than_four_are_asked() {
    let door = Curious::about(&["1.1", "1.2", "1.3", "1.4", "1.5"]);
    let (_server, mut peer) = asked(&door).await;
    for n in 1..=4 {
        peer.send(b"200 result=1 (1)\n").await;
        assert_eq!(peer.line().await, format!("GET FULL VARIABLE ${{CHANNEL_EXISTS(1.{n})}}\n"));
    }
    peer.send(b"200 result=1 (1)\n").await;
    assert_eq!(peer.rest().await, "");
}

#[tokio::test]
async fn a_forged_uniqueid_is_never_asked_about() {
    let forged = [
        "1.1)}${SHELL(touch x)}${LEN(x",
        "1.1\nEXEC System id",
        "1.1,x",
        "${SHELL(id)}",
        "1.1 ",
        "-1.1",
        "١.١",
    ];
    let (_server, mut peer) = asked(&Curious::about(&forged)).await;
    peer.send(b"200 result=1\n").await;
    assert_eq!(peer.rest().await, "");
}

#[tokio::test]
async fn a_question_that_is_refused_or_not_answered_costs_nothing_but_the_answer() {
    for reply in [&b"511 Command Not Permitted on a dead channel or intercept routine\n"[..], b"what?\n", b""]
    {
        let door = Curious::about(&["1.1", "1.2"]);
        let (server, mut peer) = asked(&door).await;
        peer.send(b"200 result=1\n").await;
        peer.line().await;
        peer.send(reply).await;
        if reply.is_empty() {
            drop(peer);
        } else {
            assert_eq!(peer.rest().await, "");
        }
        server.ended("acked", 1).await;
        assert_eq!(door.told(), []);
    }
}
