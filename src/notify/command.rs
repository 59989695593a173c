//! Runs the administrator's program for one notice: no shell, a process group of its own, an empty environment but for
//! `PATH`, bounded in time, in number and in what is kept of its output.
//!
//! What the program leaves in its group ends with it, at the time limit or when it exits: nothing of it stays behind.
//! Knows nothing of notices and retries.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use super::http::{Reply, one_line};
use crate::clock::Stopwatch;

/// Programs at one time, whatever they are run for.
const AT_ONCE: usize = 4;

/// Bytes that are kept of each of a program's outputs; the rest is read and thrown away, so that it never waits for us.
const MOST_KEPT: usize = 8 * 1024;

/// How long a program that has exited may still have its output read: a child of it may hold the pipe open.
const OUTPUT_WITHIN: Duration = Duration::from_millis(200);

/// The program asks never to be run for this again.
const NEVER: i32 = 100;

/// Where programs are looked for when our own environment does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What runs programs; clones share its places.
#[derive(Debug, Clone)]
pub struct Runner(Arc<Semaphore>);

/// A program and whatever it has started. What is dropped is killed.
struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Default for Runner {
    fn default() -> Runner {
        Runner(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Runner {
    /// Runs `command`, the program first, with `input`; waiting for a place and running take no longer than `limit`
    /// together. Exit code 0 is as good as 204, 100 as 422; any other end is no answer.
    pub async fn run(&self, command: &[String], input: String, limit: Duration) -> Reply {
        let watch = Stopwatch::start();
        let Ok(Ok(_place)) = tokio::time::timeout(limit, self.0.acquire()).await else {
            return Reply::nothing(format!(
                "{AT_ONCE} programs were running all the while, for {} ms: are they slow? (timeout_ms)",
                limit.as_millis()
            ));
        };
        let mut group = match Group::start(command) {
            Ok(group) => group,
            Err(error) => return Reply::nothing(explain(command, &error)),
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let left = limit.saturating_sub(watch.elapsed());
        let ended = tokio::time::timeout(left, group.end(input, &mut out, &mut err)).await;
        drop(group);
        let reply = match ended {
            Ok(Ok(status)) => judge(command, status),
            Ok(Err(error)) => Reply::nothing(format!("{}: {error}", shown(command))),
            Err(_) => Reply::nothing(format!(
                "{} was killed, with all that it had started, after {} ms (timeout_ms)",
                shown(command),
                limit.as_millis()
            )),
        };
        let said = if err.is_empty() { &out } else { &err };
        Reply { text: one_line(said), body: out, ..reply }
    }
}

impl Group {
    fn start(command: &[String]) -> io::Result<Group> {
        let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let path = std::env::var_os("PATH").unwrap_or_else(|| PATH.into());
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", path)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        // Its process group has its own number.
        let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Group { child, id })
    }

    /// Waits for the program's exit, whether or not it reads what it is given.
    async fn end(&mut self, input: String, out: &mut Vec<u8>, err: &mut Vec<u8>) -> io::Result<ExitStatus> {
        let (stdin, stdout, stderr) =
            (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // Whoever does not read it has closed it: that is his own affair.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let talk = async { tokio::join!(feed, keep(stdout, out), keep(stderr, err)) };
        tokio::pin!(talk);
        tokio::select! {
            status = self.child.wait() => {
                self.kill();
                let _ = tokio::time::timeout(OUTPUT_WITHIN, talk).await;
                status
            }
            _ = &mut talk => self.child.wait().await,
        }
    }

    fn kill(&self) {
        if let Some(id) = self.id {
            // It is an error where nobody is left.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads to the end, and keeps the beginning.
async fn keep(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut some = vec![0; MOST_KEPT];
    while let Ok(read @ 1..) = from.read(&mut some).await {
        let room = MOST_KEPT - kept.len();
        kept.extend_from_slice(&some[..read.min(room)]);
    }
}

fn judge(command: &[String], status: ExitStatus) -> Reply {
    let program = shown(command);
    match status.code() {
        Some(0) => Reply::done(&format!("{program} exited with 0")),
        Some(NEVER) => Reply {
            status: Some(422),
            ..Reply::nothing(format!("{program} exited with {NEVER}: never again"))
        },
        Some(code) => Reply::nothing(format!("{program} exited with {code}")),
        None => Reply::nothing(format!("{program} was ended from outside: {status}")),
    }
}

fn explain(command: &[String], error: &io::Error) -> String {
    let todo = match error.kind() {
        io::ErrorKind::NotFound => ": there is no such program; write its whole path",
        io::ErrorKind::PermissionDenied => {
            ": it may not be run; chmod +x, and may the server's user reach it?"
        }
        _ => "",
    };
    format!("{} cannot be run: {error}{todo}", shown(command))
}

/// The program alone: its arguments may be secret.
fn shown(command: &[String]) -> &str {
    command.first().map_or("", String::as_str)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    const LONG: Duration = Duration::from_secs(20);

    fn script(dir: &Path, text: &str) -> Vec<String> {
        vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned(), dir.display().to_string()]
    }

    async fn run(dir: &Path, text: &str, limit: Duration) -> Reply {
        Runner::default().run(&script(dir, text), "{\"a\":1}".to_owned(), limit).await
    }

    /// Whether the process whose id a program wrote into `file` is gone, or is about to be.
    async fn is_gone(file: PathBuf) -> bool {
        let pid = std::fs::read_to_string(file).unwrap();
        let stat = PathBuf::from(format!("/proc/{}/stat", pid.trim()));
        for _ in 0..500 {
            let state = std::fs::read_to_string(&stat).unwrap_or_default();
            if state
                .rsplit(')')
                .next()
                .is_none_or(|rest| rest.trim().is_empty() || rest.trim().starts_with('Z'))
            {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }

    #[tokio::test]
    async fn a_program_reads_the_notice_and_has_nothing_but_a_path() {
        let dir = tempfile::tempdir().unwrap();
        let reply = run(dir.path(), "cat; /usr/bin/env; pwd", LONG).await;
        assert_eq!(reply.status, Some(204), "{reply:?}");
        let said = String::from_utf8(reply.body).unwrap();
        assert!(said.starts_with("{\"a\":1}"), "{said}");
        // What follows the notice is the environment: the shell adds PWD and its like itself.
        let names: Vec<&str> = said[7..].lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        assert!(
            names.contains(&"PATH")
                && names.iter().all(|n| ["PATH", "PWD", "SHLVL", "_", "OLDPWD"].contains(n)),
            "{names:?}"
        );
        assert!(said.ends_with("\n/\n"), "{said}");
    }

    #[tokio::test]
    async fn an_exit_code_says_whether_to_try_again() {
        let dir = tempfile::tempdir().unwrap();
        for (text, status, what) in [
            ("exit 0", Some(204), "/bin/sh exited with 0"),
            ("echo no >&2; exit 100", Some(422), "/bin/sh exited with 100: never again"),
            ("exit 75", None, "/bin/sh exited with 75"),
            ("exit 1", None, "/bin/sh exited with 1"),
            ("kill -TERM $$", None, "/bin/sh was ended from outside: signal: 15 (SIGTERM)"),
        ] {
            let reply = run(dir.path(), text, LONG).await;
            assert_eq!((reply.status, reply.what.as_str()), (status, what), "{text}");
        }
        assert_eq!(run(dir.path(), "echo yes; echo no >&2; exit 100", LONG).await.text, "no");
    }

    #[tokio::test]
    async fn what_hangs_is_killed_with_a_child_that_ignores_being_asked_to_end() {
        let dir = tempfile::tempdir().unwrap();
        let text =
            "(trap '' TERM INT HUP; while :; do sleep 1; done) & echo $! >$0/child; echo $$ >$0/parent; wait";
        let reply = run(dir.path(), text, Duration::from_millis(700)).await;
        assert_eq!(reply.status, None);
        assert!(reply.what.contains("was killed, with all that it had started, after 700 ms"), "{reply:?}");
        assert!(is_gone(dir.path().join("parent")).await && is_gone(dir.path().join("child")).await);
    }

    #[tokio::test]
    async fn what_forks_into_the_background_is_done_when_it_exits_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let text = "(trap '' TERM HUP; sleep 600; echo late >$0/late) & echo $! >$0/child; exit 0";
        let watch = Stopwatch::start();
        let reply = run(dir.path(), text, LONG).await;
        assert_eq!(reply.status, Some(204), "{reply:?}");
        assert!(watch.elapsed() < LONG, "the pipe that the child holds is not waited for");
        assert!(is_gone(dir.path().join("child")).await);
    }

    #[tokio::test]
    async fn what_reads_nothing_and_what_prints_megabytes_are_waited_for_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let large = "x".repeat(1 << 20);
        let runner = Runner::default();
        let reply = runner.run(&script(dir.path(), "exec 0<&-; sleep 0.1"), large.clone(), LONG).await;
        assert_eq!(reply.status, Some(204), "{reply:?}");
        let reply = runner.run(&script(dir.path(), "sleep 0.1"), large.clone(), LONG).await;
        assert_eq!(reply.status, Some(204), "{reply:?}");
        let print = "head -c 5000000 /dev/zero | tr '\\0' y; head -c 5000000 /dev/zero | tr '\\0' z >&2; wc -c >$0/read";
        let reply = runner.run(&script(dir.path(), print), large, LONG).await;
        assert_eq!(reply.status, Some(204), "{reply:?}");
        assert_eq!(reply.body.len(), MOST_KEPT);
        assert!(reply.text.starts_with("zzz") && reply.text.len() < 1000);
        let read = std::fs::read_to_string(dir.path().join("read")).unwrap();
        assert_eq!(read.trim(), (1 << 20).to_string());
    }

    #[tokio::test]
    async fn four_run_at_once_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        // Each counts those that run beside it.
        let text = "mkdir $0/run.$$; ls -d $0/run.* | wc -l >>$0/seen; sleep 0.3; rmdir $0/run.$$";
        let runner = Runner::default();
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let (runner, command) = (runner.clone(), script(dir.path(), text));
            all.spawn(async move { runner.run(&command, String::new(), LONG).await.status });
        }
        assert_eq!(all.join_all().await, [Some(204); 10]);
        let seen = std::fs::read_to_string(dir.path().join("seen")).unwrap();
        let most = seen.lines().map(|line| line.trim().parse::<usize>().unwrap()).max();
        assert!((2..=AT_ONCE).contains(&most.unwrap()), "{seen}");
    }

    #[tokio::test]
    async fn who_finds_no_place_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let runner = Runner::default();
        let _all = runner.0.acquire_many(4).await.unwrap();
        let reply = runner.run(&script(dir.path(), "exit 0"), String::new(), Duration::from_millis(50)).await;
        assert!(reply.status.is_none() && reply.what.contains("4 programs were running"), "{reply:?}");
    }

    #[tokio::test]
    async fn a_program_that_is_given_up_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let (runner, command) =
            (Runner::default(), script(dir.path(), "echo $$ >$0/it.part; mv $0/it.part $0/it; sleep 600"));
        let running = tokio::spawn(async move { runner.run(&command, String::new(), LONG).await });
        while !dir.path().join("it").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        running.abort();
        let _ = running.await;
        assert!(is_gone(dir.path().join("it")).await);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named_without_its_arguments() {
        let command = ["/nowhere/at-all".to_owned(), "--password=x".to_owned()];
        let reply = Runner::default().run(&command, String::new(), LONG).await;
        assert!(reply.status.is_none() && reply.what.contains("write its whole path"), "{reply:?}");
        assert!(reply.what.starts_with("/nowhere/at-all cannot be run") && !reply.what.contains("password"));
        let reply = Runner::default().run(&["/etc/passwd".to_owned()], String::new(), LONG).await;
        assert!(reply.what.contains("chmod +x"), "{reply:?}");
    }
}
