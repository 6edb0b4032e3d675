// One conversation: the state kept for it, its id, and what of its messages is shown. Pure.

import { Log } from './log.js';
import { Outbox } from './outbox.js';

const KIND = { REPLY: 1, EDIT: 2, RECALL: 3 };
const utf8 = new TextEncoder();

/** Everything this device keeps of a conversation. `me` is the signed-in user. */
export function newConversation(id, me) {
  return {
    id,
    peer: directPeer(id, me),
    title: '',
    /** It stands in the list; the server knows it; this user is a member. */
    listed: false,
    exists: false,
    active: true,
    activeAt: 0n,
    lastMessage: undefined,
    log: new Log(),
    outbox: new Outbox(),
    /** Sends the server will not take. */
    refused: [],
    members: undefined,
    /** This user's read cursor, and the higher of it and the own last send. */
    read: 0n,
    seen: 0n,
    wantsLog: false,
    syncing: false,
    syncFailures: 0,
    loadingOlder: false,
  };
}

/** tip - max(read, own last send), as the server counts. */
export function unread(conversation) {
  const count = conversation.log.tip - conversation.seen;
  return count > 0n ? Number(count) : 0;
}

/** Messages to show: without hidden ones, edits and recalls applied to what they refer to. */
export function visible(messages) {
  const changes = new Map();
  for (const message of messages) {
    const { kind, seq } = message.relation ?? {};
    if (kind === KIND.EDIT || kind === KIND.RECALL) changes.set(`${message.sender} ${seq}`, message);
  }
  const isChange = (message) => [KIND.EDIT, KIND.RECALL].includes(message.relation?.kind);
  const shown = messages.filter((message) => !message.hidden && !isChange(message));
  return shown.map((message) => {
    const change = changes.get(`${message.sender} ${message.seq}`);
    if (!change) return message;
    if (change.relation.kind === KIND.RECALL) return { ...message, recalled: true };
    return { ...message, content: change.content, edited: true };
  });
}

/** The id of the direct conversation of two users: the one that is smaller by bytes first. */
export function directId(one, other) {
  const [a, b] = [utf8.encode(one), utf8.encode(other)];
  const at = a.findIndex((byte, i) => byte !== b[i]);
  const smaller = at < 0 ? true : b[at] === undefined ? false : a[at] < b[at];
  return smaller ? `d:${one}~${other}` : `d:${other}~${one}`;
}

/** The other user of a direct conversation of `me`; undefined for any other id. */
export function directPeer(id, me) {
  const users = id.startsWith('d:') ? id.slice(2).split('~') : [];
  return users.length === 2 && users.includes(me) ? users.find((user) => user !== me) : undefined;
}
