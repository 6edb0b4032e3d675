//! A conversation whose history is recorded.

use super::device::{Recorder, entry};
use super::history::Event;
use super::process::Gateway;
use super::raw::Raw;

/// Its members.
pub const MEMBERS: [&str; 3] = ["alice", "bob", "carol"];

/// Makes a conversation of alice, bob and carol that the recorder knows of.
pub async fn open_room(recorder: &Recorder, gateway: &Gateway) -> String {
    let (mut owner, _) = Raw::login(gateway, MEMBERS[0], "owner").await;
    let room = owner.create(&MEMBERS[1..]).await;
    for user in MEMBERS {
        let entitled =
            Event::Entitled { conversation: room.clone(), user: user.into(), from: 1, to: u64::MAX };
        recorder.with(|history| history.push(entitled));
    }
    room
}

/// The same, with a recorder of its own.
pub async fn room(gateway: &Gateway) -> (Recorder, String) {
    let recorder = Recorder::new();
    let room = open_room(&recorder, gateway).await;
    (recorder, room)
}

/// Reads the whole log into the history; its tip.
pub async fn record_log(recorder: &Recorder, gateway: &Gateway, room: &str) -> u64 {
    let (mut reader, _) = Raw::login(gateway, MEMBERS[0], "auditor").await;
    let log: Vec<_> = reader.sync_all(room, 1).await.iter().map(entry).collect();
    let tip = log.last().map_or(0, |entry| entry.seq);
    recorder.with(|history| history.push(Event::Final { conversation: room.into(), entries: log }));
    tip
}
