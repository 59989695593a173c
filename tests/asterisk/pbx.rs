//! One real Asterisk for one run of the tests: writes its configuration, starts it, talks to its console, stops it.
//!
//! Knows where the roots lie and how a run's own directory appears inside one (a private mount namespace, so that the
//! cached root stays as it was built). Knows nothing about calls or about the journal.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::additions::additions;

/// The phones 101 to 110.
pub const PHONES: std::ops::RangeInclusive<u16> = 101..=110;

/// The far ends of the trunks, and the trunks' endpoints.
pub const FAR_ENDS: [(u16, &str); 2] = [(191, "trunk"), (192, "trunk2")];

/// How long the dialplan lets a phone ring, in seconds, in the routes that are the tests' own.
const RING_SECONDS: u32 = 20;

/// The contexts that a trunk can come in by: the shipped example's, and the tests' own.
const CONTEXTS: [&str; 18] = [
    "from-trunk",
    "test-h-only",
    "test-handler-only",
    "test-both",
    "test-short",
    "test-ten-plain",
    "test-plain",
    "test-caller-only",
    "test-macros",
    "test-macro-arguments",
    "test-macros-by-hand",
    "test-resident",
    "test-silent",
    "test-unsaid",
    "test-nobodys-line",
    "test-hard",
    "from-trunk-calljournal",
    "org1_incoming",
];

/// Whose dialplan an Asterisk runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum House {
    /// The shipped example, and the tests' own routes.
    Plain,
    /// FreePBX's contexts: 16's with Macro(), 17's without.
    FreePbx,
    /// ast-lite's Macros.
    AstLite,
}

impl House {
    /// Its directory below `etc/`, whose files count before those of `etc/` itself.
    fn directory(self) -> Option<&'static str> {
        match self {
            House::Plain => None,
            House::FreePbx => Some("freepbx"),
            House::AstLite => Some("ast-lite"),
        }
    }

    /// What its Asterisks are called in the journal, before the version.
    fn prefix(self) -> &'static str {
        match self {
            House::Plain => "ast",
            House::FreePbx => "freepbx",
            House::AstLite => "lite",
        }
    }

    /// The shipped files and the names by which an administrator includes them.
    fn shipped(self) -> &'static [(&'static str, &'static str)] {
        match self {
            House::Plain => &[
                ("calljournal.conf", "calljournal.conf"),
                ("macros.conf", "macros.conf"),
                ("plain/extensions_custom.conf", "extensions_custom.conf"),
            ],
            House::FreePbx => &[
                ("calljournal.conf", "calljournal.conf"),
                ("freepbx/extensions_custom.conf", "calljournal-freepbx.conf"),
            ],
            House::AstLite => &[("calljournal.conf", "calljournal.conf"), ("macros.conf", "macros.conf")],
        }
    }
}

/// A root that `tests/asterisk/roots` built.
#[derive(Clone)]
pub struct Root {
    /// Asterisk's own version, such as `22.10.1`.
    pub version: String,
    path: PathBuf,
}

impl Root {
    /// The roots that are there, oldest Asterisk first; fewer than two when `roots` has not been run.
    pub fn found() -> Vec<Root> {
        let Some(cache) = cache_directory() else { return Vec::new() };
        ["bullseye", "sid"].into_iter().filter_map(|suite| Root::at(&cache.join(suite))).collect()
    }

    fn at(path: &Path) -> Option<Root> {
        let status = fs::read_to_string(path.join("var/lib/dpkg/status")).ok()?;
        let package = status.split("\n\n").find(|p| p.starts_with("Package: asterisk\n"))?;
        let full = package.lines().find_map(|line| line.strip_prefix("Version: "))?;
        let upstream = full.rsplit(':').next()?;
        let version = upstream.split(['~', '+', '-']).next()?.to_owned();
        Some(Root { version, path: path.to_owned() })
    }

    /// Whether it has Macro(), which went with Asterisk 21.
    pub fn has_macro(&self) -> bool {
        self.major().parse().is_ok_and(|major: u32| major < 21)
    }

    fn major(&self) -> &str {
        self.version.split('.').next().unwrap_or_default()
    }

