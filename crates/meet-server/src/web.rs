//! The pages: the built UI as it is embedded in the binary, with tags for link previews filled in, and what agents read
//! in its place.

mod agents;

pub use agents::SKILL;

use std::borrow::Cow;

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{any, get},
};
use rust_embed::{EmbeddedFile, RustEmbed};
use url::Url;

use crate::{app::App, config::Provider, edge};

/// The build of `web/`; empty when it was not built.
#[derive(RustEmbed)]
#[folder = "../../web/dist"]
#[exclude = ".gitkeep*"]
struct Assets;

/// Where the page's tags for link previews go.
const META: &str = "<!--meet-ai:meta-->";
/// What the pages say about themselves to search engines and link previews.
const DESCRIPTION: &str = "Rooms where people and AI agents talk. Self-hosted, and nothing gets lost.";
/// What stands in when the pages were not built.
const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><title>meet-ai</title>\
    <p>The server runs; its pages were not built into it. Run <code>make build</code>, which needs Node.</p></html>";
/// Where Turnstile's script and its frame come from.
const TURNSTILE: &str = "https://challenges.cloudflare.com";
/// What RealtimeKit's client connects to; the host of its socket is told to it by the first of these.
const REALTIMEKIT: &str = "https://*.realtime.cloudflare.com wss://*.realtime.cloudflare.com";
/// What hosted LiveKit's client is led to: a server near the caller.
const LIVEKIT_CLOUD: &str = "livekit.cloud";
/// Assets carry a hash in their name, so a browser never needs to ask again.
const FOREVER: &str = "public, max-age=31536000, immutable";

/// The routes of the pages.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(front_page))
        .route("/llms.txt", get(agents::guide))
        .route("/skill.md", get(agents::skill))
        .route("/key", get(page))
        .route("/docs", get(page))
        .route("/call", get(call_page))
        .route("/r/{id}", get(page))
        .route("/call/", get(without_slash))
        .route("/key/", get(without_slash))
        .route("/docs/", get(without_slash))
        .route("/{file}", get(file).fallback(lost))
        .route("/assets/{file}", get(asset))
        // The rest: whoever looks for an address that is none may be a browser.
        .route("/{folder}/", any(lost))
        .route("/{folder}/{*rest}", any(lost))
}

/// The page's address as links write it.
async fn without_slash(uri: Uri) -> Redirect {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Redirect::permanent(&format!("{}{query}", uri.path().trim_end_matches('/')))
}

/// The answer to an address that is none: the page that says so for a browser, the API's error for a program.
async fn lost(State(app): State<App>, uri: Uri, headers: HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_api = uri.path() == "/api" || uri.path().starts_with("/api/");
    if is_api || !accepted.contains("text/html") {
        return edge::not_found().await;
    }
    let mut response = page(State(app)).await;
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// The one page, whatever the address: the script in it looks at that.
async fn page(State(app): State<App>) -> Response {
    page_with(&app, &Outside::default())
}

/// The page at the front door, which agents get as Markdown.
async fn front_page(app: State<App>, headers: HeaderMap) -> Response {
    let is_for_an_agent = agents::is_preferred(&headers);
    agents::in_two_forms(if is_for_an_agent { agents::guide(app).await } else { page(app).await })
}

/// The same page where it may use what calls need.
async fn call_page(State(app): State<App>) -> Response {
    page_with(&app, &Outside::of_calls(&app))
}

fn page_with(app: &App, outside: &Outside) -> Response {
    let Some(index) = Assets::get("index.html") else { return with_policy(outside, Html(NOT_BUILT)) };
    let html = String::from_utf8_lossy(&index.data).replace(META, &meta(app));
    with_policy(outside, ([(header::CACHE_CONTROL, "no-cache")], Html(html)))
}

/// What a page may use that this server does not serve itself.
#[derive(Default)]
struct Outside {
    /// Whether Turnstile's script and frame are let in.
    turnstile: bool,
    /// The origins of the conference's provider, to which it may connect.
    conference: Option<String>,
}

impl Outside {
    /// What the configured provider and the configured check for bots need.
    fn of_calls(app: &App) -> Self {
        let Some(conference) = app.conference_config() else { return Self::default() };
        Self {
            turnstile: conference.turnstile_site_key.is_some(),
            conference: match app.config().conference.provider {
                Some(Provider::LiveKit) => livekit_origins(&conference.url),
                Some(Provider::RealtimeKit) => Some(REALTIMEKIT.to_owned()),
                Some(Provider::Fake) | None => None,
            },
        }
    }

    /// Only what is named, nothing inline, no plain strings into scripts.
    fn policy(&self) -> String {
        let conference = self.conference.as_deref().map(|origins| format!(" {origins}")).unwrap_or_default();
        let (scripts, frames, types) = if self.turnstile {
            (format!(" {TURNSTILE}"), format!("frame-src {TURNSTILE}; "), " meet-ai-turnstile")
        } else {
            (String::new(), String::new(), "")
        };
        format!(
            "default-src 'none'; script-src 'self'{scripts}; style-src 'self'; img-src 'self' data:; \
             font-src 'self'; connect-src 'self'{conference}; {frames}manifest-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
             trusted-types svelte-trusted-html dompurify{types}"
        )
    }
}

/// The origins of a LiveKit server: its client asks over HTTP and talks over a WebSocket. A host that a policy
/// cannot name, such as an IPv6 address, or that would say more in it than a name, is left out: browsers then
/// refuse to connect to it.
fn livekit_origins(address: &str) -> Option<String> {
    let url = Url::parse(address).ok()?;
    let name =
        url.host_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)))?;
    let host = match url.port() {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    };
    let origins = match url.scheme() {
        "https" | "wss" => format!("https://{host} wss://{host}"),
        _ => format!("http://{host} ws://{host}"),
    };
    let is_hosted = url.domain().is_some_and(|domain| domain.ends_with(&format!(".{LIVEKIT_CLOUD}")));
    Some(if is_hosted { format!("{origins} https://*.{LIVEKIT_CLOUD} wss://*.{LIVEKIT_CLOUD}") } else { origins })
}

