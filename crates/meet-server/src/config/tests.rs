use std::net::IpAddr;

use super::*;

fn load(file: Option<&str>, env: &[(&str, &str)], overrides: Overrides) -> Result<Config, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meet.toml");
    if let Some(text) = file {
        std::fs::write(&path, text).unwrap();
    }
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(file.map(|_| path.as_path()), env, overrides)
}

fn problem(file: Option<&str>, env: &[(&str, &str)]) -> String {
    load(file, env, Overrides::default()).unwrap_err().to_string()
}

#[test]
fn a_flag_goes_before_the_environment_before_the_file_before_the_default() {
    let file = "listen = \"127.0.0.1:1\"\ndata_dir = \"/from/file\"\n[limits]\nrooms_per_day_per_key = 7\n";
    let env = [("MEET_AI_LISTEN", "127.0.0.1:2"), ("MEET_AI_DATA_DIR", "/from/env")];
    let flags = Overrides { listen: Some("127.0.0.1:3".into()), ..Overrides::default() };
    let config = load(Some(file), &env, flags).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.data_dir, PathBuf::from("/from/env"));
    assert_eq!(config.limits.rooms_per_day_per_key, 7);
    assert_eq!(config.limits.keys_per_hour_per_ip, 3);
}

#[test]
fn the_environment_names_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meet.toml");
    std::fs::write(&path, "welcome = false").unwrap();
    let env = [("MEET_AI_CONFIG".to_owned(), path.display().to_string())];
    assert!(!Config::load(None, env.into_iter(), Overrides::default()).unwrap().welcome);
}

#[test]
fn lists_are_comma_separated_and_nested_names_have_two_underscores() {
    let env = [
        ("MEET_AI_ALLOWED_ORIGINS", "https://App.example.org/, http://localhost:5173"),
        ("MEET_AI_TRUSTED_PROXIES", "10.0.0.0/8,192.168.1.1"),
        ("MEET_AI_CLIENT_IP_HEADER", "X-Forwarded-For"),
        ("MEET_AI_METRICS__TOKEN", "let-me-in"),
        ("MEET_AI_LIMITS__SOCKETS", "0"),
    ];
    let config = load(None, &env, Overrides::default()).unwrap();
    let origins: Vec<_> = config.allowed_origins.iter().map(Origin::as_str).collect();
    assert_eq!(origins, ["https://app.example.org", "http://localhost:5173"]);
    assert!(config.trusted_proxies[1].contains(&"192.168.1.1".parse::<IpAddr>().unwrap()));
    assert_eq!(config.metrics.token.unwrap().expose_secret(), "let-me-in");
    assert_eq!(config.limits.sockets, Some(0));
}

#[test]
fn a_log_filter_is_a_level_or_names_one_for_each_target() {
    for good in ["info", "TRACE", "off", "info,meet_server=debug", "warn, a::b=2,", "[span{a=1,b=2}]=trace,info"] {
        load(None, &[("MEET_AI_LOG", good)], Overrides::default()).unwrap();
    }
    for bad in ["loud", "info,loud", "meet_server=loud", "meet_server", "info;debug", "7"] {
        let said = problem(None, &[("MEET_AI_LOG", bad)]);
        let part = bad.trim_start_matches("info,");
        assert!(said.starts_with("MEET_AI_LOG must be a level (") && said.contains(&format!("{part:?}")), "{said}");
    }
}

#[test]
fn a_file_may_write_lists_as_lists() {
    let file = "allowed_origins = [\"https://a.example\", \"https://b.example\"]";
    assert_eq!(load(Some(file), &[], Overrides::default()).unwrap().allowed_origins.len(), 2);
}

#[test]
fn an_empty_value_is_the_default() {
    let env = [("MEET_AI_DATABASE_URL", ""), ("MEET_AI_LIMITS__ROOMS_PER_DAY_PER_KEY", " ")];
    let config = load(Some("database_url = \"postgres://x\""), &env, Overrides::default()).unwrap();
    assert!(config.database_url.is_none());
    assert_eq!(config.limits.rooms_per_day_per_key, 5);
}

