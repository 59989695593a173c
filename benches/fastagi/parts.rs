//! What is measured, part by part.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::load::{Load, Outcome};
use crate::server::{Server, slow_disk};
use crate::store::{Filler, Place, Store, backlog};
use crate::table::{Table, grouped, median};
use crate::talk;

/// A part that can be asked for by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Sessions a second with 1, 16 and 128 connections.
    Closed,
    /// The ack at 500 sessions a second.
    Open,
    /// With a disk that takes 5 ms longer for each sync.
    SlowDisk,
    /// How fast a backlog of events becomes calls.
    Settling,
    /// One more event of a call of 10,000 events.
    LargeCall,
}

impl Part {
    /// Every part, in the order of the report.
    pub const ALL: [Part; 5] = [Part::Closed, Part::Open, Part::SlowDisk, Part::Settling, Part::LargeCall];
}

/// One run of the benchmark.
pub struct Run {
    /// The server's program.
    pub program: PathBuf,
    /// Where databases are.
    pub dir: PathBuf,
    /// Calls stored beforehand.
    pub calls: Vec<u64>,
    /// `None` where there is none to be had on this machine.
    pub postgres: Option<Cluster>,
    /// Windows of each server at each point.
    pub rounds: usize,
    /// How long each is.
    pub window: Duration,
}

/// What one window of one server came to.
struct Window {
    outcome: Outcome,
    cpu_us: f64,
}

/// What there is to compare with.
struct Limit {
    bare: Server,
    /// What a sync alone costs on this disk.
    syncing: Option<Server>,
}

impl Limit {
    fn start(dir: &Path) -> anyhow::Result<Limit> {
        Ok(Limit { bare: Server::bare(None)?, syncing: Some(Server::bare(Some(&dir.join("page")))?) })
    }
}

/// One of ours, with its database.
struct Ours {
    backend: &'static str,
    server: Server,
    store: Store,
}

impl Run {
    /// What all numbers are to be read with.
    pub fn heading(&self) -> anyhow::Result<String> {
        let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
        let model = cpu.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or_default();
        let cores = std::thread::available_parallelism()?;
        Ok(format!(
            "calljournal {} · {cores} cores of {} · {} windows of {:?}\n",
            env!("CARGO_PKG_VERSION"),
            model.trim_start_matches([' ', '\t', ':']),
            self.rounds,
            self.window,
        ))
    }

    /// Measures one part; answers with its table.
    pub fn measure(&self, part: Part) -> anyhow::Result<String> {
        let filler = Filler { program: &self.program, dir: &self.dir };
        let closed = [1, 16, 128].map(Load::Closed);
        match part {
            Part::Closed => self.loads(&filler, &closed),
            Part::Open => self.loads(&filler, &[Load::Open(500)]),
            Part::SlowDisk => self.slow(&filler),
            Part::Settling => self.settling(&filler),
            Part::LargeCall => self.large_call(&filler),
        }
    }

    fn loads(&self, filler: &Filler<'_>, loads: &[Load]) -> anyhow::Result<String> {
        let mut table = Table::new(&HEAD);
        let bare = Limit::start(&self.dir)?;
        for (n, &calls) in self.calls.iter().enumerate() {
            let mut places = vec![filler.filled(calls)?];
            // Filled anew for each run, so with few calls alone.
            if let Some(cluster) = self.postgres.as_ref().filter(|_| n == 0) {
                places.push(filler.filled_server(cluster, calls)?);
            }
            let ours = places.iter().map(|place| self.ours(place, None));
            let mut ours = ours.collect::<anyhow::Result<Vec<_>>>()?;
            for &load in loads {
                self.point(&bare, &mut ours, load, &format!("{} calls", grouped(calls as f64)), &mut table)?;
            }
            for Ours { server, backend, .. } in ours {
                eprintln!("peak memory on {backend} with {calls} calls: {:.0} MiB", server.peak_memory()?);
                server.stop()?;
            }
        }
        Ok(table.to_string())
    }

