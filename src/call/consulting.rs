//! Who asked a third one before a call was transferred, or not.
//!
//! There are two kinds of consultation. By a feature code Asterisk makes a Local channel that calls the target. A SIP
//! phone calls the target on a second channel of its own, and only the end of its first one says (`attendedtransfer`)
//! that it connected the two; before that nobody knows that the two calls are one. Where the first one tells nothing, the
//! transfer shows in the target's channel, which goes on in the elder call when the second one has ended. What becomes of
//! a consultation is worked out in `talks.rs`.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use super::Transfer;
use super::fold::{Part, Parts, endpoint, is_number};
use super::legs::Role;

/// A Local channel that Asterisk made for an attended transfer by feature code.
#[derive(Debug, Clone)]
pub(super) struct ByCode {
    /// The name of the channel that consults.
    pub by: String,
    /// The uniqueid of the Local channel.
    pub via: String,
    /// What is told where nothing is known of `by`.
    pub transfer: Transfer,
}

/// Somebody calls a third one while somebody waits. `by`, `via` and `named` are places in `Parts::list`.
pub(super) struct Consulting {
    pub by: usize,
    /// The channel that called the third one.
    pub via: usize,
    /// Whether `via` is a second channel of the phone, and not Asterisk's own.
    pub by_key: bool,
    pub began: Timestamp,
    /// Who was put through by it, where Asterisk named the channel.
    pub named: Option<usize>,
}

/// Each consultation that is known of.
pub(super) fn consultations(parts: &Parts) -> Vec<Consulting> {
    let names: HashMap<&str, usize> =
        parts.list.iter().enumerate().rev().map(|(place, part)| (part.channel.as_str(), place)).collect();
    let by_code =
        parts.by_code.iter().filter_map(|one| Some((*names.get(one.by.as_str())?, parts.place(&one.via)?)));
    let mut by_key: Vec<(usize, usize, Option<usize>)> = parts
        .list
        .iter()
        .enumerate()
        .filter_map(|(first, part)| {
            let named = *names.get(part.farewell.connected.as_deref()?)?;
            Some((first, second_channel(parts, part)?, Some(named)))
        })
        .collect();
    let told: HashSet<usize> = by_key.iter().map(|(_, second, _)| *second).collect();
    let untold: BTreeSet<usize> =
        targets_that_went_on(parts).filter(|second| !told.contains(second)).collect();
    by_key
        .extend(untold.into_iter().filter_map(|second| Some((first_channel(parts, second)?, second, None))));
    let all = by_code
        .map(|(by, via)| (by, via, None, false))
        .chain(by_key.into_iter().map(|(by, via, named)| (by, via, named, true)));
    all.map(|(by, via, named, by_key)| {
        let began = parts.list[via].started;
        Consulting { by, via, by_key, began, named }
    })
    .collect()
}

/// The channels that called somebody who went on in another call when they had ended.
fn targets_that_went_on(parts: &Parts) -> impl Iterator<Item = usize> {
    parts.list.iter().filter_map(|target| {
        let second = parts.place(target.caller.as_deref()?)?;
        let dialled = &parts.list[second];
        let joined = target.joined.as_ref().is_some_and(|joined| *joined != dialled.linkedid);
        let outlived = target.ended.is_none_or(|end| dialled.ended.is_some_and(|before| before < end));
        (joined && outlived && dialled.role == Some(Role::Caller)).then_some(second)
    })
}

/// The channel that the phone of `second` had when it began that one: the last before it. A line is named otherwise than by
/// a number, and its channels are different people.
fn first_channel(parts: &Parts, second: usize) -> Option<usize> {
    let phone = Some(&parts.list[second]).filter(|phone| endpoint(&phone.channel).is_some_and(is_number))?;
    let all = parts.list.iter().enumerate().filter(|(place, first)| {
        *place != second
            && !first.is_plumbing()
            && endpoint(&first.channel) == endpoint(&phone.channel)
            && first.started <= phone.started
            && first.linkedid != phone.linkedid
            && first.ended.is_none_or(|end| end >= phone.started)
    });
    all.max_by_key(|(_, first)| first.started).map(|(place, _)| place)
}

/// The channel on which the phone of `first` called the target: the last that it began while it had the first.
fn second_channel(parts: &Parts, first: &Part) -> Option<usize> {
    let until = first.ended?;
    let all = parts.list.iter().enumerate().filter(|(_, second)| {
        second.role == Some(Role::Caller)
            && endpoint(&second.channel) == endpoint(&first.channel)
            && second.started > first.started
            && second.started <= until
    });
    all.max_by_key(|(_, second)| second.started).map(|(place, _)| place)
}
