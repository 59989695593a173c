//! From texts to a [`Config`]: the defaults, then the file, then the environment.
//!
//! Each setting is put over what is there one at a time, so whatever is refused is refused with the line or the
//! variable it came from. All complaints are told at once. [`read`] is pure: it is handed the file's text, the
//! environment and a way to read secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::Config;
use super::schema::{PREFIX, Schema, defaults, did_you_mean, nearest};

/// Variables of other use that carry our prefix: names the file, see the command line.
const NOT_KEYS: [&str; 3] = ["CALLJOURNAL_CONFIG", "CALLJOURNAL_SEND_TO", "CALLJOURNAL_SEND_TOKEN"];

/// A configuration, and where each setting of it came from.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// What holds.
    pub config: Config,
    set: BTreeMap<String, Origin>,
}

/// Why a configuration is refused: each complaint names its place and says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Refused(pub Vec<String>);

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    File { name: String, line: usize },
    Environment(String),
}

/// One key with the value that somebody gave it.
struct Setting {
    section: String,
    /// `None` for one more element of a repeated section.
    key: Option<String>,
    value: Value,
    origin: Origin,
}

impl Loaded {
    /// Whether somebody set `key` (`agi.listen`), be it to the default.
    #[must_use]
    pub fn is_set(&self, key: &str) -> bool {
        self.set.contains_key(key)
    }

    /// The key with the place where it was set, for a complaint: `agi.listen (calljournal.toml, line 3)`.
    #[must_use]
    pub fn place(&self, key: &str) -> String {
        match self.set.get(key) {
            Some(origin) => format!("{key} ({origin})"),
            None => format!("{key} (the default)"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { name, line } => write!(f, "{name}, line {line}"),
            Origin::Environment(name) => f.write_str(name),
        }
    }
}

/// Loads the configuration: the defaults, then `file`, then what `environment` holds of ours.
///
/// # Errors
/// [`Refused`] with every complaint where a file cannot be read, a key is unknown or a value makes no sense.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, Refused> {
    let open = |path: &Path| {
        std::fs::read_to_string(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))
    };
    let text = file.map(|path| open(path).map_err(|e| Refused(vec![e]))).transpose()?;
    let name = file.map(|path| path.display().to_string()).unwrap_or_default();
    read(text.as_deref().map(|text| (name.as_str(), text)), environment, open)
}

/// [`load`] without the disk: `file` is name and text.
fn read(
    file: Option<(&str, &str)>,
    environment: impl IntoIterator<Item = (String, String)>,
    open: impl Fn(&Path) -> Result<String, String>,
) -> Result<Loaded, Refused> {
    let schema = Schema::of_config();
    let mut complaints = Vec::new();
    let mut settings = Vec::new();
    if let Some((name, text)) = file {
        from_file(name, text, &schema, &mut settings, &mut complaints);
    }
    from_environment(environment, &schema, &mut settings, &mut complaints);

    let mut layers = Layers::new();
    for setting in settings {
        let origin = setting.origin.clone();
        if let Err(complaint) = with_secret(setting, &open).and_then(|setting| layers.put(setting)) {
            complaints.push(format!("{origin}: {complaint}"));
        }
    }
    let mut loaded = Loaded { config: layers.config, set: layers.set };
    loaded.config.inherit();
    if complaints.is_empty() {
        super::rules::check(&loaded, &mut complaints);
    }
    if complaints.is_empty() { Ok(loaded) } else { Err(Refused(complaints)) }
}

/// The settings so far, as the text form and as what they mean.
struct Layers {
    table: Table,
    config: Config,
    set: BTreeMap<String, Origin>,
}

impl Layers {
    fn new() -> Layers {
        Layers { table: defaults(), config: Config::default(), set: BTreeMap::new() }
    }