    /// Where this Debian keeps Asterisk's modules; the two suites differ.
    fn modules(&self) -> Result<String> {
        let shipped = self.path.join("etc/asterisk/asterisk.conf");
        let text = fs::read_to_string(&shipped).with_context(|| format!("reading {}", shipped.display()))?;
        let line = text.lines().find(|line| line.starts_with("astmoddir"));
        let path = line
            .and_then(|line| line.split("=>").nth(1))
            .context("no astmoddir in the root's asterisk.conf")?;
        Ok(path.trim().to_owned())
    }
}

/// The directory of the roots, by the same rule as the script that builds them.
pub fn cache_directory() -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("CALLJOURNAL_ASTERISK_ROOTS")
        .or_else(|| named("XDG_CACHE_HOME").map(|cache| cache.join("calljournal/asterisk")))
        .or_else(|| named("HOME").map(|home| home.join(".cache/calljournal/asterisk")))
}

/// A running Asterisk. Dropping it stops it.
pub struct Pbx {
    /// The name it has in the journal.
    pub name: String,
    pub house: House,
    /// Asterisk's version.
    pub version: String,
    /// Its SIP port on 127.0.0.1.
    pub sip: u16,
    /// The port of its manager interface there.
    pub ami: u16,
    ports: Vec<u16>,
    pub root: Root,
    run: PathBuf,
    spool: PathBuf,
    process: Child,
}

impl Pbx {
    /// Starts the Asterisk of `root` with the dialplan of `house`, its files below `runs` and calljournal's spool files in
    /// `spool`, which several may share; `server` is where its dialplan finds calljournal. Returns when it takes calls.
    pub fn start(root: &Root, house: House, runs: &Path, spool: &Path, server: &str) -> Result<Pbx> {
        let ports = free_ports(2 + PHONES.count() + FAR_ENDS.len())?;
        let name = format!("{}{}", house.prefix(), root.major());
        let run = &runs.join(&name);
        configure(root, house, run, &name, server, &ports)?;
        fs::create_dir_all(spool)?;

        let process = run_asterisk(root, run, spool)?;

        let mut pbx = Pbx {
            name,
            house,
            version: root.version.clone(),
            sip: ports[0],
            ami: ports[1],
            ports: ports[2..].to_vec(),
            root: root.clone(),
            run: run.to_owned(),
            spool: spool.to_owned(),
            process,
        };
        pbx.wait_until_booted()?;
        Ok(pbx)
    }

    /// Ends it as a crash would, with all that it does.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Starts it once more as it was, after it was killed.
    pub fn start_again(&mut self) -> Result<()> {
        // What it leaves behind would look like a console that answers.
        let _ = fs::remove_file(self.run.join("run/asterisk.ctl"));
        self.process = run_asterisk(&self.root, &self.run, &self.spool)?;
        self.wait_until_booted()
    }

    /// Has it start anew, as an administrator does after an update; whatever goes on is hung up.
    pub fn restart(&self) -> Result<()> {
        self.console("core restart now")?;
        let deadline = Instant::now() + Duration::from_secs(60);
        let uptime = || self.console("core show uptime seconds").unwrap_or_default();
        // The old one may still answer.
        let old = |answer: &str| !answer.contains("System uptime") || uptime_of(answer) > Some(5);
        thread::sleep(Duration::from_secs(1));
        while old(&uptime()) {
            ensure!(
                Instant::now() < deadline,
                "Asterisk {} did not start anew within a minute",
                self.version
            );
            thread::sleep(Duration::from_millis(100));
        }
        self.console("core waitfullybooted")?;
        self.check_modules()
    }

