//! What happens when the process may open no more files: a process of its own is needed for that.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{ACK, Journal, PATIENCE, Server, request};

/// It does not outlive the test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs [`serves_with_few_descriptors`] in a process that may open 32 files.
#[test]
fn out_of_file_descriptors_it_neither_ends_nor_spins_and_recovers() {
    let exe = std::env::current_exe().unwrap();
    let script = "ulimit -n 32; exec \"$0\" --exact agi::descriptors::serves_with_few_descriptors --ignored --nocapture";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(exe).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Serving(command.spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let addr = lines.find_map(|line| line.strip_prefix("listening on ").map(str::to_owned)).unwrap();

    let idle: Vec<_> = (0..64).map(|_| TcpStream::connect(&addr).unwrap()).collect();
    let told = lines.find(|line| line.contains("cannot accept"));
    assert!(told.is_some_and(|line| line.contains("LimitNOFILE")));
    let ticks = || -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.0.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    std::thread::sleep(Duration::from_secs(1));
    let spent = ticks() - before;
    assert!(spent < 50, "{spent} of a second's 100 ticks went into waiting for descriptors");

    drop(idle);
    let mut asterisk = TcpStream::connect(&addr).unwrap();
    asterisk.set_read_timeout(Some(PATIENCE)).unwrap();
    asterisk.write_all(&request(&[])).unwrap();
    let mut said = String::new();
    BufReader::new(asterisk).read_line(&mut said).unwrap();
    assert_eq!(said, ACK);
}

#[tokio::test]
#[ignore = "run in a process of its own by the test above"]
async fn serves_with_few_descriptors() {
    let _guard = tracing::subscriber::set_default(tracing_subscriber::fmt().with_ansi(false).finish());
    let server = Server::start(Journal::default(), "prelude_timeout_ms = 60000");
    println!("\nlistening on {}", server.addr);
    std::io::stdout().flush().unwrap();
    // Ends with whoever started it.
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()))
        .await
        .unwrap()
        .unwrap();
}