    /// Puts one setting over what is there; where that does not give a configuration, nothing changes.
    fn put(&mut self, setting: Setting) -> Result<(), String> {
        let mut table = self.table.clone();
        let name = match &setting.key {
            Some(key) => format!("{}.{key}", setting.section),
            None => setting.section.clone(),
        };
        match (setting.key, table.get_mut(&setting.section)) {
            (Some(key), Some(Value::Table(section))) => {
                section.insert(key, setting.value);
            }
            (None, Some(Value::Array(elements))) => elements.push(setting.value),
            (None, _) => {
                table.insert(setting.section, Value::Array(vec![setting.value]));
            }
            (Some(_), _) => return Err(format!("{name} does not belong here")),
        }
        self.config = Config::deserialize(table.clone()).map_err(|e| format!("{name}: {}", e.message()))?;
        self.table = table;
        self.set.insert(name, setting.origin);
        Ok(())
    }
}

/// `secret_file` is another way to say `secret`, also in an element of a repeated section; the rest passes.
fn with_secret(
    mut setting: Setting,
    open: &impl Fn(&Path) -> Result<String, String>,
) -> Result<Setting, String> {
    if setting.key.as_deref() == Some("secret_file") {
        setting.value = secret_in(&setting.value, open)?;
        setting.key = Some("secret".to_owned());
    } else if let (None, Value::Table(element)) = (&setting.key, &mut setting.value)
        && let Some(path) = element.remove("secret_file")
    {
        element.insert("secret".to_owned(), secret_in(&path, open)?);
    }
    Ok(setting)
}

/// The first line of the file that `path` names.
fn secret_in(path: &Value, open: &impl Fn(&Path) -> Result<String, String>) -> Result<Value, String> {
    let path = path.as_str().ok_or("secret_file is the name of a file, in quotes")?;
    let text = open(&PathBuf::from(path))?;
    let secret = text.lines().next().unwrap_or_default().trim();
    if secret.is_empty() {
        return Err(format!("the first line of {path} is empty, and should be the secret"));
    }
    Ok(Value::String(secret.to_owned()))
}

fn from_file(
    name: &str,
    text: &str,
    schema: &Schema,
    settings: &mut Vec<Setting>,
    complaints: &mut Vec<String>,
) {
    let place = |at: usize| Origin::File { name: name.to_owned(), line: line_of(text, at) };
    let document = match DeTable::parse(text) {
        Ok(document) => document.into_inner(),
        Err(e) => {
            let origin = place(e.span().map_or(0, |span| span.start));
            complaints.push(format!("{origin}: {}", e.message()));
            return;
        }
    };
    for (section, value) in &document {
        let (section_at, section) = (place(section.span().start), section.get_ref().as_ref());
        let Some(keys) = schema.keys_of(section) else {
            complaints.push(format!("{section_at}: {}", schema.unknown_section(section)));
            continue;
        };
        let mut check = |table: &DeTable<'_>| {
            let known = |key: &&Spanned<_>| keys.contains(AsRef::<str>::as_ref(key.get_ref()));
            let unknown: Vec<_> = table.keys().filter(|key| !known(key)).collect();
            for key in &unknown {
                let what = schema.unknown_key(section, key.get_ref().as_ref());
                complaints.push(format!("{}: {what}", place(key.span().start)));
            }
            unknown.is_empty()
        };
        match value.get_ref() {
            DeValue::Table(table) => {
                check(table);
                for (key, value) in table {
                    let (at, key) = (place(key.span().start), key.get_ref().to_string());
                    if keys.contains(key.as_str()) {
                        let section = section.to_owned();
                        settings.push(Setting { section, key: Some(key), value: plain(value), origin: at });
                    }
                }
            }
            DeValue::Array(elements) if schema.repeated(section) => {
                for element in elements.iter() {
                    if element.get_ref().as_table().is_none_or(&mut check) {
                        let origin = place(element.span().start);
                        let section = section.to_owned();
                        settings.push(Setting { section, key: None, value: plain(element), origin });
                    }
                }
            }
            _ => complaints.push(format!("{section_at}: {section} is a section: write [{section}]")),
        }
    }
}

