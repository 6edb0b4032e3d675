//! A small server: one log per conversation in memory, and faults on request.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use parking_lot::Mutex;
use protocol::code::Code;
use protocol::codec::FrameCodec;
use protocol::preface::PREFACE;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Told;
use protocol::v1::{self, ClientFrame, ServerFrame};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::codec::Framed;
use tokio_util::task::TaskTracker;

pub const TOKEN: &str = "good";

#[derive(Default)]
pub struct Server {
    pub logs: Mutex<HashMap<String, Vec<v1::Message>>>,
    pub tasks: TaskTracker,
    /// A connection ends after this many frames; 0 for never.
    pub frames_per_connection: AtomicUsize,
    /// Every so many sends one is answered UNAVAILABLE without being stored; 0 for none.
    pub busy_every: AtomicUsize,
    /// Every so many sends one is stored and answered OUTCOME_UNKNOWN; 0 for none.
    pub unknown_every: AtomicUsize,
    pub connections: AtomicUsize,
    sends: AtomicUsize,
}

impl Server {
    /// Listens for plain TCP; returns the address.
    pub async fn tcp(self: &Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let server = self.clone();
        self.tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let server = server.clone();
                server.tasks.clone().spawn(async move {
                    let mut preface = [0; 4];
                    if stream.read_exact(&mut preface).await.is_ok() && preface == PREFACE {
                        server.serve(stream).await;
                    }
                });
            }
        });
        address
    }

    /// Speaks with one client until a fault or its end.
    pub async fn serve(&self, io: impl AsyncRead + AsyncWrite + Unpin) {
        self.connections.fetch_add(1, Ordering::SeqCst);
        let mut framed = Framed::new(io, FrameCodec::default());
        let mut left = match self.frames_per_connection.load(Ordering::SeqCst) {
            0 => usize::MAX,
            frames => frames,
        };
        while let Some(Ok(frame)) = framed.next().await {
            for asked in frame.messages::<ClientFrame>() {
                left -= 1;
                if let Some(answer) = self.answer(asked.unwrap()) {
                    let bytes = Bytes::from(protocol::Proto::encode_to_vec(&answer));
                    if left == 0 {
                        return end(framed.into_inner()).await;
                    }
                    if framed.send(bytes).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn answer(&self, asked: ClientFrame) -> Option<ServerFrame> {
        let body = match asked.body? {
            Ask::Hello(hello) if hello.token == TOKEN => Told::Welcome(v1::Welcome {
                user: "alice".into(),
                tenant: "t".into(),
                device_id: 42,
                heartbeat_ms: 60_000,
                ..Default::default()
            }),
            Ask::Hello(hello) if hello.token == "superseded" => {
                Told::GoAway(Code::SUPERSEDED.go_away("elsewhere"))
            }
            Ask::Hello(_) => Told::GoAway(Code::TOKEN_INVALID.go_away("the signature does not match")),
            Ask::Send(send) => self.store(send),
            Ask::Sync(sync) => self.sync(sync),
            Ask::Mark(mark) => Told::Cursor(v1::Cursor { read: mark.read, ..Default::default() }),
            Ask::Bye(_) => return None,
            _ => Told::Pong(v1::Pong {}),
        };
        Some(ServerFrame { session_seq: 0, re: asked.id, body: Some(body) })
    }

    fn store(&self, send: v1::Send) -> Told {
        let conversation = match send.to_user.is_empty() {
            true => send.conversation,
            false => protocol::names::direct("alice", &send.to_user),
        };
        let n = self.sends.fetch_add(1, Ordering::SeqCst) + 1;
        let due =
            |every: &AtomicUsize| matches!(every.load(Ordering::SeqCst), e if e > 0 && n.is_multiple_of(e));
        let mut logs = self.logs.lock();
        let log = logs.entry(conversation.clone()).or_default();
        let seq_of = |id: &Bytes| log.iter().find(|m| m.client_msg_id == *id).map(|m| m.seq);
        let known = seq_of(&send.client_msg_id);
        if known.is_none() && !send.after.is_empty() && seq_of(&send.after).is_none() {
            return Told::Error(Code::OUT_OF_ORDER.plain_error());
        }
        if due(&self.busy_every) {
            return Told::Error(Code::UNAVAILABLE.plain_error());
        }
        let seq = known.unwrap_or(log.len() as u64 + 1);
        if known.is_none() {
            let client_msg_id = send.client_msg_id.clone();
            let content = send.content;
            log.push(v1::Message {
                seq,
                sender: "alice".into(),
                client_msg_id,
                content,
                ..Default::default()
            });
        }
        if due(&self.unknown_every) {
            return Told::Error(Code::OUTCOME_UNKNOWN.plain_error());
        }
        let (client_msg_id, duplicate) = (send.client_msg_id, known.is_some());
        Told::SendAck(v1::SendAck { conversation, seq, at_ms: 1, duplicate, client_msg_id })
    }

    fn sync(&self, sync: v1::Sync) -> Told {
        let logs = self.logs.lock();
        let ranges = sync.ranges.into_iter().map(|range| match logs.get(&range.conversation) {
            Some(log) => read(range, log),
            None => v1::SyncedRange {
                conversation: range.conversation,
                error: Some(Code::NOT_FOUND.plain_error()),
                ..Default::default()
            },
        });
        Told::SyncResult(v1::SyncResult { ranges: ranges.collect() })
    }
}

/// Ends without an answer; what was answered before still arrives.
async fn end(mut io: impl AsyncRead + AsyncWrite + Unpin) {
    let _ = io.shutdown().await;
    let _ = tokio::io::copy(&mut io, &mut tokio::io::sink()).await;
}

fn read(range: v1::SyncRange, log: &[v1::Message]) -> v1::SyncedRange {
    let tip = log.len() as u64;
    let limit = u64::from(range.limit.clamp(1, 20));
    let (first, last) = match range.backwards {
        true => {
            let last = if range.from == 0 { tip } else { range.from.min(tip) };
            (last.saturating_sub(limit - 1).max(1), last)
        }
        false => (range.from, tip.min(range.from + limit - 1)),
    };
    let wanted = log.iter().filter(|m| m.seq >= first && m.seq <= last);
    let has_more = if range.backwards { first > 1 } else { last < tip };
    let messages = wanted.cloned().collect();
    v1::SyncedRange { conversation: range.conversation, first, last, messages, tip, has_more, error: None }
}
