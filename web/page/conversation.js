// One conversation: the state kept for it, its id, and what of its messages is shown. Pure.

import { Log } from './log.js';
import { Outbox } from './outbox.js';

export const KIND = { REPLY: 1, EDIT: 2, RECALL: 3 };
const utf8 = new TextEncoder();
const plain = new TextDecoder();

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
    /** Seqs that are known not to be shown; those up to `counted` are in the server's count. */
    silent: new Set(),
    counted: 0n,
    wantsLog: false,
    syncing: false,
    syncFailures: 0,
    loadingOlder: false,
  };
}

/** tip - max(read, own last send) without what is not shown, as the server counts. */
export function unread(conversation) {
  const { log, seen, silent = new Set() } = conversation;
  for (const seq of silent) if (seq <= seen) silent.delete(seq);
  const count = log.tip - seen - BigInt(silent.size);
  return count > 0n ? Number(count) : 0;
}

/** Whether an entry is no message to show: hidden, an edit or a recall. */
export function isSilent(message) {
  return Boolean(message.hidden) || isChange(message);
}

/** Whether a send of this device changes another message: an edit or a recall. */
export function isChange({ relation }) {
  return relation?.kind === KIND.EDIT || relation?.kind === KIND.RECALL;
}

/** The sends that stand for themselves, and by the seq they refer to the latest of those that change a message. */
export function sortSends(items) {
  const changes = new Map();
  for (const item of items) if (isChange(item)) changes.set(item.relation.seq, item);
  return { messages: items.filter((item) => !isChange(item)), changes };
}

/** The text of a message that its author may edit; undefined where it is no text, or may not be changed any more. */
export function editable({ seq, recalled, members_changed, content }) {
  if (!seq || recalled || members_changed || content?.type !== 'text/plain') return undefined;
  return plain.decode(content.data);
}

/** Messages to show: without hidden ones, edits and recalls applied to what they refer to. */
export function visible(messages) {
  const changes = new Map();
  for (const message of messages) {
    const { kind, seq } = message.relation ?? {};
    // The server has checked that whoever changes a message may; what was recalled is not edited any more.
    if (kind === KIND.EDIT || kind === KIND.RECALL) changes.set(seq, message);
  }
  return messages.filter((message) => !isSilent(message)).map((message) => {
    const change = changes.get(message.seq);
    if (!change || message.recalled) return message;
    if (change.recalled || change.relation.kind === KIND.RECALL) {
      return { ...message, content: undefined, recalled: true };
    }
    return { ...message, content: change.content, edited: change.seq };
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
