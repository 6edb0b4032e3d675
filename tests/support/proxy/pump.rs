//! The bytes of one connection, held back as its rules say.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Held, Link, Rules};

/// Bytes read at once: what a lost segment holds back starts here.
const SEGMENT: usize = 4096;
/// Segments on the way in one direction; the sender waits beyond that, as it does on a full pipe.
const ON_THE_WAY: usize = 256;
/// When TCP sends again what was lost, on a path of this delay.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// A segment, or the end, and when it arrives.
type Due = (Instant, Option<Bytes>);

#[derive(Clone, Copy, PartialEq)]
enum Way {
    ToServer,
    ToClient,
}

/// Runs both directions until both have ended.
pub(super) async fn both(client: TcpStream, server: SocketAddr, link: &Link) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    // Refused only by sockets that are gone already.
    _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(
        pump(from_client, to_server, link, Way::ToServer),
        pump(from_server, to_client, link, Way::ToClient)
    );
}

async fn pump(from: impl AsyncRead + Unpin, to: impl AsyncWrite + Unpin, link: &Link, way: Way) {
    let (sender, receiver) = mpsc::channel(ON_THE_WAY);
    tokio::join!(take(from, sender, link, way), give(to, receiver, link, way));
}

/// Reads, and decides when each segment arrives. Order is kept: what comes late holds up what follows.
async fn take(mut from: impl AsyncRead + Unpin, onward: mpsc::Sender<Due>, link: &Link, way: Way) {
    let (mut due, mut passed) = (Instant::now(), 0);
    loop {
        let mut segment = BytesMut::with_capacity(SEGMENT);
        let ended = !matches!(from.read_buf(&mut segment).await, Ok(1..));
        let rules = *link.rules.borrow();
        if ended && way == Way::ToClient {
            *link.server_closed.lock() = Some(std::time::Instant::now());
        }
        if rules.black_hole && ended {
            return std::future::pending().await;
        }
        if rules.black_hole {
            continue;
        }
        due = due.max(Instant::now() + travel(&rules, ended, way));
        if let (Some(limit), Way::ToServer, false) = (rules.cut_after, way, ended) {
            segment.truncate(usize::try_from(limit.saturating_sub(passed)).unwrap_or(usize::MAX));
        }
        passed += segment.len() as u64;
        let cut = way == Way::ToServer && rules.cut_after.is_some_and(|limit| passed >= limit);
        let sent = onward.send((due, (!ended).then(|| segment.freeze()))).await;
        if cut {
            // Time for the last bytes to arrive, and for answers to come through a slow line: a connection that never
            // brings one gets nobody any further.
            tokio::time::sleep_until(due + Duration::from_millis(100)).await;
            return link.cut.cancel();
        }
        if ended || sent.is_err() {
            return;
        }
    }
}

/// How long a segment is on its way.
fn travel(rules: &Rules, ended: bool, way: Way) -> Duration {
    if ended && way == Way::ToServer && !rules.close_delay.is_zero() {
        return rules.close_delay;
    }
    let spread = rules.jitter.as_secs_f64() * (2.0 * rand::random::<f64>() - 1.0);
    let lost = rand::random::<f64>() < rules.loss;
    let again = if lost { RETRANSMISSION + 2 * rules.delay } else { Duration::ZERO };
    Duration::from_secs_f64((rules.delay.as_secs_f64() + spread).max(0.0)) + again
}

/// Waits while a cut holds this way back.
async fn until_let_through(link: &Link, way: Way) {
    let holds = |rules: &Rules| match rules.holds {
        None => false,
        Some(Held::Both) => true,
        Some(Held::Requests) => way == Way::ToServer,
        Some(Held::Answers) => way == Way::ToClient,
    };
    let mut rules = link.rules.subscribe();
    if holds(&rules.borrow_and_update()) {
        link.held.fetch_add(1, Ordering::Relaxed);
        // The sender of the rules lives in the link.
        _ = rules.wait_for(|rules| !holds(rules)).await;
    }
}

async fn give(mut to: impl AsyncWrite + Unpin, mut segments: mpsc::Receiver<Due>, link: &Link, way: Way) {
    while let Some((due, segment)) = segments.recv().await {
        tokio::time::sleep_until(due).await;
        until_let_through(link, way).await;
        let rules = *link.rules.borrow();
        let Some(segment) = segment else {
            // The other side may be gone; it then needs no end.
            _ = to.shutdown().await;
            return;
        };
        if rules.black_hole {
            continue;
        }
        if let Some(rate) = rules.bytes_per_second {
            tokio::time::sleep(Duration::from_secs_f64(segment.len() as f64 / f64::from(rate))).await;
        }
        if to.write_all(&segment).await.is_err() {
            return;
        }
    }
}
