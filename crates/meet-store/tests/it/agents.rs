//! What a room lets agents say in a row, how far each user has read, and whom a message mentions.

use std::sync::Arc;

use futures_util::future::join_all;
use meet_api::{About, Appearance, ChosenStatus, Doing, Kind, Reading, RoomId, User};
use meet_store::{AppendOutcome, Appender, NewMessage, NewRoom, RoomPatch, Stop, backup, restore};

use crate::world::{NOW, Owner, World, stored};

crate::on_both!(
    agents_say_their_budget_and_then_a_person_has_to_speak,
    one_agent_says_its_share_and_leaves_the_rest_to_others,
    a_batch_counts_what_comes_before_in_it,
    a_repeat_is_answered_though_the_budget_is_spent,
    a_pause_stops_agents_and_its_end_gives_them_a_whole_budget,
    a_mark_goes_forward_only_and_counts_what_others_said,
    what_is_unread_is_counted_up_to_a_number,
    a_deleted_room_takes_marks_and_mentions_along,
    a_copy_keeps_marks_mentions_and_what_users_say_of_themselves,
);

struct Guarded {
    world: Arc<World>,
    owner: Owner,
    room: RoomId,
    appender: Appender,
}

impl Guarded {
    async fn new(world: Arc<World>, budget: u64, share: u64) -> Self {
        let owner = world.owner().await;
        let new = NewRoom { agent_budget: budget, agent_share: share, ..world.new_room("plaza") };
        let room = world.make_room(owner.tenant, new).await.room.id;
        let (appender, _) = world.appender();
        Self { world, owner, room, appender }
    }

    async fn user(&self, name: &str, kind: Kind) -> User {
        self.world.user(self.owner.tenant, name, kind).await
    }

    fn message(&self, user: &User, text: &str) -> NewMessage {
        let owner = Owner { tenant: self.owner.tenant, key: self.owner.key, user: user.clone() };
        self.world.message(&owner, self.room, text)
    }

    async fn say(&self, user: &User) -> AppendOutcome {
        self.appender.append(self.message(user, "hi")).await.unwrap()
    }

    /// Says so many, all of which are stored.
    async fn say_times(&self, user: &User, times: usize) {
        for _ in 0..times {
            stored(self.say(user).await);
        }
    }

    async fn remaining(&self) -> Option<u64> {
        self.world.store.room(self.owner.tenant, self.room).await.unwrap().unwrap().room.agents.remaining
    }

    async fn reading(&self, user: &User) -> Reading {
        let found = self.world.store.readings(self.owner.tenant, user.id, vec![self.room]).await.unwrap();
        found[0]
    }
}

fn stop(outcome: &AppendOutcome) -> Option<Stop> {
    match outcome {
        AppendOutcome::Stopped(stop, _) => Some(*stop),
        _ => None,
    }
}

async fn agents_say_their_budget_and_then_a_person_has_to_speak(world: Arc<World>) {
    let guarded = Guarded::new(world, 4, 0).await;
    let (ann, scout) = (guarded.user("Ann", Kind::Human).await, guarded.user("scout", Kind::Agent).await);
    guarded.say_times(&ann, 10).await;
    assert_eq!(guarded.remaining().await, Some(4));
    guarded.say_times(&scout, 4).await;
    assert_eq!(guarded.remaining().await, Some(0));
    let refused = guarded.say(&scout).await;
    let AppendOutcome::Stopped(Stop::Budget, at) = refused else { panic!("{refused:?}") };
    assert_eq!((at.agents.remaining, at.agents.budget, at.person_seq), (Some(0), 4, 10));
    assert_eq!(crate::world::head(&guarded.world.store, guarded.owner.tenant, guarded.room).await.unwrap().0, 14);
    guarded.say_times(&ann, 1).await;
    assert_eq!(guarded.remaining().await, Some(4));
    guarded.say_times(&scout, 4).await;
    assert_eq!(stop(&guarded.say(&scout).await), Some(Stop::Budget));
}

async fn one_agent_says_its_share_and_leaves_the_rest_to_others(world: Arc<World>) {
    let guarded = Guarded::new(world, 5, 3).await;
    let (scout, critic) = (guarded.user("scout", Kind::Agent).await, guarded.user("critic", Kind::Agent).await);
    guarded.say_times(&scout, 3).await;
    assert_eq!(stop(&guarded.say(&scout).await), Some(Stop::Share));
    guarded.say_times(&critic, 2).await;
    assert_eq!(stop(&guarded.say(&critic).await), Some(Stop::Budget));
    let ann = guarded.user("Ann", Kind::Human).await;
    guarded.say_times(&ann, 1).await;
    guarded.say_times(&scout, 3).await;
    assert_eq!(stop(&guarded.say(&scout).await), Some(Stop::Share));
    let said = guarded.world.store.said_since(guarded.owner.tenant, guarded.room, 6, scout.id).await.unwrap();
    assert_eq!(said, 3);
}

