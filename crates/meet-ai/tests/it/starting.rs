//! How a server starts, refuses to start, and stops.

use std::{
    fs,
    io::Write as _,
    net::{TcpListener, TcpStream},
    process::Command,
};

use rustix::process::Signal;

use crate::{
    fake::{Answer, Fake},
    machine::{DeadAddress, Machine, Running, Server, failed, mode, succeeded},
};

#[test]
fn a_first_start_prints_the_addresses_and_a_link_and_keeps_the_key_privately() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let link = server.owner_link.as_ref().unwrap();
    assert!(link.starts_with(&format!("{}/#owner=", server.url)), "{link}");
    let data = machine.work().join("data").display().to_string();
    for told in ["/docs", "ws://127.0.0.1:", &data] {
        assert!(server.banner.contains(told), "{}", server.banner);
    }
    assert_eq!(server.http("GET", "/docs", "", "").0, 200);
    assert!(!server.banner.contains("mai_"), "the key is never printed");
    assert_eq!(server.process.umask(), "0077");
    assert_eq!(mode(&machine.config_toml()), 0o600);
    assert_eq!(mode(&machine.work().join("data")), 0o700);
    for file in fs::read_dir(machine.work().join("data")).unwrap() {
        let file = file.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    let kept = fs::read_to_string(machine.config_toml()).unwrap();
    assert!(kept.contains(&format!("[servers.\"{}\"]", server.url)), "{kept}");
    let said = server.process.stderr.next();
    assert!(said.contains(&machine.config_toml().display().to_string()), "{said}");
}

#[test]
fn a_second_data_directory_leaves_other_servers_keys_alone() {
    let machine = Machine::new();
    let first = machine.serve("first", "127.0.0.1:0");
    let second = machine.serve("second", "127.0.0.1:0");
    let [of_first, of_second] = [&first, &second].map(|server| machine.key_of(&server.url));
    assert_ne!(of_first, of_second);
    for server in [&first, &second] {
        machine.ok(&["rooms", "--url", &server.url]);
    }
}

#[test]
fn a_key_of_another_database_at_the_same_address_is_replaced_and_stays_as_a_comment() {
    let machine = Machine::new();
    let first = machine.serve("first", "127.0.0.1:0");
    let address = first.address();
    machine.ok(&["create-room", "general"]);
    assert!(first.stop().success());
    let before = machine.key_of(&format!("http://{address}"));
    let second = machine.serve("second", &address);
    assert_ne!(machine.key_of(&second.url), before);
    let said = second.process.stderr.next();
    assert!(said.contains("replaced") && said.contains("stays there as a comment"), "{said}");
    let kept = fs::read_to_string(machine.config_toml()).unwrap();
    let comment = kept.lines().find(|line| line.starts_with("# ")).unwrap();
    let [key, day] = [1, 5].map(|word| comment.split(' ').nth(word).unwrap());
    assert_eq!((key, day.len()), (before.as_str(), "2026-02-07,".len()), "{comment}");
    assert!(comment.contains(&machine.work().join("second").display().to_string()), "{comment}");
    // The owner before is its owner still.
    assert!(second.stop().success());
    let first = machine.serve("first", &address);
    let said = first.process.stderr.next();
    assert!(said.starts_with("warning: the key in") && said.contains("as a comment"), "{said}");
    assert!(machine.ok(&["rooms", "--url", &first.url, "--key", &before]).contains("general"));
}

#[test]
fn the_command_line_knows_the_owner_at_every_address_of_the_data() {
    let machine = Machine::new();
    let first = machine.serve("data", "127.0.0.1:0");
    let room = machine.ok(&["create-room", "general"]);
    let key = machine.key_of(&first.url);
    let strangers = machine.serve("other", "127.0.0.1:0");
    // The port stays somebody's, so that the next start gets another one.
    let address = first.address();
    assert!(first.stop().success());
    let _held = TcpListener::bind(&address);
    let second = machine.serve("data", "127.0.0.1:0");
    assert!(second.process.stderr.next().contains("here too"));
    assert!(machine.ok(&["rooms", "--url", &second.url]).contains(&room));
    assert_eq!(machine.key_of(&second.url), key);
    assert_ne!(machine.key_of(&strangers.url), key);
    assert_eq!(machine.key_of(&format!("http://{address}")), key);
    assert_eq!(mode(&machine.config_toml()), 0o600);
}

#[test]
fn a_second_start_finds_everything_as_it_was() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let address = server.address();
    machine.ok(&["create-room", "general"]);
    machine.ok(&["send-message", "general", "scout", "hello"]);
    assert!(server.stop().success());
    let server = machine.serve("data", &address);
    assert!(server.owner_link.is_none(), "{}", server.banner);
    assert!(machine.ok(&["poll", "general"]).contains("hello"));
}

