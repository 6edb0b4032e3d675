//! Every bound on what a peer may send, in one place. `Welcome.limits` tells a device the ones it needs.

/// Most bytes a frame may hold after its length field (flags and body). Checked before allocation.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;
/// Bytes in front of a frame's body: `u32` length and `u8` flags.
pub const FRAME_HEADER_BYTES: usize = 5;
/// Most bytes a connection may send before it is logged in: one Hello.
pub const MAX_HELLO_BYTES: usize = 4 * 1024;
/// Most bytes of `Content.data`.
pub const MAX_CONTENT_BYTES: usize = 48 * 1024;
/// Most bytes of `Content.type`.
pub const MAX_CONTENT_TYPE_BYTES: usize = 64;
/// Most bytes of a signal's data.
pub const MAX_SIGNAL_BYTES: usize = 1024;
/// Most bytes of a tenant id.
pub const MAX_TENANT_BYTES: usize = 64;
/// Most bytes of a user id.
pub const MAX_USER_BYTES: usize = 64;
/// Most bytes of a conversation id: a direct one holds two user ids and four bytes more.
pub const MAX_CONVERSATION_BYTES: usize = 2 * MAX_USER_BYTES + 4;
/// Most bytes of a conversation's title.
pub const MAX_TITLE_BYTES: usize = 256;
/// Most bytes of an installation id.
pub const MAX_INSTALLATION_BYTES: usize = 64;
/// Length of a client_msg_id.
pub const CLIENT_MSG_ID_BYTES: usize = 16;
/// Most users added and removed by one entry.
pub const MAX_MEMBERS_PER_CHANGE: usize = 500;
/// Most members of a conversation.
pub const MAX_MEMBERS: usize = 20_000;
/// Most ranges of one Sync.
pub const MAX_SYNC_RANGES: usize = 32;
/// Most messages of one SyncResult.
pub const MAX_SYNC_MESSAGES: usize = 256;
/// Most rows of a conversation or member page, and what an unset limit means.
pub const MAX_PAGE_ROWS: usize = 100;
/// Most conversations a device may watch at once.
pub const MAX_WATCHED: usize = 16;
/// Most requests a device may have unanswered; past it the server stops reading that connection.
pub const MAX_REQUESTS_IN_FLIGHT: u32 = 64;
/// How many of a device's latest sends in a conversation are remembered to recognise a retry. Twice what may
/// be in flight, so that no retry of an unanswered send is ever forgotten.
pub const DEDUPE_WINDOW: usize = 128;
/// Most messages committed by one append.
pub const MAX_BATCH_MESSAGES: usize = 128;
/// Bytes of payload after which an append takes no further message.
pub const MAX_BATCH_BYTES: usize = 64 * 1024;
/// Bytes that an entry needs beside its content or member list: ids, names of fields, numbers.
pub const MAX_ENTRY_OVERHEAD_BYTES: usize = 2 * 1024;
/// Most bytes a frame between nodes may hold after its length field.
pub const MAX_LINK_FRAME_BYTES: usize = 1024 * 1024;
/// Most bytes of one message between nodes; senders split what would be larger.
pub const MAX_LINK_MESSAGE_BYTES: usize = MAX_LINK_FRAME_BYTES - 16;

const _: () = assert!(MAX_CONTENT_BYTES + MAX_ENTRY_OVERHEAD_BYTES < MAX_FRAME_BYTES);
const _: () = assert!(
    MAX_MEMBERS_PER_CHANGE * (MAX_USER_BYTES + 16) + MAX_TITLE_BYTES + MAX_ENTRY_OVERHEAD_BYTES
        < MAX_FRAME_BYTES
);
const _: () = assert!(DEDUPE_WINDOW >= 2 * MAX_REQUESTS_IN_FLIGHT as usize);
const _: () = assert!(MAX_HELLO_BYTES < MAX_FRAME_BYTES);
const _: () = assert!(DEDUPE_WINDOW <= u8::MAX as usize + 1);
