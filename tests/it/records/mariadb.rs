//! MariaDB, in the tables that FreePBX makes: its `cdr` knows neither answer nor end of a call, its `cel` no parts of
//! a second.

use mysql::prelude::Queryable;

use super::{Table, alike, cdr, cel, events, import, journal, refused};
use crate::mariadb;
use crate::server::{calljournal, output, said};

/// FreePBX's names for what Asterisk has.
const CDR_FREEPBX: [(&str, &str); 26] = [
    ("calldate", "start"),
    ("clid", "clid"),
    ("src", "src"),
    ("dst", "dst"),
    ("dcontext", "dcontext"),
    ("channel", "channel"),
    ("dstchannel", "dstchannel"),
    ("lastapp", "lastapp"),
    ("lastdata", "lastdata"),
    ("duration", "duration"),
    ("billsec", "billsec"),
    ("disposition", "disposition"),
    ("amaflags", "-"),
    ("accountcode", "accountcode"),
    ("uniqueid", "uniqueid"),
    ("userfield", "userfield"),
    ("did", "-"),
    ("recordingfile", "-"),
    ("cnum", "-"),
    ("cnam", "-"),
    ("outbound_cnum", "-"),
    ("outbound_cnam", "-"),
    ("dst_cnam", "-"),
    ("linkedid", "linkedid"),
    ("peeraccount", "peeraccount"),
    ("sequence", "sequence"),
];

const CEL_FREEPBX: [(&str, &str); 19] = [
    ("eventtype", "eventtype"),
    ("eventtime", "eventtime"),
    ("cid_name", "cidname"),
    ("cid_num", "cidnum"),
    ("cid_ani", "-"),
    ("cid_rdnis", "-"),
    ("cid_dnid", "-"),
    ("exten", "exten"),
    ("context", "context"),
    ("channame", "channame"),
    ("appname", "appname"),
    ("appdata", "-"),
    ("amaflags", "-"),
    ("accountcode", "-"),
    ("uniqueid", "uniqueid"),
    ("linkedid", "linkedid"),
    ("peer", "peer"),
    ("userdeftype", "-"),
    ("extra", "eventextra"),
];

/// The tables of FreePBX, with what Asterisk wrote in them.
pub fn freepbx(engine: &str, charset: &str) -> String {
    let column = |name: &str| match name {
        "calldate" | "eventtime" => format!("`{name}` datetime NOT NULL DEFAULT '0000-00-00 00:00:00'"),
        "duration" | "billsec" | "amaflags" | "sequence" => format!("`{name}` int(11) NOT NULL DEFAULT 0"),
        "extra" => "`extra` varchar(512) NOT NULL DEFAULT ''".to_owned(),
        name => format!("`{name}` varchar(80) NOT NULL DEFAULT ''"),
    };
    let columns =
        |of: &[(&str, &str)]| of.iter().map(|(name, _)| column(name)).collect::<Vec<_>>().join(", ");
    let ends = format!("ENGINE={engine} DEFAULT CHARSET={charset}");
    let (cdr, cel) = (columns(&CDR_FREEPBX), columns(&CEL_FREEPBX));
    format!(
        "CREATE TABLE cdr ({cdr}, KEY calldate (calldate), KEY uniqueid (uniqueid)) {ends};\n\
         CREATE TABLE cel (id int(11) NOT NULL AUTO_INCREMENT, {cel}, PRIMARY KEY (id)) {ends};\n{}{}",
        written(&Table::cdr().arranged(&CDR_FREEPBX), "cdr"),
        written(&Table::cel().arranged(&CEL_FREEPBX), "cel"),
    )
}

/// Where there is nothing there are no NULLs, but what FreePBX puts there.
fn written(table: &Table, name: &str) -> String {
    table.inserts(name, '`').replace('\\', "\\\\").replace("NULL", "DEFAULT")
}

/// What CSV files of the same columns come to.
fn from_files(dir: &std::path::Path, tables: &[Table]) -> Vec<serde_json::Value> {
    for (at, table) in tables.iter().enumerate() {
        let file = dir.join(format!("{at}.csv"));
        table.file(&file);
        import(dir, &[file.to_str().unwrap()]);
    }
    journal(dir)
}

