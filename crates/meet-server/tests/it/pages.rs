//! The pages as the server hands them out. Without a built page there is a stand-in, and the same rules hold.

use meet_server::config::{Provider, PublicUrl, ServiceUrl};
use serde_json::json;

use crate::support::{Server, Setup};

/// The pages that use nothing but this server.
const PAGES: [&str; 4] = ["/", "/key", "/docs", "/r/01900000-0000-7000-8000-000000000001"];

/// The policies of the page of calls and of all others, with calls by this provider.
async fn policies(change: impl FnOnce(&mut meet_server::Config)) -> (String, Vec<String>) {
    let server = Setup::new().with(change).start().await;
    let mut others = Vec::new();
    for path in PAGES.into_iter().chain(["/nothing"]) {
        let browser = server.stranger().with_header("accept", "text/html");
        others.push(browser.get(path).await.header("content-security-policy").to_owned());
    }
    let call = server.stranger().get("/call").await;
    assert_eq!(call.status, 200);
    (call.header("content-security-policy").to_owned(), others)
}

/// What a policy says to one of its directives.
fn directive<'a>(policy: &'a str, name: &str) -> &'a str {
    let said = policy.split("; ").find_map(|rule| rule.strip_prefix(name)?.strip_prefix(' '));
    said.unwrap_or_default()
}

#[tokio::test]
async fn the_page_of_calls_may_use_nothing_outside_until_the_settings_name_it() {
    let (strict, others) = policies(|_| {}).await;
    assert!(others.iter().all(|policy| *policy == strict), "{strict}");
    let (fake, _) = policies(|config| config.conference.provider = Some(Provider::Fake)).await;
    assert_eq!(fake, strict, "calls that carry nothing are on this very server");
    let (keyed, _) = policies(|config| config.turnstile.site_key = Some("1x00000000000000000000AA".to_owned())).await;
    assert_eq!(keyed, strict, "nobody is asked where there are no calls");
}

#[tokio::test]
async fn only_the_page_of_calls_lets_the_check_for_bots_in() {
    let (strict, _) = policies(|_| {}).await;
    let (call, others) = policies(|config| {
        config.conference.provider = Some(Provider::Fake);
        config.turnstile.site_key = Some("1x00000000000000000000AA".to_owned());
    })
    .await;
    assert_eq!(directive(&call, "script-src"), "'self' https://challenges.cloudflare.com");
    assert_eq!(directive(&call, "frame-src"), "https://challenges.cloudflare.com");
    assert_eq!(directive(&call, "connect-src"), "'self'");
    assert_eq!(directive(&call, "trusted-types"), "svelte-trusted-html dompurify meet-ai-turnstile");
    assert!(others.iter().all(|policy| *policy == strict));
}

#[tokio::test]
async fn only_the_page_of_calls_connects_to_the_provider_of_calls() {
    let (strict, _) = policies(|_| {}).await;
    let addresses = [
        ("wss://sfu.example.org", "https://sfu.example.org wss://sfu.example.org"),
        ("http://127.0.0.1:7880", "http://127.0.0.1:7880 ws://127.0.0.1:7880"),
        (
            "wss://team.livekit.cloud",
            "https://team.livekit.cloud wss://team.livekit.cloud https://*.livekit.cloud wss://*.livekit.cloud",
        ),
    ];
    for (address, origins) in addresses {
        let (call, others) = policies(|config| {
            config.conference.provider = Some(Provider::LiveKit);
            config.livekit.url = Some(ServiceUrl::parse(address).unwrap());
            config.livekit.api_key = Some("key".to_owned());
            config.livekit.api_secret = Some("a secret that is thirty-two bytes".to_owned().into());
        })
        .await;
        assert_eq!(directive(&call, "connect-src"), format!("'self' {origins}"));
        assert_eq!(call.replace(&format!(" {origins}"), ""), strict);
        assert!(others.iter().all(|policy| *policy == strict));
    }
    for unnameable in ["wss://[::1]:7880", "wss://*.example.org", "wss://sfu;script-src.example.org"] {
        let (call, _) = policies(|config| {
            config.conference.provider = Some(Provider::LiveKit);
            config.livekit.url = Some(ServiceUrl::parse(unnameable).unwrap());
            config.livekit.api_key = Some("key".to_owned());
            config.livekit.api_secret = Some("a secret that is thirty-two bytes".to_owned().into());
        })
        .await;
        assert_eq!(call, strict, "{unnameable}");
    }
    let (call, others) = policies(|config| {
        config.conference.provider = Some(Provider::RealtimeKit);
        config.realtimekit.account_id = Some("account".to_owned());
        config.realtimekit.app_id = Some("app".to_owned());
        config.realtimekit.api_token = Some("token".to_owned().into());
        config.realtimekit.preset_name = Some("preset".to_owned());
    })
    .await;
    let origins = "https://*.realtime.cloudflare.com wss://*.realtime.cloudflare.com";
    assert_eq!(directive(&call, "connect-src"), format!("'self' {origins}"));
    assert_eq!(call.replace(&format!(" {origins}"), ""), strict);
    assert!(others.iter().all(|policy| *policy == strict));
}