    fn ours(&self, place: &Place, preload: Option<&Path>) -> anyhow::Result<Ours> {
        let server = Server::calljournal(&self.program, &self.dir, &place.url(), preload)?;
        let mut store = Store::open(place)?;
        store.quiet()?;
        Ok(Ours { backend: place.backend(), server, store })
    }

    /// One load on all servers in turns, each of them alone on the machine.
    fn point(
        &self,
        Limit { bare, syncing }: &Limit,
        ours: &mut [Ours],
        load: Load,
        of: &str,
        table: &mut Table,
    ) -> anyhow::Result<()> {
        let (mut limit, mut synced) = (Vec::new(), Vec::new());
        let mut windows: Vec<Vec<Window>> = ours.iter().map(|_| Vec::new()).collect();
        for round in 1..=self.rounds {
            for (one, windows) in ours.iter_mut().zip(&mut windows) {
                eprintln!("{of}, {}, {}, round {round} of {}", name(load), one.backend, self.rounds);
                limit.push(self.window(bare, load, None)?);
                windows.push(self.window(&one.server, load, Some(&mut one.store))?);
            }
            if let Some(syncing) = syncing {
                synced.push(self.window(syncing, load, None)?);
            }
        }
        let row = |server: &str, windows: &[Window], ratio: f64| {
            let middle = |of: fn(&Window) -> f64| median(windows.iter().map(of).collect());
            vec![
                format!("{of}, {}", name(load)),
                server.to_owned(),
                grouped(middle(|w| w.outcome.rate())),
                format!("{ratio:.2}"),
                format!("{:.2}", middle(|w| w.outcome.ack_ms(500))),
                format!("{:.2}", middle(|w| w.outcome.ack_ms(990))),
                format!("{:.0}", middle(|w| w.cpu_us)),
                windows.iter().map(|w| w.outcome.failed).sum::<usize>().to_string(),
            ]
        };
        table.row(row("bare", &limit, 1.0));
        // Each window beside the one of the bare server in the same round.
        if syncing.is_some() {
            let beside = limit.iter().step_by(ours.len());
            let ratios = synced.iter().zip(beside).map(|(s, b)| s.outcome.rate() / b.outcome.rate());
            table.row(row("bare + sync", &synced, median(ratios.collect())));
        }
        for (n, (one, windows)) in ours.iter().zip(&windows).enumerate() {
            // Each window beside the one of the bare server just before it.
            let beside = limit.iter().skip(n).step_by(ours.len());
            let ratios = windows.iter().zip(beside).map(|(o, b)| o.outcome.rate() / b.outcome.rate());
            table.row(row(one.backend, windows, median(ratios.collect())));
        }
        Ok(())
    }

    /// One window. The processor time is all that its sessions cost, so for a server with a store the time until
    /// all of them are settled and told as ended belongs to it.
    fn window(&self, server: &Server, load: Load, store: Option<&mut Store>) -> anyhow::Result<Window> {
        let before = server.cpu()?;
        let outcome = load.run(server.address, self.window, || false);
        if let Some(store) = store {
            store.quiet()?;
        }
        if let Some(reason) = &outcome.reason {
            eprintln!("{} sessions failed: {reason}", outcome.failed);
        }
        let cpu_us = (server.cpu()? - before).as_secs_f64() * 1e6 / outcome.told.max(1) as f64;
        Ok(Window { outcome, cpu_us })
    }

    fn slow(&self, filler: &Filler<'_>) -> anyhow::Result<String> {
        let Some(library) = slow_disk(&self.dir, 5)? else {
            return Ok("Slow disk: not measured, there is no C compiler (`cc`).\n".to_owned());
        };
        let mut table = Table::new(&HEAD);
        let bare = Limit { bare: Server::bare(None)?, syncing: None };
        let mut ours = [self.ours(&filler.filled(10_000)?, Some(&library))?];
        for load in [Load::Closed(1), Load::Closed(128), Load::Open(500)] {
            self.point(&bare, &mut ours, load, "sync + 5 ms", &mut table)?;
        }
        Ok(table.to_string())
    }

