//! RealtimeKit against a double of its API.

use std::time::Duration;

use meet_api::RoomId;
use uuid::Uuid;

use super::*;
use crate::{
    cloudflare::{ACCOUNT, API_TOKEN, APP, Cloudflare, Fault, Step},
    config::ServiceUrl,
};

mod events;
mod inspection;

fn now() -> Timestamp {
    "2026-02-07T12:00:00.000Z".parse().unwrap()
}

fn settings(cloudflare: &Cloudflare) -> config::RealtimeKit {
    config::RealtimeKit {
        base_url: Some(ServiceUrl::parse(&cloudflare.base_url()).unwrap()),
        account_id: None,
        app_id: Some(APP.to_owned()),
        api_token: Some(API_TOKEN.into()),
        preset_name: Some("group_call_participant".to_owned()),
        screenshare_preset_name: Some("group_call_host".to_owned()),
        audio_preset_name: Some("audio_only".to_owned()),
    }
}

async fn start() -> (Cloudflare, RealtimeKit) {
    let cloudflare = Cloudflare::start().await;
    let realtimekit = RealtimeKit::new(&settings(&cloudflare)).unwrap();
    (cloudflare, realtimekit)
}

fn opening(reference: &str) -> Opening {
    Opening { room: RoomId::from_uuid(Uuid::from_u128(1)), reference: reference.to_owned() }
}

fn joining(meeting: &MeetingId, identity: &str) -> Joining {
    Joining {
        meeting: meeting.clone(),
        identity: identity.to_owned(),
        known_as: None,
        name: "Ada".to_owned(),
        kind: Kind::Human,
        media: Media::Audio,
        publishing: Publishing::Microphone,
    }
}

fn seat(identity: &str, grant: &Grant) -> Seat {
    Seat { identity: identity.to_owned(), known_as: grant.known_as.clone() }
}

/// Opens a meeting and lets somebody in, who comes.
async fn in_a_meeting(cloudflare: &Cloudflare, realtimekit: &RealtimeKit) -> (MeetingId, Grant) {
    let meeting = realtimekit.open(&opening("r")).await.unwrap();
    let grant = realtimekit.join(&joining(&meeting, "ada"), now()).await.unwrap();
    assert!(cloudflare.enter(grant.token.expose_secret()));
    cloudflare.steps();
    (meeting, grant)
}

/// What a caller may ask, each by the step that it takes first.
const OPERATIONS: [(&str, Step); 8] = [
    ("open", Step::CreateMeeting),
    ("find", Step::ListMeetings),
    ("join", Step::AddParticipant),
    ("rejoin", Step::RefreshToken),
    ("close", Step::UpdateMeeting),
    ("mute", Step::Mute),
    ("attendees", Step::ActiveSession),
    ("attendees", Step::SessionParticipants),
];

async fn operate(realtimekit: &RealtimeKit, name: &str, meeting: &MeetingId, grant: &Grant) -> Result<(), Failure> {
    let known = Joining { known_as: grant.known_as.clone(), ..joining(meeting, "ada") };
    match name {
        "open" => realtimekit.open(&opening("other")).await.map(drop),
        "find" => realtimekit.find(&opening("r")).await.map(drop),
        "join" => realtimekit.join(&joining(meeting, "bob"), now()).await.map(drop),
        "rejoin" => realtimekit.join(&known, now()).await.map(drop),
        "close" => realtimekit.close(meeting).await,
        "mute" => realtimekit.mute(meeting, &seat("ada", grant)).await,
        _ => realtimekit.attendees(meeting).await.map(drop),
    }
}

