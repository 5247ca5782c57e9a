//! What the doctor says, and whether it names the setting at fault.

use super::*;
use crate::doctor::{Finding, Level};

async fn inspect(settings: &config::RealtimeKit) -> Vec<Finding> {
    RealtimeKit::new(settings).unwrap().inspect(now()).await
}

/// The one thing that is not well, in one line.
async fn blamed(settings: &config::RealtimeKit, level: Level) -> String {
    let findings = inspect(settings).await;
    let bad: Vec<_> = findings.iter().filter(|finding| finding.level > Level::Ok).collect();
    assert_eq!((bad.len(), bad[0].level), (1, level), "{findings:?}");
    let said = format!("{} / {}", bad[0].state, bad[0].fix.as_deref().unwrap_or_default());
    assert!(!said.contains(API_TOKEN) && !format!("{findings:?}").contains(API_TOKEN), "{said}");
    said
}

#[tokio::test]
async fn an_app_that_has_everything_is_well() {
    let cloudflare = Cloudflare::start().await;
    let findings = inspect(&settings(&cloudflare)).await;
    assert_eq!(findings.iter().map(|finding| finding.level).collect::<Vec<_>>(), [Level::Ok]);
    assert_eq!(cloudflare.steps(), [Step::Presets], "looking makes nothing");
}

#[tokio::test]
async fn each_preset_that_is_not_there_is_named_with_its_setting() {
    let cloudflare = Cloudflare::start().await;
    let missing = |change: fn(&mut config::RealtimeKit)| {
        let mut settings = settings(&cloudflare);
        change(&mut settings);
        settings
    };
    let cases = [
        (missing(|set| set.preset_name = Some("none".to_owned())), "MEET_AI_REALTIMEKIT__PRESET_NAME"),
        (missing(|set| set.audio_preset_name = Some("none".to_owned())), "MEET_AI_REALTIMEKIT__AUDIO_PRESET_NAME"),
        (
            missing(|set| set.screenshare_preset_name = Some("none".to_owned())),
            "MEET_AI_REALTIMEKIT__SCREENSHARE_PRESET_NAME",
        ),
    ];
    for (settings, setting) in cases {
        let said = blamed(&settings, Level::Fail).await;
        assert!(said.contains(&format!("no preset \"none\", which {setting} names")), "{said}");
        assert!(said.contains(&format!("set {setting} to one of \"group_call_host\"")), "{said}");
    }
    cloudflare.set_presets(&[]);
    let findings = inspect(&settings(&cloudflare)).await;
    assert_eq!(findings.iter().filter(|finding| finding.level == Level::Fail).count(), 3);
}

#[tokio::test]
async fn each_setting_that_is_wrong_is_named() {
    let cloudflare = Cloudflare::start().await;
    let good = settings(&cloudflare);
    let base = cloudflare.base_url();
    let at = |base: &str| Some(ServiceUrl::parse(base).unwrap());
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let cases = [
        (config::RealtimeKit { api_token: Some("another".into()), ..good.clone() }, "MEET_AI_REALTIMEKIT__API_TOKEN"),
        (config::RealtimeKit { app_id: Some("another".to_owned()), ..good.clone() }, "MEET_AI_REALTIMEKIT__APP_ID"),
        (config::RealtimeKit { base_url: at(&base.replace(ACCOUNT, "x")), ..good.clone() }, "__BASE_URL"),
        (config::RealtimeKit { base_url: at(&format!("{base}/elsewhere")), ..good.clone() }, "__BASE_URL"),
        (config::RealtimeKit { base_url: at(&closed), ..good.clone() }, "__BASE_URL"),
    ];
    for (settings, setting) in cases {
        let said = blamed(&settings, Level::Fail).await;
        assert!(said.split(" / ").all(|part| part.contains(setting)), "{setting}: {said}");
    }
}

#[tokio::test]
async fn what_is_no_settings_fault_blames_none_of_the_secrets() {
    let cloudflare = Cloudflare::start().await;
    let cases = [
        (Fault::Status(429, 1), Level::Warn, "asked too often"),
        (Fault::Status(503, 1), Level::Fail, "not well"),
        (Fault::Cut, Level::Fail, "__BASE_URL"),
        (Fault::Says(200, "<html>".to_owned()), Level::Fail, "__BASE_URL"),
        (Fault::Status(403, 10_000), Level::Fail, "__API_TOKEN"),
    ];
    for (fault, level, expected) in cases {
        cloudflare.fail(Step::Presets, fault);
        let said = blamed(&settings(&cloudflare), level).await;
        assert!(said.contains(expected), "{said}");
    }
}
