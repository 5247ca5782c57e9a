//! A disk that fills up: a clear refusal, reads that go on, nothing lost, and life after it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    caller::{Answer, Caller},
    chance::skip,
    place::Place,
    server::{Ended, Server, soon},
};

/// A small disk, gone with the story.
struct Disk(PathBuf);

impl Disk {
    /// Mounts a disk of so many bytes; only root may.
    fn of(directory: PathBuf, bytes: u64) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skip("only root may mount a small disk");
            return None;
        }
        fs::create_dir(&directory).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(&directory)
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(directory));
        }
        skip("this root may not mount a small disk");
        None
    }

    /// Fills the disk with a file of somebody else's but for so many bytes.
    fn fill(&self, rest: u64) -> PathBuf {
        let file = self.0.join("filler");
        let bytes = usize::try_from(free(&self.0) - rest.min(free(&self.0))).unwrap();
        fs::write(&file, vec![0; bytes]).unwrap();
        file
    }

    fn data(&self) -> PathBuf {
        self.0.join("data")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Posts until the server refuses; what was acknowledged, and the refusal.
async fn fill(caller: &Caller, room: &str, key: &str) -> (Vec<Value>, Answer) {
    let mut stored = Vec::new();
    loop {
        let number = stored.len();
        let content = format!("{key}x{number} {}", "a message of some length ".repeat(40));
        let answer = caller.say(room, "scout", &content, &format!("{key} {number}")).await.unwrap();
        if answer.status != 201 {
            return (stored, answer);
        }
        stored.push(answer.body);
    }
}

/// The disk is full for writers, and for nobody else.
async fn assert_full(caller: &Caller, room: &str, stored: &[Value], refusal: &Answer) {
    assert_eq!((refusal.status, refusal.code()), (507, "disk_full"), "{refusal:?}");
    assert!(stored.len() > 20, "{}", stored.len());
    let (history, head, _) = caller.history(room).await;
    assert!(history == stored && head == stored.len() as u64, "reads go on, and nothing is lost");
    let word = stored.last().unwrap()["content"].as_str().unwrap().split(' ').next().unwrap();
    let found = caller.get(&format!("/api/rooms/{room}/search?q={word}")).await.unwrap().expect(200);
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    caller.get("/readyz").await.unwrap();
}

fn disk_of(place: &Place, bytes: u64) -> Option<Disk> {
    Disk::of(place.file("disk"), bytes)
}

#[tokio::test]
async fn a_disk_that_is_full_to_the_last_byte_refuses_writes_until_there_is_space() {
    let place = Place::sqlite();
    let Some(disk) = disk_of(&place, 4 << 20) else { return };
    let place = place.with_data(&disk.data());
    let server = place.serve().await;
    let key = place.key_of(&server.url);
    let caller = server.caller(&key);
    let room = caller.new_room("small").await;
    let filler = disk.0.join("filler");
    fs::write(&filler, vec![0; 1 << 20]).unwrap();
    let (stored, refusal) = fill(&caller, &room, "first").await;
    assert_full(&caller, &room, &stored, &refusal).await;
    fs::remove_file(&filler).unwrap();
    caller.say(&room, "scout", "there is space again", "again").await.unwrap().expect(201);
    let (more, refusal) = fill(&caller, &room, "second").await;
    assert_eq!((refusal.status, refusal.code()), (507, "disk_full"));
    server.kill().await;
    // A start on a disk without a free byte works or says what is wrong, and harms nothing.
    let filler = disk.fill(0);
    let count = stored.len() + 1 + more.len();
    match start(&place).await {
        Ok(server) => {
            assert_eq!(server.caller(&key).history(&room).await.0.len(), count);
            server.kill().await;
        }
        Err(ended) => assert_says_full(&ended),
    }
    fs::remove_file(filler).unwrap();
    let server = place.serve().await;
    assert_eq!(server.caller(&key).history(&room).await.0.len(), count);
    server.stop().await;
}

#[tokio::test]
async fn a_first_start_on_a_full_disk_says_so_and_the_next_one_is_whole() {
    let place = Place::sqlite();
    let Some(disk) = disk_of(&place, 4 << 20) else { return };
    let place = place.with_data(&disk.data());
    let (mut refused, mut key) = (0, None);
    for free in [0, 4, 8, 40, 80, 128, 200, 300, 400] {
        let filler = disk.fill(free << 10);
        match start(&place).await {
            Ok(server) => {
                // Killed before it has ended, a first start is followed by another.
                if server.owner_link.is_some() {
                    key = Some(place.key_of(&server.url));
                }
                server.kill().await;
            }
            Err(ended) => {
                assert_says_full(&ended);
                refused += 1;
            }
        }
        fs::remove_file(filler).unwrap();
    }
    assert!(refused > 3, "the disk was never full: {refused}");
    let server = place.serve().await;
    let key = key.filter(|_| server.owner_link.is_none()).unwrap_or_else(|| place.key_of(&server.url));
    let caller = server.caller(&key);
    let rooms = caller.get("/api/rooms").await.unwrap().expect(200);
    assert_eq!((rooms.as_array().unwrap().len(), rooms[0]["head_seq"].as_u64()), (1, Some(7)), "{rooms}");
    server.stop().await;
}

async fn start(place: &Place) -> Result<Server, Ended> {
    Server::start(place.command(&["serve", "--listen", "127.0.0.1:0"])).await
}

/// One sentence that names the disk and the way out.
#[track_caller]
fn assert_says_full(ended: &Ended) {
    assert_eq!((ended.status.code(), ended.said.lines().count()), (Some(1), 1), "{}", ended.said);
    assert!(ended.said.contains("is full: free some space"), "{}", ended.said);
}

#[tokio::test]
async fn a_server_keeps_a_reserve_from_which_rooms_can_be_deleted_to_make_space() {
    let place = Place::sqlite();
    let Some(disk) = disk_of(&place, 4 << 20) else { return };
    // Empty stands for the default.
    let place = place.with_data(&disk.data()).with("MEET_AI_LIMITS__MIN_FREE_BYTES", "");
    let server = place.serve().await;
    let caller = server.caller(&place.key_of(&server.url));
    let (keep, room) = (caller.new_room("kept").await, caller.new_room("deleted").await);
    caller.say(&keep, "scout", "this stays", "one").await.unwrap().expect(201);
    let (stored, refusal) = fill(&caller, &room, "first").await;
    assert_full(&caller, &room, &stored, &refusal).await;
    assert!(free(&disk.0) > 0, "it is refused before the disk is full");
    caller.delete(&format!("/api/rooms/{room}")).await.unwrap().expect(204);
    let say = || caller.say(&keep, "scout", "there is space again", "two");
    let accepted = async {
        loop {
            let answer = say().await.unwrap();
            if answer.status == 201 {
                return;
            }
            assert_eq!(answer.code(), "disk_full");
        }
    };
    soon("the space of the deleted room", accepted).await;
    assert_eq!(caller.history(&keep).await.1, 2);
    server.stop().await;
}

fn free(directory: &Path) -> u64 {
    let disk = rustix::fs::statvfs(directory).unwrap();
    disk.f_bavail * disk.f_frsize
}