#[test]
fn an_error_names_the_setting_as_its_author_wrote_it() {
    assert!(problem(None, &[("MEET_AI_WELCOME", "perhaps")]).starts_with("MEET_AI_WELCOME must be true or false"));
    assert!(problem(Some("[limits]\nsockets = -1"), &[]).starts_with("limits.sockets (in "));
    let flags = Overrides { listen: Some("nowhere".into()), ..Overrides::default() };
    assert!(load(None, &[], flags).unwrap_err().to_string().starts_with("--listen must be an address"));
}

#[test]
fn an_unknown_setting_is_answered_with_the_nearest_one() {
    let sentence = problem(None, &[("MEET_AI_LIMITS_MESSAGE_BYTES", "1")]);
    assert!(sentence.ends_with("did you mean MEET_AI_LIMITS__MESSAGE_BYTES?"), "{sentence}");
    let sentence = problem(Some("[limit]\nsockets = 1"), &[]);
    assert!(sentence.ends_with("did you mean limits.sockets?"), "{sentence}");
}

#[test]
fn what_belongs_to_clients_is_no_setting_and_no_error() {
    let env = [("MEET_AI_KEY", "mai_x"), ("MEET_AI_URL", "http://elsewhere"), ("HOME", "/root")];
    let config = load(None, &env, Overrides::default()).unwrap();
    assert!(!config.masked().contains("mai_x"));
}

#[test]
fn a_secret_is_in_no_error_and_no_print() {
    let env = [("MEET_AI_DATABASE_URL", "postgres://u:hunter2@db/x"), ("MEET_AI_METRICS__TOKEN", "hunter2")];
    let config = load(None, &env, Overrides::default()).unwrap();
    for text in [config.masked(), format!("{config:?}")] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(config.masked().contains("database_url = \"***\""));
    assert!(!problem(Some("database_url = \"hunter2"), &[]).contains("hunter2"));
    assert!(!problem(Some("database_url = {a = \"hunter2\"}"), &[]).contains("hunter2"));
}

#[test]
fn what_is_printed_reads_back() {
    let env = [("MEET_AI_ALLOWED_ORIGINS", "https://a.example,https://b.example"), ("MEET_AI_SIGNUP", "open")];
    let config = load(None, &env, Overrides::default()).unwrap();
    let again = load(Some(&config.masked()), &[], Overrides::default()).unwrap();
    assert_eq!(again.masked(), config.masked());
}

#[test]
fn every_setting_has_a_distinct_variable() {
    let variables: std::collections::HashSet<_> = settings::names().map(|(_, variable)| variable).collect();
    assert_eq!(variables.len(), settings::names().count());
    assert!(variables.contains("MEET_AI_LIMITS__TOKENS_PER_MINUTE_PER_IP"));
}

#[test]
fn tools_that_open_rooms_to_others_are_off_until_they_are_switched_on() {
    assert!(!load(None, &[], Overrides::default()).unwrap().mcp.manage);
    assert!(load(None, &[("MEET_AI_MCP__MANAGE", "true")], Overrides::default()).unwrap().mcp.manage);
}

#[test]
fn a_limit_on_messages_is_never_above_what_the_doors_take() {
    let bytes = |value| load(None, &[("MEET_AI_LIMITS__MESSAGE_BYTES", value)], Overrides::default());
    assert_eq!(bytes("100").unwrap().limits.message_bytes, 100);
    assert_eq!(bytes("0").unwrap().limits.message_bytes, meet_api::text::MAX_CONTENT);
    assert!(bytes("32769").is_err());
}

#[test]
fn agents_are_let_say_no_more_in_a_row_than_any_room_may_let_them() {
    let budget = |value| load(None, &[("MEET_AI_LIMITS__AGENT_BUDGET", value)], Overrides::default());
    assert_eq!(budget("1000").unwrap().limits.agent_budget, 1000);
    assert!(budget("0").is_ok() && budget("1001").is_err());
}