    fn wait_until_booted(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait()? {
                bail!(
                    "Asterisk {} ended at its start ({status}); see {}",
                    self.version,
                    self.run.join("console.log").display()
                );
            }
            if self.run.join("run/asterisk.ctl").exists()
                && self.console("core waitfullybooted").is_ok_and(|answer| answer.contains("fully booted"))
            {
                return self.check_modules();
            }
            thread::sleep(Duration::from_millis(100));
        }
        bail!(
            "Asterisk {} did not start within a minute; see {}",
            self.version,
            self.run.join("log/full.log").display()
        );
    }

    /// An Asterisk without one of these starts happily and fails every call.
    fn check_modules(&self) -> Result<()> {
        let running = self.console("module show")?;
        for needed in
            ["chan_pjsip", "res_pjsip_refer", "res_agi", "app_stack", "cel_custom", "cdr_csv", "func_shell"]
        {
            let row = running.lines().find(|line| line.starts_with(needed));
            if !row.is_some_and(|row| row.contains("Running") && !row.contains("Not Running")) {
                bail!(
                    "{needed} does not run in Asterisk {}; see {}",
                    self.version,
                    self.run.join("log/full.log").display()
                );
            }
        }
        Ok(())
    }

    /// What the console answers to `command`.
    pub fn console(&self, command: &str) -> Result<String> {
        let mut remote = enter(&self.root, &self.run, &self.spool);
        let output =
            remote.args(["/usr/sbin/asterisk", "-C", "/srv/etc/asterisk.conf", "-rx", command]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Has a call made by a file in the directory for that, moved there when it is whole.
    pub fn call_file(&self, text: &str) -> Result<()> {
        let whole = self.run.join("spool/call");
        fs::write(&whole, text)?;
        fs::rename(whole, self.run.join("spool/outgoing/call")).context("the directory of call files")
    }

    /// Has the manager interface do `action`, lines without the last empty one, and waits for its yes.
    pub fn manager(&self, action: &str) -> Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ami)).context("the manager interface")?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let login = "Action: Login\r\nUsername: crm\r\nSecret: crm\r\nEvents: off";
        for asked in [login, &action.replace('\n', "\r\n")] {
            stream.write_all(format!("{asked}\r\n\r\n").as_bytes())?;
            let answer = lines.find(|line| line.as_ref().map_or(true, |line| line.starts_with("Response:")));
            let answer = answer.context("the manager interface is gone")??;
            if answer.trim() != "Response: Success" {
                bail!("the manager interface says {answer:?} to {asked:?}");
            }
        }
        Ok(())
    }

    /// Sends the dialplan's events of calls from now on to another address.
    pub fn point_to(&self, server: &str) -> Result<()> {
        self.console(&format!("dialplan set global CALLJOURNAL_SERVER {server}"))?;
        // A time-out that is still being paid for belongs to the old addresses.
        for name in ["PAUSE", "FAILED1", "FAILED2", "FAILED3"] {
            self.console(&format!("dialplan set global CALLJOURNAL_{name} 0"))?;
        }
        Ok(())
    }

    /// The UDP port at which phone `number`, or the far end of a trunk, is called.
    pub fn phone_port(&self, number: u16) -> u16 {
        let far_end = FAR_ENDS.iter().position(|(far, _)| *far == number);
        self.ports[far_end.map_or_else(|| usize::from(number - PHONES.start()), |n| PHONES.count() + n)]
    }

    /// Asterisk's own word on every channel, written while calls go on.
    pub fn cel(&self) -> PathBuf {
        self.run.join("log/cel-custom/cel.csv")
    }

    /// Asterisk's own CDR.
    pub fn cdr(&self) -> PathBuf {
        self.run.join("log/cdr-csv/Master.csv")
    }

    /// What the dialplan wrote into this file of Asterisk's directory, nothing where there is none.
    pub fn written(&self, file: &str) -> String {
        fs::read_to_string(self.run.join(file)).unwrap_or_default()
    }

    /// Whether a command that a caller smuggled in has left this mark in Asterisk's directory.
    pub fn was_marked(&self, mark: &str) -> bool {
        self.run.join(mark).exists()
    }
}