#[test]
fn a_config_directory_that_cannot_be_written_is_a_warning() {
    let machine = Machine::new();
    fs::write(machine.path("home"), "a file where the home should be").unwrap();
    let server = machine.serve("data", "127.0.0.1:0");
    let said = server.process.stderr.next();
    assert!(said.starts_with("warning: the owner's key is not kept"), "{said}");
    assert!(server.owner_link.is_some());
}

#[test]
fn an_owner_link_is_printed_beside_a_running_server_and_with_its_address() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let link = machine.ok(&["owner-link", "--data-dir", "data"]);
    assert!(link.starts_with(&format!("{}/#owner=", server.url)), "{link}");
    let token = link.split_once("#owner=").unwrap().1;
    let body = format!(r#"{{"owner":"{token}","name":"Ann"}}"#);
    assert_eq!(server.http("POST", "/api/session", "", &body).0, 201);
    assert_ne!(server.http("POST", "/api/session", "", &body).0, 201, "a link works once");
    let (code, said) = failed(&machine.run(&["owner-link", "--data-dir", "nothing"]));
    assert!(code == 1 && said.contains("--data-dir"), "{said}");
    assert!(!machine.work().join("nothing").exists());
}

#[test]
fn the_command_for_another_owner_link_runs_as_it_is_printed() {
    let machine = Machine::new();
    fs::write(machine.work().join("meet.toml"), "data_dir = \"ann's data\"\n").unwrap();
    let serve = || Server::start(machine.command(&["serve", "--listen", "127.0.0.1:0", "--config", "meet.toml"]));
    assert!(serve().stop().success());
    let server = serve();
    let printed = server.process.stdout.next();
    assert!(printed.contains("owner-link"), "{printed}");
    let mut shell = Command::new("/bin/sh");
    let output = shell.args(["-c", &printed]).env_clear().current_dir(machine.work()).output().unwrap();
    let link = succeeded(&output);
    assert!(link.starts_with(&format!("{}/#owner=", server.url)), "{link}");
}

#[test]
fn a_taken_port_is_one_sentence_with_the_setting_to_change() {
    let machine = Machine::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = failed(&machine.run(&["serve", "--listen", &address, "--data-dir", "data"]));
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");
    assert!(said.contains(&format!("{address} is taken")) && said.contains("--listen"), "{said}");
}

#[test]
fn a_second_process_on_a_data_directory_exits_with_one_sentence() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    for args in
        [&["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"][..], &["restore", "x", "--data-dir", "data"]]
    {
        let (code, said) = failed(&machine.run(args));
        assert_eq!((code, said.lines().count()), (1, 1), "{said}");
        assert!(said.contains("another meet-ai") && said.contains("--data-dir"), "{said}");
    }
    assert_eq!(server.http("GET", "/readyz", "", "").0, 200);
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let machine = Machine::new();
    assert!(machine.serve("data", "127.0.0.1:0").stop().success());
    let file = machine.work().join("data/meet-ai.db");
    let database = rusqlite::Connection::open(&file).unwrap();
    let newer = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
                 VALUES (9999, 'later', '2030-01-01T00:00:00Z', '1')";
    database.execute(newer, []).unwrap();
    database.close().unwrap();
    let before = fs::read(&file).unwrap();
    let (code, said) = failed(&machine.run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"]));
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");
    assert!(said.contains("9999") && said.contains("newer"), "{said}");
    assert_eq!(fs::read(&file).unwrap(), before);
    assert_eq!(failed(&machine.run(&["doctor", "--data-dir", "data"])).0, 1);
}

#[test]
fn a_data_directory_that_cannot_be_written_is_one_sentence() {
    let machine = Machine::new();
    fs::write(machine.work().join("file"), "").unwrap();
    let (code, said) = failed(&machine.run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", "file/data"]));
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");
    assert!(said.contains("cannot be written") && said.contains("--data-dir"), "{said}");
}

#[test]
fn beyond_loopback_the_refusal_has_the_whole_command() {
    let machine = Machine::new();
    let (code, said) = failed(&machine.run(&["serve", "--listen", "0.0.0.0:0"]));
    assert_eq!(code, 2);
    assert!(
        said.contains("meet-ai serve --listen 0.0.0.0:0 --public-url http://") && said.contains("--insecure-http"),
        "{said}"
    );
    assert!(said.contains("--public-url https://"), "{said}");
}

#[test]
fn beyond_loopback_the_key_stays_in_the_server_and_sign_up_is_closed() {
    let machine = Machine::new();
    let args = ["serve", "--listen", "0.0.0.0:0", "--public-url", "https://meet.example.org", "--data-dir", "data"];
    let server = Server::start(machine.command(&args));
    assert!(server.owner_link.as_ref().unwrap().starts_with("https://meet.example.org/#owner="));
    assert!(server.banner.contains("MEET_AI_SIGNUP=open"), "{}", server.banner);
    assert!(!machine.config_toml().exists());
}

#[test]
fn a_server_that_is_told_to_stop_says_goodbye_and_succeeds() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    machine.ok(&["create-room", "general"]);
    let listener = Running::start(machine.command(&["listen", "general"]));
    listener.event("connected");
    assert_eq!(server.stop().code(), Some(0));
    let reason = listener.event("disconnected")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("1001"), "{reason}");
    let mut server = machine.serve("data", "127.0.0.1:0");
    server.process.signal(Signal::INT);
    assert_eq!(server.process.wait().code(), Some(0));
}