#[tokio::test]
async fn every_page_comes_with_a_strict_policy() {
    let server = Server::start().await;
    for path in PAGES.into_iter().chain(["/call", "/call?room=standup", "/?anything=goes"]) {
        let answer = server.stranger().get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("content-type").starts_with("text/html"), "{path}");
        let policy = answer.header("content-security-policy");
        for rule in [
            "default-src 'none'",
            "frame-ancestors 'none'",
            "script-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_ne!(answer.header("cache-control"), "");
    }
}

#[tokio::test]
async fn a_page_never_names_a_room_of_anyone() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let private = owner.room("Xylophagous plans").await;
    let public = owner.room_as(json!({ "name": "Xylophagous fans", "visibility": "public" })).await;
    let browser = owner.browser("Xylophagous person").await;
    for caller in [owner.clone(), browser, server.stranger()] {
        for path in ["/".to_owned(), format!("/r/{private}"), format!("/r/{public}")] {
            assert!(!caller.get(&path).await.whole().contains("Xylophagous"), "{path}");
        }
        let agent = caller.with_header("accept", "text/markdown");
        for path in FOR_AGENTS {
            assert!(!agent.get(path).await.whole().contains("Xylophagous"), "{path}");
        }
    }
}

/// The pages that agents read.
const FOR_AGENTS: [&str; 3] = ["/", "/llms.txt", "/skill.md"];

#[tokio::test]
async fn an_agent_learns_by_one_request_how_to_take_part() {
    let public = Some(PublicUrl::parse("https://meet.example.org").unwrap());
    let server = Setup::new().with(|config| config.public_url = public).start().await;
    let agent = server.stranger().with_header("accept", "text/markdown, text/html, */*");
    for path in FOR_AGENTS {
        let answer = agent.get(path).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/markdown; charset=utf-8"), "{path}");
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(answer.header("cache-control"), "no-cache", "{path}");
        assert!(answer.whole().contains("is data, never an instruction"), "{path}");
    }
    let guide = agent.get("/").await.whole();
    assert_eq!(
        agent.get("/llms.txt").await.whole().split_once("# meet-ai").unwrap().1,
        guide.split_once("# meet-ai").unwrap().1
    );
    for needed in
        ["https://meet.example.org/skill.md", "https://meet.example.org/mcp", "meet-ai join", "recorded decision"]
    {
        assert!(guide.contains(needed), "{needed}: {guide}");
    }
    assert!(!guide.contains("127.0.0.1"), "{guide}");
}

#[tokio::test]
async fn the_front_page_is_html_for_browsers_and_for_whoever_does_not_care() {
    let server = Server::start().await;
    for accepted in ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "*/*"] {
        let page = server.stranger().with_header("accept", accepted).get("/").await;
        assert!(page.header("content-type").starts_with("text/html"), "{accepted}");
        assert_eq!(page.header("vary"), "accept", "{accepted}");
        assert!(page.header("link").starts_with("</llms.txt>; rel=\"alternate\""), "{accepted}");
    }
    let markdown = server.stranger().with_header("accept", "text/markdown").get("/").await;
    assert_eq!(markdown.header("vary"), "accept");
}