#[test]
fn the_tables_of_freepbx_come_to_what_csv_comes_to_and_a_row_counts_once_in_both() {
    let Some(server) = mariadb::shared() else { return };
    let cdr_alone = Table::cdr().arranged(&CDR_FREEPBX);
    let mut cel_alone = Table::cel().arranged(&CEL_FREEPBX);
    cel_alone.change("eventtime", |time| time.split('.').next().unwrap().to_owned());
    let files = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let both = from_files(files[0].path(), &[cel_alone, cdr_alone.clone()]);
    let alone = from_files(files[1].path(), &[cdr_alone]);
    for (engine, charset) in [("InnoDB", "utf8mb4"), ("MyISAM", "latin1")] {
        let name = format!("asteriskcdrdb_{}", engine.to_lowercase());
        server.database(&name, &freepbx(engine, charset));
        let url = server.url(&name);
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        assert!(output(dir, &["migrate"]).status.success());
        let trial = import(dir, &[&url, "--table", "cdr", "--dry-run"]);
        assert!(trial.contains("would be added: 27 calls"), "{trial}");
        assert_eq!(journal(dir), Vec::<serde_json::Value>::new());
        import(dir, &[&url, "--table", "cdr"]);
        alike(&journal(dir), &alone);
        let told = import(dir, &[&url]);
        assert!(told.contains("659 rows read"), "{told}");
        alike(&journal(dir), &both);
        let whole = events(dir);
        for again in [url.as_str(), &cdr(), &cel()] {
            let told = import(dir, &[again]);
            assert!(told.contains("added: 0 calls\ncorrected: 0 calls"), "{again}: {told}");
        }
        assert_eq!(events(dir), whole);

        let csv_first = tempfile::tempdir().unwrap();
        import(csv_first.path(), &[&cel()]);
        import(csv_first.path(), &[&cdr()]);
        let before = (journal(csv_first.path()), events(csv_first.path()));
        let told = import(csv_first.path(), &[&url]);
        assert!(told.contains("added: 0 calls\ncorrected: 0 calls"), "{told}");
        assert_eq!((journal(csv_first.path()), events(csv_first.path())), before);

        let since = tempfile::tempdir().unwrap();
        let told = import(since.path(), &[&url, "--since", "2026-11-28"]);
        assert!(told.contains("0 rows read"), "{told}");
    }
}

#[test]
fn a_user_who_may_read_alone_is_enough_and_whoever_may_not_in_is_told_without_the_password() {
    let Some(server) = mariadb::shared() else { return };
    let mut db = server.database("asteriskcdrdb_user", &freepbx("InnoDB", "utf8mb4"));
    db.query_drop("CREATE USER reader@localhost IDENTIFIED BY 'ge@h:eim/ж'").unwrap();
    db.query_drop("CREATE USER reader@'127.0.0.1' IDENTIFIED BY 'ge@h:eim/ж'").unwrap();
    let url = |password: &str, database: &str| {
        format!("mysql://reader:{password}@127.0.0.1:{}/{database}", server.port)
    };
    let right = "ge%40h%3Aeim%2F%D0%B6";
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let no_rights = refused(dir, &[&url(right, "asteriskcdrdb_user")]);
    assert!(no_rights.contains("cannot be opened: Access denied"), "{no_rights}");
    for host in ["localhost", "'127.0.0.1'"] {
        db.query_drop(format!("GRANT SELECT ON asteriskcdrdb_user.cdr TO reader@{host}")).unwrap();
    }
    let told = import(dir, &[&url(right, "asteriskcdrdb_user")]);
    assert!(told.contains("94 rows read") && told.contains("added: 27 calls"), "{told}");
    // Out of sight of whoever lists processes.
    let asked = ["import", &url("", "asteriskcdrdb_user").replace(":@", "@"), "--timezone", "UTC"];
    let done = calljournal(dir, &asked).env("MYSQL_PWD", "ge@h:eim/ж").output().unwrap();
    assert!(done.status.success() && said(&done).contains("94 rows read"), "{}", said(&done));
    for (wrong, words) in [
        (url("geheim", "asteriskcdrdb_user"), "cannot be opened: Access denied"),
        (url(right, "nothing"), "cannot be opened: Access denied"),
        (url(right, ""), "percent-encoded"),
        (url("ge@heim", "asteriskcdrdb_user"), "percent-encoded"),
        (format!("mysql://reader:{right}@127.0.0.1:1/a"), "cannot be opened: "),
    ] {
        let told = refused(dir, &[&wrong]);
        assert!(told.contains(words) && !told.contains("heim"), "{told}");
    }
    let no_table = refused(dir, &[&url(right, "asteriskcdrdb_user"), "--table", "cel"]);
    assert!(no_table.contains("no table cel; it has cdr"), "{no_table}");
    let other = refused(dir, &[&url(right, "asteriskcdrdb_user"), "--table", "mysql.cdr"]);
    assert!(other.contains("no table mysql.cdr"), "{other}");
}

