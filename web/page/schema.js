// The messages of whimbrel.v1, as protocol/proto/device.proto has them. One line a message: `name number type`,
// separated by commas; `*` behind a type is repeated, `|` in front of a name makes it part of the message's oneof.
// Enums are plain numbers.

export const SCHEMA = parse({
  ClientFrame:
    'ack 1 u64, id 2 u64, |send 3 Send, |ping 4 Empty, |sync 5 Sync, |mark 6 Mark, ' +
    '|list_conversations 7 ListConversations, |create_conversation 8 CreateConversation, ' +
    '|change_members 9 ChangeMembers, |list_members 10 ListMembers, |watch 11 Watch, |signal 12 Signal, ' +
    '|refresh_auth 13 RefreshAuth, |bye 14 Empty, |hello 15 Hello, |set_presence 16 SetPresence, ' +
    '|ask_timeline 17 AskTimeline',
  Hello:
    'version_min 1 u32, version_max 2 u32, features 3 u64, client 4 ClientInfo, token 5 string, ' +
    'installation 6 string, device_type 7 u32, resume 8 Resume, receive_window 9 u32',
  ClientInfo: 'name 1 string, version 2 string, platform 3 string',
  Resume: 'token 1 bytes, last_seq 2 u64',
  Send:
    'conversation 1 string, to_user 2 string, client_msg_id 3 bytes, content 4 Content, relation 5 Relation, ' +
    'no_store 6 bool, hidden 7 bool, after 8 bytes',
  Content: 'type 1 string, data 2 bytes',
  Relation: 'kind 1 enum, seq 2 u64',
  Sync: 'ranges 1 SyncRange*',
  SyncRange: 'conversation 1 string, from 2 u64, backwards 3 bool, limit 4 u32',
  ListConversations: 'page 1 bytes, limit 2 u32, since_version 3 bytes',
  CreateConversation: 'client_msg_id 1 bytes, title 2 string, members 3 NewMember*',
  NewMember: 'user 1 string, role 2 enum, with_history 3 bool',
  ChangeMembers: 'conversation 1 string, client_msg_id 2 bytes, add 3 NewMember*, remove 4 string*',
  ListMembers: 'conversation 1 string, after 2 string, limit 3 u32',
  Mark: 'conversation 1 string, read 2 u64, delivered 3 u64',
  Watch: 'conversations 1 string*',
  SetPresence: 'away 1 bool',
  AskTimeline: 'conversation 1 string, seq 2 u64, after 3 string',
  Signal: 'conversation 1 string, type 2 string, data 3 bytes',
  RefreshAuth: 'token 1 string',
  Empty: '',

  ServerFrame:
    'session_seq 1 u64, re 2 u64, |message 3 Message, |send_ack 4 SendAck, |pong 5 Empty, |head 6 Head, ' +
    '|sync_result 7 SyncResult, |cursor 8 Cursor, |conversations 9 ConversationPage, |members 10 MemberPage, ' +
    '|presence 11 Presence, |signal 12 SignalPush, |auth_refreshed 13 AuthRefreshed, |welcome 14 Welcome, ' +
    '|error 15 Error, |go_away 16 GoAway, |caught_up 17 Empty, |tune 18 Tune, |watching 19 Watching, ' +
    '|timeline 20 Timeline',
  Welcome:
    'version 1 u32, features 2 u64, outcome 3 enum, session_id 4 bytes, device_id 5 fixed64, ' +
    'resume_token 6 bytes, resume_ttl_ms 7 u32, heartbeat_ms 8 u32, limits 9 Limits, server_time_ms 10 i64, ' +
    'auth_expires_ms 11 i64, tenant 12 string, user 13 string, endpoints 14 string*',
  Limits: 'max_frame_bytes 1 u32, max_content_bytes 2 u32, max_requests_in_flight 3 u32, receive_window 4 u32',
  Message:
    'conversation 1 string, seq 2 u64, at_ms 3 i64, sender 4 string, sender_device 5 fixed64, ' +
    'client_msg_id 6 bytes, content 7 Content, relation 8 Relation, hidden 9 bool, ' +
    'members_changed 10 MembersChanged, recalled 11 bool, edited 12 u64',
  MembersChanged: 'added 1 NewMember*, removed 2 string*, created 3 ConversationInfo',
  ConversationInfo: 'kind 1 enum, title 2 string',
  SendAck: 'conversation 1 string, seq 2 u64, at_ms 3 i64, duplicate 4 bool, client_msg_id 5 bytes',
  Head: 'conversation 1 string, tip 2 u64',
  SyncResult: 'ranges 1 SyncedRange*',
  SyncedRange:
    'conversation 1 string, first 2 u64, last 3 u64, messages 4 Message*, tip 5 u64, has_more 6 bool, error 7 Error',
  Cursor: 'conversation 1 string, user 2 string, read 3 u64, delivered 4 u64',
  ConversationPage: 'conversations 1 ConversationSummary*, next_page 2 bytes, version 3 bytes',
  ConversationSummary:
    'conversation 1 string, info 2 ConversationInfo, role 3 enum, tip 4 u64, read 5 u64, delivered 6 u64, ' +
    'unread 7 u64, last_message 8 Message, active 9 bool, peer 10 string',
  MemberPage: 'members 1 Member*, next_after 2 string',
  Member: 'user 1 string, role 2 enum, name 3 string, read 4 u64, delivered 5 u64, online 6 bool',
  Watching: 'presences 1 Presence*',
  Presence: 'user 1 string, online 2 bool, since_ms 3 i64, state 4 enum',
  Timeline:
    'conversation 1 string, seq 2 u64, sender 3 string, received_ms 4 i64, committed_ms 5 i64, sampled 6 bool, ' +
    'pushed 7 u32, pushes 8 TimelinePush*, members 9 TimelineMember*, next_after 10 string',
  TimelinePush: 'user 1 string, device_id 2 fixed64, at_ms 3 i64',
  TimelineMember: 'user 1 string, delivered 2 bool, read 3 bool, delivered_ms 4 i64, read_ms 5 i64',
  SignalPush: 'conversation 1 string, user 2 string, type 3 string, data 4 bytes',
  AuthRefreshed: 'expires_ms 1 i64, server_time_ms 2 i64',
  Error: 'code 1 u32, message 2 string, retryable 3 bool, retry_after_ms 4 u32',
  GoAway: 'verdict 1 enum, code 2 u32, reason 3 string, delay_ms 4 u32, endpoint 5 string',
  Tune: 'heartbeat_ms 1 u32',
});

function parse(table) {
  const schema = {};
  for (const [kind, line] of Object.entries(table)) {
    const fields = line.split(', ').filter(Boolean).map(parseField);
    schema[kind] = {
      fields,
      byNumber: new Map(fields.map((field) => [field.number, field])),
      choices: fields.filter((field) => field.choice).map((field) => field.name),
    };
  }
  return schema;
}

function parseField(text) {
  const [name, number, type] = text.split(' ');
  return {
    name: name.replace('|', ''),
    number: Number(number),
    type: type.replace('*', ''),
    repeated: type.endsWith('*'),
    choice: name.startsWith('|'),
  };
}