async fn a_batch_counts_what_comes_before_in_it(world: Arc<World>) {
    let guarded = Guarded::new(world, 5, 3).await;
    let (ann, scout) = (guarded.user("Ann", Kind::Human).await, guarded.user("scout", Kind::Agent).await);
    let critic = guarded.user("critic", Kind::Agent).await;
    let speakers = [&scout, &scout, &scout, &scout, &critic, &critic, &critic, &ann, &scout];
    let said = join_all(speakers.map(|user| guarded.appender.append(guarded.message(user, "hi")))).await;
    let stopped: Vec<_> = said.iter().map(|outcome| stop(outcome.as_ref().unwrap())).collect();
    let (share, budget) = (Some(Stop::Share), Some(Stop::Budget));
    assert_eq!(stopped, [None, None, None, share, None, None, budget, None, None]);
}

async fn a_repeat_is_answered_though_the_budget_is_spent(world: Arc<World>) {
    let guarded = Guarded::new(world, 1, 0).await;
    let scout = guarded.user("scout", Kind::Agent).await;
    let message =
        || NewMessage { idempotency: Some(crate::world::idempotency("once", 1)), ..guarded.message(&scout, "hi") };
    let first = stored(guarded.appender.append(message()).await.unwrap());
    assert_eq!(stop(&guarded.say(&scout).await), Some(Stop::Budget));
    assert_eq!(guarded.appender.append(message()).await.unwrap(), AppendOutcome::Replayed(first));
}

async fn a_pause_stops_agents_and_its_end_gives_them_a_whole_budget(world: Arc<World>) {
    let guarded = Guarded::new(world, 2, 0).await;
    let (ann, scout) = (guarded.user("Ann", Kind::Human).await, guarded.user("scout", Kind::Agent).await);
    let pause = |paused| RoomPatch { agents_paused: Some(paused), ..RoomPatch::default() };
    let patch = async |patch| {
        let found = guarded.world.store.update_room(guarded.owner.tenant, guarded.room, patch).await.unwrap();
        found.unwrap().room.agents
    };
    guarded.say_times(&scout, 2).await;
    assert!(patch(pause(true)).await.paused);
    guarded.say_times(&ann, 1).await;
    assert_eq!(stop(&guarded.say(&scout).await), Some(Stop::Paused));
    guarded.say_times(&ann, 1).await;
    assert_eq!(patch(pause(false)).await.remaining, Some(2));
    guarded.say_times(&scout, 2).await;
    assert_eq!(stop(&guarded.say(&scout).await), Some(Stop::Budget));
    assert_eq!(patch(pause(false)).await.remaining, Some(2), "an owner lets them go on");
    guarded.say_times(&scout, 2).await;
    let more = patch(RoomPatch { agent_budget: Some(3), ..RoomPatch::default() }).await;
    assert_eq!((more.budget, more.remaining), (3, Some(1)));
    let any = patch(RoomPatch { agent_budget: Some(0), ..RoomPatch::default() }).await;
    assert_eq!(any.remaining, None);
    guarded.say_times(&scout, 10).await;
}

