//! Whether each manager interface lets us in, tells which channels live, and tells of calls.
//!
//! The last is what `read = call` is for, and Asterisk answers no question about it. So the journal is asked what became
//! of the calls that somebody else told.

use std::collections::BTreeMap;

use super::{Finding, say};
use crate::call::words::{Value, Words};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::event::Feed;
use crate::feed::ami::session::Trouble;
use crate::feed::ami::{self, Broken};
use crate::store::feeds::{self, Evidence, Why};
use crate::store::{Store, StoreError};

/// A finding for each `[[ami]]`.
pub(super) fn look(config: &Config, words: &Words) -> Vec<Finding> {
    let Ok(runtime) = super::super::runtime() else { return Vec::new() };
    let known = if config.ami.is_empty() { BTreeMap::new() } else { runtime.block_on(known(config)) };
    let look = |peer: &config::Ami| {
        let tried = runtime.block_on(ami::probe(peer, &Clock::system()));
        let pbx = peer.pbx.as_ref().unwrap_or(&config.pbx.default);
        judged(peer, tried, known.get(pbx), words)
    };
    config.ami.iter().map(look).collect()
}

/// What is known of AMI on each pbx; nothing where there is no journal yet.
async fn known(config: &Config) -> BTreeMap<String, Evidence> {
    let read = async {
        let store = Store::open_reader(&config.store.url)?;
        let all = store.read("feeds", feeds::all).await?;
        let of_ami = all.into_iter().filter(|(_, feed, _)| *feed == Feed::Ami);
        Ok::<_, StoreError>(of_ami.map(|(pbx, _, known)| (pbx, known)).collect())
    };
    read.await.unwrap_or_default()
}

fn judged(
    peer: &config::Ami,
    tried: Result<(String, usize), Broken>,
    known: Option<&Evidence>,
    words: &Words,
) -> Finding {
    let said = |id: &str, more: &[(&str, &str)]| {
        say(id, &[&[("host", peer.host.as_str()), ("user", &peer.user)], more].concat(), words)
    };
    let (what, todo, reason) = match tried {
        Ok((version, channels)) => {
            if let Some(mute) = known.filter(|known| known.why == Some(Why::Missed)) {
                let count = Value::Number(i64::try_from(mute.run).unwrap_or(i64::MAX));
                let values = [("host", (&peer.host).into()), ("user", (&peer.user).into()), ("count", count)];
                return Finding::fail(words.say("check-ami-mute", &values), said("check-ami-mute-todo", &[]));
            }
            let channels = channels.to_string();
            let well = said("check-ami", &[("version", &version), ("channels", &channels)]);
            let unproven = known.is_none_or(|known| known.heard.is_none());
            return Finding { todo: unproven.then(|| said("check-ami-unproven", &[])), ..Finding::ok(well) };
        }
        Err(Broken::Trouble(Trouble::Refused(reason))) => {
            ("check-ami-refused", "check-ami-refused-todo", reason)
        }
        Err(Broken::Trouble(Trouble::NoList)) => {
            ("check-ami-no-list", "check-ami-no-list-todo", String::new())
        }
        Err(Broken::Trouble(Trouble::NotAmi)) => ("check-ami-none", "check-ami-none-todo", String::new()),
        Err(other) => ("check-ami-away", "check-ami-away-todo", other.to_string()),
    };
    Finding::fail(said(what, &[("reason", &reason)]), said(todo, &[]))
}

#[cfg(test)]
mod tests {
    use super::super::Mark;
    use super::*;
    use crate::call::words::Language;
    use crate::cli::paper::Paper;

    fn found(known: Option<&Evidence>, language: Language) -> Finding {
        let peer = config::Ami {
            host: "127.0.0.1".to_owned(),
            user: "journal".to_owned(),
            secret: config::Secret::default(),
            pbx: None,
        };
        judged(&peer, Ok(("11.0.0".to_owned(), 2)), known, &Paper::plain(language).words)
    }

    #[test]
    fn an_ami_that_let_us_in_and_missed_calls_fails_and_one_that_told_nothing_yet_says_what_is_unproven() {
        let mute = Evidence { why: Some(Why::Missed), run: 21, ..Evidence::default() };
        let fails = found(Some(&mute), Language::En);
        assert_eq!(fails.mark, Mark::Fail);
        assert!(fails.what.contains("nothing of the last 21 calls"), "{}", fails.what);
        assert!(fails.todo.is_some_and(|todo| todo.contains("read = call,agent")));
        assert!(found(Some(&mute), Language::Ru).what.contains("21 звонке"));
        for known in [None, Some(&Evidence::default())] {
            let well = found(known, Language::En);
            assert_eq!(well.mark, Mark::Ok);
            assert!(well.todo.is_some_and(|todo| todo.contains("manager show user journal")));
        }
    }

    #[test]
    fn an_ami_that_told_a_call_is_well_and_nothing_is_left_to_do() {
        let tells = Evidence { heard: Some(jiff::Timestamp::UNIX_EPOCH), ..Evidence::default() };
        let well = found(Some(&tells), Language::En);
        assert!(well.mark == Mark::Ok && well.todo.is_none());
    }
}