#[test]
fn cells_of_any_kind_and_size_cost_themselves_alone() {
    let Some(server) = mariadb::shared() else { return };
    let row = |time: &str, clid: &str, duration: &str| {
        format!(
            "INSERT INTO cdr VALUES ({time}, {clid}, 'PJSIP/101-1', {duration}, 'ANSWERED', '1795652185.0');\n"
        )
    };
    let whole = "'2026-11-26 00:16:25'";
    let made =
        "CREATE TABLE cdr (calldate datetime, clid longblob, channel text, duration text, disposition text,
                                  `unique\u{60}\u{60}id` int DEFAULT 1, uniqueid text);\n"
            .replace("`unique\u{60}\u{60}id` int DEFAULT 1, ", "");
    let rows = [
        row(whole, "X'FFFE41'", "5"),
        row(whole, "REPEAT('x', 5000000)", "6.5"),
        row(whole, "CONCAT('a', CHAR(0), 'b')", "NULL"),
        row(whole, "'\u{1b}[2J''\"<script>${SHELL(reboot)}'", "'many'"),
        row("'0000-00-00 00:00:00'", "'never'", "1"),
        row("'9999-12-31 23:59:59'", "'at the end of time'", "1"),
        row("NULL", "'no time'", "1"),
    ];
    server.database("hostile", &format!("{made}{}", rows.concat()));
    let (events, unreadable) = super::hostile::read(&server.url("hostile"));
    assert_eq!((events.len(), unreadable), (4, 3));
    let clids: Vec<&str> = events.iter().map(|event| event.fact("clid").unwrap_or_default()).collect();
    assert!(clids.iter().all(|clid| clid.len() <= 4096 && !clid.contains('\u{0}')), "{clids:?}");
    assert!(clids.iter().any(|clid| clid.starts_with('\u{fffd}')), "{clids:?}");
    assert!(
        clids.iter().any(|clid| clid.contains("\\u{1b}") && clid.contains("${SHELL(reboot)}")),
        "{clids:?}"
    );
}

/// `timestamp` is the one type of MariaDB that knows when it was, whatever zone whoever reads it is in.
#[test]
fn times_that_the_server_knows_the_zone_of_are_what_they_are_or_what_was_written() {
    let Some(server) = mariadb::shared() else { return };
    let made = freepbx("InnoDB", "utf8mb4")
        .replace("`calldate` datetime NOT NULL DEFAULT '0000-00-00 00:00:00'", "`calldate` timestamp NULL")
        .replace("`eventtime` datetime NOT NULL DEFAULT '0000-00-00 00:00:00'", "`eventtime` timestamp NULL");
    server.database("right_zone", &format!("SET time_zone = '+00:00';\n{made}"));
    let dir = tempfile::tempdir().unwrap();
    let done = calljournal(dir.path(), &["import", &server.url("right_zone")])
        .env("CALLJOURNAL_CALL__TIMEZONE", "Asia/Tokyo")
        .output()
        .unwrap();
    assert!(said(&done).contains("added: 27 calls"), "{}", said(&done));
    // Asterisk is in UTC and tells no zone; the server thought nine hours off, and thinks so still.
    server.database("wrong_zone", &format!("SET time_zone = '+09:00';\n{made}"));
    let dir = tempfile::tempdir().unwrap();
    let done = output(dir.path(), &["import", &server.url("wrong_zone")]);
    assert!(!done.status.success() && said(&done).contains("9h ago off"), "{}", said(&done));
    let mut db = server.database("nothing_in_it", "");
    db.query_drop("SET GLOBAL time_zone = '+09:00'").unwrap();
    let told = import(dir.path(), &[&server.url("wrong_zone")]);
    db.query_drop("SET GLOBAL time_zone = 'SYSTEM'").unwrap();
    assert!(told.contains("added: 27 calls"), "{told}");
}

/// Asterisk's text is UTF-8, whatever its connection calls itself and the table is.
#[test]
fn a_name_is_read_as_it_was_meant_however_it_was_kept() {
    let Some(server) = mariadb::shared() else { return };
    for (at, (connection, table)) in
        [("utf8mb4", "utf8mb4"), ("latin1", "latin1"), ("latin1", "utf8mb4"), ("binary", "latin1")]
            .into_iter()
            .enumerate()
    {
        let made = freepbx("InnoDB", table).replace("Ivan", "Жан Müller");
        let name = format!("names_{at}");
        server.database(&name, &format!("SET NAMES {connection};\n{made}"));
        let dir = tempfile::tempdir().unwrap();
        import(dir.path(), &[&server.url(&name), "--table", "cdr"]);
        let named = |call: &serde_json::Value| call["source"]["name"] == "Жан Müller";
        assert!(journal(dir.path()).iter().any(named), "{connection} to {table}");
    }
}