#[tokio::test]
async fn a_meeting_is_opened_found_joined_and_closed() {
    let (cloudflare, realtimekit) = start().await;
    let meeting = realtimekit.open(&opening("first")).await.unwrap();
    assert_eq!(cloudflare.asked()[0].body, r#"{"title":"meet-ai first"}"#);
    assert_eq!(realtimekit.find(&opening("first")).await.unwrap(), std::slice::from_ref(&meeting));
    let grant = realtimekit.join(&joining(&meeting, "ada"), now()).await.unwrap();
    assert!(cloudflare.enter(grant.token.expose_secret()));
    assert_eq!(cloudflare.present(&meeting.0), ["ada"]);
    let attendees = realtimekit.attendees(&meeting).await.unwrap();
    let seen: Vec<_> = attendees.iter().map(|one| (one.identity.as_str(), one.name.as_str(), one.since)).collect();
    assert_eq!(seen, [("ada", "Ada", Some(now()))]);
    cloudflare.steps();
    realtimekit.close(&meeting).await.unwrap();
    assert_eq!(cloudflare.steps(), [Step::UpdateMeeting, Step::KickAll], "the door is shut before the room is emptied");
    assert!(cloudflare.present(&meeting.0).is_empty() && cloudflare.live_meetings().is_empty());
    assert!(!cloudflare.enter(grant.token.expose_secret()), "nobody comes back");
    realtimekit.close(&meeting).await.unwrap();
    assert_eq!(realtimekit.find(&opening("first")).await.unwrap(), []);
    assert_eq!(realtimekit.attendees(&meeting).await, Err(Failure::Gone));
}

#[tokio::test]
async fn the_preset_follows_what_one_may_send() {
    let (cloudflare, realtimekit) = start().await;
    let sorts = [
        (Media::Audio, Publishing::Microphone, "audio_only"),
        (Media::Screenshare, Publishing::Everything, "group_call_host"),
        (Media::Screenshare, Publishing::Microphone, "audio_only"),
        (Media::Audio, Publishing::Everything, "audio_only"),
    ];
    for (media, publishing, preset) in sorts {
        let meeting = realtimekit.open(&opening("r")).await.unwrap();
        realtimekit.join(&Joining { media, publishing, ..joining(&meeting, "a") }, now()).await.unwrap();
        assert_eq!(cloudflare.presets_in_use(&meeting.0), [preset], "{media:?} {publishing:?}");
    }
    let mut one = settings(&cloudflare);
    (one.audio_preset_name, one.screenshare_preset_name) = (None, None);
    let realtimekit = RealtimeKit::new(&one).unwrap();
    let meeting = realtimekit.open(&opening("r")).await.unwrap();
    for (media, publishing, _) in sorts {
        realtimekit.join(&Joining { media, publishing, ..joining(&meeting, "a") }, now()).await.unwrap();
    }
    assert_eq!(cloudflare.presets_in_use(&meeting.0), ["group_call_participant"; 4]);
}

#[tokio::test]
async fn whoever_may_only_listen_is_refused_unasked() {
    let (cloudflare, realtimekit) = start().await;
    let meeting = realtimekit.open(&opening("r")).await.unwrap();
    cloudflare.steps();
    let listening = Joining { publishing: Publishing::Nothing, ..joining(&meeting, "ada") };
    assert!(matches!(realtimekit.join(&listening, now()).await, Err(Failure::Refused(_))));
    assert!(!realtimekit.can_listen_only() && cloudflare.steps().is_empty());
}

#[tokio::test]
async fn whoever_is_known_gets_a_new_token_and_no_second_seat() {
    let (cloudflare, realtimekit) = start().await;
    let meeting = realtimekit.open(&opening("r")).await.unwrap();
    let first = realtimekit.join(&joining(&meeting, "ada"), now()).await.unwrap();
    let known = Joining { known_as: first.known_as.clone(), ..joining(&meeting, "ada") };
    let second = realtimekit.join(&known, now()).await.unwrap();
    assert_ne!(first.token.expose_secret(), second.token.expose_secret());
    assert_eq!(first.known_as, second.known_as);
    assert_eq!(cloudflare.presets_in_use(&meeting.0).len(), 1);
    realtimekit.remove(&meeting, &seat("ada", &first)).await.unwrap();
    let third = realtimekit.join(&known, now()).await.unwrap();
    assert_ne!(third.known_as, first.known_as, "whoever cannot have its seat again gets another");
    assert!(cloudflare.enter(third.token.expose_secret()));
    let made_up = Joining { known_as: Some("../../presets".to_owned()), ..joining(&meeting, "eve") };
    cloudflare.steps();
    realtimekit.join(&made_up, now()).await.unwrap();
    assert_eq!(cloudflare.steps(), [Step::AddParticipant]);
}

#[tokio::test]
async fn a_token_is_good_for_as_long_as_it_says_itself() {
    let (cloudflare, realtimekit) = start().await;
    let meeting = realtimekit.open(&opening("r")).await.unwrap();
    let ten_minutes = now().plus(Duration::from_mins(10));
    let hour = now().plus(Duration::from_hours(1));
    let cases = [
        (Some(hour.millis() / 1000), hour),
        (None, ten_minutes),
        (Some(1), ten_minutes),
        (Some(i64::MAX), ten_minutes),
    ];
    for (exp, expires_at) in cases {
        cloudflare.set_token_expiry(exp);
        let grant = realtimekit.join(&joining(&meeting, "ada"), now()).await.unwrap();
        assert_eq!(grant.expires_at, expires_at, "{exp:?}");
    }
    for opaque in ["opaque", "a.b.c", "..", "a.bnVsbA.c"] {
        let body = json!({ "success": true, "data": { "id": "p", "token": opaque } });
        cloudflare.fail(Step::AddParticipant, Fault::Says(201, body.to_string()));
        let grant = realtimekit.join(&joining(&meeting, "ada"), now()).await.unwrap();
        assert_eq!((grant.expires_at, grant.token.expose_secret()), (ten_minutes, opaque));
        assert!(!format!("{grant:?}").contains(opaque));
    }
}

#[tokio::test]
async fn every_wrong_answer_means_what_it_must() {
    let (cloudflare, realtimekit) = start().await;
    let (meeting, grant) = in_a_meeting(&cloudflare, &realtimekit).await;
    let says = |status, body: &str| Fault::Says(status, body.to_owned());
    let faults: &[(&str, &dyn Fn() -> Fault, &str)] = &[
        ("400", &|| Fault::Status(400, 400), "refused: status 400, code 400"),
        ("401", &|| Fault::Status(401, 10_000), "refused: status 401, code 10000"),
        ("403", &|| Fault::Status(403, 10_000), "refused: status 403, code 10000"),
        ("404", &|| Fault::Status(404, 404), "knows no such meeting"),
        ("409", &|| Fault::Status(409, 1), "refused: status 409, code 1"),
        ("422", &|| says(422, "no json"), "refused: status 422"),
        ("429", &|| Fault::Status(429, 971), "asked too often"),
        ("429 of a proxy", &|| says(429, "<html>"), "asked too often"),
        ("500", &|| Fault::Status(500, 500), "answer properly: status 500, code 500"),
        ("502", &|| says(502, "<html>bad gateway"), "answer properly: status 502"),
        ("503", &|| says(503, ""), "answer properly: status 503"),
        ("a redirect", &|| says(302, ""), "answer properly: status 302"),
        ("a 404 of something else", &|| says(404, "<html>"), "answer properly: status 404, and not the API's"),
        ("no account", &|| Fault::Status(404, 7003), "refused: status 404: there is no such account"),
        ("no success", &|| Fault::Status(200, 1234), "answer properly: status 200, yet no success, code 1234"),
        ("an error as text", &|| says(200, r#"{"success":false,"error":{"code":"12"}}"#), "yet no success, code 12"),
        ("junk", &|| says(200, "<html>hello"), "answer properly: its answer makes no sense"),
        ("nothing", &|| says(200, ""), "makes no sense"),
        ("another JSON", &|| says(200, "[1]"), "makes no sense"),
        ("an empty object", &|| says(200, "{}"), "makes no sense"),
        ("too much", &|| says(200, &" ".repeat((4 << 20) + 1)), "its answer is too large"),
        ("cut", &|| Fault::Cut, "the connection was cut"),
        ("cut amid", &|| Fault::CutAmid, "the connection was cut"),
    ];
    for (operation, step) in OPERATIONS {
        for (fault, make, expected) in faults {
            let is_refused = *fault == "404" || expected.starts_with("refused");
            let is_lost_seat = operation == "rejoin" && is_refused;
            cloudflare.fail(step, make());
            let failed = operate(&realtimekit, operation, &meeting, &grant).await;
            if is_lost_seat {
                assert_eq!(failed, Ok(()), "a seat that is gone is made anew");
                continue;
            }
            // The meeting itself is there: the 404 is about something in it.
            let is_about_preset = operation == "join" && *fault == "404";
            let expected = if is_about_preset { "nothing of that name" } else { expected };
            let told = failed.expect_err(&format!("{operation}, {fault}")).to_string();
            assert!(told.contains(expected), "{operation}, {fault}: {told}");
            let secrets = [API_TOKEN, &cloudflare.base_url(), ACCOUNT, APP, "127.0.0.1"];
            assert!(secrets.iter().all(|secret| !told.contains(secret)), "{told}");
        }
        assert!(cloudflare.fault_is_spent(step), "{operation} takes the step");
    }
}

#[tokio::test]
async fn an_answer_without_what_was_asked_for_makes_no_sense() {
    let (cloudflare, realtimekit) = start().await;
    let (meeting, grant) = in_a_meeting(&cloudflare, &realtimekit).await;
    let answers = [
        ("open", Step::CreateMeeting, json!({})),
        ("open", Step::CreateMeeting, json!({ "id": "" })),
        ("open", Step::CreateMeeting, json!({ "id": "../apps" })),
        ("open", Step::CreateMeeting, json!({ "id": "x".repeat(129) })),
        ("find", Step::ListMeetings, json!({ "meetings": 1 })),
        ("find", Step::ListMeetings, json!("junk")),
        ("find", Step::ListMeetings, json!(5)),
        ("find", Step::ListMeetings, json!(true)),
        ("find", Step::ListMeetings, Value::Null),
        ("attendees", Step::SessionParticipants, json!("junk")),
        ("find", Step::ListMeetings, json!([{ "title": "meet-ai r" }])),
        ("find", Step::ListMeetings, json!([{ "id": "a/b", "title": "meet-ai r", "status": "ACTIVE" }])),
        ("join", Step::AddParticipant, json!({ "id": "p" })),
        ("join", Step::AddParticipant, json!({ "id": "p/q", "token": "t" })),
        ("join", Step::AddParticipant, json!({ "id": "p", "token": "" })),
        ("rejoin", Step::RefreshToken, json!({ "token": 1 })),
        ("rejoin", Step::RefreshToken, json!({ "token": "" })),
        ("attendees", Step::ActiveSession, json!({ "id": "?" })),
        ("attendees", Step::SessionParticipants, json!({ "participants": null })),
    ];
    for (operation, step, data) in answers {
        let body = json!({ "success": true, "data": data });
        cloudflare.fail(step, Fault::Says(200, body.to_string()));
        let failed = operate(&realtimekit, operation, &meeting, &grant).await;
        assert!(matches!(failed, Err(Failure::Unknown(_))), "{operation} {data}: {failed:?}");
    }
    let nowhere = MeetingId("../presets".to_owned());
    cloudflare.steps();
    assert_eq!(operate(&realtimekit, "close", &nowhere, &grant).await, Err(Failure::Gone));
    assert!(cloudflare.steps().is_empty());
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_waited_for_ten_seconds() {
    let (cloudflare, realtimekit) = start().await;
    let mut held = cloudflare.hold(Step::CreateMeeting);
    let opening = opening("slow");
    let waiting = async {
        held.reached().await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(10)).await;
        tokio::time::resume();
    };
    let (opened, ()) = tokio::join!(realtimekit.open(&opening), waiting);
    assert_eq!(opened, Err(Failure::Unknown("it took too long".to_owned())));
    drop(held);
}

#[tokio::test]
async fn a_slow_answer_is_an_answer() {
    let (cloudflare, realtimekit) = start().await;
    let mut held = cloudflare.hold(Step::CreateMeeting);
    let opening = opening("slow");
    let letting = async {
        held.reached().await;
        drop(held);
    };
    let (opened, ()) = tokio::join!(realtimekit.open(&opening), letting);
    assert_eq!(cloudflare.live_meetings(), [opened.unwrap().0]);
}

#[tokio::test]
async fn a_meeting_whose_answer_is_lost_is_found_again() {
    let (cloudflare, realtimekit) = start().await;
    for fault in [Fault::CutAfter, Fault::CutAmid] {
        cloudflare.fail(Step::CreateMeeting, fault);
        assert!(matches!(realtimekit.open(&opening("lost")).await, Err(Failure::Unknown(_))));
    }
    let found = realtimekit.find(&opening("lost")).await.unwrap();
    assert_eq!(found.iter().map(|meeting| meeting.0.clone()).collect::<Vec<_>>(), cloudflare.live_meetings());
    assert_eq!(found.len(), 2);
}

#[tokio::test]
async fn only_open_meetings_of_exactly_that_name_are_found() {
    let (cloudflare, realtimekit) = start().await;
    for number in 0..120 {
        cloudflare.add_meeting(&format!("meet-ai name {number}"), false);
    }
    cloudflare.add_meeting("meet-ai name", true);
    cloudflare.add_meeting("Meet-ai name", false);
    let meeting = cloudflare.add_meeting("meet-ai name", false);
    assert_eq!(realtimekit.find(&opening("name")).await.unwrap(), [MeetingId(meeting)]);
    let asked = cloudflare.steps();
    assert_eq!(asked, [Step::ListMeetings; 4], "three pages, and the first one twice");
}

#[tokio::test]
async fn a_list_without_an_end_is_given_up() {
    let (cloudflare, realtimekit) = start().await;
    let page: Vec<_> = (0..50).map(|number| json!({ "id": number.to_string(), "title": "another" })).collect();
    let body = json!({ "success": true, "data": page }).to_string();
    for _ in 0..60 {
        cloudflare.fail(Step::ListMeetings, Fault::Says(200, body.clone()));
    }
    assert_eq!(
        realtimekit.find(&opening("r")).await,
        Err(Failure::Unknown("its list has no end".to_owned())),
        "it is not said that there is none"
    );
    assert_eq!(cloudflare.steps().len(), 40);
}

#[tokio::test]
async fn a_meeting_that_was_closed_elsewhere_is_gone_for_those_who_join() {
    let (cloudflare, realtimekit) = start().await;
    let closed = MeetingId(cloudflare.add_meeting("meet-ai r", true));
    assert_eq!(realtimekit.join(&joining(&closed, "ada"), now()).await.map(drop), Err(Failure::Gone));
    let none = MeetingId(Uuid::from_u128(7).to_string());
    assert_eq!(realtimekit.join(&joining(&none, "ada"), now()).await.map(drop), Err(Failure::Gone));
    let open = MeetingId(cloudflare.add_meeting("meet-ai r", false));
    cloudflare.set_presets(&["another"]);
    let refused = realtimekit.join(&joining(&open, "ada"), now()).await.map(drop);
    assert_eq!(refused, Err(Failure::Refused("status 422, code 422".to_owned())));
}

#[tokio::test]
async fn a_meeting_that_cannot_be_emptied_is_not_said_to_be_closed() {
    let (cloudflare, realtimekit) = start().await;
    let (meeting, _) = in_a_meeting(&cloudflare, &realtimekit).await;
    cloudflare.fail(Step::KickAll, Fault::Status(500, 1));
    assert!(matches!(realtimekit.close(&meeting).await, Err(Failure::Unknown(_))));
    assert!(cloudflare.live_meetings().is_empty(), "the door is shut all the same");
    realtimekit.close(&meeting).await.unwrap();
    assert!(cloudflare.present(&meeting.0).is_empty());
    let nowhere = MeetingId(Uuid::from_u128(7).to_string());
    assert_eq!(realtimekit.close(&nowhere).await, Err(Failure::Gone));
}

#[tokio::test]
async fn whoever_is_removed_is_out_and_stays_out() {
    let (cloudflare, realtimekit) = start().await;
    let (meeting, ada) = in_a_meeting(&cloudflare, &realtimekit).await;
    let bob = realtimekit.join(&joining(&meeting, "bob"), now()).await.unwrap();
    assert!(cloudflare.enter(bob.token.expose_secret()));
    cloudflare.steps();
    realtimekit.remove(&meeting, &seat("ada", &ada)).await.unwrap();
    assert_eq!(cloudflare.steps(), [Step::Kick, Step::DeleteParticipant, Step::Kick]);
    assert_eq!(cloudflare.present(&meeting.0), ["bob"]);
    assert!(!cloudflare.enter(ada.token.expose_secret()));
    realtimekit.remove(&meeting, &seat("ada", &ada)).await.unwrap();
    for step in [Step::Kick, Step::DeleteParticipant] {
        cloudflare.fail(step, Fault::Status(503, 1));
        assert!(matches!(realtimekit.remove(&meeting, &seat("bob", &bob)).await, Err(Failure::Unknown(_))));
    }
    let unknown = Seat { identity: "bob".to_owned(), known_as: None };
    realtimekit.remove(&meeting, &unknown).await.unwrap();
    assert_eq!(cloudflare.present(&meeting.0), [""; 0]);
}

#[tokio::test]
async fn whoever_is_muted_stays() {
    let (cloudflare, realtimekit) = start().await;
    let (meeting, ada) = in_a_meeting(&cloudflare, &realtimekit).await;
    realtimekit.mute(&meeting, &seat("ada", &ada)).await.unwrap();
    assert_eq!(cloudflare.present(&meeting.0), ["ada!"]);
    let stranger = Seat { identity: "eve".to_owned(), known_as: None };
    assert_eq!(realtimekit.mute(&meeting, &stranger).await, Err(Failure::Gone));
    cloudflare.fail(Step::Mute, Fault::Says(405, String::new()));
    assert_eq!(
        realtimekit.mute(&meeting, &seat("ada", &ada)).await,
        Err(Failure::Refused("status 405".to_owned())),
        "an API that mutes nobody says so"
    );
}

#[tokio::test]
async fn all_who_are_there_are_seen_once_and_nobody_else() {
    let (cloudflare, realtimekit) = start().await;
    let meeting = realtimekit.open(&opening("r")).await.unwrap();
    for number in 0..60 {
        let grant = realtimekit.join(&joining(&meeting, &format!("{number:02}")), now()).await.unwrap();
        assert!(cloudflare.enter(grant.token.expose_secret()) && cloudflare.enter(grant.token.expose_secret()));
    }
    for number in 0..10 {
        let left = Seat { identity: format!("{number:02}"), known_as: None };
        realtimekit.remove(&meeting, &left).await.unwrap();
    }
    let attendees = realtimekit.attendees(&meeting).await.unwrap();
    let seen: Vec<_> = attendees.into_iter().map(|attendee| attendee.identity).collect();
    assert_eq!(seen, (10..60).map(|number| format!("{number:02}")).collect::<Vec<_>>());
    let stays = json!([{ "id": "peer", "display_name": "Dashboard" }, { "display_name": "Nobody" }]);
    let body = json!({ "success": true, "data": { "participants": stays } });
    cloudflare.fail(Step::SessionParticipants, Fault::Says(200, body.to_string()));
    let attendees = realtimekit.attendees(&meeting).await.unwrap();
    assert_eq!((attendees.len(), attendees[0].identity.as_str()), (1, "peer"), "strangers have an identity too");
}

#[test]
fn clients_and_keys_come_from_realtimekit_itself() {
    let cloudflare = config::RealtimeKit { account_id: Some(ACCOUNT.to_owned()), ..config::RealtimeKit::default() };
    let own = config::RealtimeKit {
        base_url: Some(ServiceUrl::parse("https://api.cloudflare.com/client/v4/accounts/x/realtime/kit").unwrap()),
        ..config::RealtimeKit::default()
    };
    for settings in [cloudflare, own] {
        assert_eq!(origin(&settings.base().unwrap()), "https://api.realtime.cloudflare.com");
    }
    assert_eq!(origin("http://127.0.0.1:5000/a/b"), "http://127.0.0.1:5000");
}

#[test]
fn ids_that_are_none_are_refused_at_the_start() {
    let set = |account: &str, app: &str| config::RealtimeKit {
        account_id: Some(account.to_owned()),
        app_id: Some(app.to_owned()),
        api_token: Some(API_TOKEN.into()),
        preset_name: Some("p".to_owned()),
        ..config::RealtimeKit::default()
    };
    assert!(RealtimeKit::new(&set(ACCOUNT, APP)).is_ok());
    for (account, app, setting) in [("a/b", APP, "ACCOUNT_ID"), (ACCOUNT, "..", "APP_ID"), (ACCOUNT, "a b", "APP_ID")] {
        let sentence = RealtimeKit::new(&set(account, app)).err().unwrap();
        assert!(sentence.starts_with(&format!("MEET_AI_REALTIMEKIT__{setting}")), "{sentence}");
    }
}
