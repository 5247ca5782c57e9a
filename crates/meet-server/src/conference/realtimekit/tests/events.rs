//! What RealtimeKit tells, and what others tell in its name.

use super::*;
use crate::conference::Happening;

const MEETING: &str = "50c8940e-1b97-402a-97d6-2708b7feca41";

fn event(name: &str, fields: &Value) -> Vec<u8> {
    let mut event = json!({
        "event": name,
        "meeting": { "id": MEETING, "title": "meet-ai r", "status": "LIVE", "endedAt": "2026-02-07T12:00:00.000Z" },
    });
    event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    event.to_string().into_bytes()
}

fn joined(at: Timestamp) -> Vec<u8> {
    let participant = json!({
        "peerId": "peer", "userDisplayName": "Ada", "customParticipantId": "ada", "clientSpecificId": "ada",
        "joinedAt": at,
    });
    event("meeting.participantJoined", &json!({ "participant": participant }))
}

#[tokio::test]
async fn what_realtimekit_tells_is_believed() {
    let (cloudflare, realtimekit) = start().await;
    let left = json!({ "participant": { "peerId": "peer", "clientSpecificId": "ada", "leftAt": now() } });
    let stranger = json!({ "participant": { "peerId": "peer", "leftAt": now() } });
    let ada = Attendee { identity: "ada".to_owned(), name: "Ada".to_owned(), kind: Kind::Human, since: Some(now()) };
    let told = [
        (joined(now()), Happening::Came(ada)),
        (event("meeting.participantLeft", &left), Happening::Left { identity: "ada".to_owned() }),
        (event("meeting.participantLeft", &stranger), Happening::Left { identity: "peer".to_owned() }),
        (event("meeting.ended", &json!({ "reason": "ALL_PARTICIPANTS_LEFT" })), Happening::Ended),
        (event("meeting.started", &json!({})), Happening::Other),
        (event("meeting.of.tomorrow", &json!({})), Happening::Other),
    ];
    let mut ids = Vec::new();
    for (body, happening) in told {
        let signature = cloudflare.sign(&body);
        let heard = realtimekit.hear(Some(&signature), &body, now()).await.unwrap();
        assert_eq!((heard.meeting, heard.at, heard.happening), (MeetingId(MEETING.to_owned()), now(), happening));
        let again = realtimekit.hear(Some(&signature), &body, now()).await.unwrap();
        assert_eq!(again.id, heard.id, "an event that is told again is the same one");
        ids.push(heard.id);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 6);
    assert_eq!(cloudflare.steps(), [Step::WebhookKey], "the key is fetched once");
}

#[tokio::test]
async fn what_others_tell_in_its_name_is_not() {
    let (cloudflare, realtimekit) = start().await;
    let body = joined(now());
    let signature = cloudflare.sign(&body);
    let forged = |heard: Result<Heard, NotHeard>| matches!(heard, Err(NotHeard::Forged(_)));
    for nonsense in [None, Some(""), Some("AAAA"), Some("not base64!"), Some("é")] {
        assert!(forged(realtimekit.hear(nonsense, &body, now()).await), "{nonsense:?}");
    }
    assert!(cloudflare.steps().is_empty(), "nonsense is worth no request");
    let other = cloudflare.sign(b"another body");
    assert!(forged(realtimekit.hear(Some(&other), &body, now()).await));
    let mut changed = body.clone();
    changed.push(b' ');
    assert!(forged(realtimekit.hear(Some(&signature), &changed, now()).await));
    let later = [(Duration::from_mins(10), true), (Duration::from_millis(600_001), false)];
    for (age, is_heard) in later {
        assert_eq!(realtimekit.hear(Some(&signature), &body, now().plus(age)).await.is_ok(), is_heard, "{age:?}");
    }
    assert!(forged(realtimekit.hear(Some(&signature), &body, now().minus(Duration::from_mins(3))).await));
}

