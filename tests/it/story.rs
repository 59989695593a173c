//! Calls as people read them, in both languages. Each is told from its events, as a dialplan sends them.

mod desk;
mod way;

use calljournal::call::{Call, Numbering, fold, story};
use calljournal::event::{Arrival, Event, Feed};
use jiff::Timestamp;

use crate::recorded::told_of_recorded_calls;
use crate::server::{Telling, plain_call};

const CALLER: &str = "1795390723.0";
const START: u64 = 1_795_390_723_000;

fn event(telling: &Telling) -> Event {
    let arrival =
        Arrival { feed: Feed::Agi, pbx: "test", at: Timestamp::from_second(1_795_400_000).unwrap() };
    let arguments = telling.arguments.iter().map(String::as_bytes);
    Event::from_args(telling.kind.parse().unwrap(), arguments, arrival).unwrap()
}

/// An event of a channel, some milliseconds into the call.
fn at(ms: u64, kind: &'static str, channel: &str, seq: u32, more: &[&str]) -> Telling {
    let uid = format!("1795390723.{channel}");
    let name = ["", "chan=PJSIP%2F101-00000001", "chan=PJSIP%2F102-00000002", "chan=PJSIP%2F105-00000005"];
    let number: usize = channel.parse().unwrap();
    let caller = format!("caller={CALLER}");
    let mut all: Vec<&str> = if number > 0 { vec![&caller] } else { Vec::new() };
    all.extend(more);
    let mut telling = Telling::new(kind, &uid, CALLER, seq, START + ms, &all);
    if let Some(name) = name.get(number).filter(|name| !name.is_empty()) {
        telling.arguments.retain(|argument| !argument.starts_with("chan="));
        telling.arguments.push((*name).to_owned());
    }
    telling
}

fn call(tellings: &[Telling]) -> Call {
    call_by(tellings, &Numbering::default())
}

fn call_by(tellings: &[Telling], numbering: &Numbering) -> Call {
    let events: Vec<Event> = tellings.iter().map(event).collect();
    fold(&events, numbering).unwrap().call
}

#[track_caller]
fn reads(tellings: &[Telling], english: &[&str], russian: &[&str]) {
    reads_so(&call(tellings), english, russian);
}

#[track_caller]
fn reads_so(call: &Call, english: &[&str], russian: &[&str]) {
    let told =
        |locale| -> Vec<String> { story::tell(call, locale).into_iter().map(|line| line.text).collect() };
    assert_eq!(told("en"), english);
    assert_eq!(told("ru"), russian);
}

#[test]
fn an_answered_call() {
    reads(
        &Vec::from(plain_call(0, 1_795_390_723)),
        &[
            "Call from Ivan (79190000000) on 73512020318",
            "101 rang",
            "101 answered after 3 s",
            "Ended by 101 after 6 s",
        ],
        &[
            "Входящий звонок на линию 73512020318: Ivan (79190000000)",
            "Вызывается 101",
            "101 отвечает через 3 с",
            "101 кладёт трубку через 6 с после ответа",
        ],
    );
}

#[test]
fn a_group_of_which_one_answers_and_transfers() {
    let inbound = ["dir=in", "num=%2B79190000000", "name=%D0%98%D0%B2%D0%B0%D0%BD", "trunk=73512020318"];
    let calls = [
        at(0, "start", "0", 1, &inbound),
        at(
            50,
            "ring",
            "1",
            1,
            &["group=%D0%BF%D1%80%D0%BE%D0%B4%D0%B0%D0%B6%D0%B8", "name=%D0%90%D0%BD%D0%BD%D0%B0"],
        ),
        at(60, "ring", "2", 1, &["group=%D0%BF%D1%80%D0%BE%D0%B4%D0%B0%D0%B6%D0%B8"]),
        at(6_000, "hangup", "2", 2, &["cause=26"]),
        at(6_050, "answer", "1", 2, &[]),
        at(60_000, "transfer", "0", 2, &["how=blind", "by=PJSIP%2F101-00000001", "exten=105"]),
        at(60_010, "hangup", "1", 3, &["cause=16"]),
        at(60_100, "ring", "3", 1, &[]),
        at(64_000, "answer", "3", 2, &[]),
        at(
            157_000,
            "hangup",
            "0",
            3,
            &["cause=16", "dialstatus=ANSWER", "hangupsource=PJSIP%2F1795390723.0"],
        ),
        at(157_010, "hangup", "3", 3, &["cause=16"]),
    ];
    reads(
        &calls,
        &[
            "Call from Иван (+79190000000) on 73512020318",
            "продажи rang: Анна (101), 102",
            "Анна (101) answered after 6 s",
            "Анна (101) transferred the call to 105",
            "105 rang",
            "105 answered after 4 s",
            "Ended by the caller after 2 min 31 s",
        ],
        &[
            "Входящий звонок на линию 73512020318: Иван (+79190000000)",
            "Вызываются Анна (101), 102 (группа продажи)",
            "Анна (101) отвечает через 6 с",
            "Анна (101) переводит звонок на 105",
            "Вызывается 105",
            "105 отвечает через 4 с",
            "Звонящий кладёт трубку через 2 мин 31 с после ответа",
        ],
    );
}

