//! The administrator's own request: url, headers and body are templates, over what the standard format tells.
//!
//! A template is sandboxed: it reads no files and no other templates, its work and its output are bounded, and what is
//! not there is an error that names the place, never an empty text. Whatever a caller calls himself, he can break out
//! of neither the address (each value in it is percent-encoded) nor a header; in a body the author quotes for whatever
//! the body is, with `tojson`, `urlencode` or `escape`, and JSON that is none is not sent.

use std::fmt::Write;
use std::io;

use jiff::Timestamp;
use minijinja::value::{Kwargs, Serde};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior, Value, context, filters,
};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::{Heard, Letter, Message, Step, Task, USER_AGENT};
use crate::config::Endpoint;

/// Steps of work that one template may take.
const FUEL: u64 = 100_000;

/// Most bytes that a body, a header's value and an address may come to.
const MOST_BODY: usize = 256 * 1024;
const MOST_HEADER: usize = 8 * 1024;
const MOST_URL: usize = 8 * 1024;

/// The call on which templates are tried.
const TRIAL: &str = include_str!("../../asset/trial-call.json");

/// What a template knows.
const NAMES: [&str; 5] = ["notice", "call", "about", "story", "endpoint"];

/// Methods of a request.
const METHODS: [&str; 5] = ["POST", "PUT", "PATCH", "GET", "DELETE"];

/// Headers that belong to who sends.
const NOT_YOURS: [&str; 6] =
    ["host", "content-length", "transfer-encoding", "connection", "upgrade", "proxy-authorization"];

/// What stays as it is of a value in an address.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What no address may hold as it is, whoever wrote it.
const NOT_IN_URL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// One of the templates of an endpoint.
#[derive(Clone, Copy)]
struct Template<'a> {
    /// Which one, for a person.
    part: &'a str,
    source: &'a str,
    /// Most bytes that may come out.
    most: usize,
    /// Whether each value is percent-encoded.
    in_url: bool,
}

pub(super) fn next(task: &Task<'_>) -> Result<Step, String> {
    let Task { endpoint, letter, .. } = task;
    write(endpoint, letter).map_err(|why| format!("[[notify]] {:?}: {why}", endpoint.name))
}

