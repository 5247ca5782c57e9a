use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

const LONG: &str = "0123456789abcdef0123456789abcdef";

fn config(directory: &TempDir) -> Config {
    Config { data_dir: directory.path().join("data"), ..Config::default() }
}

fn load(config: &Config) -> Result<SigningKeys, KeysError> {
    SigningKeys::load(config, &Clock::system())
}

fn sentence(config: &Config) -> String {
    load(config).err().unwrap().to_string()
}

fn file(config: &Config) -> PathBuf {
    config.data_dir.join(KEYS_FILE)
}

fn write(config: &Config, text: &str) {
    fs::create_dir_all(&config.data_dir).unwrap();
    fs::write(file(config), text).unwrap();
}

fn takes(key: &SigningKey, token: &str) -> bool {
    key.read::<Value>(token).is_ok()
}

fn some(key: &SigningKey) -> String {
    key.sign(&json!({ "sub": "" })).unwrap()
}

#[test]
fn a_first_start_makes_keys_that_only_their_owner_reads_and_later_ones_take_them() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let first = load(&config).unwrap();
    let text = fs::read_to_string(file(&config)).unwrap();
    assert_eq!(fs::metadata(file(&config)).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(&config.data_dir).unwrap().count(), 1, "nothing is left beside the file");
    assert!(
        text.starts_with("# The keys") && text.contains("\nconnection = \"") && text.contains("\nsubscription = \"")
    );
    let again = load(&config).unwrap();
    assert_eq!(fs::read_to_string(file(&config)).unwrap(), text, "what is there is not written again");
    assert!(takes(&again.connection, &some(&first.connection)));
    assert!(takes(&again.subscription, &some(&first.subscription)));
    assert!(!takes(&again.subscription, &some(&first.connection)));
    assert!(!takes(&again.connection, &some(&first.subscription)));
}

#[test]
fn a_key_is_rotated_by_renaming_it() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let before = load(&config).unwrap();
    let text = fs::read_to_string(file(&config)).unwrap();
    fs::write(file(&config), text.replace("\nconnection =", "\n# mine\nprevious_connection =")).unwrap();
    let after = load(&config).unwrap();
    assert!(takes(&after.connection, &some(&before.connection)));
    assert!(!takes(&before.connection, &some(&after.connection)), "what is signed now is signed by the new one");
    assert!(
        takes(&after.subscription, &some(&before.subscription))
            && takes(&before.subscription, &some(&after.subscription))
    );
    let text = fs::read_to_string(file(&config)).unwrap();
    assert!(text.starts_with("# The keys") && text.contains("# mine\nprevious_connection"), "{text}");
    let without: Vec<_> = text.lines().filter(|line| !line.starts_with("previous_")).collect();
    fs::write(file(&config), without.join("\n")).unwrap();
    let last = load(&config).unwrap();
    assert!(takes(&last.connection, &some(&after.connection)) && !takes(&last.connection, &some(&before.connection)));
}

#[test]
fn what_is_configured_needs_no_file_and_goes_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(&directory);
    config.realtime.token_secret = Some(LONG.into());
    let keys = load(&config).unwrap();
    let token = jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        &json!({ "sub": "" }),
        &EncodingKey::from_secret(LONG.as_bytes()),
    );
    assert!(takes(&keys.connection, &token.unwrap()));
    let text = fs::read_to_string(file(&config)).unwrap();
    assert!(!text.contains("\nconnection =") && text.contains("\nsubscription =") && !text.contains(LONG), "{text}");
    fs::remove_file(file(&config)).unwrap();
    config.realtime.subscription_secret = Some(LONG.repeat(2).into());
    load(&config).unwrap();
    assert!(!file(&config).exists());
}

#[test]
fn what_a_cut_off_write_left_does_not_matter() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    write(&config, "");
    fs::rename(file(&config), file(&config).with_extension("new")).unwrap();
    load(&config).unwrap();
    assert_eq!(fs::read_dir(&config.data_dir).unwrap().count(), 1);
}

#[test]
fn a_file_that_is_not_what_it_should_be_is_refused_without_showing_it() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    for text in [
        "hunter2",
        "connection = hunter2",
        "a = 1",
        "connection = 5",
        "[hunter2]\na = 1",
        "# x\nprevious = \"hunter2\"",
    ] {
        write(&config, text);
        let sentence = sentence(&config);
        assert!(
            sentence.contains(KEYS_FILE) && sentence.contains("line ") && !sentence.contains("hunter2"),
            "{sentence}"
        );
        assert_eq!(fs::read_to_string(file(&config)).unwrap(), text, "it is left as it is");
    }
    assert!(sentence(&config).contains("line 2 of"), "{}", sentence(&config));
    fs::remove_file(file(&config)).unwrap();
    fs::create_dir(file(&config)).unwrap();
    assert!(sentence(&config).contains(KEYS_FILE) && sentence(&config).contains("cannot be read"));
}

#[test]
fn short_secrets_and_twice_the_same_are_refused_by_name_and_not_by_value() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(&directory);
    write(&config, "connection = \"hunter2\"");
    assert!(sentence(&config).starts_with("connection in ") && sentence(&config).ends_with("at least 32 bytes"));
    write(&config, &format!("connection = \"{LONG}\"\nprevious_subscription = \"{LONG}\""));
    assert!(sentence(&config).ends_with("must not be the same secret"), "{}", sentence(&config));
    write(&config, &format!("connection = \"{LONG}\""));
    config.realtime.subscription_secret = Some(LONG.into());
    let said = sentence(&config);
    assert!(said.contains(KEYS_FILE) && said.contains("MEET_AI_REALTIME__SUBSCRIPTION_SECRET"), "{said}");
    assert!(!said.contains(LONG));
    config.realtime.token_secret = Some("hunter2".into());
    assert_eq!(sentence(&config), "MEET_AI_REALTIME__TOKEN_SECRET must have at least 32 bytes");
}

#[test]
fn only_tokens_of_a_sane_length_are_looked_at() {
    let keys = SigningKeys::unkept(&Clock::system());
    let token = |length: usize| keys.connection.sign(&json!({ "x": "x".repeat(length) })).unwrap();
    assert!(takes(&keys.connection, &token(2000)));
    assert!(!takes(&keys.connection, &token(MAX_TOKEN)));
}
