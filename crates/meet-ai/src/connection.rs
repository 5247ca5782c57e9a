//! Which server a client command talks to, and with which key.
//!
//! Deciding is pure; [`Connection::resolve`] only gathers what there is.

use std::fs;

use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    args::ClientArgs,
    credentials::{self, Credentials},
    dotenv::{self, DotEnv},
    failure::Failure,
    output::{self, escape},
    server_url::{self, ServerUrl},
};

/// A server and the key for it.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    /// The server.
    pub(crate) url: ServerUrl,
    /// Where that was found.
    pub(crate) url_source: Source,
    /// The key or session token, and where it was found.
    pub(crate) key: Option<(SecretString, Source)>,
}

/// Where a setting was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// `--url`, `--key`.
    Flag,
    /// `MEET_AI_URL`, `MEET_AI_KEY`.
    Environment,
    /// `./.env`.
    DotEnv,
    /// config.toml.
    File,
    /// Nowhere.
    Default,
}

/// What the places say, strongest first.
#[derive(Debug, Default)]
struct Places {
    flags: DotEnv,
    environment: DotEnv,
    dot_env: DotEnv,
    file: Credentials,
}

impl Source {
    /// The source in words.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Flag => "the command line",
            Self::Environment => "the environment",
            Self::DotEnv => "./.env",
            Self::File => "config.toml",
            Self::Default => "the default",
        }
    }
}

/// The variable by which a program is kept from the keys of config.toml.
pub(crate) const OWN_KEYS: &str = "MEET_AI_OWN_KEYS";

impl Connection {
    /// The server as a sentence names it: with the place that chose it, unless whoever reads the
    /// sentence has just typed it.
    pub(crate) fn server(&self) -> String {
        match self.url_source {
            Source::Flag | Source::Default => self.url.to_string(),
            source => format!("{} (from {})", self.url, source.as_str()),
        }
    }

    /// This server, by the key of a flag or the one that config.toml keeps for it, and no other.
    pub(crate) fn kept_for(url: String, key: Option<String>) -> Result<Self, Failure> {
        let none = DotEnv { url: None, key: None };
        Places { flags: DotEnv { url: Some(url), key }, environment: none.clone(), dot_env: none, file: own_file() }
            .decide()
            .map(Self::without_what_is_kept_back)
    }

    /// Looks at flags, the environment, `./.env` and config.toml.
    pub(crate) fn resolve(args: &ClientArgs) -> Result<Self, Failure> {
        // Only this directory's own file: one further up may be anybody's.
        let dot_env = fs::read_to_string(".env").map(|text| dotenv::parse(&text)).unwrap_or_default();
        let file = own_file();
        Places {
            flags: DotEnv { url: args.url.clone(), key: args.key.clone() },
            environment: DotEnv { url: variable("MEET_AI_URL"), key: variable("MEET_AI_KEY") },
            dot_env,
            file,
        }
        .decide()
        .map(Self::without_what_is_kept_back)
    }

    /// Leaves out a key of config.toml when whoever started this program keeps those from it. Its addresses count all
    /// the same, so that a key from elsewhere goes to no other server.
    fn without_what_is_kept_back(mut self) -> Self {
        let is_kept_back = std::env::var(OWN_KEYS).is_ok_and(|value| value == "false");
        self.key = self.key.filter(|(_, source)| !is_kept_back || !matches!(source, Source::File));
        self
    }
}

/// A variable of the environment that says something.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// What config.toml says.
fn own_file() -> Credentials {
    credentials::own_path().and_then(|path| Credentials::read(&path)).unwrap_or_else(|error| {
        output::note(&format!("warning: {}", escape(&error.to_string())));
        Credentials::default()
    })
}

impl Places {
    fn in_order(&self) -> [(Source, &DotEnv); 3] {
        [(Source::Flag, &self.flags), (Source::Environment, &self.environment), (Source::DotEnv, &self.dot_env)]
    }

    fn decide(&self) -> Result<Connection, Failure> {
        let (url, url_source) = self.url()?;
        let found = self.in_order().into_iter().find_map(|(source, place)| Some((place.key.as_ref()?, source)));
        let key = match found {
            Some((key, source)) => Some((check_key(key, source)?, source)),
            // The file's keys are looked up by their server, so that no other ever gets one.
            None => self.file.key(&url).map(|key| (key, Source::File)),
        };
        Ok(Connection { url, url_source, key })
    }

