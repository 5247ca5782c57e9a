//! The check for bots: whether a token that a visitor's Turnstile widget made is good. Whatever is not a clear yes is a
//! no. Who has to pass it is not decided here.

#[cfg(test)]
mod tests;

use std::{net::IpAddr, time::Duration};

use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderValue},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::form_urlencoded;
use uuid::Uuid;

use crate::{
    conference::http::{Answer, NoAnswer, Service, send},
    config,
    doctor::Finding,
};

/// The longest token that Turnstile makes.
const MAX_TOKEN: usize = 2048;
/// How long a check may take, second try included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A token that no secret of a real widget accepts; from Cloudflare's documentation of testing,
/// <https://developers.cloudflare.com/turnstile/troubleshooting/testing/>.
const DUMMY_TOKEN: &str = "XXXX.DUMMY.TOKEN.XXXX";
const SUBJECT: &str = "Turnstile";

/// Whoever says whether a token is good.
pub(crate) struct Turnstile {
    service: Service,
    secret: SecretString,
}

/// Why a token is not good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// No widget makes such a token.
    #[error("the token is none")]
    NoToken,
    /// It was made up, is spent or too old, or something else is wrong with it.
    #[error("the token is not good: {0}")]
    NotGood(Fault),
    /// It was made on another site.
    #[error("the token is of another site")]
    WrongHostname,
    /// Nobody knows whether it is good.
    #[error("Turnstile did not answer properly: {0}")]
    Unknown(String),
}

/// What Turnstile finds wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The secret of the settings is not a widget's.
    #[error("invalid-input-secret")]
    Secret,
    /// The token was made up.
    #[error("invalid-input-response")]
    Response,
    /// The token was looked at before, or too long ago.
    #[error("timeout-or-duplicate")]
    Spent,
    /// Turnstile stumbled; the same may be asked again.
    #[error("internal-error")]
    Internal,
    /// Anything else.
    #[error("another code, or none")]
    Other,
}

/// What Turnstile answers.
#[derive(Deserialize)]
struct Verdict {
    success: bool,
    hostname: Option<String>,
    #[serde(rename = "error-codes", default)]
    codes: Vec<String>,
}

/// What one try came to.
enum Tried {
    Good { hostname: Option<String> },
    Bad(Fault),
    Again(String),
    Junk(String),
}

impl Turnstile {
    /// Takes the settings; `None` without a secret, when nobody is checked.
    ///
    /// # Errors
    /// A sentence when this machine cannot make requests.
    pub(crate) fn new(settings: &config::Turnstile) -> Result<Option<Self>, String> {
        let Some(secret) = settings.secret_key.clone() else { return Ok(None) };
        let service = Service::new(settings.verify_url.for_requests())?;
        Ok(Some(Self { service, secret }))
    }

    /// Whether a token is good, was made on the site `hostname`, and is looked at for the first time: looking spends it.
    /// `attempt` is this look's own id, made for it; by that it can be asked twice when an answer is lost.
    ///
    /// # Errors
    /// [`Refused`], whenever the answer is not a clear yes.
    pub(crate) async fn verify(&self, token: &str, ip: IpAddr, hostname: &str, attempt: Uuid) -> Result<(), Refused> {
        if token.is_empty() || token.len() > MAX_TOKEN {
            return Err(Refused::NoToken);
        }
        let tried = match tokio::time::timeout(TIMEOUT, self.ask(token, Some(ip), attempt)).await {
            Ok(tried) => tried,
            Err(_) => Tried::Junk(NoAnswer::Late.to_string()),
        };
        match tried {
            Tried::Good { hostname: Some(made_on) } if made_on.eq_ignore_ascii_case(hostname) => Ok(()),
            Tried::Good { .. } => Err(Refused::WrongHostname),
            Tried::Bad(fault) => {
                if fault == Fault::Secret {
                    tracing::warn!(
                        setting = "MEET_AI_TURNSTILE__SECRET_KEY",
                        "Turnstile does not know the secret of the settings; everybody is refused"
                    );
                }
                Err(Refused::NotGood(fault))
            }
            Tried::Again(why) | Tried::Junk(why) => Err(Refused::Unknown(why)),
        }
    }

