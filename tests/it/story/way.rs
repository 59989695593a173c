//! What is done with a caller on the way, as people read it: menus, queues, voicemail, and phones that send him on.

use calljournal::call::Numbering;

use super::{at, call_by, reads, reads_so};
use crate::server::Telling;

pub fn comes_in() -> Telling {
    at(0, "start", "0", 1, &["dir=in", "trunk=73512020318", "exten=73512020318", "num=79190000000"])
}

/// A step of the caller's.
fn step(ms: u64, seq: u32, facts: &[&str]) -> Telling {
    at(ms, "note", "0", seq, facts)
}

/// An event of a channel that has a name of its own.
pub fn on(chan: &str, kind: &'static str, serial: u64, seq: u32, ms: u64, facts: &[&str]) -> Telling {
    let uid = format!("1795390723.{serial}");
    let mut telling = Telling::new(kind, &uid, super::CALLER, seq, super::START + ms, facts);
    telling.arguments.retain(|argument| !argument.starts_with("chan="));
    telling.arguments.push(format!("chan={chan}"));
    telling
}

/// The caller's end, by himself or by the dialplan.
pub fn ends(ms: u64, seq: u32, source: &str, more: &[&str]) -> Telling {
    let source = format!("hangupsource={source}");
    let mut facts = vec!["cause=16", source.as_str()];
    facts.extend(more);
    on(CALLER, "hangup", 0, seq, ms, &facts)
}

pub const CALLER: &str = "PJSIP%2F1795390723.0";
/// 101 a second time.
const AGAIN: &str = "PJSIP%2F101-00000008";
pub const PBX: &str = "dialplan%2Fbuiltin";

#[test]
fn a_caller_who_gives_up_in_a_queue() {
    reads(
        &[
            comes_in(),
            step(100, 2, &["step=queue", "name=support", "position=3"]),
            at(200, "ring", "1", 1, &["group=support"]),
            at(42_050, "hangup", "1", 2, &["state=Ringing"]),
            ends(42_100, 3, CALLER, &[]),
        ],
        &[
            "Call from 79190000000 on 73512020318",
            "Joined the queue support as number 3",
            "101 rang",
            "The caller gave up after 42 s in the queue support",
        ],
        &[
            "Входящий звонок на линию 73512020318: 79190000000",
            "Звонящий встаёт в очередь support под номером 3",
            "Вызывается 101",
            "Звонящий кладёт трубку через 42 с в очереди support, не дождавшись ответа",
        ],
    );
}

#[test]
fn an_agent_who_is_rung_again_and_again_until_he_answers() {
    reads(
        &[
            comes_in(),
            step(100, 2, &["step=queue", "name=support", "position=1"]),
            at(200, "ring", "1", 1, &["group=support"]),
            at(1_000, "hangup", "1", 2, &["cause=21"]),
            at(2_200, "ring", "2", 1, &["group=support"]),
            at(7_200, "hangup", "2", 2, &["state=Ringing"]),
            on(AGAIN, "ring", 9, 1, 7_300, &["group=support", "caller=1795390723.0"]),
            on(AGAIN, "hangup", 9, 2, 8_000, &["cause=21"]),
            on(AGAIN, "ring", 8, 1, 8_200, &["group=support", "caller=1795390723.0"]),
            on(AGAIN, "answer", 8, 2, 11_200, &["caller=1795390723.0"]),
            on(AGAIN, "hangup", 8, 3, 20_200, &["cause=16"]),
            ends(20_210, 3, CALLER, &[]),
        ],
        &[
            "Call from 79190000000 on 73512020318",
            "Joined the queue support",
            "101 rang",
            "101 declined",
            "102 rang",
            "102 did not answer for 5 s",
            "Waited 11 s in the queue support",
            "Rang repeatedly: 101 3 times",
            "101 answered after 3 s",
            "Ended by the caller after 9 s",
        ],
        &[
            "Входящий звонок на линию 73512020318: 79190000000",
            "Звонящий встаёт в очередь support",
            "Вызывается 101",
            "101 отклоняет звонок",
            "Вызывается 102",
            "102 не отвечает 5 с",
            "Ожидание в очереди support: 11 с",
            "Вызов повторялся: 101 3 раза",
            "101 отвечает через 3 с",
            "Звонящий кладёт трубку через 9 с после ответа",
        ],
    );
}

