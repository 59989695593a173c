//! How long ast-ami stands still for our answer: it handles no other event meanwhile. What is measured is printed
//! (`cargo test --test it -- --nocapture push::answers`), and held is only that an answer keeps to its budget.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;

use super::super::server::{PATIENCE, Server};
use super::super::{database, held_alone, on_postgres};
use super::routes::{BUSY, code, post};
use super::{ANSWERED, posts};
use crate::cluster::Cluster;

/// Where nothing is set.
const BUDGET: Duration = Duration::from_millis(250);

/// Posts one after the other, as ast-ami does, each about the ringing of another call; gives back how many were
/// saved. An answer that came is 0 or 10: saved, or not in time.
fn posted(server: &Server, what: &str, serials: std::ops::Range<u32>) -> usize {
    let body = &posts(ANSWERED)[4].body;
    assert!(body.contains("Ringing"));
    let mut waits = Vec::new();
    let mut saved = 0;
    for serial in serials {
        let body = body
            .replace("1795386100.7", &format!("1795386100.{}", 10_000 + serial))
            .replace("1795386100.6", &format!("1795386100.{serial}"))
            .replace("79190000001", &format!("7919{serial:07}"));
        let asked = Instant::now();
        let answer = post(server, "/json/chans/push", body.as_bytes());
        waits.push(asked.elapsed());
        let code = code(&answer);
        assert!([0, 10].contains(&code), "{answer:?}");
        saved += usize::from(code == 0);
    }
    waits.sort();
    let [half, most] = [50, 99].map(|percent| waits[(waits.len() - 1) * percent / 100]);
    let longest = waits[waits.len() - 1];
    println!("{} posts, {what}: {saved} saved, p50 {half:?}, p99 {most:?}, longest {longest:?}", waits.len());
    assert!(longest < BUDGET + BUSY, "{what}: ast-ami stood still for {longest:?}");
    saved
}

#[test]
fn ast_ami_is_answered_within_the_budget_whatever_the_database_does() {
    let dir = tempfile::tempdir().unwrap();
    // One of its own can be frozen as a whole, and has a disk that it syncs to.
    let cluster = on_postgres().then(|| Cluster::start("").unwrap());
    let url = cluster.as_ref().map(|cluster| cluster.database(dir.path()));
    let url: Vec<(&str, &str)> = url.iter().map(|url| ("CALLJOURNAL_STORE__URL", url.as_str())).collect();
    let server = Server::start(dir.path(), &url);
    posted(&server, "nothing else to do", 1_000..1_300);

    let saved = match &cluster {
        Some(cluster) => {
            cluster.signal("STOP");
            let frozen = AssertUnwindSafe(|| posted(&server, "the database frozen", 2_000..2_100));
            let saved = catch_unwind(frozen);
            // Or it could not be stopped when this process ends.
            cluster.signal("CONT");
            saved.unwrap()
        }
        None => {
            let mut holder = database(dir.path());
            holder.batch_execute(held_alone()).unwrap();
            posted(&server, "the database held by another", 2_000..2_100)
        }
    };
    assert_eq!(saved, 0, "it was not hanging");

    // It comes to itself when the database does.
    let again = Instant::now();
    let mut serial = 3_000;
    while posted(&server, "the database back", serial..serial + 1) == 0 {
        assert!(again.elapsed() < PATIENCE, "nothing is saved any more");
        std::thread::sleep(Duration::from_millis(50));
        serial += 1;
    }
    server.stop();
}
