//! What is promised of events that the dialplan wrote down while nobody listened.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use calljournal::call::Rules;
use calljournal::clock::Clock;
use calljournal::config;
use calljournal::feed::spool::Spool;
use calljournal::intake::{Intake, SpoolMark};
use calljournal::store::Store;
use diesel::prelude::*;
use diesel::sql_types::Text;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

/// When the tests' clock stands still.
const NOW: i64 = 1_795_390_723;

/// A spool directory beside a journal.
struct Site {
    dir: tempfile::TempDir,
    clock: Clock,
    intake: Intake,
    delete_after_hours: u64,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    token: String,
}

fn rules() -> Rules {
    Rules {
        grace: SignedDuration::from_millis(1500),
        gap: SignedDuration::from_secs(30),
        lost: SignedDuration::from_secs(14_400),
    }
}

fn line(token: &str) -> String {
    let args =
        format!("v=1,token={token},pbx=,uid=1795390723.1,lid=1795390723.1,root=,seq=1,t=1795390723.5,chan=x");
    format!("cj1 {token} note {args} {} .\n", args.len())
}

fn lines(range: std::ops::Range<usize>) -> String {
    range.map(|n| line(&format!("t{n:04}"))).collect()
}

impl Site {
    fn new() -> Site {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("spool")).unwrap();
        let clock = Clock::manual(Timestamp::from_second(NOW).unwrap());
        let intake = Site::intake(&dir, &clock);
        Site { dir, clock, intake, delete_after_hours: 48 }
    }

    fn intake(dir: &tempfile::TempDir, clock: &Clock) -> Intake {
        let store = Store::open(&super::url(dir.path())).unwrap();
        Intake::start(store, clock.clone(), rules().into())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("spool").join(name)
    }

    /// Appends as Asterisk does; the file was written when the clock stands.
    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_ref()).unwrap();
        self.touch(&file);
    }

    fn touch(&self, file: &File) {
        file.set_modified(SystemTime::from(self.clock.now())).unwrap();
    }

    /// A process that has just started: it knows what the store knows.
    fn started(&self) -> Spool {
        let dir = self.dir.path().join("spool");
        let config = config::Spool { dir, poll_ms: 10, delete_after_hours: self.delete_after_hours };
        Spool::new(self.intake.clone(), self.clock.clone(), &config, "default")
    }

    fn tokens(&self) -> Vec<String> {
        let mut db = super::database(self.dir.path());
        let rows: Vec<Row> = diesel::sql_query("SELECT token FROM events ORDER BY id").load(&mut db).unwrap();
        rows.into_iter().map(|r| r.token).collect()
    }

    async fn mark(&self) -> SpoolMark {
        let marks = self.intake.spool_marks().await.unwrap();
        assert_eq!(marks.len(), 1, "{marks:?}");
        marks[0].clone()
    }

    fn size(&self, name: &str) -> u64 {
        std::fs::metadata(self.path(name)).unwrap().len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_taken_in_once_however_often_the_process_dies() {
    let site = Site::new();
    let all = lines(0..1500);
    let (first, second) = all.split_at(all.len() / 2 + 17);
    site.append("a.spool", first);
    for n in 0..60 {
        // Dies after any time: within a read, before, in or after a transaction.
        let _ = tokio::time::timeout(Duration::from_micros(n * 300), site.started().first_pass()).await;
        if n == 30 {
            site.append("a.spool", second);
        }
    }
    site.started().first_pass().await;
    assert_eq!(site.tokens().len(), 1500);
    let mark = site.mark().await;
    assert_eq!((mark.offset, mark.garbage), (site.size("a.spool"), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_line_is_waited_for_over_a_restart() {
    let site = Site::new();
    let (a, b) = (line("a"), line("b"));
    site.append("a.spool", format!("{a}{}", &b[..30]));
    site.started().first_pass().await;
    assert_eq!(site.tokens(), ["a"]);
    let spool = site.started();
    spool.first_pass().await;
    site.append("a.spool", &b[30..]);
    spool.first_pass().await;
    assert_eq!(site.tokens(), ["a", "b"]);
    assert_eq!(site.mark().await.garbage, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_line_is_given_up_when_newer_content_follows_or_after_an_hour() {
    let site = Site::new();
    let half = &line("lost")[..30];
    site.append("a.spool", format!("{half}{}{half}", line("a")));
    let spool = site.started();
    spool.first_pass().await;
    spool.first_pass().await;
    assert_eq!(site.tokens(), ["a"]);
    assert_eq!(site.mark().await.garbage, 30);
    site.clock.advance(SignedDuration::from_mins(61));
    spool.first_pass().await;
    let mark = site.mark().await;
    assert_eq!((mark.garbage, mark.offset), (60, site.size("a.spool")));
    site.append("a.spool", format!("{}{}", &line("lost")[30..], line("b")));
    spool.first_pass().await;
    assert_eq!(site.tokens(), ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_costs_itself_alone() {
    let site = Site::new();
    let mut bytes = b"\0\xff not a line\n".to_vec();
    bytes.extend(line("a").bytes());
    bytes.extend(line("bad").replace("v=1", "v=2").bytes());
    bytes.extend(line("bad").replace("note", "nope").bytes());
    bytes.extend(line("bad").replacen("bad", "dab", 1).bytes());
    let garbage = bytes.len() as u64 - line("a").len() as u64 - 3;
    bytes.extend(line("b").bytes());
    site.append("a.spool", bytes);
    site.started().first_pass().await;
    assert_eq!(site.tokens(), ["a", "b"]);
    assert_eq!(site.mark().await.garbage, garbage);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_megabytes_is_passed_over() {
    let site = Site::new();
    let mut bytes = line("a").into_bytes();
    bytes.extend(vec![b'x'; 3 << 20]);
    bytes.extend(line("b").bytes());
    site.append("a.spool", bytes);
    site.started().first_pass().await;
    assert_eq!(site.tokens(), ["a", "b"]);
    assert_eq!(site.mark().await.garbage, 3 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_replaced_is_read_from_its_beginning() {
    let site = Site::new();
    site.append("a.spool", lines(0..3));
    let spool = site.started();
    spool.first_pass().await;
    std::fs::rename(site.path("a.spool"), site.path("gone")).unwrap();
    site.append("a.spool", lines(3..6));
    spool.first_pass().await;
    assert_eq!(site.tokens().len(), 6);
    assert_eq!(site.mark().await.offset, site.size("a.spool"), "and the old file is forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_truncated_or_written_anew_is_read_from_its_beginning() {
    for (restart, new) in [(false, 3..4), (true, 3..4), (false, 3..6), (true, 3..6), (true, 3..9)] {
        let site = Site::new();
        site.append("a.spool", lines(0..3));
        let mut spool = site.started();
        spool.first_pass().await;
        if restart {
            spool = site.started();
        }
        site.clock.advance(SignedDuration::from_secs(1));
        // The same inode with other content.
        std::fs::write(site.path("a.spool"), lines(new.clone())).unwrap();
        spool.first_pass().await;
        assert_eq!(site.tokens().len(), 3 + new.len());
        assert_eq!(site.mark().await.offset, site.size("a.spool"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_vanished_is_forgotten() {
    let site = Site::new();
    site.append("a.spool", lines(0..3));
    let spool = site.started();
    spool.first_pass().await;
    std::fs::remove_file(site.path("a.spool")).unwrap();
    spool.first_pass().await;
    assert!(site.intake.spool_marks().await.unwrap().is_empty());
    // A directory that is gone altogether is trouble, but says nothing of its files.
    site.append("a.spool", lines(3..4));
    spool.first_pass().await;
    std::fs::rename(site.dir.path().join("spool"), site.dir.path().join("away")).unwrap();
    spool.first_pass().await;
    assert_eq!(site.intake.spool_marks().await.unwrap().len(), 1);
    std::fs::rename(site.dir.path().join("away"), site.dir.path().join("spool")).unwrap();
    site.append("a.spool", lines(4..5));
    spool.first_pass().await;
    assert_eq!(site.tokens().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_regular_files_are_opened() {
    let site = Site::new();
    std::fs::write(site.dir.path().join("outside"), lines(0..2)).unwrap();
    std::os::unix::fs::symlink(site.dir.path().join("outside"), site.path("a.spool")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(site.path("b.spool")).status().unwrap();
    assert!(made.success());
    std::fs::create_dir(site.path("c.spool")).unwrap();
    std::fs::write(site.path("not-ours.txt"), lines(2..4)).unwrap();
    site.append("d.spool", line("d"));
    tokio::time::timeout(Duration::from_secs(10), site.started().first_pass()).await.unwrap();
    assert_eq!(site.tokens(), ["d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_deleted_when_it_is_wholly_taken_in_and_old_and_only_then() {
    let mut site = Site::new();
    site.delete_after_hours = 2;
    site.append("old.spool", lines(0..3));
    let spool = site.started();
    spool.first_pass().await;
    site.clock.advance(SignedDuration::from_mins(121));
    site.append("young.spool", lines(3..6));
    spool.first_pass().await;
    assert!(!site.path("old.spool").exists());
    assert!(site.path("young.spool").exists());
    spool.first_pass().await;
    assert_eq!(site.mark().await.name, "young.spool");
    assert_eq!(site.tokens().len(), 6);
    site.delete_after_hours = 0;
    site.clock.advance(SignedDuration::from_hours(1000));
    let spool = site.started();
    spool.first_pass().await;
    spool.first_pass().await;
    assert!(site.path("young.spool").exists(), "0 keeps files");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_taken_in_later() {
    let mut site = Site::new();
    site.append("a.spool", lines(0..500));
    site.intake.stop().await;
    let refused = tokio::time::timeout(Duration::from_millis(200), site.started().first_pass()).await;
    assert!(refused.is_err(), "it tries again and again");
    assert!(site.tokens().is_empty());
    site.intake = Site::intake(&site.dir, &site.clock);
    site.started().first_pass().await;
    assert_eq!(site.tokens().len(), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_files_are_taken_in_and_what_comes_while_running_too() {
    let site = Site::new();
    for n in 0..2000 {
        std::fs::write(site.path(&format!("{n}.spool")), lines(n..n + 1)).unwrap();
    }
    let spool = site.started();
    spool.first_pass().await;
    assert_eq!(site.tokens().len(), 2000);
    let stop = CancellationToken::new();
    let running = tokio::spawn(spool.run(stop.clone()));
    site.append("7.spool", lines(2000..2100));
    for _ in 0..500 {
        if site.tokens().len() == 2100 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(site.tokens().len(), 2100);
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), running).await.unwrap().unwrap();
}
