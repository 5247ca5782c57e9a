//! The pages as the server hands them out. Without a built page there is a stand-in, and the same rules hold.

use meet_server::config::PublicUrl;
use serde_json::json;

use crate::support::{Server, Setup};

#[tokio::test]
async fn every_page_comes_with_a_strict_policy() {
    let server = Server::start().await;
    for path in ["/", "/key", "/docs", "/r/01900000-0000-7000-8000-000000000001", "/?anything=goes"] {
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
    }
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
    for (path, page) in [("/key/", "/key"), ("/docs/", "/docs"), ("/key/?next=/r/1", "/key?next=/r/1")] {
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
            assert_eq!(answer.header("content-encoding"), encoding, "{path} {accepted}");
            assert!(answer.body.len() <= plain.body.len());
            let etag = answer.header("etag").to_owned();
            assert!(etag.len() > 2, "{path}");
            let again = caller.with_header("if-none-match", &etag).get(&path).await;
            assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, etag.as_str()), "{path}");
        }
        assert_eq!(server.stranger().get(&format!("{path}.br")).await.refusal(404), "not_found");
    }
}