/// Tags for link previews; they speak of the server, never of a room.
fn meta(app: &App) -> String {
    let url = escape(&app.site().public_url);
    format!(
        "<meta name=\"description\" content=\"{DESCRIPTION}\">\
         <meta property=\"og:type\" content=\"website\"><meta property=\"og:title\" content=\"meet-ai\">\
         <meta property=\"og:description\" content=\"{DESCRIPTION}\"><meta property=\"og:url\" content=\"{url}/\">"
    )
}

fn escape(text: &str) -> Cow<'_, str> {
    if text.contains(['&', '<', '>', '"', '\'']) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        return text.replace('"', "&quot;").replace('\'', "&#39;").into();
    }
    text.into()
}

fn with_policy(outside: &Outside, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    // An address was read as one, so its origin is plain text; a page without a policy would be none at all.
    let policy = HeaderValue::from_str(&outside.policy()).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

async fn asset(State(app): State<App>, Path(name): Path<String>, uri: Uri, headers: HeaderMap) -> Response {
    match embedded(&format!("assets/{name}"), &headers, FOREVER) {
        Some(answer) => answer,
        None => lost(State(app), uri, headers).await,
    }
}

async fn file(State(app): State<App>, Path(name): Path<String>, uri: Uri, headers: HeaderMap) -> Response {
    match embedded(&name, &headers, "no-cache") {
        Some(answer) => answer,
        None => lost(State(app), uri, headers).await,
    }
}

/// An embedded file, in the smallest form that the browser takes, or an empty answer when it has it already.
fn embedded(path: &str, headers: &HeaderMap, cache: &'static str) -> Option<Response> {
    let is_hidden = path == "index.html" || matches!(path.rsplit('.').next(), Some("br" | "gz"));
    let plain = Assets::get(path).filter(|_| !is_hidden)?;
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (encoding, file) = smallest(path, accepted).map_or((None, plain), |(name, file)| (Some(name), file));
    let etag = etag(&file);
    let mut response = if headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = HeaderValue::from_static(content_type(path));
        ([(header::CONTENT_TYPE, kind)], file.data).into_response()
    };
    let answer = response.headers_mut();
    answer.insert(header::ETAG, etag);
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    answer.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(encoding) = encoding {
        answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    Some(response)
}

fn smallest(path: &str, accepted: &str) -> Option<(&'static str, EmbeddedFile)> {
    let offers = [("br", ".br"), ("gzip", ".gz")];
    offers.into_iter().find_map(|(name, ending)| {
        let is_accepted = accepted.split(',').any(|offer| offer.split(';').next().unwrap_or_default().trim() == name);
        if is_accepted { Assets::get(&format!("{path}{ending}")).map(|file| (name, file)) } else { None }
    })
}

fn etag(file: &EmbeddedFile) -> HeaderValue {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let hash = URL_SAFE_NO_PAD.encode(&file.metadata.sha256_hash()[..16]);
    HeaderValue::from_str(&format!("\"{hash}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webmanifest" => "application/manifest+json",
        "json" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}
