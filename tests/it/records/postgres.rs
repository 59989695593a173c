//! PostgreSQL, in the tables of `cdr_pgsql` and `cel_pgsql`, and as an administrator may have made them for ODBC.

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};

use super::{Table, alike, comes_to_what_its_files_come_to, import, journal, refused};
use crate::cluster;

const CDR_PGSQL: &str = "CREATE TABLE cdr (
    accountcode varchar(20), src varchar(80), dst varchar(80), dcontext varchar(80), clid varchar(80),
    channel varchar(80), dstchannel varchar(80), lastapp varchar(80), lastdata varchar(80),
    start timestamp, answer timestamp, \"end\" timestamp, duration integer, billsec integer,
    disposition varchar(45), amaflags varchar(45), uniqueid varchar(150), userfield varchar(256),
    peeraccount varchar(80), linkedid varchar(150), sequence integer);";

const CEL_PGSQL: &str = "CREATE TABLE cel (
    id serial PRIMARY KEY, eventtype varchar(30) NOT NULL, eventtime timestamp NOT NULL,
    userdeftype varchar(255), cid_name varchar(80), cid_num varchar(80), cid_ani varchar(80),
    cid_rdnis varchar(80), cid_dnid varchar(80), exten varchar(80), context varchar(80), channame varchar(80),
    appname varchar(80), appdata varchar(80), amaflags int, accountcode varchar(20), peeraccount varchar(20),
    uniqueid varchar(150), linkedid varchar(150), userfield varchar(255), peer varchar(80), extra text);";

/// What `cel_pgsql` calls the columns.
fn cel() -> Table {
    Table::cel().arranged(&[
        ("eventtype", "eventtype"),
        ("eventtime", "eventtime"),
        ("cid_name", "cidname"),
        ("cid_num", "cidnum"),
        ("exten", "exten"),
        ("context", "context"),
        ("channame", "channame"),
        ("appname", "appname"),
        ("uniqueid", "uniqueid"),
        ("linkedid", "linkedid"),
        ("peer", "peer"),
        ("extra", "eventextra"),
    ])
}

/// Both tables, with what Asterisk wrote in them.
pub fn written() -> String {
    format!("{CDR_PGSQL}{CEL_PGSQL}{}{}", Table::cdr().inserts("cdr", '"'), cel().inserts("cel", '"'))
}

/// A database of Asterisk's, and its URL.
pub fn asterisk(dir: &std::path::Path, made: &str) -> Option<(PgConnection, String)> {
    let url = cluster::shared()?.database(&dir.join("asterisk"));
    let mut db = PgConnection::establish(&url).unwrap();
    db.batch_execute(&format!("BEGIN; {made} COMMIT")).unwrap();
    Some((db, url))
}

#[test]
fn the_tables_of_a_server_come_to_what_csv_comes_to_and_a_row_counts_once_in_both() {
    let dir = tempfile::tempdir().unwrap();
    let Some((_, url)) = asterisk(dir.path(), &written()) else { return };
    comes_to_what_its_files_come_to(&url);
}

