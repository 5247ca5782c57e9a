//! The table of settings: one line each, with its name and its place in the tree.
//!
//! Every source gives text, and every type has one reader for it.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};
use toml_edit::{Document, Item, Value};

use super::{Config, ConfigError, MIN_SECRET, Origin, Overrides, Provider, PublicUrl, ServiceUrl, Signup};
use crate::guard::MAX_BUDGET;

/// What the names of all environment variables start with.
pub(super) const PREFIX: &str = "MEET_AI_";
/// Names the configuration file; not a setting itself.
pub(super) const FILE_VARIABLE: &str = "MEET_AI_CONFIG";
/// What else has the prefix and belongs to clients.
const OF_CLIENTS: [&str; 3] = ["MEET_AI_KEY", "MEET_AI_URL", "MEET_AI_OWN_KEYS"];
/// The variables of the call-room adapter that came before, and what they set here.
const OF_THE_ADAPTER: [(&str, &str); 7] = [
    ("CF_API_TOKEN", "realtimekit.api_token"),
    ("CF_ACCOUNT_ID", "realtimekit.account_id"),
    ("RTK_APP_ID", "realtimekit.app_id"),
    ("RTK_PRESET_NAME", "realtimekit.preset_name"),
    ("RTK_SCREENSHARE_PRESET_NAME", "realtimekit.screenshare_preset_name"),
    ("RTK_AUDIO_PRESET_NAME", "realtimekit.audio_preset_name"),
    ("TURNSTILE_SECRET_KEY", "turnstile.secret_key"),
];

struct Setting {
    /// As it stands in the file: tables and keys joined by dots.
    name: &'static str,
    read: fn(&mut Config, &str) -> Result<(), String>,
    show: fn(&Config) -> Option<Value>,
}

macro_rules! settings {
    ($($name:literal => $($field:ident).+),* $(,)?) => {
        const SETTINGS: &[Setting] = &[$(Setting {
            name: $name,
            read: |config, text| {
                config.$($field).+ =
                    if text.trim().is_empty() { Config::default().$($field).+ } else { Field::read(text.trim())? };
                Ok(())
            },
            show: |config| config.$($field).+.show(),
        },)*];
    };
}

settings! {
    "listen" => listen,
    "data_dir" => data_dir,
    "database_url" => database_url,
    "public_url" => public_url,
    "allowed_origins" => allowed_origins,
    "trusted_proxies" => trusted_proxies,
    "client_ip_header" => client_ip_header,
    "signup" => signup,
    "welcome" => welcome,
    "insecure_http" => insecure_http,
    "log" => log,
    "metrics.listen" => metrics.listen,
    "metrics.token" => metrics.token,
    "mcp.manage" => mcp.manage,
    "realtime.token_secret" => realtime.token_secret,
    "realtime.previous_token_secret" => realtime.previous_token_secret,
    "realtime.subscription_secret" => realtime.subscription_secret,
    "realtime.previous_subscription_secret" => realtime.previous_subscription_secret,
    "conference.provider" => conference.provider,
    "livekit.url" => livekit.url,
    "livekit.api_key" => livekit.api_key,
    "livekit.api_secret" => livekit.api_secret,
    "realtimekit.base_url" => realtimekit.base_url,
    "realtimekit.account_id" => realtimekit.account_id,
    "realtimekit.app_id" => realtimekit.app_id,
    "realtimekit.api_token" => realtimekit.api_token,
    "realtimekit.preset_name" => realtimekit.preset_name,
    "realtimekit.screenshare_preset_name" => realtimekit.screenshare_preset_name,
    "realtimekit.audio_preset_name" => realtimekit.audio_preset_name,
    "turnstile.secret_key" => turnstile.secret_key,
    "turnstile.site_key" => turnstile.site_key,
    "turnstile.verify_url" => turnstile.verify_url,
    "quick_rooms.max_age_seconds" => quick_rooms.max_age_seconds,
    "quick_rooms.max_rooms" => quick_rooms.max_rooms,
    "quick_rooms.max_participants" => quick_rooms.max_participants,
    "limits.keys_per_hour_per_ip" => limits.keys_per_hour_per_ip,
    "limits.rooms_per_day_per_key" => limits.rooms_per_day_per_key,
    "limits.messages_per_minute_per_key" => limits.messages_per_minute_per_key,
    "limits.tokens_per_minute_per_ip" => limits.tokens_per_minute_per_ip,
    "limits.message_bytes" => limits.message_bytes,
    "limits.messages_per_room" => limits.messages_per_room,
    "limits.bytes_per_tenant" => limits.bytes_per_tenant,
    "limits.agent_budget" => limits.agent_budget,
    "limits.agent_share" => limits.agent_share,
    "limits.min_free_bytes" => limits.min_free_bytes,
    "limits.sockets_per_user" => limits.sockets_per_user,
    "limits.sockets_per_tenant" => limits.sockets_per_tenant,
    "limits.sockets_per_ip" => limits.sockets_per_ip,
    "limits.sockets" => limits.sockets,
    "limits.connections_per_ip" => limits.connections_per_ip,
    "limits.connections" => limits.connections,
    "limits.operator" => limits.operator,
}

