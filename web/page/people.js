// People: their names, who is online, and whose presence is watched.

import { answerTo } from './answer.js';

/** Presence.State; 0 is a server that says no more than whether somebody is online. */
const STATES = [undefined, 'offline', 'away', 'online'];

/** What a Presence says: 'online', 'away' or 'offline'. */
export function stateOf({ state, online }) {
  return STATES[state] ?? (online ? 'online' : 'offline');
}

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
  #states = new Map();

  constructor(link, conversations, emit) {
    this.#link = link;
    this.#conversations = conversations;
    this.#emit = emit;
  }

  /** Display name of a user. */
  nameOf(user) {
    return this.names.get(user) || user;
  }

  /** 'online', 'away' or 'offline'; undefined of whom nothing is known. */
  presenceOf(user) {
    return this.#states.get(user);
  }

  /** Takes what the server says of users. */
  tell(presences) {
    for (const presence of presences) this.#states.set(presence.user, stateOf(presence));
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
    if (answer) this.tell(answer.watching?.presences ?? []);
    else if (this.#watched === key) this.#watched = '';
  }

  /** A watch ends with its session, and with it what is known of who is online. */
  unwatched() {
    this.#watched = '';
    this.lost();
  }

  /** Without a connection nothing is known of who is online; a session that is resumed is told. */
  lost() {
    this.#states.clear();
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
        // The list does not tell who is away.
        const away = member.online && this.#states.get(member.user) === 'away';
        if (!away) this.#states.set(member.user, member.online ? 'online' : 'offline');
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