/// Numbers for words, times with a zone, columns of his own, and a schema.
#[test]
fn whatever_types_and_further_columns_a_table_has_it_comes_to_the_same() {
    let (mut cdr, mut cel) = (Table::cdr(), cel());
    // A place in the list is the number; what is not in it has none, and nothing is made of it either.
    let number = |words: &'static [&'static str]| {
        move |word: &str| words.iter().position(|known| *known == word).unwrap_or(99).to_string()
    };
    cdr.change("disposition", number(&["-", "NO ANSWER", "FAILED", "-", "BUSY", "-", "-", "-", "ANSWERED"]));
    cel.change(
        "eventtype",
        number(&[
            "-",
            "CHAN_START",
            "CHAN_END",
            "HANGUP",
            "ANSWER",
            "APP_START",
            "APP_END",
            "BRIDGE_ENTER",
            "BRIDGE_EXIT",
            "PARK_START",
            "PARK_END",
            "BLINDTRANSFER",
            "ATTENDEDTRANSFER",
            "USER_DEFINED",
            "LINKEDID_END",
            "PICKUP",
            "FORWARD",
            "LOCAL_OPTIMIZE",
            "LOCAL_OPTIMIZE_BEGIN",
        ]),
    );
    let with_zone = |time: &str| if time.is_empty() { String::new() } else { format!("{time}+00") };
    ["start", "answer", "end"].iter().for_each(|name| cdr.change(name, with_zone));
    cel.change("eventtime", with_zone);
    let other = |made: &str| {
        made.replace("timestamp", "timestamptz")
            .replace("disposition varchar(45)", "disposition int")
            .replace("eventtype varchar(30)", "eventtype smallint")
            .replace(
                "duration integer",
                "\"Note of 'ours'\" bytea, tags text[] DEFAULT '{a}', duration numeric(9,3)",
            )
            .replace("clid varchar(80)", "clid char(200)")
            .replace("cdr (", "pbx.\"Call Records\" (")
            .replace("cel (", "pbx.cel (")
    };
    let rows = cdr.inserts("pbx.\"Call Records\"", '"') + &cel.inserts("pbx.cel", '"');
    let made = format!("CREATE SCHEMA pbx; {}{}{rows}", other(CDR_PGSQL), other(CEL_PGSQL));
    let dir = tempfile::tempdir().unwrap();
    let Some((mut db, url)) = asterisk(dir.path(), &made) else { return };
    let (both, _) = super::from_files(&[&super::cel(), &super::cdr()]);
    let tables = ["--table", "pbx.Call Records", "--table", "pbx.cel"];
    let missing = refused(dir.path(), &[&url]);
    assert!(missing.contains("it has pbx.Call Records, pbx.cel"), "{missing}");

    // In which zone the server thinks is all the same to times that have one …
    let name = url.split(['/', '?']).nth(3).unwrap();
    let think = |db: &mut PgConnection, zone: &str| {
        db.batch_execute(&format!("ALTER DATABASE {name} SET timezone = '{zone}'")).unwrap();
    };
    think(&mut db, "Asia/Tokyo");
    let done = crate::server::output(dir.path(), &[&["import", &url], &tables[..]].concat());
    assert!(done.status.success(), "{}", crate::server::said(&done));
    alike(&journal(dir.path()), &both);
    // … but where it put the wrong one to them, they can be read as Asterisk wrote them.
    let again = tempfile::tempdir().unwrap();
    let asked = [&[url.as_str(), "--timezone", "Asia/Tokyo"], &tables[..]].concat();
    let done = crate::server::output(again.path(), &[&["import"], &asked[..]].concat());
    assert!(done.status.success(), "{}", crate::server::said(&done));
    alike(&journal(again.path()), &both);
}

/// `cdr_pgsql` calls its connection LATIN9 where nobody tells it otherwise.
#[test]
fn a_name_is_read_as_it_was_meant_however_it_was_kept() {
    for encoding in ["UTF8", "LATIN9"] {
        let dir = tempfile::tempdir().unwrap();
        let Some((mut db, url)) = asterisk(dir.path(), CDR_PGSQL) else { return };
        db.batch_execute(&format!("SET client_encoding = '{encoding}'")).unwrap();
        db.batch_execute(&Table::cdr().inserts("cdr", '"').replace("Ivan", "Жан Müller")).unwrap();
        import(dir.path(), &[&url]);
        let named = |call: &serde_json::Value| call["source"]["name"] == "Жан Müller";
        assert!(journal(dir.path()).iter().any(named), "{encoding}");
    }
}

#[test]
fn a_user_who_may_read_alone_is_enough_and_one_who_may_not_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let role = format!("cj_reader_{}", std::process::id());
    let made = format!("{CDR_PGSQL}{} CREATE ROLE {role} LOGIN;", Table::cdr().inserts("cdr", '"'));
    let Some((mut db, url)) = asterisk(dir.path(), &made) else { return };
    let url = url.replace("calljournal@", &format!("{role}:geheim@"));
    let may_not = refused(dir.path(), &[&url]);
    assert!(may_not.contains("GRANT SELECT ON \"cdr\"") && !may_not.contains("geheim"), "{may_not}");
    db.batch_execute(&format!("GRANT SELECT ON cdr TO {role}")).unwrap();
    let told = import(dir.path(), &[&url]);
    assert!(told.contains("added: 27 calls"), "{told}");
    db.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
    let unknown = refused(dir.path(), &[&url]);
    assert!(unknown.contains("cannot be opened") && !unknown.contains("geheim"), "{unknown}");
}

#[test]
fn a_server_that_is_not_there_or_a_wrong_url_is_told_without_the_password() {
    let dir = tempfile::tempdir().unwrap();
    for wrong in [
        "postgres://asterisk:geheim@127.0.0.1:1/asterisk",
        "postgres://asterisk@127.0.0.1:1/asterisk?password=geheim",
        "postgres://asterisk:ge/heim@127.0.0.1:1/asterisk",
        "postgres://127.0.0.1:1/asterisk?password=ge@heim",
        "oracle://asterisk:geheim@127.0.0.1:1/asterisk",
        "postgres://asterisk:geheim@127.0.0.1:1/asterisk?sslmode=require",
    ] {
        let told = refused(dir.path(), &[wrong]);
        assert!(!told.contains("heim"), "{told}");
        assert!(told.contains("cannot be opened") || told.contains("percent-encoded"), "{told}");
    }
}
