//! The rules of `feeds.rs`, each by what somebody would see.

use super::*;

const START: i64 = 1_795_390_000;

/// `seconds` after this process began to listen.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(START + seconds).unwrap_or(Timestamp::MIN)
}

fn terms(seconds: i64) -> Terms {
    Terms { now: at(seconds), listening: at(0), down_after: SignedDuration::from_secs(30) }
}

fn event(feed: Feed, pbx: &str, seconds: i64) -> Event {
    let args =
        format!("v=1,token={START}.1-1-start-{START}.000001,pbx={pbx},uid={START}.1,lid={START}.1,seq=1");
    let arrival = crate::event::Arrival { feed, pbx: "x", at: at(seconds) };
    #[allow(clippy::unwrap_used)]
    Event::from_args(crate::event::Kind::Start, args.split(',').map(str::as_bytes), arrival).unwrap()
}

/// Takes in what was seen, as the task does that brings together what all nodes know.
fn settle(feeds: &mut Feeds, seconds: i64) {
    let news = feeds.take_news();
    let mut all: BTreeMap<(String, Feed), Evidence> = BTreeMap::new();
    for (pbx, known) in &feeds.known {
        all.extend(known.iter().map(|(feed, known)| ((pbx.clone(), *feed), known.clone())));
    }
    for (pbx, fresh) in &news {
        for (feed, fresh) in fresh {
            fresh.add_to(all.entry((pbx.clone(), *feed)).or_default(), "today");
        }
    }
    let mut judged = Vec::new();
    for ((pbx, feed), mut known) in all {
        judge(feed, &mut known, &terms(seconds));
        judged.push((pbx, feed, known));
    }
    feeds.know(judged);
}

fn look(feeds: &Feeds, feed: Feed, seconds: i64) -> Standing {
    let all = feeds.standings(&terms(seconds), "today");
    let found = all.into_iter().find(|one| one.feed == feed && one.pbx == "office");
    found.unwrap_or_else(|| panic!("{feed} is not known"))
}

fn state(feeds: &Feeds, feed: Feed, seconds: i64) -> (State, Option<Why>) {
    let one = look(feeds, feed, seconds);
    (one.state, one.why)
}

/// `count` calls, told by `tellers`.
fn calls(feeds: &mut Feeds, count: u64, tellers: &[Feed], seconds: i64) {
    for _ in 0..count {
        for teller in tellers {
            feeds.hear(&event(*teller, "office", seconds));
        }
        feeds.over("office", &tellers.iter().copied().collect(), at(seconds - 5), at(seconds));
    }
}

#[test]
fn a_dialplan_that_is_silent_all_night_is_up() {
    let mut feeds = Feeds::new(at(0));
    calls(&mut feeds, 3, &[Feed::Agi], 100);
    for seconds in [101, 40_000, 400_000] {
        assert_eq!(state(&feeds, Feed::Agi, seconds), (State::Up, None));
        settle(&mut feeds, seconds);
    }
    assert_eq!(look(&feeds, Feed::Agi, 400_000).told_today, 3);
    assert_eq!(look(&feeds, Feed::Agi, 400_000).last_event, Some(at(100)));
}

#[test]
fn ast_ami_is_late_after_two_missed_heartbeats_and_down_after_four() {
    let mut feeds = Feeds::new(at(0));
    feeds.beat("office", Feed::Push, at(10));
    for (silence, expected) in
        [(0, State::Up), (89, State::Up), (91, State::Late), (169, State::Late), (171, State::Down)]
    {
        assert_eq!(state(&feeds, Feed::Push, 10 + silence).0, expected, "after {silence} s");
        settle(&mut feeds, 10 + silence);
    }
    let down = look(&feeds, Feed::Push, 300);
    assert_eq!((down.why, down.state), (Some(Why::Silent), State::Down));
    feeds.beat("office", Feed::Push, at(301));
    assert_eq!(state(&feeds, Feed::Push, 302), (State::Up, None));
}

