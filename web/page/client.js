// Conversations on top of a link: an ordered log each, sends that survive reconnects, cursors, presence, typing.
//
// Events: `conversations` (the list changed), `messages` {conversation, joined, older}, `pending` {conversation},
// `presence`, `cursor` {conversation}, `typing` {conversation, user}, and the link's `state` and `ready`.

import { answerTo } from './answer.js';
import { Away } from './away.js';
import { directId } from './conversation.js';
import { Conversations } from './conversations.js';
import { Link } from './link.js';
import { List } from './list.js';
import { People } from './people.js';
import { Reader } from './reader.js';
import { Sender } from './sender.js';

export { SUPERSEDED, TOKEN_EXPIRED, TOKEN_INVALID } from './link.js';

const REFRESH_AUTH_BEFORE_MS = 60_000;

export class Client extends EventTarget {
  #conversations;
  #people;
  #reader;
  #list;
  #sender;
  #away;
  #authTimer;

  /** `token` as in Link. */
  constructor(options) {
    super();
    this.link = new Link(options);
    this.#build();
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
    this.#away.stop();
    this.link.close();
  }

  /** The signed-in user. */
  get me() {
    return this.#conversations.me;
  }

  get device() {
    return this.#conversations.device;
  }

  /** Display names by user. */
  get names() {
    return this.#people.names;
  }

  /** What is known of a user: 'online', 'away', 'offline', or undefined. */
  presenceOf(user) {
    return this.#people.presenceOf(user);
  }

  /** The page is hidden, or shown, from now on: nobody sits at it, or somebody does. */
  hidden(hidden) {
    this.#away.hidden(hidden);
  }

  /** Display name of a user. */
  nameOf(user) {
    return this.#people.nameOf(user);
  }

  /** What to call a conversation in a list. */
  titleOf(conversation) {
    if (conversation.peer) return this.nameOf(conversation.peer);
    return conversation.title || conversation.id;
  }

  /** Conversations, the latest active first. */
  list() {
    return this.#conversations.listed();
  }

  /** The direct conversation with a user, which the first message creates. */
  direct(user) {
    const conversation = this.#conversations.get(directId(this.me, user));
    conversation.listed = true;
    this.#emit('conversations');
    return conversation;
  }

  /** Loads the newest page and the members of a conversation, unless they are there. */
  async open(conversation) {
    conversation.wantsLog = true;
    if (!conversation.log.loaded) await this.#reader.back(conversation, 0n);
    else this.#reader.fill(conversation);
    if (!conversation.members) await this.#people.loadMembers(conversation);
    this.#people.watch(conversation);
  }

  /** Loads the page in front of what is shown. */
  async loadOlder(conversation) {
    const from = conversation.log.older();
    if (from !== undefined && !conversation.loadingOlder) await this.#reader.back(conversation, from);
  }

  /** Queues a text; it is transmitted as soon as there is a connection, and again until the server has it. */
  send(conversation, text) {
    this.#sender.send(conversation, text);
  }

  /** Queues another text for the own message with this seq. */
  edit(conversation, seq, text) {
    this.#sender.edit(conversation, seq, text);
  }

  /** Queues the recall of the own message with this seq. */
  recall(conversation, seq) {
    this.#sender.recall(conversation, seq);
  }

  /** Takes a refused send out, to be written again. */
  discard(conversation, item) {
    this.#sender.discard(conversation, item);
  }

  /** Everything up to the end of the window has been seen. */
  markRead(conversation) {
    this.#reader.markRead(conversation);
  }

  typing(conversation) {
    this.link.send({ signal: { conversation: conversation.id, type: 'typing' } });
  }

  #build() {
    const emit = (name, detail) => this.#emit(name, detail);
    const open = (conversation) => this.open(conversation);
    const loaded = () => {
      emit('conversations');
      this.#people.watch();
    };
    this.#conversations = new Conversations(emit);
    this.#people = new People(this.link, this.#conversations, emit);
    this.#reader = new Reader(this.link, this.#conversations, { emit, open });
    this.#list = new List(this.link, this.#conversations, this.#reader, { open, loaded });
    this.#sender = new Sender(this.link, this.#conversations, this.#reader, { emit, open });
    this.#away = new Away(async (away) => Boolean(await answerTo(this.link, { set_presence: { away } })));
  }

  // ---- connections ----------------------------------------------------------------------------------------

  #ready({ welcome, resumed }) {
    this.#conversations.me = welcome.user;
    this.#conversations.device = welcome.device_id;
    if (!resumed) this.#people.unwatched();
    this.#away.ready(resumed);
    this.#refreshAuth(welcome.auth_expires_ms, welcome.server_time_ms);
    this.#emit('ready', { welcome, resumed });
    this.#list.load();
    for (const conversation of this.#conversations.all()) {
      this.#sender.transmit(conversation);
      if (conversation.log.loaded) this.#reader.forward(conversation);
      else if (conversation.wantsLog) this.open(conversation);
    }
  }

  #lost() {
    this.#people.lost();
    for (const conversation of this.#conversations.all()) {
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
      const refreshed = (await answerTo(this.link, { refresh_auth: { token: fresh } }))?.auth_refreshed;
      // A server that does not say what time it is has about the time of this device.
      if (refreshed) this.#refreshAuth(refreshed.expires_ms, refreshed.server_time_ms || BigInt(Date.now()));
    }, Math.max(left, 1000));
  }

  // ---- pushes ---------------------------------------------------------------------------------------------

  #push(frame) {
    if (frame.message) this.#message(frame.message);
    else if (frame.head) this.#head(frame.head);
    else if (frame.cursor) this.#conversations.cursor(frame.cursor);
    else if (frame.presence) this.#people.tell([frame.presence]);
    else if (frame.watching) this.#people.tell(frame.watching.presences);
    else if (frame.signal) this.#emit('typing', frame.signal);
  }

  #message(message) {
    if (message.seq === 0n) return;
    const conversation = this.#conversations.get(message.conversation);
    if (!conversation.listed || message.members_changed) this.#list.load();
    if (message.members_changed) this.#people.loadMembers(conversation);
    this.#reader.take(conversation, message);
  }

  #head({ conversation: id, tip }) {
    const conversation = this.#conversations.get(id);
    const news = tip > conversation.log.tip;
    conversation.log.raise(tip);
    this.#reader.fill(conversation);
    if (news || !conversation.listed) this.#list.load();
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