#[test]
fn asterisk_writes_while_its_tables_are_read() {
    use calljournal::feed::cdr::{Place, Source};
    let Some(server) = mariadb::shared() else { return };
    for engine in ["InnoDB", "MyISAM"] {
        let name = format!("busy_{}", engine.to_lowercase());
        let mut db = server.database(&name, &freepbx(engine, "utf8mb4"));
        // Enough not to fit into what lies between two ends of a socket.
        for _ in 0..8 {
            let columns: Vec<&str> = CEL_FREEPBX.iter().map(|(name, _)| *name).collect();
            let columns = columns.join(", ");
            db.query_drop(format!("INSERT INTO cel ({columns}) SELECT {columns} FROM cel")).unwrap();
        }
        // With a hole in it: MyISAM lets nobody add to such a table while somebody reads it.
        db.query_drop("DELETE FROM cel WHERE id = 100").unwrap();
        db.query_drop("DELETE FROM cdr WHERE sequence = 4").unwrap();
        let mut source = Source::open(&Place { name: server.url(&name), ..Place::default() }).unwrap();
        let reading = super::hostile::reading();
        assert_eq!(source.next(10, &reading).unwrap().unwrap().rows, 10);
        db.query_drop("SET lock_wait_timeout = 5").unwrap();
        db.query_drop("INSERT INTO cel (eventtype, uniqueid) VALUES ('HANGUP', '1.1')").unwrap();
        db.query_drop("INSERT INTO cdr (channel, uniqueid) VALUES ('PJSIP/101-1', '1.1')").unwrap();
        let (read, all) = source.progress();
        assert!(read < all && all > 565 * 256, "{read} of {all}");
    }
}

#[test]
fn rows_of_one_second_are_all_read_however_many_there_are() {
    let Some(server) = mariadb::shared() else { return };
    for engine in ["InnoDB", "MyISAM"] {
        let name = format!("one_second_{}", engine.to_lowercase());
        let mut db = server.database(&name, &freepbx(engine, "utf8mb4"));
        db.query_drop("DELETE FROM cdr").unwrap();
        let row = |second: i64, serial: i64| {
            format!("(FROM_UNIXTIME({second}), 'PJSIP/101-1', '{second}.{serial}')")
        };
        // One second with more than is fetched at once, between seconds with one, two and three; in any order.
        let times = [(1_795_652_190, 3), (1_795_652_185, 1), (1_795_652_187, 457), (1_795_652_186, 2)];
        let rows: Vec<String> = times.iter().flat_map(|(at, n)| (0..*n).map(|i| row(*at, i))).collect();
        let rows = rows.join(", ");
        db.query_drop("SET time_zone = '+00:00'").unwrap();
        db.query_drop(format!("INSERT INTO cdr (calldate, channel, uniqueid) VALUES {rows}")).unwrap();
        let never: Vec<&str> = (0..457).map(|_| "('0000-00-00', 'PJSIP/101-1')").collect();
        db.query_drop(format!("INSERT INTO cdr (calldate, channel) VALUES {}", never.join(", "))).unwrap();
        db.query_drop("DROP TABLE cel").unwrap();
        let (events, unreadable) = super::hostile::read(&server.url(&name));
        let different: std::collections::BTreeSet<_> = events.iter().map(|event| event.uid.clone()).collect();
        assert_eq!((events.len(), different.len(), unreadable), (463, 463, 457));
        assert!(events.is_sorted_by_key(|event| event.at));
    }
}

#[test]
fn without_mariadb_a_test_of_it_fails_and_says_what_to_install_unless_that_is_allowed_by_name() {
    let try_one = |allowed: Option<&str>| {
        let mut test = std::process::Command::new(std::env::current_exe().unwrap());
        // Any test of this file.
        test.args(["--exact", "records::mariadb::cells_of_any_kind_and_size_cost_themselves_alone"])
            .env(mariadb::PROGRAMS, "/nowhere")
            .env_remove(mariadb::WITHOUT);
        let ended = test.envs(allowed.map(|value| (mariadb::WITHOUT, value))).output().unwrap();
        assert!(said(&ended).contains("running 1 test"), "{}", said(&ended));
        (ended.status.success(), said(&ended))
    };
    for not_allowed in [None, Some(""), Some("0")] {
        let (passed, told) = try_one(not_allowed);
        assert!(!passed, "{told}");
        for word in ["apt-get install mariadb-server-core", "CALLJOURNAL_WITHOUT_MARIADB=1"] {
            assert!(told.contains(word), "{told}");
        }
    }
    let (passed, told) = try_one(Some("1"));
    assert!(passed && told.contains("MARIADB IS NOT INSTALLED"), "{told}");
}