#[test]
fn a_server_that_was_away_blames_nobody_for_what_it_could_not_hear() {
    let known =
        Evidence { beat: Some(at(-3600)), state: State::Up, since: Some(at(-9000)), ..Evidence::default() };
    for (seconds, expected) in [(1, State::Up), (80, State::Up), (100, State::Late), (200, State::Down)] {
        let mut known = known.clone();
        judge(Feed::Push, &mut known, &terms(seconds));
        assert_eq!(known.state, expected, "{seconds} s after the start");
    }
    // Nor does it call well what was down.
    let mut down = Evidence { state: State::Down, ..known };
    judge(Feed::Push, &mut down, &terms(1));
    assert_eq!(down.state, State::Down);
    // Calls of before the start were told by the spool since nobody listened.
    let mut feeds = Feeds::new(at(0));
    for _ in 0..20 {
        assert!(feeds.over("office", &BTreeSet::from([Feed::Spool]), at(-60), at(5)).is_empty());
    }
    assert_eq!(look(&feeds, Feed::Spool, 6).told_today, 20);
}

#[test]
fn a_connection_that_breaks_is_late_and_then_down_since_it_broke_with_the_reason() {
    let mut feeds = Feeds::new(at(0));
    feeds.linked("office", Feed::Ami, at(1));
    assert_eq!(state(&feeds, Feed::Ami, 2), (State::Up, None));
    settle(&mut feeds, 2);
    feeds.broken("office", Feed::Ami, "connection refused", at(100));
    assert_eq!(state(&feeds, Feed::Ami, 101), (State::Late, Some(Why::Broken)));
    settle(&mut feeds, 101);
    feeds.broken("office", Feed::Ami, "no route to host", at(100));
    let down = look(&feeds, Feed::Ami, 131);
    assert_eq!((down.state, down.since), (State::Down, Some(at(100))));
    assert!(down.reason.is_some_and(|reason| reason.contains("no route to host")));
}

#[test]
fn a_connection_that_never_came_up_is_down_too() {
    let mut feeds = Feeds::new(at(0));
    feeds.broken("office", Feed::Ami, "the log-in was refused", at(1));
    assert_eq!(state(&feeds, Feed::Ami, 2).0, State::Late);
    settle(&mut feeds, 2);
    assert_eq!(state(&feeds, Feed::Ami, 40).0, State::Down);
}

#[test]
fn where_two_nodes_listen_to_one_pbx_one_connection_is_enough() {
    let mut known = Evidence::default();
    let down = |known: &mut Evidence, seconds| {
        judge(Feed::Ami, known, &terms(seconds));
        (known.state, known.since)
    };
    let ours = |seconds| News { link: Some(Link::Broken(at(50), "away".into())), ..at_beat(None, seconds) };
    at_beat(Some(Link::Up(at(1))), 1).add_to(&mut known, "today");
    for seconds in (60..600).step_by(15) {
        at_beat(None, seconds).add_to(&mut known, "today");
        ours(0).add_to(&mut known, "today");
        assert_eq!(down(&mut known, seconds + 14).0, State::Up, "at {seconds}");
    }
    // The other one goes too, with its node: nothing more is heard of it.
    ours(0).add_to(&mut known, "today");
    assert_eq!(down(&mut known, 1000), (State::Down, Some(at(585))));
}

/// A sign of life at that time, and what happened to the connection.
fn at_beat(link: Option<Link>, seconds: i64) -> News {
    News { link, beat: Some(at(seconds)), ..News::default() }
}

#[test]
fn a_connection_that_no_server_listens_to_any_more_is_late_and_not_down() {
    let mut feeds = Feeds::new(at(0));
    feeds.linked("office", Feed::Ami, at(1));
    settle(&mut feeds, 2);
    assert_eq!(state(&feeds, Feed::Ami, 1000), (State::Late, Some(Why::Unwatched)));
}

