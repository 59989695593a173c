//! What a desk does with calls, as people read it: picked up for another phone, parked, made by a click.

use super::way::{CALLER, PBX, comes_in, ends, on};
use super::{at, call, reads};

/// A phone that calls by itself, under a linkedid of its own, and takes what is another's call.
fn of_another(
    kind: &'static str,
    seq: u32,
    ms: u64,
    lid: &str,
    root: &str,
    facts: &[&str],
) -> crate::server::Telling {
    let mut told = on("PJSIP%2F103-00000008", kind, 8, seq, ms, facts);
    for argument in &mut told.arguments {
        if argument.starts_with("lid=") {
            *argument = format!("lid={lid}");
        } else if argument.starts_with("root=") {
            *argument = format!("root={root}");
        }
    }
    told
}

const OWN: &str = "1795390723.8";

#[test]
fn a_call_that_is_picked_up_for_another_phone() {
    let answer = of_another("answer", 1, 2_000, OWN, super::CALLER, &["caller=1795390723.0"]);
    let hangup =
        of_another("hangup", 2, 8_001, super::CALLER, super::CALLER, &["cause=16", "dialedpeernumber=101"]);
    let rest = [comes_in(), answer, hangup, ends(8_010, 2, CALLER, &["dialstatus=ANSWER"])];
    let rang = [at(100, "ring", "1", 1, &[]), at(2_001, "hangup", "1", 2, &["cause=16"])];
    reads(
        &[&rest[..], &rang[..]].concat(),
        &[
            "Call from 79190000000 on 73512020318",
            "101 rang",
            "103 picked up the call that rang at 101",
            "Ended by the caller after 6 s",
        ],
        &[
            "Входящий звонок на линию 73512020318: 79190000000",
            "Вызывается 101",
            "103 перехватывает звонок, который ждал ответа 101",
            "Звонящий кладёт трубку через 6 с после ответа",
        ],
    );
    reads(
        &rest,
        &["Call from 79190000000 on 73512020318", "103 picked up the call", "Ended by the caller after 6 s"],
        &[
            "Входящий звонок на линию 73512020318: 79190000000",
            "103 перехватывает звонок",
            "Звонящий кладёт трубку через 6 с после ответа",
        ],
    );
}

#[test]
fn a_caller_who_is_parked_and_taken_back() {
    reads(
        &[
            comes_in(),
            at(100, "ring", "1", 1, &[]),
            at(1_000, "answer", "1", 2, &[]),
            at(5_000, "hangup", "1", 3, &["cause=16"]),
            of_another("start", 1, 35_000, OWN, OWN, &["exten=701", "num=103"]),
            of_another("note", 2, 35_010, OWN, OWN, &["step=parked", "name=701"]),
            of_another("hangup", 3, 65_001, super::CALLER, OWN, &["cause=16"]),
            ends(65_010, 2, CALLER, &[]),
        ],
        &[
            "Call from 79190000000 on 73512020318",
            "101 rang",
            "101 answered after 1 s",
            "101 parked the call (701)",
            "103 took it back after 30 s",
            "Ended by the caller after 1 min 4 s",
        ],
        &[
            "Входящий звонок на линию 73512020318: 79190000000",
            "Вызывается 101",
            "101 отвечает через 1 с",
            "101 паркует звонок (701)",
            "103 забирает его через 30 с",
            "Звонящий кладёт трубку через 1 мин 4 с после ответа",
        ],
    );
}

#[test]
fn who_dials_a_place_where_nobody_is_parked_takes_nothing() {
    let told = [
        of_another("start", 1, 0, OWN, OWN, &["exten=701", "num=103", "dir=int"]),
        of_another("note", 2, 10, OWN, OWN, &["step=parked", "name=701"]),
        of_another("hangup", 3, 1_000, OWN, OWN, &["cause=16"]),
    ];
    let call = call(&told);
    assert!(call.steps.is_empty() && call.conversations.is_empty(), "{:?}", call.steps);
}

