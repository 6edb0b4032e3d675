// People: their names, who is online, and whose presence is watched.

import { answerTo } from './answer.js';

/** Most conversations whose members' presence can be watched. */
const MAX_WATCHED = 16;

export class People {
  #link;
  #conversations;
  #emit;
  /** The open conversation, and the ids last asked for. */
  #open;
  #watched = '';

  names = new Map();
  online = new Map();

  constructor(link, conversations, emit) {
    this.#link = link;
    this.#conversations = conversations;
    this.#emit = emit;
  }

  /** Display name of a user. */
  nameOf(user) {
    return this.names.get(user) || user;
  }

  presence({ user, online }) {
    this.online.set(user, online);
    this.#emit('presence');
  }

  /** Watches presence in the open conversation and the latest direct ones. */
  async watch(open = this.#open) {
    this.#open = open;
    const direct = this.#conversations.listed().filter((c) => c.peer && c !== open && c.exists);
    const wanted = [...(open?.exists ? [open] : []), ...direct].slice(0, MAX_WATCHED).map((c) => c.id);
    const key = [...wanted].sort().join('\n');
    if (key === this.#watched || this.#link.state !== 'ready') return;
    this.#watched = key;
    const answer = await answerTo(this.#link, { watch: { conversations: wanted } });
    if (!answer) return;
    for (const presence of answer.watching?.presences ?? []) this.online.set(presence.user, presence.online);
    this.#emit('presence');
  }

  /** A watch ends with its connection, and with it what is known of who is online. */
  unwatched() {
    this.#watched = '';
    this.online.clear();
    this.#emit('presence');
  }

  /** Loads the members of a conversation. */
  async loadMembers(conversation) {
    if (!conversation.exists) return;
    const members = new Map();
    let after = '';
    do {
      const answer = await answerTo(this.#link, { list_members: { conversation: conversation.id, after } });
      if (!answer?.members) return;
      for (const member of answer.members.members) {
        members.set(member.user, member);
        this.online.set(member.user, member.online);
        if (member.name) this.names.set(member.user, member.name);
      }
      after = answer.members.next_after;
    } while (after);
    conversation.members = members;
    this.#emit('presence');
    this.#emit('conversations');
    this.#emit('cursor', { conversation });
  }
}
