//! Whether RealtimeKit can be reached and has what the settings name. It looks, and makes nothing.

use meet_api::Timestamp;
use serde::Deserialize;

use super::{RealtimeKit, api::Refusal};
use crate::{conference::Failure, doctor::Finding};

const SUBJECT: &str = "calls";

#[derive(Deserialize)]
struct Preset {
    name: String,
}

impl RealtimeKit {
    /// Lists the presets, which takes a token, an account and an app that are all right.
    pub(in crate::conference) async fn inspect(&self, _now: Timestamp) -> Vec<Finding> {
        let presets: Vec<Preset> = match self.api.list("/presets", None, "presets").await {
            Ok(presets) => presets,
            Err(refusal) => return vec![self.blame(&refusal)],
        };
        let mut findings = vec![Finding::ok(SUBJECT, "Cloudflare RealtimeKit answers and takes the API token")];
        let missing = self.presets.iter().filter(|(_, name)| presets.iter().all(|preset| preset.name != *name));
        for (setting, name) in missing {
            let names: Vec<_> = presets.iter().map(|preset| format!("{:?}", preset.name)).collect();
            let fix = if names.is_empty() {
                format!("make a preset in the app, and name it in {setting}")
            } else {
                format!("set {setting} to one of {}", names.join(", "))
            };
            findings.push(Finding::fail(
                SUBJECT,
                format!("the app has no preset {name:?}, which {setting} names"),
                fix,
            ));
        }
        findings
    }

    /// Which setting is at fault.
    fn blame(&self, refusal: &Refusal) -> Finding {
        let failure = &refusal.failure;
        let (base, base_fix) = if self.has_base_url {
            ("MEET_AI_REALTIMEKIT__BASE_URL", "set MEET_AI_REALTIMEKIT__BASE_URL to the API's base, account included")
        } else {
            ("MEET_AI_REALTIMEKIT__ACCOUNT_ID", "set MEET_AI_REALTIMEKIT__ACCOUNT_ID to the account's id")
        };
        match (refusal.status, failure) {
            _ if refusal.is_no_route() => {
                Finding::fail(SUBJECT, format!("Cloudflare knows no such account ({base})"), base_fix)
            }
            (Some(400 | 401 | 403), _) => Finding::fail(
                SUBJECT,
                format!("RealtimeKit does not take MEET_AI_REALTIMEKIT__API_TOKEN: {failure}"),
                "set MEET_AI_REALTIMEKIT__API_TOKEN to an API token of the account with the permission Realtime Admin",
            ),
            (Some(404), Failure::Gone) => Finding::fail(
                SUBJECT,
                "the account has no such app (MEET_AI_REALTIMEKIT__APP_ID)",
                "set MEET_AI_REALTIMEKIT__APP_ID to the id of one of the account's RealtimeKit apps",
            ),
            (Some(429), _) => {
                Finding::warn(SUBJECT, "RealtimeKit is asked too often to be looked at", "try again in a minute")
            }
            (Some(500..), _) => {
                Finding::fail(SUBJECT, format!("RealtimeKit is not well: {failure}"), "try again later")
            }
            (None, _) if !self.has_base_url => Finding::fail(
                SUBJECT,
                format!("{failure}"),
                "let this machine reach api.cloudflare.com by HTTPS, or set MEET_AI_REALTIMEKIT__BASE_URL",
            ),
            _ => Finding::fail(SUBJECT, format!("no RealtimeKit behind {base}: {failure}"), base_fix),
        }
    }
}