impl Setting {
    /// The name of the environment variable: `limits.operator` is `MEET_AI_LIMITS__OPERATOR`.
    fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.replace('.', "__").to_uppercase())
    }

    /// Reads a value; `written` is what the author calls the setting.
    fn apply(&self, config: &mut Config, written: &str, text: &str) -> Result<(), ConfigError> {
        let done = (self.read)(config, text).and_then(|()| check_alone(self.name, config));
        done.map_err(|problem| ConfigError::Invalid { setting: written.to_owned(), problem })
    }
}

/// How much is logged, from nothing to everything.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The parts of a log filter; the commas between the fields of a span part nothing.
fn directives(filter: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    let parts = filter.split(|c| {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// Whether a part of a log filter says how much: a word alone would be read as a target, and silently.
fn is_directive(part: &str) -> bool {
    let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
    LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) || matches!(level, "0" | "1" | "2" | "3" | "4" | "5")
}

/// The rules for a single setting that its type alone does not tell.
fn check_alone(name: &str, config: &mut Config) -> Result<(), String> {
    match name {
        "limits.message_bytes" => {
            let most = meet_api::text::MAX_CONTENT;
            let bytes = &mut config.limits.message_bytes;
            if *bytes > most {
                return Err(format!("must be at most {most}, which is what every door of the server takes"));
            }
            if *bytes == 0 {
                *bytes = most;
            }
        }
        "limits.agent_budget" | "limits.agent_share"
            if config.limits.agent_budget.max(config.limits.agent_share) > MAX_BUDGET =>
        {
            return Err(format!("must be 0 to {MAX_BUDGET}; 0 is no limit"));
        }
        "log" => {
            if let Some(part) = directives(&config.log).into_iter().find(|part| !is_directive(part)) {
                return Err(format!(
                    "must be a level ({}) or list targets with theirs such as info,meet_server=debug, and {part:?} is \
                     neither",
                    LEVELS.join(", ")
                ));
            }
        }
        "realtimekit.account_id" => check_id(config.realtimekit.account_id.as_deref())?,
        "realtimekit.app_id" => check_id(config.realtimekit.app_id.as_deref())?,
        "quick_rooms.max_age_seconds" if config.quick_rooms.max_age_seconds == 0 => {
            return Err("must be at least 1: a room without an owner has to end".to_owned());
        }
        "client_ip_header" => {
            let is_token = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if !config.client_ip_header.as_deref().is_none_or(|name| name.chars().all(is_token)) {
                return Err("must be the name of a header, for example X-Forwarded-For".to_owned());
            }
        }
        "realtime.token_secret" => check_length(config.realtime.token_secret.as_ref())?,
        "realtime.previous_token_secret" => check_length(config.realtime.previous_token_secret.as_ref())?,
        "realtime.subscription_secret" => check_length(config.realtime.subscription_secret.as_ref())?,
        "realtime.previous_subscription_secret" => {
            check_length(config.realtime.previous_subscription_secret.as_ref())?;
        }
        _ => {}
    }
    Ok(())
}

/// Whether an id of the provider can stand in an address.
fn check_id(id: Option<&str>) -> Result<(), String> {
    let is_plain = |id: &str| id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if id.is_none_or(is_plain) { Ok(()) } else { Err("must be an id of letters, digits, - and _".to_owned()) }
}

/// Whether a secret that signs is long enough not to be guessed.
fn check_length(secret: Option<&SecretString>) -> Result<(), String> {
    match secret {
        Some(secret) if secret.expose_secret().len() < MIN_SECRET => {
            Err(format!("must have at least {MIN_SECRET} bytes; `openssl rand -base64 32` makes a good one"))
        }
        _ => Ok(()),
    }
}

/// Applies a file's text.
pub(super) fn apply_file(config: &mut Config, path: &Path, text: &str) -> Result<(), ConfigError> {
    let document = Document::parse(text).map_err(|error| {
        let until = error.span().map_or(0, |span| span.start);
        let line = text.get(..until).map_or(1, |before| before.matches('\n').count() + 1);
        ConfigError::NotToml { path: path.to_path_buf(), line }
    })?;
    for (name, item) in document.as_table() {
        match item.as_table_like() {
            Some(table) if !SETTINGS.iter().any(|setting| setting.name == name) => {
                for (inner, item) in table.iter() {
                    apply_item(config, path, &format!("{name}.{inner}"), item)?;
                }
            }
            _ => apply_item(config, path, name, item)?,
        }
    }
    Ok(())
}

fn apply_item(config: &mut Config, path: &Path, name: &str, item: &Item) -> Result<(), ConfigError> {
    let written = format!("{name} (in {})", path.display());
    let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
        let nearest = nearest(name, |setting| setting.name.to_owned());
        return Err(ConfigError::Unknown { setting: written, nearest });
    };
    let problem = || "must be a text, a number, true or false, or a list of texts".to_owned();
    let text = item.as_value().and_then(as_text);
    let text = text.ok_or_else(|| ConfigError::Invalid { setting: written.clone(), problem: problem() })?;
    setting.apply(config, &written, &text)
}

/// A TOML value as the environment would write it.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.value().clone()),
        Value::Integer(number) => Some(number.value().to_string()),
        Value::Boolean(flag) => Some(flag.value().to_string()),
        Value::Array(list) => {
            let parts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
            Some(parts?.join(","))
        }
        Value::Float(_) | Value::Datetime(_) | Value::InlineTable(_) => None,
    }
}