#[tokio::test]
async fn what_is_signed_and_makes_no_sense_is_malformed() {
    let (cloudflare, realtimekit) = start().await;
    let bodies = [
        b"".to_vec(),
        b"junk".to_vec(),
        b"[]".to_vec(),
        br#"{"event":"meeting.started"}"#.to_vec(),
        br#"{"event":"meeting.ended","meeting":{"id":"m"}}"#.to_vec(),
        event("meeting.participantJoined", &json!({})),
        event("meeting.participantJoined", &json!({ "participant": { "joinedAt": now() } })),
        event("meeting.participantJoined", &json!({ "participant": { "customParticipantId": "ada" } })),
        event("meeting.participantLeft", &json!({ "participant": { "customParticipantId": "ada" } })),
    ];
    for body in bodies {
        let signature = cloudflare.sign(&body);
        let heard = realtimekit.hear(Some(&signature), &body, now()).await;
        assert_eq!(heard, Err(NotHeard::Malformed), "{}", String::from_utf8_lossy(&body));
    }
}

#[tokio::test]
async fn a_new_key_is_taken_up_and_forgers_cannot_have_it_fetched_at_will() {
    let (cloudflare, realtimekit) = start().await;
    let hear = async |signature: &str, body: &[u8], at| realtimekit.hear(Some(signature), body, at).await;
    let old = joined(now());
    let old_signature = cloudflare.sign(&old);
    hear(&old_signature, &old, now()).await.unwrap();
    cloudflare.rotate_key();
    let minute = now().plus(Duration::from_mins(1));
    let new = joined(minute);
    let new_signature = cloudflare.sign(&new);
    for _ in 0..3 {
        assert!(matches!(hear(&new_signature, &new, now()).await, Err(NotHeard::Forged(_))));
    }
    assert_eq!(cloudflare.steps(), [Step::WebhookKey], "a minute has not passed");
    hear(&new_signature, &new, minute).await.unwrap();
    assert!(matches!(hear(&old_signature, &old, minute).await, Err(NotHeard::Forged(_))));
    assert_eq!(cloudflare.steps(), [Step::WebhookKey]);
    let forged_later = minute.plus(Duration::from_mins(1));
    cloudflare.fail(Step::WebhookKey, Fault::Status(500, 1));
    assert!(matches!(hear(&old_signature, &old, forged_later).await, Err(NotHeard::Forged(_))));
    hear(&new_signature, &new, forged_later).await.unwrap();
}

#[tokio::test]
async fn without_a_key_nothing_is_believed() {
    let (cloudflare, realtimekit) = start().await;
    let (mut at, body) = (now(), joined(now()));
    let signature = cloudflare.sign(&body);
    let faults = [
        Fault::Status(500, 1),
        Fault::Status(404, 1),
        Fault::Cut,
        Fault::CutAmid,
        Fault::Says(200, "junk".to_owned()),
        Fault::Says(200, json!({ "data": { "publicKey": "not a key" } }).to_string()),
    ];
    let tries = faults.len();
    for fault in faults {
        cloudflare.fail(Step::WebhookKey, fault);
        for _ in 0..2 {
            let heard = realtimekit.hear(Some(&signature), &body, at).await;
            assert!(matches!(heard, Err(NotHeard::NoKey(_))), "{heard:?}");
        }
        at = at.plus(Duration::from_mins(1));
    }
    assert_eq!(cloudflare.steps().len(), tries, "one try a minute");
    realtimekit.hear(Some(&signature), &body, at).await.unwrap();
    let hour = at.plus(Duration::from_hours(1));
    let body = joined(hour);
    cloudflare.fail(Step::WebhookKey, Fault::Cut);
    let heard = realtimekit.hear(Some(&cloudflare.sign(&body)), &body, hour).await;
    assert!(matches!(heard, Err(NotHeard::NoKey(_))), "a key that is old is none");
}
