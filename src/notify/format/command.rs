//! A program that reads the standard format from its standard input, with the notice's id, which others find in a
//! header. How it is run is not known here.

use serde_json::{Map, Value, json};

use super::{Step, Task, standard};

pub(super) fn next(task: &Task<'_>) -> Step {
    let mut notice = Map::from_iter([("id".to_owned(), json!(task.letter.id))]);
    match standard::body(task) {
        Value::Object(body) => notice.extend(body),
        other => notice.extend([("data".to_owned(), other)]),
    }
    // One line, so that a shell script may `read` it.
    Step::Run(format!("{}\n", Value::Object(notice)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::sample::{self, incoming, letter};
    use super::super::{Memory, Task};
    use super::*;
    use crate::config::Format;
    use proptest::prelude::*;

    fn given(letter: &super::super::Letter) -> String {
        let endpoint = sample::endpoint(Format::Command);
        let task = Task { endpoint: &endpoint, letter, memory: &Memory::new(), at: letter.created };
        let Step::Run(input) = next(&task) else { panic!("nothing to run") };
        input
    }

    #[test]
    fn a_program_reads_the_notice_s_id_and_what_the_standard_format_has() {
        let letter = letter("call.ended", &incoming());
        let read: Value = serde_json::from_str(&given(&letter)).unwrap();
        assert_eq!((&read["id"], &read["type"]), (&json!(letter.id), &json!("call.ended")));
        assert_eq!(read["data"], incoming());
    }

    proptest! {
        #[test]
        fn whatever_a_call_holds_it_is_one_line_of_json(letter in sample::any_letter()) {
            let given = given(&letter);
            prop_assert_eq!(given.matches('\n').count(), 1);
            let read: Value = serde_json::from_str(&given).unwrap();
            prop_assert_eq!(&read["data"], &letter.body["data"]);
        }
    }
}