    fn settling(&self, filler: &Filler<'_>) -> anyhow::Result<String> {
        let calls = if self.rounds > 1 { 6_000 } else { 2_000 };
        let mut table = Table::new(&["settling", "value"]);
        for (name, load) in [("nothing else", None), ("500 accepts/s", Some(Load::Open(500)))] {
            eprintln!("settling a backlog of {calls} calls beside {name}");
            let place = filler.copy(10_000, "backlog.db")?;
            let waiting = backlog(&place, calls)?;
            let ours = Server::calljournal(&self.program, &self.dir, &place.url(), None)?;
            let (since, mut store) = (Instant::now(), Store::open(&place)?);
            let told = store.number("SELECT max(id) AS n FROM events")?;
            let backlogged =
                format!("SELECT count(*) AS n FROM events WHERE NOT settled AND id <= {told} LIMIT 1");
            let mut over = || store.number(&backlogged).is_ok_and(|n| n == 0);
            match load {
                None => {
                    while !over() {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
                Some(load) => {
                    let over = std::cell::RefCell::new(over);
                    let outcome = load.run(ours.address, Duration::from_secs(60), || (over.borrow_mut())());
                    let (p50, p99) = (outcome.ack_ms(500), outcome.ack_ms(990));
                    table.row(vec![format!("ack p50 / p99 meanwhile"), format!("{p50:.2} / {p99:.2} ms")]);
                }
            }
            let rate = waiting as f64 / since.elapsed().as_secs_f64();
            table.row(vec![format!("events settled a second beside {name}"), grouped(rate)]);
            table.row(vec![format!("peak memory beside {name}"), format!("{:.0} MiB", ours.peak_memory()?)]);
            ours.stop()?;
        }
        Ok(table.to_string())
    }

    fn large_call(&self, filler: &Filler<'_>) -> anyhow::Result<String> {
        const EVENTS: u64 = 10_000;
        let place = Place::File(filler.seed()?);
        let ours = Server::calljournal(&self.program, &self.dir, &place.url(), None)?;
        let mut store = Store::open(&place)?;
        let began = talk::since_epoch();
        eprintln!("telling a call of {EVENTS} events");
        let mut refused = 0;
        for n in 0..EVENTS {
            // An event without an ack would come again by the spool.
            while let Err(e) = talk::tell(ours.address, &talk::queue(began, n), Instant::now()) {
                refused += 1;
                anyhow::ensure!(refused < EVENTS, "nothing is acknowledged any more: {e}");
            }
        }
        store.settled()?;
        let (mut times, before) = (Vec::new(), ours.cpu()?);
        let more = 20;
        for n in EVENTS..EVENTS + more {
            while talk::tell(ours.address, &talk::queue(began, n), Instant::now()).is_err() {}
            let since = Instant::now();
            while store.unsettled()? > 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            times.push(since.elapsed().as_secs_f64() * 1000.0);
            std::thread::sleep(Duration::from_millis(100));
        }
        let cpu = (ours.cpu()? - before).as_secs_f64() * 1000.0 / more as f64;
        let mut table = Table::new(&["a call of 10 000 events", "value"]);
        table.row(vec![
            "one more event, from the ack until it is settled".to_owned(),
            format!("{:.0} ms", median(times)),
        ]);
        table.row(vec!["processor time of it".to_owned(), format!("{cpu:.0} ms")]);
        table.row(vec!["sessions without an ack in time while it was told".to_owned(), refused.to_string()]);
        table.row(vec!["peak memory".to_owned(), format!("{:.0} MiB", ours.peak_memory()?)]);
        ours.stop()?;
        Ok(table.to_string())
    }
}

const HEAD: [&str; 8] =
    ["load", "server", "sessions/s", "of bare", "ack p50 ms", "ack p99 ms", "CPU µs/session", "failed"];

fn name(load: Load) -> String {
    match load {
        Load::Closed(1) => "1 connection".to_owned(),
        Load::Closed(n) => format!("{n} connections"),
        Load::Open(rate) => format!("{rate}/s open loop"),
    }
}