/// Applies environment variables; all of them have the prefix.
pub(super) fn apply_env(config: &mut Config, env: &[(String, String)]) -> Result<(), ConfigError> {
    for (name, value) in env {
        if name == FILE_VARIABLE || OF_CLIENTS.contains(&name.as_str()) {
            continue;
        }
        let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == *name) else {
            return Err(ConfigError::Unknown { setting: name.clone(), nearest: nearest(name, Setting::variable) });
        };
        setting.apply(config, name, value)?;
    }
    Ok(())
}

/// Applies the variables of the adapter; the rest of the environment is none of ours.
pub(super) fn apply_adapter_env(config: &mut Config, env: &[(String, String)]) -> Result<(), ConfigError> {
    for (variable, name) in OF_THE_ADAPTER {
        let setting = SETTINGS.iter().find(|setting| setting.name == name);
        let value = env.iter().find(|(given, _)| given == variable);
        if let (Some(setting), Some((_, value))) = (setting, value) {
            setting.apply(config, variable, value)?;
        }
    }
    Ok(())
}

/// Applies the command line.
pub(super) fn apply_overrides(config: &mut Config, overrides: Overrides) -> Result<(), ConfigError> {
    let flags = [("--listen", "listen", overrides.listen), ("--public-url", "public_url", overrides.public_url)];
    for (flag, name, value) in flags {
        let setting = SETTINGS.iter().find(|setting| setting.name == name);
        if let (Some(setting), Some(value)) = (setting, value) {
            setting.apply(config, flag, &value)?;
        }
    }
    if let Some(directory) = overrides.data_dir {
        config.data_dir = directory;
    }
    config.insecure_http |= overrides.insecure_http;
    Ok(())
}

/// The known name that is most like `name`, in the spelling of `spell`.
fn nearest(name: &str, spell: impl Fn(&Setting) -> String) -> String {
    let known = SETTINGS.iter().map(spell);
    known.min_by_key(|known| strsim::damerau_levenshtein(known, name)).unwrap_or_default()
}

/// The tree as TOML, secrets masked; what has no value is a comment.
pub(super) fn show(config: &Config) -> String {
    let mut text = String::new();
    let mut table = "";
    for setting in SETTINGS {
        let (inside, key) = setting.name.split_once('.').unwrap_or(("", setting.name));
        if inside != table {
            table = inside;
            let _ = writeln!(text, "\n[{table}]");
        }
        let _ = match (setting.show)(config) {
            Some(value) => writeln!(text, "{key} = {value}"),
            None if key == "signup" => {
                let decided = if config.signup_is_open() { "open" } else { "closed" };
                writeln!(text, "# {key} is not set, and by the public URL it is {decided}")
            }
            None => writeln!(text, "# {key} is not set"),
        };
    }
    text
}