#[test]
fn a_second_signal_stops_at_once() {
    let machine = Machine::new();
    let mut server = machine.serve("data", "127.0.0.1:0");
    // A request that never comes to its end is waited for, but not against a second signal.
    let host = server.url.strip_prefix("http://").unwrap();
    let mut unfinished = TcpStream::connect(host).unwrap();
    write!(unfinished, "POST /api/session HTTP/1.1\r\nhost: {host}\r\ncontent-length: 100\r\n\r\n{{").unwrap();
    assert_eq!(server.http("GET", "/healthz", "", "").0, 200);
    server.process.signal(Signal::TERM);
    while !server.process.stderr.next().starts_with("stopping") {}
    server.process.signal(Signal::TERM);
    assert_eq!(server.process.wait().code(), Some(1));
}

#[test]
fn an_unknown_setting_is_answered_with_the_nearest() {
    let machine = Machine::new();
    let output = machine.command(&["serve"]).env("MEET_AI_LISTN", "127.0.0.1:0").output().unwrap();
    let (code, said) = failed(&output);
    assert!(code == 2 && said.contains("did you mean MEET_AI_LISTEN?"), "{said}");
}

#[test]
fn what_belongs_to_clients_does_not_reach_the_server() {
    let machine = Machine::new();
    let mut command = machine.command(&["config"]);
    command.env("MEET_AI_KEY", "mai_client").env("MEET_AI_URL", "http://elsewhere.example");
    let shown = succeeded(&command.output().unwrap());
    assert!(shown.contains("listen = \"127.0.0.1:3000\""), "{shown}");
    assert!(!shown.contains("mai_client") && !shown.contains("elsewhere"), "{shown}");
}

#[test]
fn doctor_finds_a_running_server_well() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let told = machine.ok(&["doctor", "--data-dir", "data", "--url", &server.url]);
    assert!(told.contains(&format!("ready at {}", server.url)), "{told}");
    assert!(told.contains("config.toml, owner of "), "{told}");
    assert!(!told.contains("fail"), "{told}");
}

#[test]
fn doctor_elsewhere_says_who_has_the_address_and_asks_there() {
    let machine = Machine::new();
    let server = machine.serve("data", "127.0.0.1:0");
    let address = server.address();
    let told = machine.ok(&["doctor", "--listen", &address]);
    assert!(told.contains(&format!("a meet-ai answers at {address}")) && !told.contains("fail"), "{told}");
    assert!(told.contains(&machine.work().join("meet-ai-data").display().to_string()), "{told}");
    let nobody = DeadAddress::new();
    // What is named goes before what is found.
    let mut command = machine.command(&["doctor", "--data-dir", "data", "--listen", &address]);
    let told = succeeded(&command.env("MEET_AI_URL", &nobody.url).output().unwrap());
    assert!(told.contains(&format!("{} is ready", server.url)), "{told}");
    let mut command = machine.command(&["doctor", "--listen", &address, "--url", &nobody.url]);
    let told = succeeded(&command.output().unwrap());
    assert!(told.contains(&format!("{} cannot be reached", nobody.url)), "{told}");
    let stranger = Fake::start(vec![Answer::Http("200 OK", String::new(), "<html>".to_owned())]);
    let output = machine.run(&["doctor", "--listen", stranger.url.strip_prefix("http://").unwrap()]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("is taken by a program that does not answer as a meet-ai"), "{told}");
}

#[test]
fn the_api_document_and_the_version_are_printed() {
    let machine = Machine::new();
    let document: serde_json::Value = serde_json::from_str(&machine.ok(&["openapi"])).unwrap();
    assert!(document["paths"]["/api/rooms"].is_object());
    assert!(machine.ok(&["version"]).starts_with("meet-ai "));
}
