//! The times that people type: `today`, `2026-11-23`, `14:30`, `2h`.
//!
//! Pure: the present and the zone are handed in. A day is as long as it is there: 23 or 25 hours where clocks
//! are changed.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, Zoned};

/// What can be typed, for errors and the help.
pub const POSSIBLE: &str = "today, yesterday, a date (2026-11-23), a time of today (14:30), both \
(\"2026-11-23 14:30\"), how long ago (30min, 2h, 7d, 1w), or a time with an offset (2026-11-23T14:30:00+05:00)";

/// Which end of a day or a minute is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// Where it begins: for `--since`.
    Begin,
    /// Where it is over: for `--until`.
    End,
}

/// The time that `text` names at `now`, in the zone of `now`.
///
/// # Errors
/// A sentence that says what is possible.
pub fn parse(text: &str, now: &Zoned, edge: Edge) -> Result<Timestamp, String> {
    let text = text.trim();
    let word = text.to_lowercase();
    let day = match word.as_str() {
        "now" | "сейчас" => return Ok(now.timestamp()),
        "today" | "сегодня" => Some(now.date()),
        "yesterday" | "вчера" => now.date().yesterday().ok(),
        _ => text.parse::<Date>().ok().filter(|_| text.len() == 10),
    };
    let zone = now.time_zone();
    let found = if let Some(day) = day {
        let day = if edge == Edge::End { day.tomorrow().ok() } else { Some(day) };
        day.and_then(|day| at(day.to_datetime(Time::midnight()), zone))
    } else if let Some(ago) = ago(&word) {
        now.checked_sub(ago).ok().map(|then| then.timestamp())
    } else if let Ok(exact) = text.parse::<Timestamp>() {
        Some(exact)
    } else if let Some((time, unit)) = time(text) {
        moment(now.date(), time, unit, edge, zone)
    } else {
        let (day, rest) = text.split_once([' ', 'T']).unwrap_or_default();
        let day = day.parse::<Date>().ok().filter(|_| day.len() == 10);
        day.zip(time(rest)).and_then(|(day, (time, unit))| moment(day, time, unit, edge, zone))
    };
    found.ok_or_else(|| format!("{text:?} is no time; possible are {POSSIBLE}"))
}

/// `14:30` or `14:30:05`, and how long the minute or second is that it names.
fn time(text: &str) -> Option<(Time, Span)> {
    let unit = match text.len() {
        5 => 1.minute(),
        8 => 1.second(),
        _ => return None,
    };
    Some((text.parse().ok()?, unit)).filter(|_| text.contains(':'))
}

fn moment(day: Date, time: Time, unit: Span, edge: Edge, zone: &TimeZone) -> Option<Timestamp> {
    let begin = at(day.to_datetime(time), zone)?;
    match edge {
        Edge::Begin => Some(begin),
        Edge::End => begin.checked_add(unit).ok(),
    }
}

/// Of a time that a change of clocks leaves out or has twice, the first that is there.
fn at(when: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    zone.to_ambiguous_zoned(when).compatible().ok().map(|zoned| zoned.timestamp())
}

/// `2h`, `30min`, `7d`; days and weeks are those of the calendar.
fn ago(word: &str) -> Option<Span> {
    let digits = word.find(|c: char| !c.is_ascii_digit()).filter(|&at| at > 0)?;
    let count: i64 = word[..digits].parse().ok().filter(|count| *count < 1_000_000)?;
    match word[digits..].trim() {
        "s" | "sec" | "с" => Some(count.seconds()),
        "m" | "min" | "мин" => Some(count.minutes()),
        "h" | "ч" => Some(count.hours()),
        "d" | "д" => Span::new().try_days(count).ok(),
        "w" | "нед" => Span::new().try_weeks(count).ok(),
        _ => None,
    }
}

/// How long something takes: `30s`, `5min`, `2h`.
///
/// # Errors
/// A sentence that says what is possible.
pub fn length(text: &str) -> Result<std::time::Duration, String> {
    let span = ago(&text.trim().to_lowercase()).and_then(|span| std::time::Duration::try_from(span).ok());
    span.filter(|span| !span.is_zero())
        .ok_or_else(|| format!("{text:?} is no length of time: write 30s, 5min or 2h"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn berlin(now: &str) -> Zoned {
        now.parse::<DateTime>().unwrap().in_tz("Europe/Berlin").unwrap()
    }

    fn local(text: &str, now: &str, edge: Edge) -> String {
        let at = parse(text, &berlin(now), edge).unwrap();
        at.to_zoned(TimeZone::get("Europe/Berlin").unwrap()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    #[test]
    fn a_day_is_meant_from_its_begin_to_its_end() {
        let now = "2026-11-23T15:00:00";
        for (text, begin, end) in [
            ("today", "2026-11-23 00:00:00", "2026-11-24 00:00:00"),
            ("вчера", "2026-11-22 00:00:00", "2026-11-23 00:00:00"),
            ("2026-11-01", "2026-11-01 00:00:00", "2026-11-02 00:00:00"),
            ("14:30", "2026-11-23 14:30:00", "2026-11-23 14:31:00"),
            ("2026-11-01 14:30:05", "2026-11-01 14:30:05", "2026-11-01 14:30:06"),
            ("2026-11-01T14:30", "2026-11-01 14:30:00", "2026-11-01 14:31:00"),
            ("2026-11-01T14:30:00Z", "2026-11-01 15:30:00", "2026-11-01 15:30:00"),
            ("2h", "2026-11-23 13:00:00", "2026-11-23 13:00:00"),
            ("30 мин", "2026-11-23 14:30:00", "2026-11-23 14:30:00"),
            ("1w", "2026-11-16 15:00:00", "2026-11-16 15:00:00"),
            ("now", "2026-11-23 15:00:00", "2026-11-23 15:00:00"),
        ] {
            assert_eq!(local(text, now, Edge::Begin), begin, "{text}");
            assert_eq!(local(text, now, Edge::End), end, "{text}");
        }
    }

    #[test]
    fn the_day_on_which_clocks_are_changed_is_whole() {
        let now = berlin("2026-10-25T12:00:00");
        let length = |text| {
            let edge = |edge| parse(text, &now, edge).unwrap();
            edge(Edge::End).duration_since(edge(Edge::Begin)).as_hours()
        };
        assert_eq!((length("2026-10-25"), length("2026-03-29"), length("yesterday")), (25, 23, 24));
        // Two in the morning is there twice, or not at all.
        assert_eq!(local("02:30", "2026-10-25T12:00:00", Edge::Begin), "2026-10-25 02:30:00");
        assert_eq!(local("02:30", "2026-03-29T12:00:00", Edge::Begin), "2026-03-29 03:30:00");
        assert_eq!(local("1d", "2026-03-29T12:00:00", Edge::Begin), "2026-03-28 12:00:00");
    }

    #[test]
    fn a_length_is_exact() {
        assert_eq!(length("5min"), Ok(std::time::Duration::from_secs(300)));
        for text in ["", "0s", "5", "2 moons"] {
            assert!(length(text).unwrap_err().contains("5min"), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_told_what_would_be_one() {
        for text in
            ["", "tomorrow-ish", "2026-13-01", "25:00", "2x", "h", "20261123", "99999999999999h", "-2h"]
        {
            let refused = parse(text, &berlin("2026-11-23T15:00:00"), Edge::Begin).unwrap_err();
            assert!(refused.contains("yesterday"), "{text}: {refused}");
        }
    }
}
