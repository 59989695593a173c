//! Which sections and keys there are: asked of the types themselves, so no list can fall behind them.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::{self, DeserializeOwned, Deserializer, Visitor, value};
use toml::{Table, Value};

use super::{DEFAULTS, Endpoint};

/// What starts the name of each of our variables.
pub(super) const PREFIX: &str = "CALLJOURNAL_";

/// What holds where nothing is set, as text form.
pub(super) fn defaults() -> Table {
    #[allow(clippy::expect_used)] // the text is part of the program, and a test reads it
    DEFAULTS.parse().expect("default.toml is TOML")
}

/// The names of all sections and keys, taken from the types themselves.
pub(super) struct Schema {
    sections: BTreeMap<&'static str, BTreeSet<&'static str>>,
    defaults: Table,
}

impl Schema {
    pub(super) fn of_config() -> Schema {
        let keys: [(&str, &[&str]); 17] = [
            ("agi", fields::<super::Agi>()),
            ("http", fields::<super::Http>()),
            ("store", fields::<super::Store>()),
            ("spool", fields::<super::Spool>()),
            ("call", fields::<super::Call>()),
            ("numbers", fields::<super::Numbers>()),
            ("trunk", fields::<super::Trunk>()),
            ("log", fields::<super::Log>()),
            ("pbx", fields::<super::Pbx>()),
            ("push", fields::<super::Push>()),
            ("ami", fields::<super::Ami>()),
            ("feeds", fields::<super::Feeds>()),
            ("reconcile", fields::<super::Reconcile>()),
            ("delivery", fields::<super::Delivery>()),
            ("notify", fields::<Endpoint>()),
            ("subscribe", fields::<super::Subscribe>()),
            ("token", fields::<super::Token>()),
        ];
        let with_files = |keys: &[&'static str]| {
            let file = keys.contains(&"secret").then_some("secret_file");
            keys.iter().copied().chain(file).collect()
        };
        let sections = keys.into_iter().map(|(section, keys)| (section, with_files(keys))).collect();
        Schema { sections, defaults: defaults() }
    }

    pub(super) fn keys_of(&self, section: &str) -> Option<&BTreeSet<&'static str>> {
        self.sections.get(section)
    }

    /// Whether the section is an array of tables.
    pub(super) fn repeated(&self, section: &str) -> bool {
        ["notify", "trunk", "token", "ami", "reconcile"].contains(&section)
    }

    pub(super) fn default_of(&self, section: &str, key: &str) -> Option<&Value> {
        self.defaults.get(section)?.get(key)
    }

    /// Each variable that means something, with what it sets.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&str, Option<&str>, String)> {
        self.sections.iter().flat_map(move |(section, keys)| {
            let keys =
                if self.repeated(section) { vec![None] } else { keys.iter().copied().map(Some).collect() };
            keys.into_iter().map(move |key| {
                let name = key.map_or_else(|| (*section).to_owned(), |key| format!("{section}__{key}"));
                (*section, key, format!("{PREFIX}{}", name.to_uppercase()))
            })
        })
    }

    pub(super) fn unknown_section(&self, section: &str) -> String {
        let near = nearest(section, self.sections.keys().map(|known| (*known).to_owned()));
        format!("no such section: {section}{}", did_you_mean(near))
    }

    /// Says where the key would be known: the section may be wrong, or the key.
    pub(super) fn unknown_key(&self, section: &str, key: &str) -> String {
        let elsewhere = self.sections.iter().find(|(_, keys)| keys.contains(key));
        let hint = match elsewhere {
            Some((home, _)) => format!("; it belongs into [{home}]"),
            None => {
                let known = self.sections.get(section).into_iter().flatten();
                did_you_mean(nearest(key, known.map(|known| (*known).to_owned())))
            }
        };
        format!("no such key in [{section}]: {key}{hint}")
    }
}

/// The known name that `name` is most like, where it is like one at all.
pub(super) fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    known
        .map(|known| (strsim::jaro_winkler(name, &known), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

pub(super) fn did_you_mean(near: Option<String>) -> String {
    near.map_or_else(
        || "; every key is shown by calljournal check --defaults".to_owned(),
        |near| format!("; did you mean {near}?"),
    )
}

/// The names of a struct's fields, as serde hands them to a deserializer.
fn fields<T: DeserializeOwned>() -> &'static [&'static str] {
    struct Asked<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Asked<'_> {
        type Error = value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, value::Error> {
            Err(de::Error::custom("only the names were wanted"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            names: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, value::Error> {
            *self.0 = names;
            self.deserialize_any(visitor)
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut names: &'static [&'static str] = &[];
    let _ = T::deserialize(Asked(&mut names));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_documented_in_the_defaults_and_nothing_else_is() {
        let schema = Schema::of_config();
        let mut section = String::new();
        let mut documented: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let lines: Vec<&str> = DEFAULTS.lines().collect();
        for (above, line) in lines.iter().zip(&lines[1..]) {
            let bare = line.trim_start_matches("# ");
            if let Some(name) = bare.strip_prefix('[') {
                section = name.trim_matches(['[', ']']).to_owned();
            } else if let Some((key, _)) = bare.split_once(" = ")
                && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            {
                assert!(above.starts_with("# "), "{section}.{key} has no comment above it");
                documented.entry(section.clone()).or_default().insert(key.to_owned());
            }
        }
        let known: BTreeMap<String, BTreeSet<String>> = schema
            .sections
            .into_iter()
            .map(|(section, keys)| (section.to_owned(), keys.into_iter().map(str::to_owned).collect()))
            .collect();
        assert_eq!(documented, known);
    }
}