#[test]
fn a_dialplan_of_which_ami_tells_calls_in_a_row_is_late() {
    let mut feeds = Feeds::new(at(0));
    feeds.linked("office", Feed::Ami, at(1));
    calls(&mut feeds, 1, &[Feed::Agi, Feed::Ami], 50);
    calls(&mut feeds, RUN - 1, &[Feed::Ami], 60);
    assert_eq!(state(&feeds, Feed::Agi, 61), (State::Up, None));
    calls(&mut feeds, 1, &[Feed::Ami], 62);
    let late = look(&feeds, Feed::Agi, 63);
    assert_eq!(
        (late.state, late.why, late.missed_today, late.by),
        (State::Late, Some(Why::Missed), RUN, Some(Feed::Ami))
    );
    assert_eq!(state(&feeds, Feed::Ami, 63), (State::Up, None));
    // One hooked call, and all is well.
    calls(&mut feeds, 1, &[Feed::Agi, Feed::Ami], 70);
    assert_eq!(state(&feeds, Feed::Agi, 71), (State::Up, None));
    assert_eq!(look(&feeds, Feed::Agi, 71).missed_today, RUN);
}

#[test]
fn where_no_dialplan_ever_told_anything_it_misses_nothing() {
    let mut feeds = Feeds::new(at(0));
    feeds.linked("office", Feed::Ami, at(1));
    calls(&mut feeds, 50, &[Feed::Ami], 60);
    settle(&mut feeds, 61);
    assert!(feeds.standings(&terms(62), "today").iter().all(|one| one.feed == Feed::Ami));
}

#[test]
fn an_ami_that_is_up_and_says_nothing_of_what_the_dialplan_tells_is_down() {
    let mut feeds = Feeds::new(at(0));
    feeds.linked("office", Feed::Ami, at(1));
    calls(&mut feeds, RUN, &[Feed::Agi], 60);
    let deaf = look(&feeds, Feed::Ami, 61);
    assert_eq!((deaf.state, deaf.why, deaf.in_a_row), (State::Down, Some(Why::Missed), RUN));
    assert!(deaf.reason.is_some_and(|reason| reason.contains("10 calls in a row")));
    // Somebody gave its user the right to hear of calls, and it logs in anew.
    feeds.broken("office", Feed::Ami, "Asterisk ended the connection", at(70));
    feeds.linked("office", Feed::Ami, at(71));
    assert_eq!(state(&feeds, Feed::Ami, 72), (State::Up, None));
}

#[test]
fn calls_that_began_before_the_connection_are_not_held_against_it() {
    let mut feeds = Feeds::new(at(0));
    feeds.linked("office", Feed::Ami, at(58));
    calls(&mut feeds, 3 * RUN, &[Feed::Agi], 60);
    assert_eq!(look(&feeds, Feed::Ami, 61).missed_today, 0);
}

#[test]
fn a_dialplan_that_reaches_nobody_but_the_spool_is_down() {
    let mut feeds = Feeds::new(at(0));
    calls(&mut feeds, 1, &[Feed::Agi], 50);
    calls(&mut feeds, SPOOLED - 1, &[Feed::Spool], 60);
    assert_eq!(state(&feeds, Feed::Agi, 61).0, State::Up);
    calls(&mut feeds, 1, &[Feed::Spool], 62);
    assert_eq!(state(&feeds, Feed::Agi, 63), (State::Down, Some(Why::Spooled)));
    assert_eq!(state(&feeds, Feed::Spool, 63), (State::Up, None));
    // A call of which one event alone was too late is no sign of that.
    calls(&mut feeds, 1, &[Feed::Agi, Feed::Spool], 70);
    assert_eq!(state(&feeds, Feed::Agi, 71).0, State::Up);
}

