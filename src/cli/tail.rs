//! `calljournal tail`: what happens, as it happens.
//!
//! Looks at the store twice a second. A line is told when a second look still finds it: phones of a group begin
//! to ring one after another, and are one line in the end.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::Write;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::calls::{result, short_id, short_party};
use super::paper::{Ink, Paper};
use crate::call::Call;
use crate::call::story::{self, Line};
use crate::call::words::Words;
use crate::store::follow::Now;
use crate::store::{Store, StoreError};

const EVERY: Duration = Duration::from_millis(500);

/// Calls that are over and remembered all the same: late news must not tell them from the start again.
const REMEMBERED: usize = 1000;

/// Follows the journal until `stop`, or until nobody reads any more.
///
/// # Errors
/// When the journal cannot be read at the start, or what is told not be written. Later the database may be away
/// for a while.
pub async fn tail(
    store: &Store,
    paper: &Paper,
    whole_calls: bool,
    stop: &CancellationToken,
    mut out: impl Write,
) -> anyhow::Result<()> {
    let (mut seen, open) = store.look().await?;
    let mut followed = Followed::default();
    let mut news = followed.take(open.clone(), &paper.words);
    // What goes on already is told at once.
    news.extend(followed.take(open, &paper.words));
    let mut away = false;
    loop {
        if let Err(e) = write(&mut out, &news, whole_calls, paper) {
            return if e.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(e.into()) };
        }
        if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
            return Ok(());
        }
        news = match store.look_again(seen.clone(), followed.open()).await {
            Ok((now_seen, calls)) => {
                (seen, away) = (now_seen, false);
                followed.take(calls, &paper.words)
            }
            Err(e) if e.is_passing() => {
                say_away(&e, &mut away);
                News::default()
            }
            Err(e) => return Err(e.into()),
        };
    }
}

fn say_away(error: &StoreError, away: &mut bool) {
    if !std::mem::replace(away, true) {
        eprintln!("calljournal: {error}; trying again");
    }
}

fn write(out: &mut impl Write, news: &News, whole_calls: bool, paper: &Paper) -> std::io::Result<()> {
    if whole_calls {
        for call in &news.over {
            writeln!(out, "{}", whole(call, paper))?;
        }
    } else {
        for (who, line) in &news.lines {
            let who = if who.is_empty() { paper.word("unknown") } else { who.clone() };
            let (time, who) =
                (paper.ink(Ink::Dim, &paper.time(line.at)), paper.ink(Ink::Dim, &format!("{who:14}")));
            writeln!(out, "{time}  {who}  {}", line.text)?;
        }
    }
    out.flush()
}

/// A call that is over, in one line.
fn whole(call: &Call, paper: &Paper) -> String {
    let to = call.destination.clone().unwrap_or_else(|| paper.word("unknown"));
    let (ink, result) = result(call, paper);
    let mut said = vec![paper.ink(ink, &result)];
    let by = call.answered_by.as_ref().map(|by| short_party(by, paper));
    said.extend(by.map(|by| paper.with("answered-by", "who", &by)));
    said.extend(call.wait_ms.map(|ms| paper.with("waited", "time", &paper.words.duration(ms))));
    if call.talk_ms > 0 {
        said.push(paper.with("talked", "time", &paper.words.duration(call.talk_ms)));
    }
    said.push(paper.ink(Ink::Dim, &short_id(call)));
    let from = short_party(&call.source, paper);
    format!("{}  {from} → {to}  {}", paper.ink(Ink::Dim, &paper.date(call.started_at)), said.join(" · "))
}

/// What there is to tell after one look.
#[derive(Debug, Default)]
struct News {
    /// Lines of stories with the caller of their call, in order of time.
    lines: Vec<(String, Line)>,
    /// Calls that are over now.
    over: Vec<Call>,
}

impl News {
    fn extend(&mut self, other: News) {
        self.lines.extend(other.lines);
        self.over.extend(other.over);
    }
}

