// What this device knows of one conversation: a window of seqs without a hole, and what arrived ahead of it.
// Pure: messages in, messages in order out; the caller asks the server for what `wanted` names.

/** Most messages kept ahead of the window; what is dropped is asked for again. */
export const MAX_AHEAD = 256;

export class Log {
  constructor() {
    /** Seqs first..last were looked at; empty while last < first. */
    this.first = 1n;
    this.last = 0n;
    this.loaded = false;
    /** The highest seq known to exist. */
    this.tip = 0n;
    /** Messages of the window this user may see, ascending. */
    this.messages = [];
    this.ahead = new Map();
  }

  /** Takes one stored message. Returns the messages that joined the window, in order. */
  push(message) {
    this.raise(message.seq);
    if (this.loaded && message.seq <= this.last) return [];
    this.ahead.set(message.seq, message);
    if (this.ahead.size > MAX_AHEAD) this.ahead.delete(this.#furthest());
    return this.#drain();
  }

  /** The conversation reaches at least this seq. */
  raise(tip) {
    if (tip > this.tip) this.tip = tip;
  }

  /** Takes the newest page, read backwards from the tip. Does nothing once the window exists. */
  open(range) {
    if (this.loaded) return [];
    this.loaded = true;
    this.raise(range.tip);
    const some = range.first <= range.last;
    this.first = !range.has_more ? 1n : some ? range.first : range.tip + 1n;
    this.last = some ? range.last : range.tip;
    this.messages = [...range.messages];
    this.#forgetBehind();
    return [...this.messages, ...this.#drain()];
  }

  /** Takes the answer to a forward read from seq `from`. Returns what joined the window. */
  extend(range, from) {
    this.raise(range.tip);
    const first = range.first < from ? range.first : from;
    if (!this.loaded || first > this.last + 1n || range.last <= this.last) return [];
    const joined = range.messages.filter((message) => message.seq > this.last);
    this.messages.push(...joined);
    this.last = range.last;
    this.raise(range.last);
    this.#forgetBehind();
    return [...joined, ...this.#drain()];
  }

  /** Takes the answer to a backward read from seq `from`. Returns what joined in front. */
  prepend(range, from) {
    const last = range.last > from ? range.last : from;
    if (!this.loaded || last < this.first - 1n || range.first >= this.first) return [];
    if (range.first > range.last) {
      this.first = 1n;
      return [];
    }
    const joined = range.messages.filter((message) => message.seq < this.first);
    this.messages.unshift(...joined);
    this.first = range.has_more ? range.first : 1n;
    return joined;
  }

  /** First seq of the gap behind the window, or undefined where nothing is missing. */
  wanted() {
    return this.loaded && this.tip > this.last ? this.last + 1n : undefined;
  }

  /** Last seq of older history, or undefined at the beginning. */
  older() {
    return this.loaded && this.first > 1n ? this.first - 1n : undefined;
  }

  #drain() {
    const joined = [];
    while (this.loaded && this.ahead.has(this.last + 1n)) {
      this.last += 1n;
      joined.push(this.ahead.get(this.last));
      this.ahead.delete(this.last);
    }
    this.messages.push(...joined);
    return joined;
  }

  #forgetBehind() {
    for (const seq of this.ahead.keys()) if (seq <= this.last) this.ahead.delete(seq);
  }

  #furthest() {
    let furthest = 0n;
    for (const seq of this.ahead.keys()) if (seq > furthest) furthest = seq;
    return furthest;
  }
}
