// Conversations on top of a link: an ordered log each, sends that survive reconnects, cursors, presence, typing.
//
// Events: `conversations` (the list changed), `messages` {conversation, joined, older}, `pending` {conversation},
// `presence`, `cursor` {conversation}, `typing` {conversation, user}, and the link's `state` and `ready`.

import { directId, newConversation } from './conversation.js';
import { Link } from './link.js';

export { SUPERSEDED, TOKEN_EXPIRED, TOKEN_INVALID } from './link.js';

const PAGE_MESSAGES = 50;
const PAGE_CONVERSATIONS = 100;
const MAX_LIST_PAGES = 20;
/** Most conversations whose members' presence can be watched. */
const MAX_WATCHED = 16;
const REFRESH_AUTH_BEFORE_MS = 60_000;
const SYNC_RETRY_MAX_MS = 30_000;
const LIST_RETRY_MS = 2000;
/** Reloads of the list that events ask for are this far apart. */
const LIST_PAUSE_MS = 300;
const DIRECT = 1;

const utf8 = new TextEncoder();
const empty = new Uint8Array();

export class Client extends EventTarget {
  #listing = false;
  #listAgain = false;
  #watched = '';
  #authTimer;

  /** `token` as in Link. */
  constructor(options) {
    super();
    this.conversations = new Map();
    this.names = new Map();
    this.online = new Map();
    this.me = '';
    this.device = 0n;
    this.link = new Link(options);
    this.link.addEventListener('state', (event) => this.#emit('state', event.detail));
    this.link.addEventListener('ready', (event) => this.#ready(event.detail));
    this.link.addEventListener('push', (event) => this.#push(event.detail));
    this.link.addEventListener('lost', () => this.#lost());
  }

  connect() {
    this.link.connect();
  }

  close() {
    clearTimeout(this.#authTimer);
    this.link.close();
  }

  /** Display name of a user. */
  nameOf(user) {
    return this.names.get(user) || user;
  }

  /** What to call a conversation in a list. */
  titleOf(conversation) {
    if (conversation.peer) return this.nameOf(conversation.peer);
    return conversation.title || conversation.id;
  }

  /** Conversations, the latest active first. */
  list() {
    return [...this.conversations.values()].filter((c) => c.listed).sort((a, b) => Number(b.activeAt - a.activeAt));
  }

  /** The direct conversation with a user, which the first message creates. */
  direct(user) {
    const conversation = this.#conversation(directId(this.me, user));
    conversation.listed = true;
    this.#emit('conversations');
    return conversation;
  }

  /** Loads the newest page and the members of a conversation, unless they are there. */
  async open(conversation) {
    conversation.wantsLog = true;
    if (!conversation.log.loaded) await this.#readBack(conversation, 0n);
    else this.#fill(conversation);
    if (!conversation.members) await this.#loadMembers(conversation);
    this.watch(conversation);
  }

  /** Loads the page in front of what is shown. */
  async loadOlder(conversation) {
    const from = conversation.log.older();
    if (from !== undefined && !conversation.loadingOlder) await this.#readBack(conversation, from);
  }

  /** Queues a text; it is transmitted as soon as there is a connection, and again until the server has it. */
  send(conversation, text) {
    const item = { client_msg_id: randomId(), text, at_ms: BigInt(Date.now()), sender: this.me };
    conversation.outbox.add(item);
    this.#emit('pending', { conversation });
    this.#transmit(conversation);
  }

  /** Takes a refused send out, to be written again. */
  discard(conversation, item) {
    conversation.refused = conversation.refused.filter((other) => other !== item);
    this.#emit('pending', { conversation });
  }

  /** Everything up to the end of the window has been seen. */
  markRead(conversation) {
    const read = conversation.log.last;
    if (!conversation.log.loaded || read <= conversation.read) return;
    if (this.#mark(conversation, read)) this.#seen(conversation, read);
  }

  typing(conversation) {
    this.link.send({ signal: { conversation: conversation.id, type: 'typing' } });
  }

  /** Watches presence in the open conversation and the latest direct ones. */
  watch(open = this.watching) {
    this.watching = open;
    const direct = this.list().filter((c) => c.peer && c !== open && c.exists);
    const wanted = [...(open?.exists ? [open] : []), ...direct].slice(0, MAX_WATCHED).map((c) => c.id);
    const key = [...wanted].sort().join('\n');
    if (key === this.#watched || this.link.state !== 'ready') return;
    this.#watched = key;
    this.#ask({ watch: { conversations: wanted } }, ({ watching }) => {
      for (const presence of watching?.presences ?? []) this.online.set(presence.user, presence.online);
      this.#emit('presence');
    });
  }

  // ---- a new connection -----------------------------------------------------------------------------------

  #ready({ welcome, resumed }) {
    this.me = welcome.user;
    this.device = welcome.device_id;
    this.#watched = '';
    this.#refreshAuth(welcome.auth_expires_ms, welcome.server_time_ms);
    this.#emit('ready', { welcome, resumed });
    this.#loadList();
    for (const conversation of this.conversations.values()) {
      this.#transmit(conversation);
      if (conversation.log.loaded) this.#forward(conversation);
      else if (conversation.wantsLog) this.open(conversation);
    }
  }

  #lost() {
    this.#watched = '';
    for (const conversation of this.conversations.values()) {
      conversation.outbox.disconnected();
      conversation.syncing = false;
      conversation.loadingOlder = false;
    }
  }

  #refreshAuth(expiresMs, serverTimeMs) {
    clearTimeout(this.#authTimer);
    const left = Number(expiresMs - serverTimeMs) - REFRESH_AUTH_BEFORE_MS;
    const { token } = this.link;
    if (expiresMs === 0n || typeof token !== 'function' || left > 2 ** 31 - 1) return;
    this.#authTimer = setTimeout(async () => {
      const current = await token();
      const fresh = await token(true);
      if (fresh === current) return;
      this.#ask({ refresh_auth: { token: fresh } }, ({ auth_refreshed }) =>
        this.#refreshAuth(auth_refreshed.expires_ms, BigInt(Date.now())),
      );
    }, Math.max(left, 1000));
  }