#[test]
fn a_call_that_nobody_answered() {
    let calls = [
        at(0, "start", "0", 1, &["dir=in", "exten=73512020318"]),
        at(50, "ring", "1", 1, &[]),
        at(60, "ring", "2", 1, &[]),
        at(900, "hangup", "2", 2, &["cause=17"]),
        at(25_000, "hangup", "1", 2, &["cause=16"]),
        at(25_100, "hangup", "0", 2, &["cause=16", "dialstatus=CANCEL"]),
    ];
    reads(
        &calls,
        &[
            "Call from somebody on 73512020318",
            "101, 102 rang",
            "102 was busy",
            "The caller gave up after 25 s",
        ],
        &[
            "Входящий звонок на линию 73512020318: неизвестный номер",
            "Вызываются 101, 102",
            "102: занято",
            "Звонящий кладёт трубку через 25 с, не дождавшись ответа",
        ],
    );
}

#[test]
fn an_outbound_call_that_was_declined() {
    let calls = [
        at(0, "start", "0", 1, &["dir=out", "num=101", "name=Anna", "exten=89193393655"]),
        at(50, "ring", "8", 1, &["num=89193393655"]),
        at(9_000, "hangup", "8", 2, &["cause=21"]),
        at(9_100, "hangup", "0", 2, &["cause=21", "dialstatus=BUSY", "hangupsource=dialplan%2Fbuiltin"]),
    ];
    reads(
        &calls,
        &[
            "Anna (101) called 89193393655",
            "89193393655 rang",
            "89193393655 declined",
            "The call was not put through",
        ],
        &[
            "Anna (101) звонит на 89193393655",
            "Вызывается 89193393655",
            "89193393655 отклоняет звонок",
            "Соединить не удалось",
        ],
    );
}

#[test]
fn a_recorded_call_that_is_handed_over_after_a_word_and_ended_by_the_pbx() {
    let calls = [
        at(0, "start", "0", 1, &["num=79190000000", "exten=73512020318"]),
        at(20, "record", "0", 2, &["file=2026%2F11%2F22%2Fin-101.wav"]),
        at(50, "ring", "1", 1, &["name=%D0%90%D0%BD%D0%BD%D0%B0"]),
        at(4_050, "answer", "1", 2, &[]),
        at(60_000, "transfer", "0", 3, &["how=attended", "by=PJSIP%2F101-00000001", "exten=102"]),
        at(60_010, "hangup", "1", 3, &["cause=16"]),
        at(60_100, "ring", "2", 1, &[]),
        at(62_100, "answer", "2", 2, &[]),
        at(120_000, "hangup", "2", 3, &["cause=16", "hangupsource=dialplan%2Fbuiltin"]),
        at(120_010, "hangup", "0", 4, &["cause=16", "dialstatus=ANSWER", "hangupsource=dialplan%2Fbuiltin"]),
    ];
    reads(
        &calls,
        &[
            "Call from 79190000000 to 73512020318",
            "Recorded: 2026/11/22/in-101.wav",
            "Анна (101) rang",
            "Анна (101) answered after 4 s",
            "Анна (101) transferred the call to 102 after speaking with them",
            "102 rang",
            "102 answered after 2 s",
            "Ended by the phone system after 1 min 56 s",
        ],
        &[
            "Звонок на 73512020318: 79190000000",
            "Запись разговора: 2026/11/22/in-101.wav",
            "Вызывается Анна (101)",
            "Анна (101) отвечает через 4 с",
            "Анна (101) переводит звонок на 102, сначала поговорив с тем, кто там ответил",
            "Вызывается 102",
            "102 отвечает через 2 с",
            "АТС завершает звонок через 1 мин 56 с после ответа",
        ],
    );
}