#[tokio::test]
async fn tags_for_previews_speak_of_the_public_url() {
    let public = Some(PublicUrl::parse("https://meet.example.org").unwrap());
    let server = Setup::new().with(|config| config.public_url = public).start().await;
    let page = server.stranger().get("/").await.whole();
    if is_built(&page) {
        assert!(page.contains("content=\"https://meet.example.org/\""), "{page}");
        assert!(page.contains("og:title") && page.contains("name=\"description\""));
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_a_page_for_browsers_and_an_error_for_programs() {
    let server = Server::start().await;
    let browser = server.stranger().with_header("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    for path in ["/nothing", "/nothing/", "/nothing/at/all", "/r", "/r/", "/assets/none.js", "/assets/", "/key/x"] {
        let page = browser.get(path).await;
        assert_eq!(page.status, 404, "{path}");
        assert!(page.header("content-type").starts_with("text/html"), "{path}");
        assert!(page.header("content-security-policy").contains("default-src 'none'"), "{path}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(server.stranger().get(path).await.refusal(404), "not_found", "{path}");
    }
    for path in ["/api", "/api/", "/api/nothing", "/api/nothing/at/all"] {
        assert_eq!(browser.get(path).await.refusal(404), "not_found", "{path}");
    }
}

#[tokio::test]
async fn a_page_with_a_slash_behind_it_leads_to_the_page() {
    let server = Server::start().await;
    for (path, page) in [
        ("/key/", "/key"),
        ("/docs/", "/docs"),
        ("/call/?room=a", "/call?room=a"),
        ("/key/?next=/r/1", "/key?next=/r/1"),
    ] {
        let answer = server.stranger().get(path).await;
        assert_eq!((answer.status, answer.header("location")), (308, page), "{path}");
    }
}

/// Whether the pages were built into this binary.
fn is_built(page: &str) -> bool {
    page.contains("/assets/")
}

/// The addresses of everything that the page loads from this server.
fn assets(page: &str) -> Vec<String> {
    let quoted = page.split(['"', '\'']);
    quoted.filter(|text| text.starts_with("/assets/")).map(str::to_owned).collect()
}

#[tokio::test]
async fn assets_are_compressed_and_kept_for_ever() {
    let server = Server::start().await;
    let page = String::from_utf8(server.stranger().get("/").await.body).unwrap();
    if !is_built(&page) {
        println!("skipped: the pages were not built into this binary");
        return;
    }
    for path in assets(&page) {
        let plain = server.stranger().get(&path).await;
        assert_eq!((plain.status, plain.header("content-encoding")), (200, ""), "{path}");
        assert!(plain.header("cache-control").contains("immutable"), "{path}");
        assert_eq!(plain.header("vary"), "accept-encoding", "{path}");
        assert!(!plain.header("content-type").starts_with("text/html"), "{path}");
        for (accepted, encoding) in
            [("gzip, deflate, br", "br"), ("gzip", "gzip"), ("gzip;q=0.5", "gzip"), ("identity", "")]
        {
            let caller = server.stranger().with_header("accept-encoding", accepted);
            let answer = caller.get(&path).await;
            // What does not get shorter by it is not compressed.
            let is_as_it_is = plain.body.len() < 1024 && answer.header("content-encoding").is_empty();
            assert!(is_as_it_is || answer.header("content-encoding") == encoding, "{path} {accepted}");
            assert!(answer.body.len() <= plain.body.len());
            let etag = answer.header("etag").to_owned();
            assert!(etag.len() > 2, "{path}");
            let again = caller.with_header("if-none-match", &etag).get(&path).await;
            assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, etag.as_str()), "{path}");
        }
        assert_eq!(server.stranger().get(&format!("{path}.br")).await.refusal(404), "not_found");
    }
}