    /// Asks, and once more when Turnstile stumbled or the line broke.
    async fn ask(&self, token: &str, ip: Option<IpAddr>, attempt: Uuid) -> Tried {
        match self.ask_once(token, ip, attempt).await {
            Tried::Again(_) | Tried::Bad(Fault::Internal) => self.ask_once(token, ip, attempt).await,
            tried => tried,
        }
    }

    async fn ask_once(&self, token: &str, ip: Option<IpAddr>, attempt: Uuid) -> Tried {
        let form = {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("secret", self.secret.expose_secret()).append_pair("response", token);
            form.append_pair("idempotency_key", &attempt.to_string());
            if let Some(ip) = ip {
                form.append_pair("remoteip", &ip.to_string());
            }
            form.finish()
        };
        let request = self.service.request(Method::POST, "");
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        match send(request.header(CONTENT_TYPE, kind).body(form)).await {
            Ok(answer) => Tried::of(&answer),
            Err(why @ (NoAnswer::Cut | NoAnswer::Unreachable(_))) => Tried::Again(why.to_string()),
            Err(why @ (NoAnswer::Late | NoAnswer::TooLarge)) => Tried::Junk(why.to_string()),
        }
    }

    /// Whether Turnstile can be reached and knows the secret: asked about a token that nobody has, it must say that the
    /// token is wrong.
    pub(crate) async fn inspect(&self, attempt: Uuid) -> Finding {
        let secret = "MEET_AI_TURNSTILE__SECRET_KEY";
        let fix = format!("set {secret} to the secret key of your Turnstile widget");
        match self.ask(DUMMY_TOKEN, None, attempt).await {
            Tried::Bad(Fault::Response) => Finding::ok(SUBJECT, "answers and knows the secret"),
            Tried::Bad(Fault::Secret) => Finding::fail(SUBJECT, format!("does not know {secret}"), fix),
            Tried::Good { .. } | Tried::Bad(Fault::Spent) => {
                Finding::warn(SUBJECT, format!("{secret} is one for testing, which looks at nothing"), fix)
            }
            Tried::Bad(fault) => Finding::fail(SUBJECT, format!("does not say what it should: {fault}"), "try again"),
            Tried::Again(why) | Tried::Junk(why) => Finding::fail(
                SUBJECT,
                format!("no Turnstile behind MEET_AI_TURNSTILE__VERIFY_URL: {why}"),
                "let this machine reach challenges.cloudflare.com by HTTPS, or set MEET_AI_TURNSTILE__VERIFY_URL",
            ),
        }
    }
}

impl Tried {
    fn of(answer: &Answer) -> Self {
        let status = answer.status;
        if status.is_server_error() {
            return Self::Again(format!("status {}", status.as_u16()));
        }
        match answer.json::<Verdict>() {
            Some(Verdict { success: true, hostname, .. }) if status.is_success() => Self::Good { hostname },
            Some(Verdict { success: false, codes, .. }) => Self::Bad(Fault::of(&codes)),
            _ => Self::Junk(format!("status {} with an answer that makes no sense", status.as_u16())),
        }
    }
}

impl Fault {
    /// The fault that matters most of those that were named.
    fn of(codes: &[String]) -> Self {
        let has = |code: &str| codes.iter().any(|named| named == code);
        if ["invalid-input-secret", "missing-input-secret", "invalid-parsed-secret"].into_iter().any(has) {
            Self::Secret
        } else if has("invalid-input-response") {
            Self::Response
        } else if has("timeout-or-duplicate") {
            Self::Spent
        } else if has("internal-error") {
            Self::Internal
        } else {
            Self::Other
        }
    }
}