  // ---- pushes ---------------------------------------------------------------------------------------------

  #push(frame) {
    if (frame.message) this.#message(frame.message);
    else if (frame.head) this.#head(frame.head);
    else if (frame.cursor) this.#cursor(frame.cursor);
    else if (frame.presence) this.#presence(frame.presence);
    else if (frame.signal) this.#emit('typing', frame.signal);
  }

  #message(message) {
    if (message.seq === 0n) return;
    const conversation = this.#conversation(message.conversation);
    if (!conversation.listed || message.members_changed) this.#loadList();
    if (message.members_changed) this.#loadMembers(conversation);
    this.#take(conversation, message);
  }

  // Puts one stored message where it belongs, wherever it came from.
  #take(conversation, message) {
    if (message.seq > (conversation.lastMessage?.seq ?? 0n)) this.#latest(conversation, message);
    if (message.sender === this.me && message.seq > conversation.seen) conversation.seen = message.seq;
    this.#joined(conversation, conversation.log.push(message));
    this.#fill(conversation);
  }

  #head({ conversation: id, tip }) {
    const conversation = this.#conversation(id);
    const news = tip > conversation.log.tip;
    conversation.log.raise(tip);
    this.#fill(conversation);
    if (news || !conversation.listed) this.#loadList();
  }

  #cursor({ conversation: id, user, read, delivered }) {
    const conversation = this.#conversation(id);
    if (user === this.me) this.#seen(conversation, read);
    const member = conversation.members?.get(user);
    if (member) {
      if (read > member.read) member.read = read;
      if (delivered > member.delivered) member.delivered = delivered;
    }
    this.#emit('cursor', { conversation });
  }

  #presence({ user, online }) {
    this.online.set(user, online);
    this.#emit('presence');
  }

  // ---- reading --------------------------------------------------------------------------------------------

  // Asks for what is missing behind the window, if anything is.
  #fill(conversation) {
    if (conversation.log.wanted() !== undefined) this.#forward(conversation);
  }

  #forward(conversation) {
    if (conversation.syncing || this.link.state !== 'ready') return;
    conversation.syncing = true;
    const from = conversation.log.last + 1n;
    const range = { conversation: conversation.id, from, limit: PAGE_MESSAGES };
    this.#ask(
      { sync: { ranges: [range] } },
      ({ sync_result }) => {
        conversation.syncing = false;
        const [answer] = sync_result.ranges;
        if (answer.error?.code) return this.#syncLater(conversation);
        const before = conversation.log.last;
        this.#joined(conversation, conversation.log.extend(answer, from));
        if (conversation.log.last > before) conversation.syncFailures = 0;
        if (conversation.log.wanted() === undefined) return;
        if (conversation.log.last > before) this.#forward(conversation);
        else this.#syncLater(conversation);
      },
      () => {
        conversation.syncing = false;
        this.#syncLater(conversation);
      },
    );
  }

  #syncLater(conversation) {
    conversation.syncFailures += 1;
    const bound = Math.min(SYNC_RETRY_MAX_MS, 500 * 2 ** Math.min(conversation.syncFailures, 10));
    const again = () => (conversation.log.loaded ? this.#fill(conversation) : this.open(conversation));
    setTimeout(() => this.link.state === 'ready' && again(), bound / 2 + Math.random() * bound);
  }

  async #readBack(conversation, from) {
    const range = { conversation: conversation.id, from, backwards: true, limit: PAGE_MESSAGES };
    if (conversation.loadingOlder || (from === 0n && !conversation.exists)) return;
    conversation.loadingOlder = true;
    await this.#ask({ sync: { ranges: [range] } }, ({ sync_result }) => {
      const [answer] = sync_result.ranges;
      if (answer.error?.code) return;
      const { log } = conversation;
      if (from === 0n) this.#joined(conversation, log.open(answer));
      else this.#joined(conversation, log.prepend(answer, from), true);
    });
    conversation.loadingOlder = false;
    if (conversation.log.loaded) this.#fill(conversation);
    else this.#syncLater(conversation);
  }

  #joined(conversation, joined, older = false) {
    for (const message of joined) {
      if (message.seq > (conversation.lastMessage?.seq ?? 0n)) this.#latest(conversation, message);
    }
    this.#emit('messages', { conversation, joined, older });
  }

  async #loadMembers(conversation) {
    if (!conversation.exists) return;
    const members = new Map();
    let after = '';
    do {
      const answer = await this.#ask({ list_members: { conversation: conversation.id, after } }, (frame) => frame);
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

  // ---- the list -------------------------------------------------------------------------------------------

  async #loadList() {
    if (this.#listing) {
      this.#listAgain = true;
      return;
    }
    this.#listing = true;
    let page = empty;
    for (let pages = 0; pages < MAX_LIST_PAGES; pages++) {
      const body = { list_conversations: { page, limit: PAGE_CONVERSATIONS } };
      const answer = (await this.#ask(body, (frame) => frame))?.conversations;
      if (!answer) setTimeout(() => this.link.state === 'ready' && this.#loadList(), LIST_RETRY_MS);
      for (const summary of answer?.conversations ?? []) this.#summary(summary);
      page = answer?.next_page ?? empty;
      if (!page.length) break;
    }
    this.#listing = false;
    this.#emit('conversations');
    this.watch();
    if (this.#listAgain) {
      this.#listAgain = false;
      setTimeout(() => this.#loadList(), LIST_PAUSE_MS);
    }
  }

  #summary(summary) {
    const conversation = this.#conversation(summary.conversation);
    Object.assign(conversation, { listed: true, exists: true, active: summary.active, role: summary.role });
    conversation.title = summary.info?.title ?? '';
    if (summary.info?.kind === DIRECT && summary.peer) conversation.peer = summary.peer;
    conversation.log.raise(summary.tip);
    const seen = summary.tip - summary.unread;
    if (summary.read > conversation.read) conversation.read = summary.read;
    else if (summary.read < conversation.read) this.#mark(conversation, conversation.read);
    if (seen > conversation.seen) conversation.seen = seen;
    const last = summary.last_message;
    if (last && last.seq > (conversation.lastMessage?.seq ?? 0n)) this.#latest(conversation, last);
    if (conversation.wantsLog && !conversation.log.loaded) this.open(conversation);
    else this.#fill(conversation);
  }

  #conversation(id) {
    let conversation = this.conversations.get(id);
    if (!conversation) {
      conversation = newConversation(id, this.me);
      this.conversations.set(id, conversation);
    }
    return conversation;
  }

  #latest(conversation, message) {
    conversation.lastMessage = message;
    conversation.log.raise(message.seq);
    if (message.at_ms > conversation.activeAt) conversation.activeAt = message.at_ms;
    this.#emit('conversations');
  }

  #mark(conversation, read) {
    return this.link.send({ mark: { conversation: conversation.id, read, delivered: read } });
  }

  #seen(conversation, seq) {
    if (seq > conversation.read) conversation.read = seq;
    if (seq > conversation.seen) conversation.seen = seq;
    this.#emit('conversations');
  }

  // ---- sending --------------------------------------------------------------------------------------------

  #transmit(conversation) {
    if (this.link.state !== 'ready') return;
    for (const [item, after] of conversation.outbox.due(Date.now())) this.#transmitOne(conversation, item, after);
  }

  async #transmitOne(conversation, item, after) {
    const to = conversation.peer ? { to_user: conversation.peer } : { conversation: conversation.id };
    const content = { type: 'text/plain', data: utf8.encode(item.text) };
    try {
      const { send_ack } = await this.link.request({
        send: { ...to, client_msg_id: item.client_msg_id, content, after },
      });
      conversation.outbox.acked(item);
      this.#acked(conversation, item, content, send_ack);
    } catch (error) {
      this.#notAcked(conversation, item, error);
    }
    this.#transmit(conversation);
  }

  // The sending device is told the seq and gets no push, so it puts its own message in place.
  #acked(conversation, item, content, { seq, at_ms }) {
    const first = !conversation.exists;
    conversation.exists = true;
    const { client_msg_id } = item;
    const own = { conversation: conversation.id, sender: this.me, sender_device: this.device, client_msg_id };
    this.#take(conversation, { ...own, seq, at_ms, content, hidden: false });
    if (first) this.open(conversation);
    this.#emit('pending', { conversation });
  }

  #notAcked(conversation, item, error) {
    if (this.link.state !== 'ready') return;
    if (error.retryable) {
      conversation.outbox.postponed(item, Date.now(), error.retryAfterMs);
      const wait = conversation.outbox.pausedUntil - Date.now();
      setTimeout(() => this.#transmit(conversation), wait + 1);
    } else {
      conversation.outbox.refused(item);
      item.error = error.message;
      conversation.refused.push(item);
    }
    this.#emit('pending', { conversation });
  }

  // ---- helpers --------------------------------------------------------------------------------------------

  async #ask(body, use, otherwise = () => {}) {
    let answer;
    try {
      answer = await this.link.request(body);
    } catch (error) {
      return otherwise(error);
    }
    return use(answer);
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

function randomId() {
  return crypto.getRandomValues(new Uint8Array(16));
}
