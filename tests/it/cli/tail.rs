//! Looking on while calls happen.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use super::super::server::{PATIENCE, Server, calljournal, plain_call};

struct Tail {
    process: Child,
    lines: Receiver<String>,
}

impl Tail {
    fn start(dir: &Path, arguments: &[&str]) -> Tail {
        let mut process = calljournal(dir, &[&["tail"], arguments].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Tail { process, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    /// Ctrl-C.
    fn interrupt(mut self) -> Option<i32> {
        assert!(
            Command::new("kill").args(["-INT", &self.process.id().to_string()]).status().unwrap().success()
        );
        self.process.wait().unwrap().code()
    }
}

/// A test that fails leaves nobody behind who looks on for ever.
impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn each_thing_is_told_once_as_it_happens_until_ctrl_c() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut events = plain_call(0, 1_795_390_723);
    assert!(events.pop_front().unwrap().tell(server.agi));
    server.page_when("/healthz", |body| body.contains("\"unsettled\":0"));
    // What goes on when it begins is told too.
    let (tail, whole) = (Tail::start(dir.path(), &[]), Tail::start(dir.path(), &["--calls"]));
    let first = "23:38:43  79190000000     Call from Ivan (79190000000) on 73512020318";
    assert_eq!(tail.line(), first);
    for event in events {
        assert!(event.tell(server.agi));
    }
    assert_eq!(tail.line(), "23:38:43  79190000000     101 rang");
    assert_eq!(tail.line(), "23:38:46  79190000000     101 answered after 3 s");
    assert_eq!(tail.line(), "23:38:52  79190000000     Ended by 101 after 6 s");
    let line = whole.line();
    assert!(
        line.starts_with("2026-11-22 23:38:43  79190000000 → 73512020318  ANSWERED · answered by 101"),
        "{line}"
    );
    assert!(tail.lines.try_recv().is_err(), "something was told twice");
    assert_eq!((tail.interrupt(), whole.interrupt()), (Some(0), Some(0)));
    server.stop();
}