#[test]
fn a_menu_a_queue_where_nobody_comes_and_a_message() {
    reads(
        &[
            comes_in(),
            step(100, 2, &["step=menu", "name=MAIN"]),
            step(4_000, 3, &["step=menu", "name=MAIN", "digits=2"]),
            step(4_100, 4, &["step=queue", "name=support", "position=1"]),
            at(4_200, "ring", "1", 1, &["group=support"]),
            at(34_100, "hangup", "1", 2, &["state=Ringing"]),
            step(34_200, 5, &["step=voicemail", "name=101", "queuestatus=TIMEOUT"]),
            ends(60_000, 6, CALLER, &["queuestatus=TIMEOUT", "vmstatus=SUCCESS"]),
        ],
        &[
            "Call from 79190000000 on 73512020318",
            "Chose 2 in the menu MAIN",
            "Joined the queue support",
            "101 rang",
            "Nobody in the queue support answered for 30 s",
            "Left a voicemail for 101",
            "The caller hung up after 1 min",
        ],
        &[
            "Входящий звонок на линию 73512020318: 79190000000",
            "В меню MAIN выбрано 2",
            "Звонящий встаёт в очередь support",
            "Вызывается 101",
            "В очереди support никто не отвечает 30 с",
            "Звонящий оставляет сообщение на автоответчике 101",
            "Звонящий кладёт трубку через 1 мин",
        ],
    );
}

#[test]
fn menus_in_which_nothing_was_chosen() {
    reads(
        &[
            comes_in(),
            step(4_000, 2, &["step=menu", "name=MAIN", "digits=i"]),
            step(9_000, 3, &["step=menu", "name=MAIN", "digits=t"]),
            step(9_100, 4, &["step=announcement", "name=closed"]),
            ends(15_000, 5, PBX, &[]),
        ],
        &[
            "Call from 79190000000 on 73512020318",
            "Pressed what the menu MAIN does not have",
            "Chose nothing in the menu MAIN",
            "Heard the announcement closed",
            "The phone system ended the call after 15 s",
        ],
        &[
            "Входящий звонок на линию 73512020318: 79190000000",
            "Такого пункта в меню MAIN нет",
            "В меню MAIN ничего не выбрано",
            "Звонящий слушает объявление closed",
            "АТС завершает звонок через 15 с",
        ],
    );
}

#[test]
fn steps_without_a_name() {
    reads(
        &[
            comes_in(),
            step(100, 2, &["step=menu"]),
            step(200, 3, &["step=queue"]),
            step(300, 4, &["step=queue", "queuestatus=JOINEMPTY", "name=second"]),
            step(400, 5, &["step=announcement", "queuestatus=FULL"]),
            step(500, 6, &["step=voicemail"]),
            step(600, 7, &["step=conference", "vmstatus=FAILED"]),
            ends(9_000, 8, CALLER, &["vmstatus=FAILED"]),
        ],
        &[
            "Call from 79190000000 on 73512020318",
            "Heard the menu",
            "Nobody was there in the queue",
            "Too many were waiting in the queue second",
            "Heard an announcement",
            "Reached the voicemail and left no message",
            "Entered a conference room",
            "The caller hung up after 9 s",
        ],
        &[
            "Входящий звонок на линию 73512020318: 79190000000",
            "Звонящий слушает меню",
            "В очереди никого нет на месте",
            "В очереди second нет мест",
            "Звонящий слушает объявление",
            "Звонок попадает на автоответчик, сообщения нет",
            "Звонящий входит в конференцию",
            "Звонящий кладёт трубку через 9 с",
        ],
    );
}

#[test]
fn a_phone_that_sends_its_caller_on() {
    let local = "Local%2F105%40from-internal-00000001%3B2";
    reads(
        &[
            comes_in(),
            at(100, "ring", "1", 1, &[]),
            at(500, "hangup", "1", 2, &["cause=23"]),
            on(local, "start", 8, 1, 520, &["exten=105", "caller=1795390723.0"]),
            at(600, "ring", "3", 1, &[]),
            at(3_600, "answer", "3", 2, &[]),
            at(9_600, "hangup", "3", 3, &["cause=16"]),
            on(local, "hangup", 8, 2, 9_601, &[]),
            ends(9_610, 2, CALLER, &[]),
        ],
        &[
            "Call from 79190000000 on 73512020318",
            "101 rang",
            "101 sent the call on to 105",
            "105 rang",
            "105 answered after 3 s",
            "Ended by the caller after 6 s",
        ],
        &[
            "Входящий звонок на линию 73512020318: 79190000000",
            "Вызывается 101",
            "101 переадресует звонок на 105",
            "Вызывается 105",
            "105 отвечает через 3 с",
            "Звонящий кладёт трубку через 6 с после ответа",
        ],
    );
}