fn from_environment(
    environment: impl IntoIterator<Item = (String, String)>,
    schema: &Schema,
    settings: &mut Vec<Setting>,
    complaints: &mut Vec<String>,
) {
    let ours: BTreeMap<String, String> =
        environment.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    for (name, text) in ours {
        let known = schema.variables().find(|(_, _, variable)| *variable == name);
        let origin = Origin::Environment(name.clone());
        match known {
            Some((section, None, _)) => match typed(&text, Some(&Value::Array(Vec::new()))) {
                Value::Array(elements) => settings.extend(elements.into_iter().map(|value| Setting {
                    section: section.to_owned(),
                    key: None,
                    value,
                    origin: origin.clone(),
                })),
                _ => complaints.push(format!("{name}: expected a list of tables, as TOML")),
            },
            Some((section, Some(key), _)) => settings.push(Setting {
                section: section.to_owned(),
                key: Some(key.to_owned()),
                value: typed(&text, schema.default_of(section, key)),
                origin,
            }),
            None if NOT_KEYS.contains(&name.as_str()) => {}
            None => {
                let near = nearest(&name, schema.variables().map(|(_, _, variable)| variable));
                // Other programs put names with our prefix there too: Kubernetes does for a service that is
                // called calljournal. What has no `__` and is close to nothing of ours is theirs.
                if name.contains("__")
                    || near.as_ref().is_some_and(|near| strsim::levenshtein(near, &name) < 3)
                {
                    complaints.push(format!("{name}: no such key{}", did_you_mean(near)));
                }
            }
        }
    }
}

/// A variable's text as a value of the same type as the default.
fn typed(text: &str, default: Option<&Value>) -> Value {
    // Anything that TOML can say is said by an assignment.
    let parsed = || format!("x = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("x"));
    let string = || Value::String(text.to_owned());
    match default {
        Some(Value::String(_)) => string(),
        Some(Value::Array(_)) if text.trim_start().starts_with('[') => parsed().unwrap_or_else(string),
        Some(Value::Array(_)) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
        }
        Some(_) => parsed().unwrap_or_else(string),
        // Without a default there are names, secrets and tables; a table is the one that begins so.
        None if text.trim_start().starts_with('{') => parsed().unwrap_or_else(string),
        None => string(),
    }
}