fn write(endpoint: &Endpoint, letter: &Letter) -> Result<Step, String> {
    // It carries no call. Whoever wants it all the same has named it.
    if letter.kind == "call.merged" && !endpoint.notices.contains(&letter.kind) {
        return Ok(Step::Nothing("a merge has no call to write of; name call.merged in notices to get it"));
    }
    let known = known(endpoint, letter);
    let render = |template: Template<'_>| template.render(&known);
    let mut headers = Vec::new();
    for (name, source) in &endpoint.headers {
        let value = render(Template::header(name, source))?;
        // No value may begin a line of its own.
        let value = value.replace(|c: char| c.is_control(), " ").trim().to_owned();
        headers.push((name.to_ascii_lowercase(), value));
    }
    let body = endpoint.body.as_deref().map(|source| render(Template::body(source))).transpose()?;
    for (name, value) in [("content-type", "application/json"), ("user-agent", USER_AGENT)] {
        if !headers.iter().any(|(have, _)| have == name) && (name != "content-type" || body.is_some()) {
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    let json = headers.iter().any(|(name, value)| name == "content-type" && value.contains("json"));
    if let Some(why) = body.as_deref().filter(|_| json).and_then(not_json) {
        return Err(format!("the body came out as no JSON: {why}; quote values with tojson"));
    }
    let url = render(Template::url(&endpoint.url))?;
    Ok(Step::Send(Message {
        method: endpoint.method.as_deref().unwrap_or(METHODS[0]).to_ascii_uppercase(),
        url: utf8_percent_encode(url.trim(), NOT_IN_URL).to_string(),
        headers,
        body: body.unwrap_or_default(),
    }))
}

/// The status says all.
pub(super) fn heard() -> Heard {
    Heard::default()
}

/// What can be seen to be wrong before any call: each in a sentence that says what to do.
pub(super) fn complaints(endpoint: &Endpoint) -> Vec<String> {
    let headers = endpoint.headers.iter().map(|(name, source)| Template::header(name, source));
    let body = endpoint.body.iter().map(|source| Template::body(source));
    let templates = [Template::url(&endpoint.url)].into_iter().chain(headers).chain(body);
    let mut complaints: Vec<String> = templates.filter_map(|template| template.complaint()).collect();
    let host = endpoint
        .url
        .split_once("://")
        .map_or("", |(_, rest)| rest.split(['/', '?']).next().unwrap_or_default());
    if host.contains("{{") || host.contains("{%") {
        complaints.push("url: the host must be written out, or a caller could choose who is told".to_owned());
    }
    for name in endpoint.headers.keys() {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(plain) {
            complaints.push(format!("headers: {name:?} is no name of a header"));
        } else if NOT_YOURS.contains(&name.to_ascii_lowercase().as_str()) {
            complaints.push(format!("headers: {name} is set by who sends; leave it out"));
        }
    }
    let method = endpoint.method.as_deref().unwrap_or(METHODS[0]).to_ascii_uppercase();
    if !METHODS.contains(&method.as_str()) {
        complaints.push(format!("method: there are {}", METHODS.join(", ")));
    }
    // A merge is no call, nor is a feed, and what it is about no trial can say.
    if complaints.is_empty() && endpoint.notices.iter().all(|kind| super::has_a_call(kind)) {
        complaints.extend(trial(endpoint));
    }
    complaints
}

/// What goes wrong with an answered call and with a missed one, told by a caller who calls himself what he likes.
fn trial(endpoint: &Endpoint) -> Option<String> {
    let answered: serde_json::Value = serde_json::from_str(TRIAL).ok()?;
    let mut missed = answered.clone();
    for unknown in ["answered_at", "answered_by", "queue", "queue_wait_ms", "org"] {
        missed[unknown] = serde_json::Value::Null;
    }
    for none in ["conversations", "transfers", "steps", "remarks"] {
        missed[none] = json!([]);
    }
    missed["disposition"] = json!("NO ANSWER");
    let kind = endpoint.notices.first().map_or("call.ended", String::as_str);
    let created = Timestamp::UNIX_EPOCH;
    let story = json!([{ "at": created, "text": "A call came in." }]);
    [answered, missed].into_iter().find_map(|call| {
        let body = json!({ "type": kind, "data": call, "story": { "en": story, "ru": story } });
        let letter = Letter { id: "trial".into(), call: "trial".into(), kind: kind.into(), created, body };
        let why = write(endpoint, &letter).err()?;
        // It depends on the notice.
        (!why.contains(": about")).then(|| format!("tried on a call: {why}"))
    })
}

/// What a template may speak of.
fn known(endpoint: &Endpoint, letter: &Letter) -> Value {
    let body = &letter.body;
    let language = endpoint.locale.as_deref().unwrap_or("en");
    let story = [&body["story"][language], &body["story"]["en"], &body["story"]];
    let story = story.into_iter().find(|story| story.is_array());
    context! {
        notice => context! { id => &letter.id, type => &letter.kind, timestamp => letter.created.to_string() },
        call => told_value(&body["data"]),
        about => told_value(&body["about"]),
        story => story.map_or_else(|| Value::from(Vec::<String>::new()), told_value),
        endpoint => &endpoint.name,
    }
}

fn told_value(value: &serde_json::Value) -> Value {
    Value::from(Serde(value))
}

fn not_json(body: &str) -> Option<String> {
    serde_json::from_str::<serde::de::IgnoredAny>(body).err().map(|error| error.to_string())
}

impl<'a> Template<'a> {
    fn url(source: &'a str) -> Template<'a> {
        Template { part: "url", source, most: MOST_URL, in_url: true }
    }

    fn header(name: &'a str, source: &'a str) -> Template<'a> {
        Template { part: name, source, most: MOST_HEADER, in_url: false }
    }

    fn body(source: &'a str) -> Template<'a> {
        Template { part: "body", source, most: MOST_BODY, in_url: false }
    }

    fn render(&self, known: &Value) -> Result<String, String> {
        let environment = self.environment();
        let template = environment.template_from_str(self.source).map_err(|e| self.explain(&e))?;
        let mut bounded = Bounded { text: Vec::new(), most: self.most, full: false };
        let done = template.render_captured_to(known, &mut bounded).map(drop);
        if bounded.full {
            return Err(format!("{}: what comes out is longer than {} bytes", self.part, self.most));
        }
        done.map_err(|e| self.explain(&e))?;
        Ok(String::from_utf8_lossy(&bounded.text).into_owned())
    }

    fn environment(&self) -> Environment<'a> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(50);
        // Only so are errors told with their place.
        environment.set_debug(true);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        // The engine's own take what is not there for null, or for an empty text.
        for name in ["tojson", "json"] {
            environment.add_filter(name, |value: &Value, indent: Option<Value>, more: Kwargs| {
                filters::tojson(there(value)?, indent, more)
            });
        }
        for name in ["escape", "e"] {
            environment.add_filter(name, |state: &mut State<'_, '_>, value: &Value| {
                filters::escape(state, there(value)?)
            });
        }
        let in_url = self.in_url;
        environment.add_filter("urlencode", move |value: &Value| match in_url {
            // Each value in an address is encoded once, at the end.
            true => there(value).cloned(),
            false => filters::urlencode(there(value)?).map(Value::from),
        });
        environment.set_formatter(move |out, _, value| {
            if value.is_none() {
                return Ok(());
            }
            let text = value.to_string();
            let written = if in_url { out.write_str(&encoded(&text)) } else { out.write_str(&text) };
            written.map_err(Error::from)
        });
        environment
    }

    /// What cannot work about it, whatever the call.
    fn complaint(&self) -> Option<String> {
        let environment = self.environment();
        let template = match environment.template_from_str(self.source) {
            Ok(template) => template,
            Err(error) => return Some(self.explain(&error)),
        };
        let built_in = |name: &String| environment.globals().any(|(global, _)| global == name);
        let unknown = template.undeclared_variables(false);
        let mut unknown: Vec<&String> =
            unknown.iter().filter(|name| !NAMES.contains(&name.as_str()) && !built_in(name)).collect();
        unknown.sort();
        let unknown = unknown.first()?;
        Some(format!("{}: there is no {unknown}; there are {}", self.part, NAMES.join(", ")))
    }

    /// What stands there, from its first name on: of an attribute the engine names the end alone, of a filter its name.
    fn expression(&self, range: std::ops::Range<usize>) -> Option<&'a str> {
        let before = self.source.get(..range.start)?;
        let name = |c: char| c.is_alphanumeric() || "_.".contains(c);
        let mut start = before.trim_end_matches(name).len();
        if before.trim_end().ends_with('|') {
            start = before.rfind("{{").max(before.rfind("{%")).map_or(start, |tag| tag + 2);
        }
        self.source.get(start..range.end).map(str::trim)
    }

    /// Where it is, and what it is about.
    fn explain(&self, error: &Error) -> String {
        let mut text = self.part.to_owned();
        if let Some(line) = error.line() {
            let _ = write!(text, ", line {line}");
        }
        let expression = error.range().and_then(|range| self.expression(range));
        let expression = expression.map(|e| e.chars().take(80).collect::<String>());
        let _ = match (error.kind(), expression) {
            (ErrorKind::UndefinedError, Some(what)) => write!(text, ": {what} is not there"),
            (ErrorKind::OutOfFuel, _) => write!(text, ": it works too long"),
            (kind, Some(what)) => {
                write!(text, ": {}: {what}", error.detail().map_or(kind.to_string(), ToOwned::to_owned))
            }
            (kind, None) => write!(text, ": {}", error.detail().map_or(kind.to_string(), ToOwned::to_owned)),
        };
        text
    }
}

fn there(value: &Value) -> Result<&Value, Error> {
    if value.is_undefined() { Err(ErrorKind::UndefinedError.into()) } else { Ok(value) }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// Takes no more than so many bytes.
struct Bounded {
    text: Vec<u8>,
    most: usize,
    full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() > self.most {
            self.full = true;
            return Err(io::Error::other("too long"));
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::sample::{self, Post, ended, incoming, letter, merged, rung, talking};
    use super::*;
    use crate::config::Format;
    use proptest::prelude::*;

    /// As hostile as a caller's name gets.
    const NAME: &str =
        "O'Brien \"Bob\" {{ 7 * 7 }} {% raw %} <b>&amp;\r\nX-Evil: 1\u{0}\u{1b}[31m ${PATH} \u{202e}я";

    fn endpoint(url: &str, headers: &[(&str, &str)], body: Option<&str>) -> Endpoint {
        Endpoint {
            url: url.into(),
            headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            body: body.map(ToOwned::to_owned),
            ..sample::endpoint(Format::Template)
        }
    }

    fn hostile() -> serde_json::Value {
        let mut call = ended(talking(rung(incoming(), "101"), "101"), 2000);
        call["source"]["name"] = json!(NAME);
        call
    }

    fn sent(endpoint: &Endpoint, call: &serde_json::Value) -> Result<Message, String> {
        let mut post = Post::default();
        post.tell(endpoint, &letter("call.ended", call), |_| (200, String::new()))?;
        let message = post.sent.remove(0);
        assert!(sample::is_sound(&message), "{message:?}");
        Ok(message)
    }

    /// What a template comes to, as a body of plain text.
    fn rendered(body: &str) -> Result<String, String> {
        let endpoint = endpoint("http://x/", &[("Content-Type", "text/plain")], Some(body));
        Ok(sent(&endpoint, &hostile())?.body)
    }

    /// The examples of the documentation, as they stand there.
    fn example(name: &str) -> Endpoint {
        let docs = include_str!("../../../docs/formats.md");
        let at = docs.find(&format!("name = \"{name}\"")).unwrap();
        let start = docs[..at].rfind("```toml\n").unwrap() + 8;
        let end = start + docs[start..].find("```").unwrap();
        #[derive(serde::Deserialize)]
        struct File {
            notify: Vec<Endpoint>,
        }
        let mut file: File = toml::from_str(&docs[start..end]).unwrap();
        let endpoint = file.notify.remove(0);
        assert_eq!(complaints(&endpoint), Vec::<String>::new());
        endpoint
    }

    #[test]
    fn the_message_for_telegram_holds_a_hostile_name_as_text() {
        let message = sent(&example("telegram"), &hostile()).unwrap();
        assert_eq!(message.url, "https://api.telegram.org/bot123456:ABC-DEF/sendMessage");
        let body: serde_json::Value = serde_json::from_str(&message.body).unwrap();
        let text = body["text"].as_str().unwrap();
        assert!(
            text.contains("O&#x27;Brien &quot;Bob&quot; {{ 7 * 7 }} {% raw %} &lt;b&gt;&amp;amp;"),
            "{text}"
        );
        assert!(text.ends_with("came in"), "{text}");
        assert_eq!(body["chat_id"], -1001234567890_i64);
    }

    #[test]
    fn the_hook_like_slack_s_holds_a_hostile_name_as_text() {
        let message = sent(&example("slack"), &hostile()).unwrap();
        let body: serde_json::Value = serde_json::from_str(&message.body).unwrap();
        let text = body["text"].as_str().unwrap();
        assert!(
            text.starts_with(
                "Call from 79190000001 (O'Brien \"Bob\" {{ 7 * 7 }} {% raw %} &lt;b&gt;&amp;amp;"
            ),
            "{text}"
        );
        assert!(text.ends_with("101 answered, 2 s"), "{text}");
    }

    #[test]
    fn the_plain_form_holds_a_hostile_name_in_its_own_field() {
        let message = sent(&example("form"), &hostile()).unwrap();
        assert!(
            message.headers.contains(&("content-type".into(), "application/x-www-form-urlencoded".into()))
        );
        let fields: Vec<(&str, String)> = message
            .body
            .split('&')
            .map(|field| field.split_once('=').unwrap())
            .map(|(name, value)| {
                (name, percent_encoding::percent_decode_str(value).decode_utf8().unwrap().into_owned())
            })
            .collect();
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["id", "from", "name", "to", "result"]);
        assert_eq!(
            (&fields[1].1, &fields[2].1, &fields[4].1),
            (&"79190000001".into(), &NAME.into(), &"ANSWERED".into())
        );
    }

    #[test]
    fn a_value_in_an_address_or_a_header_stays_a_value() {
        let url = "https://crm.example.com/c/{{ call.source.name }}?n={{ call.source.name | urlencode }}&d={{ call.key }}&e={{ '&' | escape }}";
        let message =
            sent(&endpoint(url, &[("X-Name", "{{ call.source.name }}")], None), &hostile()).unwrap();
        let encoded = encoded(NAME);
        assert!(encoded.starts_with("O%27Brien%20%22Bob%22%20%7B%7B%207"), "{encoded}");
        assert_eq!(message.url, format!("https://crm.example.com/c/{encoded}?n={encoded}&d=&e=%26amp%3B"));
        let header = &message.headers[0];
        assert_eq!(header.0, "x-name");
        assert!(header.1.contains("&amp;  X-Evil: 1  [31m"), "{header:?}");
        assert_eq!(message.body, "");
    }

    #[test]
    fn what_is_not_there_is_an_error_that_names_endpoint_line_and_variable() {
        assert_eq!(
            rendered("a\n{{ call.sorce }}").unwrap_err(),
            "[[notify]] \"crm\": body, line 2: call.sorce is not there"
        );
        assert_eq!(
            rendered("{{ call.sorce.number }}").unwrap_err(),
            "[[notify]] \"crm\": body, line 1: call.sorce.number is not there"
        );
        for filter in [
            "tojson",
            "json",
            "urlencode",
            "escape",
            "e",
            "upper",
            "length",
            "join(',')",
            "replace('a', 'b')",
        ] {
            let why = rendered(&format!("{{{{ call.sorce | {filter} }}}}")).unwrap_err();
            assert!(why.contains("body, line 1: call.sorce"), "{filter}: {why}");
        }
        assert!(
            rendered("{{ 'a' ~ call.sorce }}").is_err()
                && rendered("{% if call.sorce %}{% endif %}").is_err()
        );
        assert_eq!(rendered("{{ call.sorce | default('-') }}").unwrap(), "-");
        assert_eq!(rendered("[{{ call.key }}]").unwrap(), "[]", "what is not known is empty");
        let header = endpoint("http://x/", &[("X-A", "{{ call.sorce }}")], None);
        assert_eq!(
            sent(&header, &hostile()).unwrap_err(),
            "[[notify]] \"crm\": X-A, line 1: call.sorce is not there"
        );
    }

    #[test]
    fn a_template_is_bounded_in_work_and_in_output() {
        assert!(
            rendered("{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}")
                .unwrap_err()
                .ends_with("it works too long")
        );
        assert!(rendered("{{ 'x' * 300000 }}").unwrap_err().ends_with("longer than 262144 bytes"));
        let long = endpoint("http://x/{{ 'x' * 9000 }}", &[], None);
        assert!(sent(&long, &hostile()).unwrap_err().contains("url: what comes out is longer"));
    }

    #[test]
    fn a_template_reads_nothing_but_the_notice() {
        for source in [
            "{% include '/etc/passwd' %}",
            "{% extends 'base' %}",
            "{% import 'x' as x %}",
            "{% macro a() %}{% endmacro %}",
            "{{ call",
        ] {
            let said = complaints(&endpoint("http://x/", &[], Some(source)));
            assert!(said.len() == 1 && said[0].starts_with("body, line 1: "), "{source}: {said:?}");
        }
    }

    #[test]
    fn what_cannot_work_is_said_before_any_call() {
        let said = |url: &str, headers: &[(&str, &str)], body: &str| {
            complaints(&endpoint(url, headers, Some(body))).join("; ")
        };
        assert_eq!(
            said(
                "http://x/",
                &[("X-A", "{{ notice.id }}")],
                "[{% for l in story %}{{ l.text | tojson }}, {{ loop.index }}{% endfor %}]"
            ),
            ""
        );
        assert!(
            said("http://x/", &[], "{{ caller }}")
                .starts_with("body: there is no caller; there are notice, call,")
        );
        assert!(
            said("https://{{ call.org }}.example.com/", &[], "").contains("the host must be written out")
        );
        assert!(said("http://x/", &[("Content-Length", "1")], "").contains("set by who sends"));
        assert!(said("http://x/", &[("a b", "1")], "").contains("no name of a header"));
        let fetch = Endpoint { method: Some("FETCH".into()), ..endpoint("http://x/", &[], Some("")) };
        assert!(complaints(&fetch)[0].starts_with("method: there are POST"));
    }

    #[test]
    fn json_that_is_none_is_not_sent() {
        let unquoted = endpoint("http://x/", &[], Some(r#"{"name": "{{ call.source.name }}"}"#));
        assert!(sent(&unquoted, &hostile()).unwrap_err().contains("no JSON"));
        let quoted = endpoint(
            "http://x/",
            &[],
            Some(r#"{"name": {{ call.source.name | json }}, "key": {{ call.key | tojson }}}"#),
        );
        let body: serde_json::Value = serde_json::from_str(&sent(&quoted, &hostile()).unwrap().body).unwrap();
        assert_eq!(body, json!({ "name": NAME, "key": null }));
    }

    #[test]
    fn a_merge_is_told_to_who_names_it() {
        let mut endpoint = endpoint("http://x/", &[], Some("{{ call.from | tojson }}"));
        let mut post = Post::default();
        assert_eq!(post.tell(&endpoint, &merged("old"), |_| (200, String::new())), Ok(None));
        endpoint.notices.push("call.merged".into());
        post.tell(&endpoint, &merged("old"), |_| (200, String::new())).unwrap();
        assert_eq!(post.sent[0].body, "\"old\"");
    }

    #[test]
    fn the_story_is_in_the_receiver_s_language() {
        let mut endpoint =
            endpoint("http://x/", &[], Some("{{ story | map(attribute='text') | join('; ') | tojson }}"));
        let body = |endpoint: &Endpoint| sent(endpoint, &hostile()).unwrap().body;
        assert_eq!(body(&endpoint), "\"came in\"");
        endpoint.locale = Some("ru".into());
        assert_eq!(body(&endpoint), "\"вошёл\"");
    }

    proptest! {
        #[test]
        fn whatever_a_call_holds_a_message_is_sound(letter in sample::any_letter(), name in "\\PC{0,20}|[\r\n\u{0}-\u{20}\"{}%]{0,20}") {
            let mut letter = letter;
            letter.body["about"] = json!({ "name": name });
            let wide = Endpoint {
                body: Some("{\"a\": {{ about | tojson }}, \"c\": {{ call | tojson }}}".into()),
                ..endpoint("http://x/{{ about.name }}?c={{ call }}", &[("X-A", "{{ about.name }} {{ notice.type }}")], None)
            };
            let mut post = Post::default();
            if post.tell(&wide, &letter, |_| (200, String::new())).is_ok() {
                for message in &post.sent {
                    prop_assert!(sample::is_sound(message), "{message:?}");
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&message.body).is_ok());
                    prop_assert!(message.url.starts_with("http://x/"));
                }
            }
        }

        #[test]
        fn no_template_makes_it_panic(source in "(\\{\\{|\\}\\}|\\{%|%\\}|call|story|for|in|if|end|\\||\\.|[a-z0-9 '\"+*\\[\\](),-]){0,30}") {
            let endpoint = endpoint("http://x/", &[], Some(&source));
            let _ = complaints(&endpoint);
            let _ = Post::default().tell(&endpoint, &letter("call.ended", &incoming()), |_| (200, String::new()));
        }
    }
}
