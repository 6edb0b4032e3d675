// The reader: brings stored messages into the logs, pulls what is missing, and marks what was read.

import { answerTo } from './answer.js';
import { isSilent } from './conversation.js';

const PAGE_MESSAGES = 50;
const RETRY_MAX_MS = 30_000;

export class Reader {
  #link;
  #conversations;
  #emit;
  #open;

  /** `emit` and `open` as of the client. */
  constructor(link, conversations, { emit, open }) {
    this.#link = link;
    this.#conversations = conversations;
    this.#emit = emit;
    this.#open = open;
  }

  /** Puts one stored message where it belongs, wherever it came from. */
  take(conversation, message) {
    this.#conversations.latest(conversation, message);
    const own = message.sender === this.#conversations.me && !isSilent(message);
    if (own && message.seq > conversation.seen) conversation.seen = message.seq;
    this.#joined(conversation, conversation.log.push(message));
    this.fill(conversation);
  }

  /** Asks for what is missing behind the window, if anything is. */
  fill(conversation) {
    if (conversation.log.wanted() !== undefined) this.forward(conversation);
  }

  /** Asks for what comes after the window. */
  async forward(conversation) {
    if (conversation.syncing || this.#link.state !== 'ready') return;
    conversation.syncing = true;
    const from = conversation.log.last + 1n;
    const range = { conversation: conversation.id, from, limit: PAGE_MESSAGES };
    const answer = await this.#sync(range);
    conversation.syncing = false;
    if (!answer) return this.#later(conversation);
    const before = conversation.log.last;
    this.#joined(conversation, conversation.log.extend(answer, from));
    if (conversation.log.last > before) conversation.syncFailures = 0;
    if (conversation.log.wanted() === undefined) return;
    if (conversation.log.last > before) this.forward(conversation);
    else this.#later(conversation);
  }

  /** Loads the page that ends with seq `from`; 0 is the newest one. */
  async back(conversation, from) {
    const range = { conversation: conversation.id, from, backwards: true, limit: PAGE_MESSAGES };
    if (conversation.loadingOlder || (from === 0n && !conversation.exists)) return;
    conversation.loadingOlder = true;
    const answer = await this.#sync(range);
    const { log } = conversation;
    if (answer && from === 0n) this.#joined(conversation, log.open(answer));
    else if (answer) this.#joined(conversation, log.prepend(answer, from), true);
    conversation.loadingOlder = false;
    if (log.loaded) this.fill(conversation);
    else this.#later(conversation);
  }

  /** Everything up to the end of the window has been seen. */
  markRead(conversation) {
    const read = conversation.log.last;
    if (!conversation.log.loaded || read <= conversation.read) return;
    if (this.mark(conversation, read)) this.#conversations.seen(conversation, read);
  }

  /** Tells the server the read cursor. False where there is no connection. */
  mark(conversation, read) {
    return this.#link.send({ mark: { conversation: conversation.id, read, delivered: read } });
  }

  // The range as the server has it; undefined where it could not be read.
  async #sync(range) {
    const answer = await answerTo(this.#link, { sync: { ranges: [range] } });
    const [synced] = answer?.sync_result?.ranges ?? [];
    return synced?.error?.code ? undefined : synced;
  }

  #joined(conversation, joined, older = false) {
    for (const message of joined) this.#conversations.latest(conversation, message);
    this.#emit('messages', { conversation, joined, older });
  }

  #later(conversation) {
    conversation.syncFailures += 1;
    const bound = Math.min(RETRY_MAX_MS, 500 * 2 ** Math.min(conversation.syncFailures, 10));
    const again = () => (conversation.log.loaded ? this.fill(conversation) : this.#open(conversation));
    setTimeout(() => this.#link.state === 'ready' && again(), bound / 2 + Math.random() * bound);
  }
}