/// A parsed value without its places. What was parsed once is parsed again by its own text form.
fn plain(value: &Spanned<DeValue<'_>>) -> Value {
    let deserializer = toml::de::ValueDeserializer::from(value.clone());
    Value::deserialize(deserializer).unwrap_or_else(|_| Value::String(String::new()))
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|&&b| b == b'\n').count() + 1
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read_text(text: &str, environment: &[(&str, &str)]) -> Result<Loaded, Refused> {
        let environment = environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        read(Some(("cj.toml", text)), environment, |path| match path.to_str() {
            Some("/secret") => Ok("s3cret\nrest\n".to_owned()),
            Some("/key") => Ok(format!("whsec_{}\n", "s3cr".repeat(8))),
            _ => Err(format!("{} cannot be read: not there", path.display())),
        })
    }

    fn complaint(text: &str, environment: &[(&str, &str)]) -> String {
        read_text(text, environment).unwrap_err().to_string()
    }

    #[test]
    fn with_nothing_set_the_defaults_hold() {
        let loaded = read_text("", &[]).unwrap();
        assert_eq!(loaded.config.agi.listen.to_string(), "127.0.0.1:4573");
        assert_eq!(loaded.config.call.grace_ms, 1500);
        assert!(!loaded.is_set("agi.listen"));
    }

    #[test]
    fn the_environment_goes_over_the_file_and_the_file_over_the_defaults() {
        let text = "[call]\ngrace_ms = 2000\nlocale = \"ru\"\n";
        let loaded = read_text(text, &[("CALLJOURNAL_CALL__GRACE_MS", "2500"), ("PATH", "/bin")]).unwrap();
        assert_eq!(loaded.config.call.grace_ms, 2500);
        assert_eq!(loaded.config.call.locale, "ru");
        assert_eq!(loaded.place("call.grace_ms"), "call.grace_ms (CALLJOURNAL_CALL__GRACE_MS)");
        assert_eq!(loaded.place("call.locale"), "call.locale (cj.toml, line 3)");
    }

    #[test]
    fn a_list_in_the_environment_is_commas_or_toml() {
        for text in ["10.0.0.0/8, 127.0.0.1/32", r#"["10.0.0.0/8", "127.0.0.1/32"]"#] {
            let loaded = read_text("", &[("CALLJOURNAL_AGI__ALLOW", text)]).unwrap();
            assert_eq!(loaded.config.agi.allow.len(), 2, "{text}");
        }
        let peers = read_text("", &[("CALLJOURNAL_PBX__PEERS", r#"{ "10.0.0.5" = "office" }"#)]).unwrap();
        assert_eq!(peers.config.pbx.peers.len(), 1);
        let crm = read_text("", &[("CALLJOURNAL_NOTIFY", r#"[{ name = "crm", url = "http://crm/" }]"#)]);
        assert_eq!(crm.unwrap().config.notify[0].notices, ["call.ended"]);
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_nearest_known_one() {
        assert_eq!(
            complaint("[agi]\n\nlisten_on = \"127.0.0.1:1\"\n", &[]),
            "cj.toml, line 3: no such key in [agi]: listen_on; did you mean listen?"
        );
        assert_eq!(
            complaint("[agi]\ngrace_ms = 5\n", &[]),
            "cj.toml, line 2: no such key in [agi]: grace_ms; it belongs into [call]"
        );
        assert_eq!(
            complaint("\n[notfy]\n", &[]),
            "cj.toml, line 2: no such section: notfy; did you mean notify?"
        );
        assert_eq!(
            complaint("[[notify]]\nname = \"a\"\nurl = \"http://a/\"\nnotice = []\n", &[]),
            "cj.toml, line 4: no such key in [notify]: notice; did you mean notices?"
        );
    }

    #[test]
    fn an_unknown_variable_is_refused_unless_it_is_somebody_elses() {
        assert_eq!(
            complaint("", &[("CALLJOURNAL_AGI_LISTEN", "127.0.0.1:1")]),
            "CALLJOURNAL_AGI_LISTEN: no such key; did you mean CALLJOURNAL_AGI__LISTEN?"
        );
        let theirs = [("CALLJOURNAL_SERVICE_HOST", "10.0.0.1"), ("CALLJOURNAL_CONFIG", "x")];
        assert!(read_text("", &theirs).is_ok());
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused_with_its_place() {
        let said = complaint("[call]\ngrace_ms = \"soon\"\n[http]\nlisten = \"here\"\n", &[]);
        assert!(said.contains("cj.toml, line 2: call.grace_ms: invalid type: string \"soon\""), "{said}");
        assert!(said.contains("cj.toml, line 4: http.listen: "), "{said}");
        let said = complaint("", &[("CALLJOURNAL_CALL__GRACE_MS", "soon")]);
        assert!(said.starts_with("CALLJOURNAL_CALL__GRACE_MS: call.grace_ms: "), "{said}");
        let said = complaint("[[notify]]\nurl = \"http://crm/\"\n", &[]);
        assert!(said.contains("cj.toml, line 1: notify: missing field `name`"), "{said}");
        let said = complaint("[agi]\nlisten = \n", &[]);
        assert!(said.starts_with("cj.toml, line 2: "), "{said}");
    }

    #[test]
    fn a_secret_can_come_from_a_file_and_is_never_printed() {
        for (text, variable) in [("[agi]\nsecret_file = \"/secret\"\n", None), ("", Some("/secret"))] {
            let environment: Vec<_> =
                variable.map(|v| ("CALLJOURNAL_AGI__SECRET_FILE", v)).into_iter().collect();
            let loaded = read_text(text, &environment).unwrap();
            assert_eq!(loaded.config.agi.secret.as_ref().unwrap().reveal(), "s3cret");
            assert!(!format!("{loaded:?}").contains("s3cret"));
        }
        let element = "[[notify]]\nname = \"crm\"\nurl = \"http://crm/\"\nsecret_file = \"/key\"\n";
        let loaded = read_text(element, &[]).unwrap();
        assert!(loaded.config.notify[0].secret[0].reveal().starts_with("whsec_s3cr"));
        assert!(!format!("{loaded:?}").contains("s3cr"));
        let said = complaint("[agi]\nsecret_file = \"/absent\"\n", &[]);
        assert_eq!(said, "cj.toml, line 2: /absent cannot be read: not there");
    }

    #[test]
    fn all_complaints_are_told_at_once() {
        assert_eq!(complaint("[agi]\na = 1\nb = 2\n[x]\n", &[]).lines().count(), 3);
    }
}