/// A type that a setting may have.
trait Field: Sized {
    /// Reads a text that is not empty; the error completes a sentence that starts with the name.
    fn read(text: &str) -> Result<Self, String>;

    /// The value as TOML; `None` when there is none.
    fn show(&self) -> Option<Value>;
}

impl Field for SocketAddr {
    fn read(text: &str) -> Result<Self, String> {
        let port = text.strip_prefix("localhost:").and_then(|port| port.parse::<u16>().ok());
        if let Some(port) = port {
            return Ok(Self::from(([127, 0, 0, 1], port)));
        }
        text.parse().map_err(|_| format!("must be an address and a port such as 127.0.0.1:3000, and {text:?} is not"))
    }

    fn show(&self) -> Option<Value> {
        Some(self.to_string().into())
    }
}

impl Field for u64 {
    fn read(text: &str) -> Result<Self, String> {
        // TOML has no number above this, and so the file could not say it.
        let fits = text.replace('_', "").parse().ok().filter(|number| i64::try_from(*number).is_ok());
        fits.ok_or_else(|| format!("must be a whole number from 0, and {text:?} is not"))
    }

    fn show(&self) -> Option<Value> {
        i64::try_from(*self).ok().map(Value::from)
    }
}

impl Field for usize {
    fn read(text: &str) -> Result<Self, String> {
        let number = u64::read(text)?;
        Self::try_from(number).map_err(|_| format!("is too large for this machine: {number}"))
    }

    fn show(&self) -> Option<Value> {
        i64::try_from(*self).ok().map(Value::from)
    }
}

impl Field for bool {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            other => Err(format!("must be true or false, and {other:?} is neither")),
        }
    }

    fn show(&self) -> Option<Value> {
        Some((*self).into())
    }
}

impl Field for String {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self) -> Option<Value> {
        Some(self.as_str().into())
    }
}

impl Field for SecretString {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }

    fn show(&self) -> Option<Value> {
        Some("***".into())
    }
}

impl Field for PathBuf {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }

    fn show(&self) -> Option<Value> {
        Some(self.display().to_string().into())
    }
}

impl Field for Signup {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "open" => Ok(Self::Open),
            "closed" => Ok(Self::Closed),
            other => Err(format!("must be open or closed, and {other:?} is neither")),
        }
    }

    fn show(&self) -> Option<Value> {
        Some(if *self == Self::Open { "open" } else { "closed" }.into())
    }
}

impl Field for Provider {
    fn read(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|provider| provider.as_str() == text);
        known.ok_or_else(|| {
            format!("must be {}, and {text:?} is none of them", Self::ALL.map(Self::as_str).join(" or "))
        })
    }

    fn show(&self) -> Option<Value> {
        Some(self.as_str().into())
    }
}

impl Field for ServiceUrl {
    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }

    fn show(&self) -> Option<Value> {
        Some(self.as_str().into())
    }
}

impl Field for PublicUrl {
    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }

    fn show(&self) -> Option<Value> {
        Some(self.as_str().into())
    }
}

impl Field for Origin {
    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }

    fn show(&self) -> Option<Value> {
        Some(self.as_str().into())
    }
}

impl Field for IpNet {
    fn read(text: &str) -> Result<Self, String> {
        let address = text.parse::<IpAddr>().map(Self::from);
        address
            .or_else(|_| text.parse())
            .map_err(|_| format!("must list addresses or networks such as 10.0.0.0/8, and {text:?} is neither"))
    }

    fn show(&self) -> Option<Value> {
        Some(self.to_string().into())
    }
}

impl<T: Field> Field for Option<T> {
    fn read(text: &str) -> Result<Self, String> {
        T::read(text).map(Some)
    }

    fn show(&self) -> Option<Value> {
        self.as_ref().and_then(T::show)
    }
}

impl<T: Field> Field for Vec<T> {
    fn read(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(T::read).collect()
    }

    fn show(&self) -> Option<Value> {
        Some(self.iter().filter_map(T::show).collect())
    }
}

#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = (&'static str, String)> {
    SETTINGS.iter().map(|setting| (setting.name, setting.variable()))
}
