//! The shipped dialplan against its page: the table of arguments in `docs/dialplan.md` is what `calljournal.conf` sends, and
//! no event is longer than Asterisk appends to a file without tearing it.

use std::collections::BTreeMap;
use std::fs;

/// How long an event may be, in bytes.
const LONGEST: usize = 3500;

/// What stands before the kind's own arguments, every byte of a value encoded: a token of 96 bytes, a pbx of 40, three
/// uniqueids of 64, a count of two digits, a time and a channel's name of 80.
const COMMON: usize =
    "v=1,token=,pbx=,uid=,lid=,root=,seq=12,t=1795390723.123456,chan=".len() + 96 + 3 * (40 + 3 * 64 + 80);

/// An argument's name to the bytes that it is cut to, of one kind of event.
type Cuts = BTreeMap<String, usize>;

fn read(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The rows of the page's table, by what stands in their first column.
fn told() -> BTreeMap<String, Cuts> {
    let page = read("docs/dialplan.md");
    let table = page.split("Then the kind's own, in this order:").nth(1).unwrap();
    let rows =
        table.lines().skip_while(|line| !line.starts_with("| `")).take_while(|line| line.starts_with('|'));
    let row = |line: &str| {
        let (kind, arguments) = line.trim_matches(['|', ' ']).split_once(" | ").unwrap();
        // `name` 40: a name between two backticks, and the number behind it. What has none is never cut.
        let pieces: Vec<&str> = arguments.split('`').collect();
        let cuts = pieces.chunks(2).zip(pieces.chunks(2).skip(1)).filter_map(|(name, behind)| {
            let digits: String = behind[0].trim_start().chars().take_while(char::is_ascii_digit).collect();
            Some(((*name.get(1)?).to_owned(), digits.parse().ok()?))
        });
        (kind.replace('`', ""), cuts.collect())
    };
    rows.map(row).collect()
}

/// What a subroutine of `calljournal.conf` sends: each `name=${URIENCODE(${STRREPLACE(VALUE:0:40,…` of its lines.
fn sent(subroutine: &str) -> Cuts {
    let conf = read("dialplan/calljournal.conf");
    let lines = conf.lines().skip_while(|line| !line.starts_with(&format!("exten => {subroutine},1,")));
    let own = lines.enumerate().take_while(|(n, line)| *n == 0 || !line.starts_with("exten => "));
    let mut cuts = Cuts::new();
    for (_, line) in own {
        for (before, behind) in line
            .match_indices("=${URIENCODE(${STRREPLACE(")
            .map(|(at, found)| (&line[..at], &line[at + found.len()..]))
        {
            let name = before.rsplit(['=', ',', '(']).next().unwrap();
            let value = behind.split(',').next().unwrap();
            let cut = value.rsplit(':').next().unwrap().parse().unwrap();
            cuts.insert(name.to_owned(), cut);
        }
    }
    cuts
}

fn length(cuts: &Cuts) -> usize {
    COMMON + cuts.iter().map(|(name, cut)| ",=".len() + name.len() + 3 * cut).sum::<usize>()
}

#[test]
fn what_the_page_says_is_sent_is_what_is_sent() {
    let told = told();
    for (kind, subroutine) in
        [("note", "note"), ("note by step", "step"), ("record", "record"), ("hangup", "hangup")]
    {
        assert_eq!(sent(subroutine), told[kind], "{kind}");
    }
}

#[test]
fn no_event_is_longer_than_is_written_in_one_piece() {
    let told = told();
    assert_eq!(told.len(), 9);
    let (kind, longest) =
        told.iter().map(|(kind, cuts)| (kind, length(cuts))).max_by_key(|(_, all)| *all).unwrap();
    assert!(longest < LONGEST, "{kind}: {longest} bytes");
    let said = format!("the longest event is a `{kind}` of {},{:03} bytes", longest / 1000, longest % 1000);
    assert!(
        read("docs/dialplan.md").replace('\n', " ").contains(&said),
        "docs/dialplan.md does not say: {said}"
    );
}