#[test]
fn a_call_that_rang_until_the_pbx_gave_up() {
    let calls = [
        at(0, "start", "0", 1, &["dir=in", "num=79190000000", "trunk=73512020318"]),
        at(10, "note", "0", 2, &["text=%D0%92%D0%BD%D0%B5%20%D0%B3%D1%80%D0%B0%D1%84%D0%B8%D0%BA%D0%B0"]),
        at(50, "ring", "1", 1, &[]),
        at(60, "ring", "2", 1, &[]),
        at(900, "hangup", "2", 2, &["cause=20"]),
        at(20_050, "hangup", "1", 2, &["cause=16"]),
        at(20_100, "hangup", "0", 3, &["cause=16", "dialstatus=NOANSWER", "hangupsource=dialplan%2Fbuiltin"]),
    ];
    reads(
        &calls,
        &[
            "Call from 79190000000 on 73512020318",
            "Вне графика",
            "101, 102 rang",
            "102 could not be reached",
            "101 did not answer for 20 s",
            "Nobody answered; the call ended after 20 s",
        ],
        &[
            "Входящий звонок на линию 73512020318: 79190000000",
            "Вне графика",
            "Вызываются 101, 102",
            "102: дозвониться не удалось",
            "101 не отвечает 20 с",
            "Никто не ответил, звонок завершён через 20 с",
        ],
    );
}

#[test]
fn a_call_of_whose_end_nothing_was_heard() {
    let calls = [
        at(0, "start", "0", 1, &["dir=in", "num=79190000000"]),
        at(50, "ring", "1", 1, &[]),
        at(3_050, "answer", "1", 2, &[]),
    ];
    reads_so(
        &Call { end_time_known: false, ..call(&calls) },
        &[
            "Call from 79190000000",
            "101 rang",
            "101 answered after 3 s",
            "Nothing more was heard of this call; when it ended is not known",
        ],
        &[
            "Звонок: 79190000000",
            "Вызывается 101",
            "101 отвечает через 3 с",
            "Больше об этом звонке ничего не известно, в том числе когда он закончился",
        ],
    );
}

#[test]
fn a_call_of_which_nobody_knows_who_ended_it() {
    let calls = Vec::from(plain_call(0, 1_795_390_723));
    let told = Call { hung_up_by: None, ..call(&calls) };
    reads_so(
        &told,
        &[
            "Call from Ivan (79190000000) on 73512020318",
            "101 rang",
            "101 answered after 3 s",
            "Ended after 6 s",
        ],
        &[
            "Входящий звонок на линию 73512020318: Ivan (79190000000)",
            "Вызывается 101",
            "101 отвечает через 3 с",
            "Разговор завершён через 6 с после ответа",
        ],
    );
}

#[test]
fn a_call_whose_phone_falls_off_the_network() {
    let calls = [
        at(0, "start", "0", 1, &["dir=in", "num=79190000000"]),
        at(50, "ring", "1", 1, &[]),
        at(3_050, "answer", "1", 2, &[]),
        at(9_050, "hangup", "0", 2, &["cause=16", "dialstatus=ANSWER"]),
        at(9_051, "hangup", "1", 3, &["cause=44"]),
    ];
    reads(
        &calls,
        &["Call from 79190000000", "101 rang", "101 answered after 3 s", "The connection was lost after 6 s"],
        &["Звонок: 79190000000", "Вызывается 101", "101 отвечает через 3 с", "Связь прервалась через 6 с"],
    );
}

/// Whoever adds a sentence has it read here, or in a recorded call.
#[test]
fn every_sentence_is_read_in_both_languages() {
    let read = concat!(include_str!("story.rs"), include_str!("story/way.rs"), include_str!("story/desk.rs"))
        .to_owned()
        + &told_of_recorded_calls();
    for text in [story::TEXTS.en, story::TEXTS.ru] {
        let lines = text.lines().filter_map(|line| line.split_once(" = "));
        for (name, sentence) in lines.filter(|(name, _)| !name.starts_with(['#', ' '])) {
            // The longest piece that is the same in every call.
            let pieces = sentence.split(['{', '}']).filter(|piece| !piece.contains('$'));
            let piece = pieces.max_by_key(|piece| piece.len()).unwrap().trim();
            assert!(read.contains(piece), "nobody has read {name} = {sentence}");
        }
    }
}