async fn a_mark_goes_forward_only_and_counts_what_others_said(world: Arc<World>) {
    let guarded = Guarded::new(world, 0, 0).await;
    let (ann, scout) = (guarded.user("Ann", Kind::Human).await, guarded.user("scout", Kind::Agent).await);
    let store = &guarded.world.store;
    for n in 0..6 {
        let (writer, other) = if n % 2 == 0 { (&ann, &scout) } else { (&scout, &ann) };
        let mentions = if n < 4 { vec![other.id] } else { Vec::new() };
        let message = NewMessage { mentions, ..guarded.message(writer, "hi") };
        stored(guarded.appender.append(message).await.unwrap());
    }
    let reading = |read_seq, unread, mentions| Reading { room_id: guarded.room, read_seq, unread, mentions };
    assert_eq!(guarded.reading(&ann).await, reading(0, 3, 2));
    let mark = async |tenant, user: &User, seq| store.mark_read(tenant, guarded.room, user.id, seq).await.unwrap();
    let tenant = guarded.owner.tenant;
    assert!(mark(tenant, &ann, 2).await);
    assert_eq!(guarded.reading(&ann).await, reading(2, 2, 1));
    assert!(!mark(tenant, &ann, 1).await && !mark(tenant, &ann, 2).await, "a mark never goes back");
    assert_eq!(guarded.reading(&ann).await, reading(2, 2, 1));
    assert_eq!(guarded.reading(&scout).await, reading(0, 3, 2), "everyone has its own");
    assert!(mark(tenant, &ann, 6).await);
    assert_eq!(guarded.reading(&ann).await, reading(6, 0, 0));
    let other = guarded.world.owner().await;
    assert!(!mark(other.tenant, &ann, 6).await && !mark(tenant, &other.user, 3).await, "of another tenant");
    assert_eq!(store.readings(other.tenant, ann.id, vec![guarded.room]).await.unwrap(), []);
}

async fn what_is_unread_is_counted_up_to_a_number(world: Arc<World>) {
    let guarded = Guarded::new(world, 0, 0).await;
    let (ann, scout) = (guarded.user("Ann", Kind::Human).await, guarded.user("scout", Kind::Agent).await);
    let message = || NewMessage { mentions: vec![ann.id], ..guarded.message(&scout, "hi") };
    for outcome in join_all((0..1005).map(|_| guarded.appender.append(message()))).await {
        stored(outcome.unwrap());
    }
    let reading = guarded.reading(&ann).await;
    assert_eq!((reading.unread, reading.mentions), (1000, 1000));
}

async fn a_deleted_room_takes_marks_and_mentions_along(world: Arc<World>) {
    let guarded = Guarded::new(world, 0, 0).await;
    let (ann, scout) = (guarded.user("Ann", Kind::Human).await, guarded.user("scout", Kind::Agent).await);
    let message = NewMessage { mentions: vec![ann.id], ..guarded.message(&scout, "hi") };
    stored(guarded.appender.append(message).await.unwrap());
    let store = &guarded.world.store;
    assert!(store.mark_read(guarded.owner.tenant, guarded.room, ann.id, 1).await.unwrap());
    assert!(store.delete_room(guarded.owner.tenant, guarded.room, NOW).await.unwrap());
    guarded.world.purge(NOW).await;
    assert_eq!(store.room(guarded.owner.tenant, guarded.room).await.unwrap(), None);
    assert_eq!(store.readings(guarded.owner.tenant, ann.id, vec![guarded.room]).await.unwrap(), []);
}

async fn a_copy_keeps_marks_mentions_and_what_users_say_of_themselves(world: Arc<World>) {
    let guarded = Guarded::new(world, 7, 3).await;
    let (ann, scout) = (guarded.user("Ann", Kind::Human).await, guarded.user("scout", Kind::Agent).await);
    for _ in 0..2 {
        let message = NewMessage { mentions: vec![ann.id], ..guarded.message(&scout, "hi") };
        stored(guarded.appender.append(message).await.unwrap());
    }
    let (store, tenant) = (&guarded.world.store, guarded.owner.tenant);
    assert!(store.mark_read(tenant, guarded.room, ann.id, 1).await.unwrap());
    let about = About { doing: Some(Doing::Working), note: Some("on it".into()), ..About::default() };
    let says = Appearance { status: ChosenStatus::Busy, about };
    assert!(store.set_appearance(tenant, scout.id, says.clone()).await.unwrap());
    let file = guarded.world.file("backup.db");
    backup(&guarded.world.location, &file).await.unwrap();
    for (place, database) in crate::backups::places(&guarded.world).await {
        restore(&place, &file, crate::backups::fresh(), NOW).await.unwrap();
        let copy = World::open(place, tempfile::tempdir().unwrap()).await;
        let read = copy.store.readings(tenant, ann.id, vec![guarded.room]).await.unwrap();
        assert_eq!(read, [Reading { room_id: guarded.room, read_seq: 1, unread: 1, mentions: 1 }]);
        assert_eq!(copy.store.appearance(tenant, scout.id).await.unwrap(), Some(says.clone()));
        let agents = copy.store.room(tenant, guarded.room).await.unwrap().unwrap().room.agents;
        assert_eq!((agents.budget, agents.share, agents.remaining), (7, 3, Some(5)));
        copy.store.close().await;
        if let Some((server, name)) = database {
            server.drop(&name).await;
        }
    }
}