    /// Without a word about the server, it is the only one in the file, or else the default.
    fn url(&self) -> Result<(ServerUrl, Source), Failure> {
        let found = self.in_order().into_iter().find_map(|(source, place)| Some((place.url.as_ref()?, source)));
        let (text, source) = match found {
            Some(found) => found,
            None => match self.file.servers().as_slice() {
                [only] => return Ok((only.clone(), Source::File)),
                _ => (&server_url::DEFAULT.to_owned(), Source::Default),
            },
        };
        let url = ServerUrl::parse(text);
        let url = url.map_err(|error| Failure::usage(format!("{text:?} in {} {error}", source.as_str())))?;
        Ok((url, source))
    }
}

/// A key must fit into a header; one that does not was pasted wrongly.
fn check_key(key: &str, source: Source) -> Result<SecretString, Failure> {
    let key: SecretString = key.trim().into();
    if !key.expose_secret().is_empty() && key.expose_secret().chars().all(|c| c.is_ascii_graphic()) {
        return Ok(key);
    }
    Err(Failure::usage(format!("the key in {} is not one: keys are letters, digits, - and _", source.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str, key: &str) -> DotEnv {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        DotEnv { url: some(url), key: some(key) }
    }

    fn file(entries: &[(&str, &str)]) -> Credentials {
        let mut credentials = Credentials::default();
        for (url, key) in entries {
            credentials.set_key(&ServerUrl::parse(url).unwrap(), &(*key).into(), None);
        }
        credentials
    }

    fn decided(places: &Places) -> (String, Option<(String, Source)>) {
        let connection = places.decide().unwrap();
        let key = connection.key.map(|(key, source)| (key.expose_secret().to_owned(), source));
        (connection.url.to_string(), key)
    }

    #[test]
    fn flags_go_before_the_environment_before_dot_env_before_the_file_before_the_default() {
        let mut places = Places {
            flags: place("http://flag", "mai_flag"),
            environment: place("http://env", "mai_env"),
            dot_env: place("http://dot", "mai_dot"),
            file: file(&[("http://file", "mai_file")]),
        };
        let with = |url: &str, key: &str, source| (url.to_owned(), Some((key.to_owned(), source)));
        assert_eq!(decided(&places), with("http://flag", "mai_flag", Source::Flag));
        places.flags = place("", "");
        assert_eq!(decided(&places), with("http://env", "mai_env", Source::Environment));
        places.environment = place("", "");
        assert_eq!(decided(&places), with("http://dot", "mai_dot", Source::DotEnv));
        places.dot_env = place("", "");
        assert_eq!(decided(&places), with("http://file", "mai_file", Source::File));
        places.file = Credentials::default();
        assert_eq!(decided(&places), ("http://127.0.0.1:3000".to_owned(), None));
    }

    #[test]
    fn a_key_from_the_file_goes_only_to_its_own_server() {
        let stored = || file(&[("http://127.0.0.1:3000", "mai_stored")]);
        let hostile = Places { dot_env: place("http://evil.example", ""), file: stored(), ..Places::default() };
        assert_eq!(decided(&hostile), ("http://evil.example".to_owned(), None));
        let other_port =
            Places { environment: place("http://127.0.0.1:4000", ""), file: stored(), ..Places::default() };
        assert_eq!(decided(&other_port).1, None);
        let same = Places { environment: place("http://localhost:3000", ""), file: stored(), ..Places::default() };
        assert_eq!(decided(&same).1, Some(("mai_stored".to_owned(), Source::File)));
    }

    #[test]
    fn a_server_is_named_with_the_place_that_chose_it() {
        let named = |places: Places| places.decide().unwrap().server();
        assert_eq!(named(Places { dot_env: place("http://a", ""), ..Places::default() }), "http://a (from ./.env)");
        assert_eq!(
            named(Places { file: file(&[("http://a", "x")]), ..Places::default() }),
            "http://a (from config.toml)"
        );
        assert_eq!(named(Places { flags: place("http://a", ""), ..Places::default() }), "http://a");
        assert_eq!(named(Places::default()), "http://127.0.0.1:3000");
    }

    #[test]
    fn of_several_servers_in_the_file_the_default_one_is_meant() {
        let places = Places { file: file(&[("http://a", "mai_a"), ("http://b", "mai_b")]), ..Places::default() };
        assert_eq!(decided(&places), ("http://127.0.0.1:3000".to_owned(), None));
    }

    #[test]
    fn a_wrong_address_or_key_is_told_with_its_place_and_without_the_key() {
        let places = Places { dot_env: place("localhost:3000", ""), ..Places::default() };
        let failure = places.decide().unwrap_err();
        assert!(failure.sentence().contains("./.env"), "{failure:?}");
        let places = Places { environment: place("", "mai_a\nb"), ..Places::default() };
        let failure = places.decide().unwrap_err();
        assert!(failure.sentence().contains("the environment") && !failure.sentence().contains("mai_a"), "{failure:?}");
    }
}
