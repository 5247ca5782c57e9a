//! Tokens that open nothing: forged, cut, of another algorithm, of another key, too early, too late.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use meet_livekit::{
    ApiKey, Claims, UnixSeconds, VideoGrant,
    token::{LEEWAY, MAX_TOKEN, TokenError},
};
use proptest::prelude::*;
use serde_json::json;

use crate::{END, NOW, SECRET, key, signed};

fn verify(token: &str) -> Result<Claims, TokenError> {
    key().verify(token, NOW, Duration::ZERO)
}

fn good() -> String {
    let video = VideoGrant { room: "r".into(), room_join: true, ..VideoGrant::default() };
    let claims =
        Claims { identity: "anna".into(), not_before: NOW, expires_at: END, video: Some(video), ..Claims::default() };
    key().sign(&claims).unwrap().into_string()
}

#[test]
fn a_token_without_a_signature_or_with_another_algorithm_is_malformed() {
    let payload = json!({ "iss": "APIkey", "sub": "anna", "exp": END });
    let body = URL_SAFE_NO_PAD.encode(payload.to_string());
    for algorithm in ["none", "None", "NONE", "hs256", "", "HS257"] {
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": algorithm, "typ": "JWT" }).to_string());
        for signature in ["", "c2ln"] {
            assert_eq!(verify(&format!("{header}.{body}.{signature}")), Err(TokenError::Malformed), "{algorithm}");
        }
    }
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        assert_eq!(verify(&signed(algorithm, &payload)), Err(TokenError::Malformed), "{algorithm:?}");
    }
    assert!(verify(&signed(Algorithm::HS256, &payload)).is_ok());
}

#[test]
fn a_token_of_another_key_is_refused_whichever_half_differs() {
    let other_secret = ApiKey::new("APIkey", b"another-secret").unwrap();
    let other_id = ApiKey::new("APIother", SECRET).unwrap();
    for other in [other_secret, other_id] {
        assert_eq!(other.verify(&good(), NOW, Duration::ZERO), Err(TokenError::WrongKey));
    }
    // Nothing is said of the time of a token that another key signed.
    let other = ApiKey::new("APIkey", b"another-secret").unwrap();
    assert_eq!(other.verify(&good(), UnixSeconds(0), Duration::ZERO), Err(TokenError::WrongKey));
}

#[test]
fn a_token_holds_from_its_first_second_until_before_its_last_give_or_take_the_leeway() {
    let at = |seconds: i64, leeway| key().verify(&good(), UnixSeconds(seconds), leeway).map(|_| ());
    let (start, end, none) = (NOW.0, END.0, Duration::ZERO);
    assert_eq!(at(start - 1, none), Err(TokenError::NotYet));
    assert_eq!(at(start, none), Ok(()));
    assert_eq!(at(end - 1, none), Ok(()));
    assert_eq!(at(end, none), Err(TokenError::Expired));
    assert_eq!(at(start - 61, LEEWAY), Err(TokenError::NotYet));
    assert_eq!(at(start - 60, LEEWAY), Ok(()));
    assert_eq!(at(end + 59, LEEWAY), Ok(()));
    assert_eq!(at(end + 60, LEEWAY), Err(TokenError::Expired));
    assert_eq!(at(i64::MIN, Duration::MAX), Ok(()));
    assert_eq!(at(i64::MAX, Duration::MAX), Ok(()));
}

#[test]
fn claims_that_lack_an_issuer_or_an_end_or_are_of_another_type_are_malformed() {
    for payload in [
        json!({ "sub": "anna", "exp": END }),
        json!({ "iss": "APIkey", "sub": "anna" }),
        json!({ "iss": "APIkey", "exp": null }),
        json!({ "iss": "APIkey", "exp": "1800000600" }),
        json!({ "iss": 1, "exp": END }),
        json!({ "iss": "APIkey", "exp": END, "sub": 7 }),
        json!({ "iss": "APIkey", "exp": END, "video": [] }),
        json!({ "iss": "APIkey", "exp": END, "video": { "canPublish": "no" } }),
        json!({ "iss": "APIkey", "exp": END, "aud": "somebody else" }),
        json!([]),
        json!(null),
    ] {
        assert_eq!(verify(&signed(Algorithm::HS256, &payload)), Err(TokenError::Malformed), "{payload}");
    }
    let long = json!({ "iss": "APIkey", "exp": END, "metadata": "x".repeat(MAX_TOKEN) });
    assert_eq!(verify(&signed(Algorithm::HS256, &long)), Err(TokenError::Malformed));
}

proptest! {
    #[test]
    fn a_token_that_was_cut_or_changed_anywhere_opens_nothing(
        place in any::<prop::sample::Index>(), with in any::<char>(),
    ) {
        let good = good();
        let at = place.index(good.len());
        prop_assert!(verify(&good[..at]).is_err());
        let changed = format!("{}{with}{}", &good[..at], &good[at + 1..]);
        prop_assert!(changed == good || verify(&changed).is_err(), "{}", changed);
    }

    #[test]
    fn any_text_and_any_signed_text_is_answered(text in ".*", payload in ".*") {
        let _ = verify(&text);
        let _ = verify(&format!("{text}.{payload}.{text}"));
        prop_assert_eq!(verify(&signed(Algorithm::HS256, &json!(payload))), Err(TokenError::Malformed));
    }
}