impl Drop for Pbx {
    fn drop(&mut self) {
        let _ = self.console("core stop now");
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run_asterisk(root: &Root, run: &Path, spool: &Path) -> Result<Child> {
    let mut command = enter(root, run, spool);
    command.args(["/usr/sbin/asterisk", "-f", "-C", "/srv/etc/asterisk.conf"]);
    let log = fs::File::options().create(true).append(true).open(run.join("console.log"))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().context("starting Asterisk (needs root, unshare and chroot)")
}

/// What is played to people, short and alike on both Asterisks. Each is 0.3 s of silence.
const SOUNDS: [&str; 20] = [
    "beep",
    "beeperr",
    "conf-onlyperson",
    "followme/call-from",
    "followme/no-recording",
    "followme/options",
    "followme/pls-hold-while-try",
    "followme/sorry",
    "followme/status",
    "main-menu",
    "pbx-invalid",
    "pbx-parkingfailed",
    "pbx-transfer",
    "transfer",
    "vm-goodbye",
    "vm-intro",
    "vm-isunavail",
    "vm-msgsaved",
    "vm-review",
    "vm-theperson",
];

/// A command inside the root, in which `run` is /srv, its `home` is /home, its `sounds` are all that there are, and
/// `spool` is where the dialplan writes its spool files.
fn enter(root: &Root, run: &Path, spool: &Path) -> Command {
    // However the tests end, no Asterisk outlives them. (It ends with the thread that started it, too.)
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "sh", "-ec"]);
    command.arg(r#"mount --bind "$2" "$1/srv"; mount --bind "$2/home" "$1/home"; mount --bind "$2/sounds" "$1/usr/share/asterisk/sounds"; mount --bind "$3" "$1/srv/spool/calljournal"; root=$1; shift 3; exec chroot "$root" "$@""#);
    command.arg("sh").arg(&root.path).arg(run).arg(spool);
    command
}

/// The ports that are handed out here: none of them is one that a system hands out by itself, since a phone binds its
/// port again for each call.
const PORTS: std::ops::Range<u32> = 10_000..21_000;
static HANDED_OUT: AtomicU32 = AtomicU32::new(0);

/// Ports on 127.0.0.1 that were free a moment ago, all different, and from those of every other call of this.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let all = PORTS.end - PORTS.start;
    let mut held = Vec::new();
    for _ in PORTS {
        let place = std::process::id().wrapping_mul(131) % all + HANDED_OUT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(PORTS.start + place % all)?;
        held.extend(UdpSocket::bind(("127.0.0.1", port)).ok());
        if held.len() == count {
            return held.iter().map(|socket| Ok(socket.local_addr()?.port())).collect();
        }
    }
    bail!("no {count} ports are free on this machine");
}

fn configure(root: &Root, house: House, run: &Path, name: &str, server: &str, ports: &[u16]) -> Result<()> {
    // Asterisk makes none of these, and without cel-custom it says nothing and writes nothing.
    for directory in [
        "etc",
        "run",
        "lib",
        "log/cel-custom",
        "log/cdr-csv",
        "spool/calljournal",
        "spool/outgoing",
        "spool/voicemail",
        "home",
        "sounds/en/followme",
    ] {
        fs::create_dir_all(run.join(directory))?;
    }
    for sound in SOUNDS {
        fs::write(run.join("sounds/en").join(sound).with_extension("alaw"), [0xd5; 2400])?;
    }
    let ten: Vec<String> = PHONES.map(|number| format!("PJSIP/{number}")).collect();
    // Each Asterisk has five hundred ports of its own for media.
    let rtp_first = 21_000 + 500 * u32::from(ports[0]) % 20_000;
    let hangupcall = if root.has_macro() { "Macro(hangupcall,)" } else { "Gosub(macro-hangupcall,s,1())" };
    let mut values = vec![
        ("@MODULES@", root.modules()?),
        ("@SIP@", ports[0].to_string()),
        ("@AMI@", ports[1].to_string()),
        ("@SERVER@", server.to_owned()),
        ("@PBX@", name.to_owned()),
        ("@RING@", RING_SECONDS.to_string()),
        ("@TEN@", ten.join("&")),
        ("@RTP_FIRST@", rtp_first.to_string()),
        ("@RTP_LAST@", (rtp_first + 499).to_string()),
        ("@CALL_HANGUPCALL@", hangupcall.to_owned()),
        // The answer's subroutine is the eighth argument of Queue(), the seventh where there is no macro's before it.
        (
            "@QUEUE_ANSWER@",
            if root.has_macro() { ",,,calljournal-answer" } else { ",,calljournal-answer" }.to_owned(),
        ),
        ("@AUTO_BLKVM@", if root.has_macro() { "M(auto-blkvm)" } else { "U(macro-auto-blkvm)" }.to_owned()),
        ("@MacroExit()@", if root.has_macro() { "MacroExit()" } else { "Return()" }.to_owned()),
        ("@HOOK_END@", if root.has_macro() { "MacroExit()" } else { "Return()" }.to_owned()),
    ];
    if house == House::AstLite {
        values.extend(additions()?);
    }
    let common = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/asterisk/etc");
    let own = house.directory().map(|directory| common.join(directory));
    let form = own.as_ref().map(|own| own.join(if root.has_macro() { "macro" } else { "gosub" }));
    let directories = [Some(common), own, form];
    for path in directories.iter().flatten().filter(|path| path.is_dir()) {
        for file in fs::read_dir(path).with_context(|| format!("reading {}", path.display()))? {
            let file = file?.path();
            if file.is_file() {
                fill_in(house, &file, run, &values, &ports[2..], root.has_macro())?;
            }
        }
    }
    // The shipped files, byte for byte.
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplan");
    for (from, to) in house.shipped() {
        let path = shipped.join(from);
        fs::copy(&path, run.join("etc").join(to)).with_context(|| format!("copying {}", path.display()))?;
    }
    Ok(())
}