#[test]
fn a_connection_that_comes_and_goes_is_told_less_and_less_often() {
    let mut known = Evidence::default();
    let mut told = Vec::new();
    // A day of 40 s up and 40 s away.
    for seconds in 0..86_400 {
        let (period, phase) = (seconds / 80, seconds % 80);
        let news = match phase {
            0 => News { link: Some(Link::Up(at(seconds))), beat: Some(at(seconds)), ..News::default() },
            40 => News { link: Some(Link::Broken(at(seconds), String::new())), ..News::default() },
            1..40 => News { beat: Some(at(seconds)), ..News::default() },
            _ => News::default(),
        };
        news.add_to(&mut known, "today");
        judge(Feed::Ami, &mut known, &terms(seconds));
        forgive(&mut known, &terms(seconds));
        if let Some(down) = due(&known, &terms(seconds)) {
            tell(&mut known, down, at(seconds));
            told.push((period, down));
        }
    }
    assert_eq!(told.first().map(|(_, down)| *down), Some(true));
    assert!(told.windows(2).all(|two| two[0].1 != two[1].1), "down and up take turns");
    assert!((4..=60).contains(&told.len()), "{} notices a day", told.len());
}

#[test]
fn what_is_down_is_told_once_and_up_when_it_has_lasted() {
    let mut known = Evidence { broken: Some(at(0)), ..Evidence::default() };
    judge(Feed::Ami, &mut known, &terms(31));
    assert_eq!(due(&known, &terms(31)), Some(true));
    tell(&mut known, true, at(31));
    assert_eq!(due(&known, &terms(9000)), None);
    News { link: Some(Link::Up(at(9000))), beat: Some(at(9000)), ..News::default() }
        .add_to(&mut known, "today");
    judge(Feed::Ami, &mut known, &terms(9001));
    assert_eq!((known.state, due(&known, &terms(9001))), (State::Up, None));
    assert_eq!(due(&known, &terms(9031)), Some(false));
}

#[test]
fn names_without_end_take_no_memory_without_end_and_simulated_calls_are_no_feed() {
    let mut feeds = Feeds::new(at(0));
    feeds.hear(&event(Feed::Agi, "office", 1));
    for n in 0..10_000 {
        feeds.hear(&event(Feed::Agi, &format!("hostile-{n}"), 1));
        feeds.hear(&event(Feed::Spool, SIMULATED, 1));
    }
    settle(&mut feeds, 2);
    for n in 0..10_000 {
        feeds.beat(&format!("other-{n}"), Feed::Push, at(2));
    }
    let all = feeds.standings(&terms(3), "today");
    assert_eq!(all.len(), MOST);
    assert!(all.iter().any(|one| one.pbx == "office") && all.iter().all(|one| one.pbx != SIMULATED));
}

#[test]
fn what_could_not_be_written_down_is_told_the_next_time() {
    let mut feeds = Feeds::new(at(0));
    calls(&mut feeds, 2, &[Feed::Agi], 10);
    let _lost = feeds.take_news();
    assert_eq!(look(&feeds, Feed::Agi, 15).told_today, 2, "known while it is being written down");
    calls(&mut feeds, 3, &[Feed::Agi], 20);
    assert_eq!(look(&feeds, Feed::Agi, 30).told_today, 5);
    feeds.put_back();
    assert_eq!(look(&feeds, Feed::Agi, 30).told_today, 5);
    assert_eq!(look(&feeds, Feed::Agi, 30).last_event, Some(at(20)));
}

#[test]
fn what_a_hostile_manager_says_is_cut_and_has_no_control_characters() {
    let mut feeds = Feeds::new(at(0));
    feeds.broken("office", Feed::Ami, &format!("no\0\u{1b}[31m \\u0000{}", "x".repeat(1 << 20)), at(1));
    let said = look(&feeds, Feed::Ami, 2).detail;
    assert!(said.starts_with("no[31m \\u0000xx") && said.chars().count() == 300, "{said}");
}

#[test]
fn what_is_unheard_of_for_a_month_is_forgotten() {
    let known = Evidence { heard: Some(at(0)), ..Evidence::default() };
    let day = 86_400;
    assert!(!is_forgotten(&known, at(29 * day)) && is_forgotten(&known, at(31 * day)));
}