/// The calls that are looked at, by id.
#[derive(Debug, Default)]
struct Followed {
    calls: HashMap<String, Story>,
    /// Those of them that are over, the longest ago first.
    finished: VecDeque<String>,
}

/// How far a call was told.
#[derive(Debug, Default)]
struct Story {
    /// As the last look found it.
    found: Vec<Line>,
    told: Vec<Line>,
    over: bool,
}

impl Followed {
    /// The calls that may have news by themselves: their end is no event.
    fn open(&self) -> Vec<String> {
        self.calls.iter().filter(|(_, story)| !story.over).map(|(id, _)| id.clone()).collect()
    }

    /// Takes in what one look found.
    fn take(&mut self, found: Vec<Now>, words: &Words) -> News {
        let mut news = News::default();
        // What was looked for and is not there any more was deleted, or is part of another call.
        let there: HashSet<String> = found.iter().map(|now| now.call.id.to_string()).collect();
        for Now { call, over } in found {
            let id = call.id.to_string();
            let mut story = self.calls.remove(&id).unwrap_or_default();
            // What two calls were told of is told of the one that they are now.
            for other in call.ids.iter().filter(|other| **other != call.id) {
                let other = self.calls.remove(&other.to_string()).unwrap_or_default();
                story.found.extend(other.found);
                story.told.extend(other.told);
            }
            let lines = story::tell_in(&call, words);
            let fresh = lines.iter().filter(|line| !story.told.contains(line));
            let fresh: Vec<Line> = fresh.filter(|line| over || story.found.contains(line)).cloned().collect();
            let who = call.source.number.clone().or(call.source.name.clone()).unwrap_or_default();
            news.lines.extend(fresh.iter().map(|line| (who.clone(), line.clone())));
            story.told.extend(fresh);
            story.found = lines;
            if over && !story.over {
                self.finished.push_back(id.clone());
                news.over.push(call);
            }
            story.over = over;
            self.calls.insert(id, story);
        }
        self.calls.retain(|id, story| story.over || there.contains(id));
        self.forget();
        news.lines.sort_by_key(|(_, line)| line.at);
        news.over.sort_by_key(|call| (call.ended_at, call.started_at));
        news
    }

    fn forget(&mut self) {
        while self.finished.len() > REMEMBERED {
            let Some(id) = self.finished.pop_front() else { return };
            if self.calls.get(&id).is_some_and(|story| story.over) {
                self.calls.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::call::words::Language;

    fn texts(news: &News) -> Vec<&str> {
        news.lines.iter().map(|(_, line)| line.text.as_str()).collect()
    }

    #[test]
    fn a_line_is_told_once_and_when_it_stands() {
        let paper = Paper::plain(Language::En);
        let mut followed = Followed::default();
        let whole = sample::transferred();
        let begun = Call { legs: Vec::new(), transfers: Vec::new(), ended_at: None, ..whole.clone() };
        let now = |call: &Call, over| vec![Now { call: call.clone(), over }];
        assert!(texts(&followed.take(now(&begun, false), &paper.words)).is_empty());
        let told = followed.take(now(&begun, false), &paper.words);
        assert_eq!(texts(&told), ["Call from Ivan (+79190000000) on 73512020318"]);
        assert!(texts(&followed.take(now(&begun, false), &paper.words)).is_empty());
        assert_eq!(followed.open().len(), 1);

        let told = followed.take(now(&whole, true), &paper.words);
        assert_eq!(texts(&told)[..2], ["sales rang: 102", "102 answered after 6 s"]);
        assert_eq!((told.over.len(), followed.open().len()), (1, 0));
        let told = followed.take(now(&whole, true), &paper.words);
        assert!(told.lines.is_empty() && told.over.is_empty());
    }

    #[test]
    fn what_is_over_is_one_line() {
        assert_eq!(
            whole(&sample::transferred(), &Paper::plain(Language::Ru)),
            "2026-11-22 23:38:43  +79190000000 → 73512020318  Отвечен, с переводом · ответ: 102 · \
             ожидание 6 с · разговор 2 мин 31 с · 01a205a0-53b8-8000-9d82"
        );
    }
}
