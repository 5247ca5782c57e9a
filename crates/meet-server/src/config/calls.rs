//! What can be set about calls: who carries them, what a stranger must pass to get into one, how long and how many rooms
//! without an owner there are.

use secrecy::SecretString;
use url::Url;

use super::ConfigError;

/// Cloudflare's API, in front of the account.
const CLOUDFLARE: &str = "https://api.cloudflare.com/client/v4/accounts";
/// Where Turnstile says whether a token is good.
const SITEVERIFY: &str = "https://challenges.cloudflare.com/turnstile/v0/siteverify";

/// Who carries the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// A LiveKit server.
    LiveKit,
    /// Cloudflare RealtimeKit.
    RealtimeKit,
    /// Nobody: calls without sound and picture, for tests and demos.
    Fake,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::LiveKit, Self::RealtimeKit, Self::Fake];

    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LiveKit => "livekit",
            Self::RealtimeKit => "realtimekit",
            Self::Fake => "fake",
        }
    }
}

/// Which provider carries the calls; without one there are none.
#[derive(Debug, Clone, Default)]
pub struct Conference {
    /// The provider.
    pub provider: Option<Provider>,
}

/// A LiveKit server and the key that it knows.
#[derive(Debug, Clone, Default)]
pub struct LiveKit {
    /// Its address, as clients and this server reach it.
    pub url: Option<ServiceUrl>,
    /// The id of the API key.
    pub api_key: Option<String>,
    /// The secret of the API key.
    pub api_secret: Option<SecretString>,
}

/// An app of Cloudflare RealtimeKit.
#[derive(Debug, Clone, Default)]
pub struct RealtimeKit {
    /// The whole base of its API, account included; `None` for Cloudflare's and the account's.
    pub base_url: Option<ServiceUrl>,
    /// The account.
    pub account_id: Option<String>,
    /// The app.
    pub app_id: Option<String>,
    /// An API token that may use it.
    pub api_token: Option<SecretString>,
    /// The preset where there is no specific one.
    pub preset_name: Option<String>,
    /// The preset of rooms with screens.
    pub screenshare_preset_name: Option<String>,
    /// The preset of rooms with sound alone.
    pub audio_preset_name: Option<String>,
}

/// The check for bots in front of rooms without an owner.
#[derive(Debug, Clone)]
pub struct Turnstile {
    /// The secret; without it nobody is checked.
    pub secret_key: Option<SecretString>,
    /// The key of the widget in our own page.
    pub site_key: Option<String>,
    /// Where tokens are verified.
    pub verify_url: ServiceUrl,
}

/// Rooms without an owner.
#[derive(Debug, Clone)]
pub struct QuickRooms {
    /// For how long one lasts.
    pub max_age_seconds: u64,
    /// How many there may be at a time.
    pub max_rooms: u64,
    /// How many may be in the call of one.
    pub max_participants: u64,
}

impl Default for Turnstile {
    fn default() -> Self {
        // The constant is an address; a unit test reads it.
        let verify_url = ServiceUrl(SITEVERIFY.to_owned());
        Self { secret_key: None, site_key: None, verify_url }
    }
}

impl Default for QuickRooms {
    fn default() -> Self {
        Self { max_age_seconds: 7200, max_rooms: 1000, max_participants: 100 }
    }
}

/// The address of a service, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUrl(String);

impl ServiceUrl {
    /// Reads an address such as `https://livekit.example.org`; the error completes a sentence that starts with the
    /// setting's name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shape = || format!("must be like https://service.example.org, and {text:?} is not");
        let url = Url::parse(text).map_err(|_| shape())?;
        if !matches!(url.scheme(), "http" | "https" | "ws" | "wss") || url.host().is_none() {
            return Err(shape());
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err("must have no user, password, query or fragment: keys have settings of their own".to_owned());
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    /// The address as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address for requests: `http` or `https`.
    pub fn for_requests(&self) -> String {
        self.with_scheme("http")
    }

    /// The address for sockets: `ws` or `wss`.
    pub fn for_sockets(&self) -> String {
        self.with_scheme("ws")
    }

    fn with_scheme(&self, plain: &str) -> String {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("http", &self.0));
        let secure = if matches!(scheme, "https" | "wss") { "s" } else { "" };
        format!("{plain}{secure}://{rest}")
    }
}

impl RealtimeKit {
    /// The base of the API: as set, else Cloudflare's with the account.
    pub fn base(&self) -> Option<String> {
        match (&self.base_url, &self.account_id) {
            (Some(url), _) => Some(url.for_requests()),
            (None, Some(account)) => Some(format!("{CLOUDFLARE}/{account}/realtime/kit")),
            (None, None) => None,
        }
    }

    /// The preset of rooms with sound alone.
    pub fn audio_preset(&self) -> Option<&str> {
        self.audio_preset_name.as_deref().or(self.preset_name.as_deref())
    }

    /// The preset of rooms with screens.
    pub fn screenshare_preset(&self) -> Option<&str> {
        self.screenshare_preset_name.as_deref().or(self.preset_name.as_deref())
    }
}

/// Refuses a provider that lacks a setting.
pub(super) fn check(
    conference: &Conference,
    livekit: &LiveKit,
    realtimekit: &RealtimeKit,
    turnstile: &Turnstile,
) -> Result<(), ConfigError> {
    let livekit_needs = [
        ("MEET_AI_LIVEKIT__URL", livekit.url.is_none()),
        ("MEET_AI_LIVEKIT__API_KEY", livekit.api_key.is_none()),
        ("MEET_AI_LIVEKIT__API_SECRET", livekit.api_secret.is_none()),
    ];
    let realtimekit_needs = [
        ("MEET_AI_REALTIMEKIT__ACCOUNT_ID", realtimekit.base().is_none()),
        ("MEET_AI_REALTIMEKIT__APP_ID", realtimekit.app_id.is_none()),
        ("MEET_AI_REALTIMEKIT__API_TOKEN", realtimekit.api_token.is_none()),
        (
            "MEET_AI_REALTIMEKIT__PRESET_NAME",
            realtimekit.audio_preset().is_none() || realtimekit.screenshare_preset().is_none(),
        ),
    ];
    let (needs, provider): (&[_], _) = match conference.provider {
        Some(Provider::LiveKit) => (&livekit_needs, "livekit"),
        Some(Provider::RealtimeKit) => (&realtimekit_needs, "realtimekit"),
        Some(Provider::Fake) | None => (&[], ""),
    };
    if let Some((setting, _)) = needs.iter().find(|(_, is_missing)| *is_missing) {
        let problem = format!("is needed when MEET_AI_CONFERENCE__PROVIDER is {provider}, and is not set");
        return Err(ConfigError::Invalid { setting: (*setting).to_owned(), problem });
    }
    if turnstile.site_key.is_some() && turnstile.secret_key.is_none() {
        let problem = "has no effect without MEET_AI_TURNSTILE__SECRET_KEY: nobody would look at what the widget says";
        let setting = "MEET_AI_TURNSTILE__SITE_KEY".to_owned();
        return Err(ConfigError::Invalid { setting, problem: problem.to_owned() });
    }
    Ok(())
}