#[test]
fn a_proxy_header_and_the_proxies_come_together() {
    assert!(problem(None, &[("MEET_AI_CLIENT_IP_HEADER", "X-Real-IP")]).contains("MEET_AI_TRUSTED_PROXIES"));
    assert!(problem(None, &[("MEET_AI_TRUSTED_PROXIES", "::1")]).contains("MEET_AI_CLIENT_IP_HEADER"));
}

fn exposed(listen: &str, public: Option<&str>, insecure: bool) -> Option<Exposed> {
    let flags = Overrides {
        listen: Some(listen.into()),
        public_url: public.map(Into::into),
        insecure_http: insecure,
        data_dir: None,
    };
    load(None, &[], flags).unwrap().check_exposure().err()
}

#[test]
fn beyond_loopback_the_server_wants_tls_or_a_word_that_there_is_none() {
    assert!(exposed("127.0.0.1:3000", None, false).is_none());
    assert!(exposed("[::1]:3000", None, false).is_none());
    assert!(exposed("0.0.0.0:3000", Some("https://meet.example.org"), false).is_none());
    assert!(exposed("0.0.0.0:3000", Some("http://localhost:8080"), false).is_none());
    assert!(exposed("0.0.0.0:3000", Some("http://192.168.1.7:3000"), true).is_none());
    assert!(exposed("0.0.0.0:3000", Some("http://192.168.1.7:3000"), false).is_some());
    assert!(exposed("127.0.0.1:3000", Some("http://meet.example.org"), false).is_some());
    assert!(exposed("0.0.0.0:3000", None, true).is_some());
}

#[test]
fn the_refusal_holds_the_whole_command_for_this_network() {
    let machine = Some("192.168.1.7".parse().unwrap());
    let sentence = exposed("0.0.0.0:3000", None, false).unwrap().sentence("meet-ai serve", machine);
    assert!(
        sentence.contains("meet-ai serve --listen 0.0.0.0:3000 --public-url http://192.168.1.7:3000 --insecure-http"),
        "{sentence}"
    );
    assert!(sentence.contains("meet-ai serve --listen 0.0.0.0:3000 --public-url https://"), "{sentence}");
    let sentence = exposed("[fd00::1]:80", None, false).unwrap().sentence("meet-ai serve", machine);
    assert!(sentence.contains("--public-url http://[fd00::1]:80 --insecure-http"), "{sentence}");
}

#[test]
fn sign_up_is_open_only_where_nobody_else_gets_in_unless_set() {
    let open = |env: &[(&str, &str)]| load(None, env, Overrides::default()).unwrap().signup_is_open();
    assert!(open(&[]));
    assert!(open(&[("MEET_AI_PUBLIC_URL", "http://127.0.0.1:8080")]));
    assert!(!open(&[("MEET_AI_PUBLIC_URL", "https://meet.example.org")]));
    assert!(open(&[("MEET_AI_PUBLIC_URL", "https://meet.example.org"), ("MEET_AI_SIGNUP", "open")]));
    assert!(!open(&[("MEET_AI_SIGNUP", "closed")]));
}

