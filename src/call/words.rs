//! Texts in the reader's language: Fluent files under `asset/`, one for each language.
//!
//! Knows which languages there are and how to ask Fluent for a sentence; which sentences there are is known by
//! who uses them. A message that is missing shows as its own name, and a test of each user sees to it that none
//! is.

use std::fmt;

use fluent_bundle::{FluentArgs, FluentBundle, FluentResource, FluentValue};

/// A language that there are texts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    En,
    /// Russian.
    Ru,
}

/// One set of sentences in all languages, as the texts of Fluent files.
#[derive(Debug, Clone, Copy)]
pub struct Texts {
    /// In English.
    pub en: &'static str,
    /// In Russian.
    pub ru: &'static str,
}

/// Sentences of one language.
pub struct Words {
    language: Language,
    bundle: FluentBundle<FluentResource>,
}

impl Language {
    /// The language of a locale: `ru`, `ru-RU` and `ru_RU.UTF-8` are Russian; whatever else is English.
    #[must_use]
    pub fn of(locale: &str) -> Language {
        match locale.split(['_', '-', '.', '@']).next() {
            Some(word) if word.eq_ignore_ascii_case("ru") => Language::Ru,
            _ => Language::En,
        }
    }
}

impl Words {
    /// The sentences of `sets` in `language`. No two may have a sentence of the same name.
    #[must_use]
    pub fn new(language: Language, sets: &[&Texts]) -> Words {
        // The plural rules are those of this tag.
        let tag = match language {
            Language::En => "en",
            Language::Ru => "ru",
        };
        let mut bundle = FluentBundle::new(vec![tag.parse().unwrap_or_default()]);
        for set in sets {
            let text = match language {
                Language::En => set.en,
                Language::Ru => set.ru,
            };
            // The files are part of the program and read by a test: what an error leaves out is seen there.
            let resource = FluentResource::try_new(text.to_owned()).unwrap_or_else(|(partial, _)| partial);
            bundle.add_resource_overriding(resource);
        }
        // The marks that keep right-to-left names apart would be noise in a terminal and in JSON.
        bundle.set_use_isolating(false);
        Words { language, bundle }
    }

    /// The language that they are in.
    #[must_use]
    pub fn language(&self) -> Language {
        self.language
    }

    /// The sentence `id` without any values.
    #[must_use]
    pub fn plain(&self, id: &str) -> String {
        self.say(id, &[])
    }

    /// The sentence `id` with `values` in it. A number decides the form of what is counted.
    #[must_use]
    pub fn say(&self, id: &str, values: &[(&str, Value<'_>)]) -> String {
        let mut args = FluentArgs::new();
        for (name, value) in values {
            args.set(*name, value);
        }
        let Some(pattern) = self.bundle.get_message(id).and_then(|m| m.value()) else { return id.to_owned() };
        self.bundle.format_pattern(pattern, Some(&args), &mut Vec::new()).into_owned()
    }

    /// A length of time as a person says it, `2 min 31 s`: rounded to seconds, and cut to minutes from an hour
    /// on. Needs the sentence `duration`.
    #[must_use]
    pub fn duration(&self, ms: i64) -> String {
        let seconds = ms.max(0).saturating_add(500) / 1000;
        self.say(
            "duration",
            &[
                ("hours", Value::Number(seconds / 3600)),
                ("minutes", Value::Number(seconds / 60 % 60)),
                ("seconds", Value::Number(seconds % 60)),
            ],
        )
    }
}

/// What is put into a sentence.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// Shown as it is.
    Text(&'a str),
    /// Counted.
    Number(i64),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Value<'a> {
        Value::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Value<'a> {
        Value::Text(text)
    }
}

impl From<usize> for Value<'_> {
    fn from(count: usize) -> Value<'static> {
        Value::Number(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl<'a> From<&Value<'a>> for FluentValue<'a> {
    fn from(value: &Value<'a>) -> FluentValue<'a> {
        match *value {
            Value::Text(text) => FluentValue::String(text.into()),
            Value::Number(number) => FluentValue::from(number),
        }
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Words({:?})", self.language)
    }
}

/// What holds for every set of texts.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod check {
    use std::collections::{BTreeMap, BTreeSet};

    use super::Texts;

    /// Fails unless each sentence is there in all languages, with the same values in it. A count may be of use in
    /// one language alone: it decides forms that another one does not have.
    pub(crate) fn same_in_all_languages(texts: &Texts) {
        let (en, ru) = (sentences(texts.en), sentences(texts.ru));
        assert!(en.len() > 1 && en == ru, "{:?}", en.iter().zip(&ru).find(|(en, ru)| en != ru));
    }

    fn sentences(text: &str) -> BTreeMap<String, BTreeSet<String>> {
        fluent_bundle::FluentResource::try_new(text.to_owned()).unwrap();
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut last = String::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, _)) = line.split_once(" =").filter(|_| !line.starts_with([' ', '}'])) {
                last = name.to_owned();
                assert!(all.insert(last.clone(), BTreeSet::new()).is_none(), "{name} is there twice");
            }
            for variable in line.split('$').skip(1) {
                let name = variable.split(|c: char| !c.is_alphanumeric()).next().unwrap();
                all.get_mut(&last).unwrap().extend((name != "count").then(|| name.to_owned()));
            }
        }
        all
    }
}