#[test]
fn a_phone_that_sends_its_caller_on_to_where_nobody_tells() {
    let told = [
        comes_in(),
        at(100, "ring", "1", 1, &[]),
        at(500, "hangup", "1", 2, &["cause=23"]),
        ends(900, 2, PBX, &[]),
    ];
    let lines = |locale| calljournal::call::story::tell(&super::call(&told), locale);
    assert_eq!(lines("en")[2].text, "101 sent the call on to another number");
    assert_eq!(lines("ru")[2].text, "101 переадресует звонок на другой номер");
}

#[test]
fn who_puts_the_call_on_hold_and_takes_it_back() {
    let on_hold = |ms, seq, how: &str| at(ms, "note", "1", seq, &[&format!("hold={how}")]);
    let told = [
        comes_in(),
        at(100, "ring", "1", 1, &[]),
        at(3_100, "answer", "1", 2, &[]),
        on_hold(10_000, 3, "on"),
        on_hold(45_000, 4, "off"),
        on_hold(50_000, 5, "on"),
    ];
    let lines = |locale| calljournal::call::story::tell(&super::call(&told), locale);
    assert_eq!(lines("en")[3].text, "101 put the call on hold for 35 s");
    assert_eq!(lines("en")[4].text, "101 put the call on hold");
    assert_eq!(lines("ru")[3].text, "101 ставит звонок на удержание (35 с)");
    assert_eq!(lines("ru")[4].text, "101 ставит звонок на удержание");
}

/// Ten agents, an hour, nobody answers.
#[test]
fn an_hour_in_a_queue_is_as_short_as_a_minute() {
    let mut told = vec![comes_in(), step(100, 2, &["step=queue", "name=support", "position=1"])];
    for round in 0..180 {
        for agent in 0..10 {
            let (serial, chan) = (10 + round * 10 + agent, format!("PJSIP%2F{}-{round:08x}", 101 + agent));
            let (began, facts) = (200 + round * 20_000, ["group=support", "caller=1795390723.0"]);
            told.push(on(&chan, "ring", serial, 1, began, &facts));
            told.push(on(&chan, "hangup", serial, 2, began + 15_000, &[]));
        }
    }
    told.push(ends(3_600_000, 3, CALLER, &[]));
    let begun = std::time::Instant::now();
    let call = super::call(&told);
    let lines = calljournal::call::story::tell(&call, "en");
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    let lines: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(lines.len(), 5, "{lines:#?}");
    assert!(lines[3].starts_with("Rang repeatedly: 101 180 times, 102 180 times, "), "{}", lines[3]);
    assert_eq!(lines[4], "The caller gave up after 1 h in the queue support");
}

#[test]
fn a_number_that_is_tried_on_two_lines() {
    let lines = [("PJSIP/a-*", "the first line"), ("PJSIP/b-*", "the second line")];
    let lines = lines.map(|(channel, name)| (channel.to_owned(), name.to_owned()));
    let numbering = Numbering::new([], lines).unwrap();
    let outside = ["num=79161112233", "caller=1795390723.0"];
    let tellings = [
        at(0, "start", "0", 1, &["dir=out", "num=101", "exten=79161112233"]),
        on("PJSIP%2Fa-00000001", "ring", 1, 1, 50, &outside),
        on("PJSIP%2Fa-00000001", "hangup", 1, 2, 900, &["cause=34"]),
        on("PJSIP%2Fb-00000002", "ring", 2, 1, 950, &outside),
        on("PJSIP%2Fb-00000002", "answer", 2, 2, 3_950, &outside),
        on("PJSIP%2Fb-00000002", "hangup", 2, 3, 9_950, &["cause=16"]),
        ends(9_960, 2, CALLER, &["dialstatus=ANSWER"]),
    ];
    reads_so(
        &call_by(&tellings, &numbering),
        &[
            "101 called 79161112233",
            "79161112233 rang",
            "79161112233 could not be reached on the first line",
            "79161112233 rang",
            "79161112233 answered after 3 s",
            "Ended by the caller after 6 s",
        ],
        &[
            "101 звонит на 79161112233",
            "Вызывается 79161112233",
            "79161112233: дозвониться через the first line не удалось",
            "Вызывается 79161112233",
            "79161112233 отвечает через 3 с",
            "Звонящий кладёт трубку через 6 с после ответа",
        ],
    );
}