#[test]
fn a_public_url_is_an_origin_and_nothing_more() {
    assert_eq!(PublicUrl::parse("HTTPS://Meet.Example.org:443/").unwrap().as_str(), "https://meet.example.org");
    for bad in ["meet.example.org", "ftp://x", "https://u:p@x", "https://x/path", "https://x/?q", "https://", "*"] {
        assert!(PublicUrl::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_server_answers_to_its_own_hosts_only() {
    let bound = "192.168.1.7:3000".parse().unwrap();
    let public = PublicUrl::parse("https://meet.example.org").unwrap();
    let hosts = Hosts::new(bound, Some(&public), &[Origin::parse("https://app.example.org:8443").unwrap()]);
    for own in [
        "localhost:3000",
        "LOCALHOST",
        "127.0.0.1:3000",
        "[::1]:3000",
        "[::1]",
        "192.168.1.7:3000",
        "meet.example.org",
        "Meet.Example.Org:443",
        "app.example.org:8443",
    ] {
        assert!(hosts.accepts(own), "{own}");
    }
    for foreign in ["evil.example", "192.168.1.8:3000", "meet.example.org.evil.example", "", ":3000", "a b", "x:y"] {
        assert!(!hosts.accepts(foreign), "{foreign}");
    }
    let everywhere = Hosts::new("0.0.0.0:3000".parse().unwrap(), None, &[]);
    assert!(!everywhere.accepts("0.0.0.0:3000"));
}

#[test]
fn an_origin_is_of_a_host_when_host_and_port_are_equal() {
    let of = |origin: &str, host: &str| Origin::parse(origin).unwrap().is_of_host(host);
    assert!(of("http://127.0.0.1:3000", "127.0.0.1:3000"));
    assert!(of("https://meet.example.org", "meet.example.org"));
    assert!(of("https://meet.example.org", "meet.example.org:443"));
    assert!(!of("http://127.0.0.1:4000", "127.0.0.1:3000"));
    assert!(!of("http://localhost:3000", "127.0.0.1:3000"));
    assert!(!of("http://meet.example.org", "meet.example.org:443"));
    assert!(Origin::parse("null").is_err());
}

#[test]
fn links_name_the_public_url_or_the_address_that_was_bound() {
    let config = load(None, &[], Overrides::default()).unwrap();
    assert_eq!(config.base_url("127.0.0.1:49152".parse().unwrap()), "http://127.0.0.1:49152");
    assert_eq!(config.base_url("[::]:80".parse().unwrap()), "http://[::1]:80");
    let config = load(None, &[("MEET_AI_PUBLIC_URL", "https://m.example/")], Overrides::default()).unwrap();
    assert_eq!(config.base_url("127.0.0.1:1".parse().unwrap()), "https://m.example");
    assert!(config.origin_listed("https://m.example") && !config.origin_listed("https://n.example"));
}

#[test]
fn what_the_machine_decides_is_told_from_what_was_lifted() {
    let limits = |free, sockets| Limits { min_free_bytes: free, sockets, ..Limits::default() };
    assert_eq!(limits(None, None).min_free_bytes(4_000_000), 200_000);
    assert_eq!(limits(None, None).min_free_bytes(u64::MAX), 256 * 1024 * 1024);
    assert_eq!(limits(Some(0), None).min_free_bytes(4_000_000), 0);
    assert_eq!(limits(None, None).max_sockets(1024), Some(768));
    assert_eq!(limits(None, Some(7)).max_sockets(1024), Some(7));
    assert_eq!(limits(None, Some(0)).max_sockets(1024), None);
    assert_eq!(limits(None, None).max_sockets(200), Some(1), "too few files are not an unlimited number");
}

#[test]
fn connections_end_before_the_descriptors_do_whatever_is_lifted() {
    let limits = |connections| Limits { connections, ..Limits::default() };
    assert_eq!(limits(None).max_connections(1024), 896);
    assert_eq!(limits(Some(0)).max_connections(1024), 896);
    assert_eq!(limits(Some(5000)).max_connections(1024), 896);
    assert_eq!(limits(Some(100)).max_connections(1024), 100);
    assert_eq!(limits(None).max_connections(64), 1);
}

#[test]
fn an_address_gets_connections_for_its_sockets_and_as_many_again() {
    let of = |sockets_per_ip, connections_per_ip| Limits { sockets_per_ip, connections_per_ip, ..Limits::default() };
    assert_eq!(of(500, None).max_connections_per_ip(10_000), 1000);
    assert_eq!(of(500, None).max_connections_per_ip(896), 448, "and leaves half of a small server to others");
    assert_eq!(of(500, None).max_connections_per_ip(1), 1);
    assert_eq!(of(0, None).max_connections_per_ip(896), 0, "a lifted limit lifts both");
    assert_eq!(of(500, Some(7)).max_connections_per_ip(896), 7);
    assert_eq!(of(500, Some(0)).max_connections_per_ip(896), 0);
}

#[test]
fn metrics_beyond_this_machine_need_a_token() {
    let sentence = problem(None, &[("MEET_AI_METRICS__LISTEN", "0.0.0.0:9100")]);
    assert!(sentence.starts_with("MEET_AI_METRICS__LISTEN is reachable from other machines"), "{sentence}");
    assert!(sentence.contains("MEET_AI_METRICS__TOKEN"), "{sentence}");
    for env in [
        vec![("MEET_AI_METRICS__LISTEN", "127.0.0.1:9100")],
        vec![("MEET_AI_METRICS__LISTEN", "0.0.0.0:9100"), ("MEET_AI_METRICS__TOKEN", "observer")],
    ] {
        assert!(load(None, &env, Overrides::default()).is_ok(), "{env:?}");
    }
}

#[test]
fn secrets_that_sign_are_long_and_each_another() {
    const NAMES: [&str; 4] = [
        "MEET_AI_REALTIME__TOKEN_SECRET",
        "MEET_AI_REALTIME__PREVIOUS_TOKEN_SECRET",
        "MEET_AI_REALTIME__SUBSCRIPTION_SECRET",
        "MEET_AI_REALTIME__PREVIOUS_SUBSCRIPTION_SECRET",
    ];
    let secrets = ["a", "b", "c", "d"].map(|letter| letter.repeat(32));
    let all: Vec<_> = NAMES.into_iter().zip(secrets.iter().map(String::as_str)).collect();
    let config = load(None, &all, Overrides::default()).unwrap();
    for text in [config.masked(), format!("{config:?}")] {
        assert!(secrets.iter().all(|secret| !text.contains(secret.as_str())), "{text}");
    }
    assert!(config.masked().contains("[realtime]\ntoken_secret = \"***\""), "{}", config.masked());
    for name in NAMES {
        let sentence = problem(None, &[(name, &"x".repeat(31))]);
        assert!(sentence.starts_with(&format!("{name} must have at least 32 bytes")), "{sentence}");
        for other in NAMES.into_iter().filter(|other| *other != name) {
            let sentence = problem(None, &[(name, &secrets[0]), (other, &secrets[0])]);
            assert!(sentence.contains(name) && sentence.contains(other) && !sentence.contains("aaa"), "{sentence}");
        }
    }
    let sentence = problem(Some("[realtime]\ntoken_secret = \"short\""), &[]);
    assert!(sentence.starts_with("realtime.token_secret (in ") && !sentence.contains("short"), "{sentence}");
}

#[test]
fn a_provider_of_calls_names_the_setting_that_it_lacks() {
    let livekit = [
        ("MEET_AI_CONFERENCE__PROVIDER", "livekit"),
        ("MEET_AI_LIVEKIT__URL", "wss://livekit.example.org/"),
        ("MEET_AI_LIVEKIT__API_KEY", "key"),
        ("MEET_AI_LIVEKIT__API_SECRET", "very secret"),
    ];
    let realtimekit = [
        ("MEET_AI_CONFERENCE__PROVIDER", "realtimekit"),
        ("MEET_AI_REALTIMEKIT__ACCOUNT_ID", "account"),
        ("MEET_AI_REALTIMEKIT__APP_ID", "app"),
        ("MEET_AI_REALTIMEKIT__API_TOKEN", "very secret"),
        ("MEET_AI_REALTIMEKIT__PRESET_NAME", "preset"),
    ];
    for settings in [&livekit[..], &realtimekit[..]] {
        let config = load(None, settings, Overrides::default()).unwrap();
        assert!(!config.masked().contains("very secret"), "{}", config.masked());
        for lacking in 1..settings.len() {
            let mut rest = settings.to_vec();
            let (name, _) = rest.remove(lacking);
            assert!(problem(None, &rest).starts_with(&format!("{name} is needed when")), "{name}");
        }
    }
    let config = load(None, &livekit, Overrides::default()).unwrap();
    let url = config.livekit.url.unwrap();
    assert_eq!(
        (url.for_requests().as_str(), url.for_sockets().as_str()),
        ("https://livekit.example.org", "wss://livekit.example.org")
    );
    assert!(problem(None, &[("MEET_AI_CONFERENCE__PROVIDER", "zoom")]).contains("livekit or realtimekit or fake"));
    assert!(problem(None, &[("MEET_AI_LIVEKIT__URL", "https://key:secret@livekit.example.org")]).contains("no user"));
    assert!(problem(None, &[("MEET_AI_TURNSTILE__SITE_KEY", "key")]).contains("MEET_AI_TURNSTILE__SECRET_KEY"));
    assert!(problem(None, &[("MEET_AI_REALTIMEKIT__APP_ID", "../kit")]).contains("letters, digits"));
    assert!(problem(None, &[("MEET_AI_QUICK_ROOMS__MAX_AGE_SECONDS", "0")]).contains("at least 1"));
}

#[test]
fn presets_by_type_make_the_general_one_unnecessary() {
    let env = [
        ("MEET_AI_CONFERENCE__PROVIDER", "realtimekit"),
        ("MEET_AI_REALTIMEKIT__BASE_URL", "https://proxy.example.org/realtime/kit/"),
        ("MEET_AI_REALTIMEKIT__APP_ID", "app"),
        ("MEET_AI_REALTIMEKIT__API_TOKEN", "token"),
        ("MEET_AI_REALTIMEKIT__AUDIO_PRESET_NAME", "audio"),
        ("MEET_AI_REALTIMEKIT__SCREENSHARE_PRESET_NAME", "screen"),
    ];
    let config = load(None, &env, Overrides::default()).unwrap();
    assert_eq!(config.realtimekit.base().unwrap(), "https://proxy.example.org/realtime/kit");
    assert_eq!(
        (config.realtimekit.audio_preset(), config.realtimekit.screenshare_preset()),
        (Some("audio"), Some("screen"))
    );
    assert!(problem(None, &env[..5]).contains("MEET_AI_REALTIMEKIT__PRESET_NAME"));
}

#[test]
fn the_variables_of_the_adapter_before_are_read_and_count_least() {
    let adapter = [
        ("CF_API_TOKEN", "old token"),
        ("CF_ACCOUNT_ID", "old-account"),
        ("RTK_APP_ID", "old-app"),
        ("RTK_PRESET_NAME", "old preset"),
        ("RTK_SCREENSHARE_PRESET_NAME", "old screens"),
        ("RTK_AUDIO_PRESET_NAME", "old audio"),
        ("TURNSTILE_SECRET_KEY", "old secret"),
    ];
    let config = load(None, &adapter, Overrides::default()).unwrap();
    assert_eq!(config.conference.provider, None, "they choose no provider");
    let kit = &config.realtimekit;
    assert_eq!(kit.base().unwrap(), "https://api.cloudflare.com/client/v4/accounts/old-account/realtime/kit");
    assert_eq!((kit.app_id.as_deref(), kit.preset_name.as_deref()), (Some("old-app"), Some("old preset")));
    assert_eq!((kit.audio_preset(), kit.screenshare_preset()), (Some("old audio"), Some("old screens")));
    assert_eq!(kit.api_token.as_ref().unwrap().expose_secret(), "old token");
    assert_eq!(config.turnstile.secret_key.unwrap().expose_secret(), "old secret");

    let file = "[realtimekit]\napp_id = \"of-the-file\"\npreset_name = \"of the file\"\n";
    let mut both = adapter.to_vec();
    both.push(("MEET_AI_REALTIMEKIT__PRESET_NAME", "of the environment"));
    let kit = load(Some(file), &both, Overrides::default()).unwrap().realtimekit;
    assert_eq!(
        (kit.app_id.as_deref(), kit.preset_name.as_deref(), kit.account_id.as_deref()),
        (Some("of-the-file"), Some("of the environment"), Some("old-account"))
    );
}
