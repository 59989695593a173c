//! The lines that Asterisk sends by itself: kept where somebody wants to look into a dialplan, and not by default.

use serde_json::Value;

use crate::server::{Server, Telling, output};

/// What is kept of the `agi_*` lines of an event, by a server with these settings.
fn kept(settings: &[(&str, &str)]) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), settings);
    let start = Telling::new("start", "1795390723.0", "1795390723.0", 1, 1_795_390_723_000, &["exten=101"]);
    assert!(start.tell(server.agi));
    server.page_when("/healthz", |body| body.contains("\"unsettled\":0"));
    server.stop();
    let told = output(dir.path(), &["show", "last", "--events", "--json"]);
    let mut call: Value = serde_json::from_slice(&told.stdout).unwrap();
    let event = call["events"][0]["event"].take();
    assert_eq!(event["facts"]["exten"], "101", "{event}");
    event["agi"].clone()
}

#[test]
fn by_default_nothing_but_the_arguments_is_kept() {
    assert_eq!(kept(&[]), Value::Null);
}

#[test]
fn with_keep_lines_what_asterisk_sends_by_itself_is_kept_too() {
    let lines = kept(&[("CALLJOURNAL_AGI__KEEP_LINES", "true")]);
    assert_eq!(lines["agi_network_script"], "start", "{lines}");
    assert_eq!(lines["agi_request"], "x", "{lines}");
    assert!(lines.get("agi_arg_1").is_none(), "arguments are kept as facts: {lines}");
}