/// Writes a configuration file into the run's directory, with the values of this run in it.
fn fill_in(
    house: House,
    path: &Path,
    run: &Path,
    values: &[(&str, String)],
    ports: &[u16],
    has_macro: bool,
) -> Result<()> {
    let mut text = macros(&fs::read_to_string(path)?, has_macro);
    for (mark, value) in values {
        text = text.replace(mark, value);
    }
    if path.ends_with("pjsip.conf") {
        text.push_str(&lines(house, ports));
    }
    fs::write(run.join("etc").join(path.file_name().unwrap_or_default()), text)?;
    Ok(())
}

/// `@Macro(NAME,ARGUMENTS)@` as FreePBX writes it: a Macro up to 16, and a subroutine of that name since 17.
fn macros(text: &str, has_macro: bool) -> String {
    let mut pieces = text.split("@Macro(");
    let mut done = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (call, rest) = piece.split_once(")@").unwrap_or((piece, ""));
        let (name, arguments) = call.split_once(',').unwrap_or((call, ""));
        done.push_str(&match has_macro {
            true => format!("Macro({name},{arguments})"),
            false => format!("Gosub(macro-{name},s,1({arguments}))"),
        });
        done.push_str(rest);
    }
    done
}

/// Who sits at the phones.
const NAMES: [&str; 10] =
    ["Anna", "Boris", "Clara", "Daniel", "Elena", "Felix", "Greta", "Hugo", "Ida", "Jakob"];

/// The endpoint that a phone's number stands for, as its channel's name has it.
pub fn endpoint(number: u16) -> String {
    let far_end = FAR_ENDS.iter().find(|(far, _)| *far == number);
    far_end.map_or_else(|| number.to_string(), |(_, endpoint)| (*endpoint).to_owned())
}

/// The endpoints: a phone for each number at its own port, the trunks that lead out, and one that leads in for each
/// context, known by its X-Trunk header.
fn lines(house: House, ports: &[u16]) -> String {
    let context = if house == House::AstLite { "org1_phones" } else { "from-internal" };
    // FreePBX puts the phones' addresses into what it dials, in whatever letters the phones wrote them.
    let contact = if house == House::FreePbx { r"\;transport=UDP" } else { "" };
    let mut text = String::new();
    for ((number, port), name) in PHONES.zip(ports).zip(NAMES) {
        text.push_str(&format!(
            "\n[{number}](line)\ncontext = {context}\ncallerid = \"{name}\" <{number}>\ncall_group = 1\npickup_group = 1\naors = {number}\n\
             [{number}]\ntype = aor\ncontact = sip:{number}@127.0.0.1:{port}{contact}\n"
        ));
    }
    for ((number, endpoint), port) in FAR_ENDS.iter().zip(&ports[PHONES.count()..]) {
        text.push_str(&format!(
            "\n[{endpoint}](line)\ncontext = from-trunk\naors = {endpoint}\n\
             [{endpoint}]\ntype = aor\ncontact = sip:{number}@127.0.0.1:{port}\n"
        ));
    }
    for context in CONTEXTS {
        let trunk = trunk(context);
        text.push_str(&format!(
            "\n[{trunk}](line)\ncontext = {context}\n\
             [{trunk}]\ntype = identify\nendpoint = {trunk}\nmatch_header = X-Trunk: {trunk}\n"
        ));
    }
    text
}

/// The trunk that leads into `context`.
pub fn trunk(context: &str) -> String {
    format!("trunk-{context}")
}

/// Seconds, of what `core show uptime seconds` answers.
fn uptime_of(answer: &str) -> Option<u64> {
    let line = answer.lines().find(|line| line.starts_with("System uptime"))?;
    line.rsplit(' ').next()?.trim().parse().ok()
}
