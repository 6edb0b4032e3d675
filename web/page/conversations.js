// Every conversation this device knows, and what news makes of them. Knows nothing of connections.

import { isSilent, newConversation, visible } from './conversation.js';

export class Conversations {
  #byId = new Map();
  #emit;

  /** The signed-in user and this device. */
  me = '';
  device = 0n;

  /** `emit` as of the client. */
  constructor(emit) {
    this.#emit = emit;
  }

  /** The conversation with this id, new where it was not known. */
  get(id) {
    let conversation = this.#byId.get(id);
    if (!conversation) {
      conversation = newConversation(id, this.me);
      this.#byId.set(id, conversation);
    }
    return conversation;
  }

  all() {
    return this.#byId.values();
  }

  /** Those of the list, the latest active first. */
  listed() {
    return [...this.all()].filter((c) => c.listed).sort((a, b) => Number(b.activeAt - a.activeAt));
  }

  /** A message that may be the newest of its conversation. */
  latest(conversation, message) {
    conversation.log.raise(message.seq);
    if (isSilent(message)) return this.#silent(conversation, message);
    if (message.seq <= (conversation.lastMessage?.seq ?? 0n)) return;
    conversation.lastMessage = message;
    if (message.at_ms > conversation.activeAt) conversation.activeAt = message.at_ms;
    this.#emit('conversations');
  }

  /** The last message as the server has it, edits and recalls applied. */
  last(conversation, message) {
    if (message.seq < (conversation.lastMessage?.seq ?? 0n)) return;
    conversation.lastMessage = message;
    if (message.at_ms > conversation.activeAt) conversation.activeAt = message.at_ms;
    this.#emit('conversations');
  }

  /** An entry that is not shown: it is not unread, and may change the last message. */
  #silent(conversation, message) {
    if (message.seq > conversation.counted) conversation.silent.add(message.seq);
    const { lastMessage } = conversation;
    if (lastMessage && message.relation?.seq === lastMessage.seq) {
      [conversation.lastMessage] = visible([lastMessage, message]);
    }
    this.#emit('conversations');
  }

  /** This user has read up to `seq`. */
  seen(conversation, seq) {
    if (seq > conversation.read) conversation.read = seq;
    if (seq > conversation.seen) conversation.seen = seq;
    this.#emit('conversations');
  }

  /** Somebody's cursors moved. */
  cursor({ conversation: id, user, read, delivered }) {
    const conversation = this.get(id);
    if (user === this.me) this.seen(conversation, read);
    const member = conversation.members?.get(user);
    if (member) {
      if (read > member.read) member.read = read;
      if (delivered > member.delivered) member.delivered = delivered;
    }
    this.#emit('cursor', { conversation });
  }
}
