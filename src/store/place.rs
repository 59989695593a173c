//! Where our database is: a file, or a PostgreSQL server.
//!
//! Reads a `store.url` and says how it may be shown: a password in it never is. Connects to nothing.

use std::fmt;
use std::path::{Path, PathBuf};

use super::StoreError;

/// What is asked of every connection to PostgreSQL, unless the URL says otherwise: a server that is unreachable
/// or gone is noticed within seconds. libpq takes the last of two values, and these come first.
const PATIENCE: &str = "connect_timeout=5&keepalives_idle=10&keepalives_interval=5&keepalives_count=3\
                        &tcp_user_timeout=15000&application_name=calljournal";

/// Parameters of a URL that hold no secret and help to tell one database from another.
const SHOWN: [&str; 5] = ["host", "port", "dbname", "user", "sslmode"];

/// A place for our database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file of SQLite.
    File(PathBuf),
    /// A PostgreSQL server.
    Server(Server),
}

/// A PostgreSQL server and how to log in there.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// For libpq, password and all.
    dsn: String,
    password: String,
    shown: String,
}

impl Place {
    /// Reads a `store.url`: `sqlite://path`, `sqlite:////absolute/path`, a bare path, or
    /// `postgres://user:password@host:port/database?parameters`.
    ///
    /// # Errors
    /// [`StoreError::Url`] where it names no database of ours.
    pub fn of(url: &str) -> Result<Place, StoreError> {
        match url.split_once("://") {
            None => file(url),
            Some(("sqlite", path)) => file(path),
            Some(("postgres" | "postgresql", rest)) => Server::of(rest).map(Place::Server),
            Some(_) => None,
        }
        .ok_or_else(|| StoreError::Url(scheme_only(url)))
    }

    /// The file, where it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Place::File(path) => Some(path),
            Place::Server(_) => None,
        }
    }

    /// What to look at when it cannot be opened.
    pub(super) fn advice(&self) -> &'static str {
        match self {
            Place::File(_) => "check that the directory exists and that this user may write there",
            Place::Server(_) => {
                "check that PostgreSQL runs there, that the database exists and that this user may log in \
                 (docs/postgresql.md)"
            }
        }
    }
}

/// How a `store.url` may be shown: whole, but for a password.
#[must_use]
pub fn shown(url: &str) -> String {
    match Place::of(url) {
        Ok(Place::Server(server)) => server.shown,
        Ok(Place::File(_)) => url.to_owned(),
        Err(_) => scheme_only(url),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => path.display().fmt(f),
            Place::Server(server) => f.write_str(&server.shown),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Server {
    /// As libpq reads it, but stricter: what libpq would complain of by quoting it is refused here.
    fn of(rest: &str) -> Option<Server> {
        let (base, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, place) =
            base.rsplit_once('@').map_or((None, base), |(login, place)| (Some(login), place));
        let (user, password) =
            login.unwrap_or_default().split_once(':').unwrap_or((login.unwrap_or_default(), ""));
        let odd = login.is_some_and(|login| login.contains(['/', '@'])) || query.contains('@');
        if odd || !whole_percents(rest) || rest.contains(|c: char| c.is_control() || c == ' ') {
            return None;
        }
        let in_query = query.split('&').find_map(|p| p.strip_prefix("password="));
        let public: Vec<&str> = query
            .split('&')
            .filter(|p| p.split_once('=').is_some_and(|(key, _)| SHOWN.contains(&key)))
            .collect();
        let at = if login.is_some() { "@" } else { "" };
        let mark = if public.is_empty() { "" } else { "?" };
        let more = if query.is_empty() { "" } else { "&" };
        Some(Server {
            dsn: format!("postgres://{base}?{PATIENCE}{more}{query}"),
            password: in_query.unwrap_or(password).to_owned(),
            shown: format!("postgres://{user}{at}{place}{mark}{}", public.join("&")),
        })
    }

    /// For libpq alone.
    pub(super) fn dsn(&self) -> &str {
        &self.dsn
    }

    /// What libpq says, without the password should it ever quote it.
    pub(super) fn discreet(&self, said: &str) -> String {
        let said = said.trim().replace('\n', " ");
        let plain = percent_encoding::percent_decode_str(&self.password).decode_utf8_lossy();
        [self.password.as_str(), &plain]
            .into_iter()
            .filter(|p| !p.is_empty())
            .fold(said, |said, p| said.replace(p, "…"))
    }
}

/// Whether each `%` is followed by two hexadecimal digits that make no NUL.
fn whole_percents(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        after.get(..2).is_some_and(|code| code != "00" && code.bytes().all(|b| b.is_ascii_hexdigit()))
    })
}