#[test]
fn a_caller_whom_nobody_takes_back() {
    let parked = [
        comes_in(),
        at(100, "ring", "1", 1, &[]),
        at(1_000, "answer", "1", 2, &[]),
        at(5_000, "hangup", "1", 3, &["cause=16"]),
    ];
    let told = [
        at(50_000, "note", "0", 2, &["step=parked", "name=701"]),
        at(50_100, "ring", "2", 1, &[]),
        at(52_100, "answer", "2", 2, &[]),
        at(60_000, "hangup", "2", 3, &["cause=16"]),
        ends(60_010, 3, CALLER, &["parkingspace=701"]),
    ];
    reads(
        &[&parked[..], &told[..]].concat(),
        &[
            "Call from 79190000000 on 73512020318",
            "101 rang",
            "101 answered after 1 s",
            "101 parked the call (701)",
            "Nobody took it back for 45 s: it returned to 101",
            "102 rang",
            "102 answered after 2 s",
            "Ended by the caller after 59 s",
        ],
        &[
            "Входящий звонок на линию 73512020318: 79190000000",
            "Вызывается 101",
            "101 отвечает через 1 с",
            "101 паркует звонок (701)",
            "Никто не забрал его за 45 с, звонок возвращается: 101",
            "Вызывается 102",
            "102 отвечает через 2 с",
            "Звонящий кладёт трубку через 59 с после ответа",
        ],
    );
    // The way back was Asterisk's own, and nobody told of it.
    let untold = [ends(60_010, 2, CALLER, &["parkingspace=701"])];
    let lines = |locale| calljournal::call::story::tell(&call(&[&parked[..], &untold[..]].concat()), locale);
    assert_eq!(lines("en")[4].text, "Nobody took it back: it returned to 101");
    assert_eq!(lines("ru")[4].text, "Никто его не забрал, звонок возвращается: 101");
}

/// The caller ID is the number that is to be called: phones show it while they ring.
#[test]
fn a_call_made_by_a_click() {
    let made = |born: &str| {
        let facts = ["exten=102", "num=102", "name=Boris", "state=Up", "origin=-", born, "dir=int"];
        [
            on("PJSIP%2F101-00000000", "start", 0, 1, 4_000, &facts),
            at(4_100, "ring", "2", 1, &[]),
            at(9_100, "answer", "2", 2, &[]),
            on("PJSIP%2F101-00000000", "hangup", 0, 2, 20_000, &["hangupsource=PJSIP%2F101-00000000"]),
            at(20_001, "hangup", "2", 3, &[]),
        ]
    };
    reads(
        &made("born=1795390723.500000"),
        &[
            "101 called 102",
            "The phone of 101 rang first, and was picked up after 4 s",
            "102 rang",
            "102 answered after 5 s",
            "Ended by the caller after 11 s",
        ],
        &[
            "101 звонит на 102",
            "Сначала звонит телефон звонящего: 101 отвечает через 4 с",
            "Вызывается 102",
            "102 отвечает через 5 с",
            "Звонящий кладёт трубку через 11 с после ответа",
        ],
    );
    let lines = |locale| calljournal::call::story::tell(&call(&made("born=")), locale);
    assert_eq!(lines("en")[1].text, "The phone of 101 rang first");
    assert_eq!(lines("ru")[1].text, "Сначала звонит телефон звонящего: 101");
    assert_eq!(call(&made("born=")).source.name, None);
}

#[test]
fn a_hangup_of_the_dialplan_in_a_conference() {
    reads(
        &[comes_in(), at(100, "note", "0", 2, &["step=conference", "name=sales"]), ends(9_000, 3, PBX, &[])],
        &[
            "Call from 79190000000 on 73512020318",
            "Entered the conference room sales",
            "The phone system ended the call after 9 s",
        ],
        &[
            "Входящий звонок на линию 73512020318: 79190000000",
            "Звонящий входит в конференцию sales",
            "АТС завершает звонок через 9 с",
        ],
    );
}
