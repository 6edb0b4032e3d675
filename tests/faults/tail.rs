//! A device that reads a log to its end by asking for what is new again and again, and needs no push for it.

use std::net::SocketAddr;
use std::time::Duration;

use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Told;
use protocol::v1::{Sync, SyncRange, SyncedRange};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::support::device::{Recorder, entry, read_result};
use crate::support::history::Event;
use crate::support::raw::{Raw, hello};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(150);
/// How long an answer may take; then it connects anew.
const LIMIT: Duration = Duration::from_secs(12);
const USER: &str = "carol";

/// Address, token and installation.
pub type Place = (SocketAddr, String, String);

/// Reads a room until its tip has been seen, and records all of it. The tips come when the logs have ended.
pub async fn read(
    recorder: Recorder,
    place: Place,
    room: String,
    number: usize,
    tips: watch::Receiver<Vec<u64>>,
) {
    let (mut connection, mut next) = (None, 1);
    loop {
        let answer = tokio::time::timeout(LIMIT, ask(&recorder, &place, &room, &mut connection, next)).await;
        match answer {
            Ok(Some((device, range))) => {
                for message in &range.messages {
                    let (entry, conversation) = (entry(message), room.clone());
                    recorder.with(|h| h.push(Event::Saw { device, conversation, entry }));
                }
                next = range.messages.last().map_or(next, |message| message.seq + 1);
                if tips.borrow().get(number).is_some_and(|tip| next > *tip) {
                    return recorder.with(|h| h.push(Event::CaughtUp { device, conversation: room }));
                }
            }
            _ => connection = None,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One question; `None` if it is not answered, or the gateway cannot read now.
async fn ask(
    recorder: &Recorder,
    place: &Place,
    room: &str,
    connection: &mut Option<(Raw, u64)>,
    from: u64,
) -> Option<(u64, SyncedRange)> {
    if connection.is_none() {
        *connection = Some(connect(recorder, place, room).await?);
    }
    let (raw, device) = connection.as_mut()?;
    let op = recorder.with(|h| h.read(*device, USER, room, from));
    let range = SyncRange { conversation: room.into(), from, backwards: false, limit: 0 };
    let request = raw.ask(Ask::Sync(Sync { ranges: vec![range] })).await;
    let Told::SyncResult(mut result) = raw.answer_or_end(request).await? else { return None };
    let range = result.ranges.pop().filter(|range| range.error.is_none())?;
    recorder.with(|h| h.push(Event::ReadEnded { op, result: read_result(&range) }));
    Some((*device, range))
}

async fn connect(recorder: &Recorder, place: &Place, room: &str) -> Option<(Raw, u64)> {
    let (address, token, installation) = place;
    let mut raw = Raw::on(TcpStream::connect(address).await.ok()?);
    let device = raw.try_hello(hello(token, installation)).await?.device_id;
    let (user, conversation) = (USER.into(), room.to_owned());
    recorder.with(|h| h.push(Event::Follows { device, user, conversation, from: 1 }));
    Some((raw, device))
}
