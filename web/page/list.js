// The list of conversations as the server has it, loaded anew whenever an event hints at a change.

import { answerTo } from './answer.js';

const PAGE_CONVERSATIONS = 100;
const MAX_PAGES = 20;
const RETRY_MS = 2000;
/** Reloads that events ask for are this far apart. */
const PAUSE_MS = 300;
const DIRECT = 1;

const empty = new Uint8Array();

export class List {
  #link;
  #conversations;
  #reader;
  #open;
  #loaded;
  #loading = false;
  #again = false;
  /** The server's list as of which everything is known here; empty before the first load. */
  #version = empty;

  /** `open` as of the client; `loaded` is called after every load. */
  constructor(link, conversations, reader, { open, loaded }) {
    this.#link = link;
    this.#conversations = conversations;
    this.#reader = reader;
    this.#open = open;
    this.#loaded = loaded;
  }

  /** Loads the list, or what changed since the last time; while a load is under way, another follows it. */
  async load() {
    if (this.#loading) {
      this.#again = true;
      return;
    }
    this.#loading = true;
    await this.#loadPages();
    this.#loading = false;
    this.#loaded();
    if (this.#again) {
      this.#again = false;
      setTimeout(() => this.load(), PAUSE_MS);
    }
  }

  async #loadPages() {
    let page = empty;
    const since_version = this.#version;
    let version = empty;
    for (let pages = 0; pages < MAX_PAGES; pages++) {
      const body = { list_conversations: { page, since_version, limit: PAGE_CONVERSATIONS } };
      const answer = (await answerTo(this.#link, body))?.conversations;
      if (!answer) setTimeout(() => this.#link.state === 'ready' && this.load(), RETRY_MS);
      for (const summary of answer?.conversations ?? []) this.#summary(summary);
      if (!answer) return;
      if (answer.version.length) version = answer.version;
      page = answer.next_page;
      if (!page.length) break;
    }
    if (version.length) this.#version = version;
  }

  #summary(summary) {
    const conversation = this.#conversations.get(summary.conversation);
    Object.assign(conversation, { listed: true, exists: true, active: summary.active, role: summary.role });
    conversation.title = summary.info?.title ?? '';
    if (summary.info?.kind === DIRECT && summary.peer) conversation.peer = summary.peer;
    conversation.log.raise(summary.tip);
    const seen = summary.tip - summary.unread;
    if (summary.read > conversation.read) conversation.read = summary.read;
    else if (summary.read < conversation.read) this.#reader.mark(conversation, conversation.read);
    if (seen > conversation.seen) conversation.seen = seen;
    conversation.counted = summary.tip;
    for (const seq of conversation.silent) if (seq <= summary.tip) conversation.silent.delete(seq);
    if (summary.last_message) this.#conversations.last(conversation, summary.last_message);
    if (conversation.wantsLog && !conversation.log.loaded) this.#open(conversation);
    else this.#reader.fill(conversation);
  }
}
