//! The load: connections that tell calls one after another (closed loop), or at a fixed rate (open loop).
//!
//! One thread for each connection, as an Asterisk has one for each channel.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::talk;

/// What a load is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// So many connections, each with its next session as soon as the last one ended.
    Closed(usize),
    /// So many sessions a second, begun on time whether or not earlier ones have ended.
    Open(u32),
}

/// Threads that share an open load: each holds one call, and is free again long before its turn.
const OPEN_THREADS: u32 = 32;

/// Not counted: until all connections are at work.
const WARM_UP: Duration = Duration::from_millis(250);

/// What came of it.
#[derive(Debug, Default, Clone)]
pub struct Outcome {
    /// From the beginning of a session to the ack, in microseconds, in no order.
    pub acks: Vec<u32>,
    /// Sessions without an ack, and the first one's reason.
    pub failed: usize,
    /// See `failed`.
    pub reason: Option<String>,
    /// All sessions with an ack, those before and after the window too.
    pub told: usize,
    /// How long was counted.
    pub lasted: Duration,
}

impl Outcome {
    /// Sessions a second.
    pub fn rate(&self) -> f64 {
        self.acks.len() as f64 / self.lasted.as_secs_f64().max(1e-9)
    }

    /// The ack that so many of a thousand were not slower than, in milliseconds.
    pub fn ack_ms(&self, of_a_thousand: usize) -> f64 {
        let mut acks = self.acks.clone();
        acks.sort_unstable();
        let place = acks.len().saturating_sub(1) * of_a_thousand / 1000;
        acks.get(place).map_or(f64::NAN, |&us| f64::from(us) / 1000.0)
    }

    fn add(&mut self, other: Outcome) {
        self.acks.extend(other.acks);
        self.failed += other.failed;
        self.told += other.told;
        self.reason = self.reason.take().or(other.reason);
    }

    fn take(&mut self, answer: std::io::Result<Duration>, counts: bool) {
        self.told += usize::from(answer.is_ok());
        match answer {
            Ok(ack) if counts => self.acks.push(u32::try_from(ack.as_micros()).unwrap_or(u32::MAX)),
            Ok(_) => {}
            Err(e) => {
                self.failed += 1;
                self.reason.get_or_insert_with(|| e.to_string());
            }
        }
    }
}

impl Load {
    /// Puts the load on `server` for `window`, or until `until` says that it is enough.
    pub fn run(self, server: SocketAddr, window: Duration, until: impl Fn() -> bool) -> Outcome {
        let over = AtomicBool::new(false);
        let begin = Instant::now();
        let mut outcome = Outcome::default();
        std::thread::scope(|threads| {
            let over = &over;
            let workers: Vec<_> = (0..self.threads())
                .map(|n| {
                    threads.spawn(move || match self {
                        Load::Closed(_) => closed(server, begin, over),
                        Load::Open(rate) => open(server, begin, over, rate, n),
                    })
                })
                .collect();
            while begin.elapsed() < WARM_UP + window && !until() {
                std::thread::sleep(Duration::from_millis(5));
            }
            over.store(true, Ordering::SeqCst);
            outcome.lasted = begin.elapsed().saturating_sub(WARM_UP);
            for worker in workers {
                outcome.add(worker.join().unwrap_or_default());
            }
        });
        outcome
    }

    fn threads(self) -> u32 {
        match self {
            Load::Closed(connections) => u32::try_from(connections).unwrap_or(1),
            Load::Open(_) => OPEN_THREADS,
        }
    }
}

fn closed(server: SocketAddr, begin: Instant, over: &AtomicBool) -> Outcome {
    let mut outcome = Outcome::default();
    loop {
        for event in talk::call() {
            let since = Instant::now();
            let answer = talk::tell(server, &event, since);
            let counts = begin.elapsed() > WARM_UP && !over.load(Ordering::Relaxed);
            outcome.take(answer, counts);
            if over.load(Ordering::Relaxed) {
                return outcome;
            }
        }
    }
}

/// Each thread tells its own calls, an event at each of its turns. A session that begins late because the one
/// before took too long is late by that much: time counts from the turn.
fn open(server: SocketAddr, begin: Instant, over: &AtomicBool, rate: u32, thread: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let turn = |n: u32| begin + Duration::from_secs(1) * (thread + n * OPEN_THREADS) / rate;
    let mut n = 0;
    loop {
        for event in talk::call() {
            let since = turn(n);
            n += 1;
            std::thread::sleep(since.saturating_duration_since(Instant::now()));
            if over.load(Ordering::Relaxed) {
                return outcome;
            }
            outcome.take(talk::tell(server, &event, since), since.duration_since(begin) > WARM_UP);
        }
    }
}