fn file(path: &str) -> Option<Place> {
    // Four slashes mean an absolute path; what is left of them here may be one or two.
    let path = path.strip_prefix('/').filter(|p| p.starts_with('/')).unwrap_or(path);
    // `host=db password=x` is how libpq takes its parameters too: no file shall get such a name.
    let of_libpq = ["host=", "dbname=", "user=", "password="].iter().any(|key| path.contains(key));
    let odd = path.is_empty() || path.starts_with("file:") || path.starts_with(':') || path.contains('\0');
    let none = odd || of_libpq;
    (!none).then(|| Place::File(PathBuf::from(path)))
}

/// A URL may hold a password: only what stands before `://` is ever shown of one that cannot be read.
fn scheme_only(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, _)) => format!("{scheme}://…"),
        None => url.split('=').next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn three_slashes_and_a_relative_path_are_told_apart() {
        let path = |url: &str| Place::of(url).unwrap().to_string();
        assert_eq!(path("sqlite://calljournal.db"), "calljournal.db");
        assert_eq!(path("sqlite:///var/lib/calls.db"), "/var/lib/calls.db");
        assert_eq!(path("sqlite:////var/lib/calls.db"), "/var/lib/calls.db");
        assert_eq!(path("dir/calls.db"), "dir/calls.db");
    }

    #[test]
    fn a_server_is_shown_without_its_password() {
        for (url, said) in [
            ("postgres://cj:geheim@db:5433/calls", "postgres://cj@db:5433/calls"),
            ("postgresql://cj:ge%40heim@db/calls?sslmode=disable", "postgres://cj@db/calls?sslmode=disable"),
            ("postgres:///calls?host=/run/pg&password=geheim", "postgres:///calls?host=/run/pg"),
            ("postgres://db", "postgres://db"),
        ] {
            assert_eq!(shown(url), said);
            let place = Place::of(url).unwrap();
            assert_eq!(place.to_string(), said);
            assert!(!format!("{place:?}").contains("heim"));
        }
    }

    #[test]
    fn a_password_that_is_not_encoded_is_refused_and_not_shown() {
        for url in [
            "postgres://u:ge/heim@db/calls",
            "postgres://u:ge@heim@db/calls",
            "postgres://u:ge%heim@db/calls",
            "postgres://u:geheim%00@db/calls",
            "postgres://u:ge heim@db/calls",
            "mysql://u:geheim@db/calls",
            "host=db user=u password=geheim",
        ] {
            let error = Place::of(url).unwrap_err().to_string();
            assert!(error.contains("store.url") && !error.contains("heim"), "{error}");
            assert!(!shown(url).contains("heim"));
        }
    }

    #[test]
    fn what_is_asked_of_a_connection_can_be_asked_otherwise() {
        let Place::Server(server) = Place::of("postgres://db/calls?connect_timeout=9").unwrap() else {
            panic!()
        };
        let (ours, theirs) = (server.dsn().find("connect_timeout=5"), server.dsn().find("connect_timeout=9"));
        assert!(ours.unwrap() < theirs.unwrap(), "{}", server.dsn());
        assert_eq!(server.discreet("no database \"calls\"\n"), "no database \"calls\"");
    }

    #[test]
    fn what_a_server_says_is_told_without_the_password() {
        let Place::Server(server) = Place::of("postgres://u:ge%3Aheim@db/calls").unwrap() else { panic!() };
        assert_eq!(server.discreet("bad ge:heim or ge%3Aheim"), "bad … or …");
    }
}
