// Sends of one conversation that are not acknowledged yet, oldest first. Pure: `due` names what to transmit now.
//
// Every send is transmitted with the client_msg_id of its predecessor while that is unacknowledged (`after`), so
// the server keeps the order when one of several pipelined sends fails; all of them are retried in order.

/** Most sends of a conversation that may be unanswered at once. */
export const MAX_IN_FLIGHT = 16;

export class Outbox {
  constructor() {
    this.items = [];
    this.pausedUntil = 0;
    this.failures = 0;
  }

  /** Queues a send. `item` holds client_msg_id (bytes) and whatever the caller needs to transmit it. */
  add(item) {
    item.inFlight = false;
    this.items.push(item);
  }

  /** What to transmit now, in order: [item, after]. They count as in flight from here on. */
  due(now) {
    if (now < this.pausedUntil) return [];
    const due = [];
    let flying = this.items.filter((item) => item.inFlight).length;
    for (const [i, item] of this.items.entries()) {
      if (item.inFlight) continue;
      if (flying >= MAX_IN_FLIGHT) break;
      item.inFlight = true;
      flying += 1;
      due.push([item, i > 0 ? this.items[i - 1].client_msg_id : undefined]);
    }
    return due;
  }

  /** The server has it. */
  acked(item) {
    this.failures = 0;
    this.#remove(item);
  }

  /** The server will never take it. */
  refused(item) {
    this.#remove(item);
  }

  /** It may succeed later, or may already have: keep it and retry after `waitMs` with jitter. */
  postponed(item, now, waitMs, random = Math.random) {
    item.inFlight = false;
    // Sends that fail together are one failure.
    if (now >= this.pausedUntil) this.failures = Math.min(this.failures + 1, 6);
    const wait = Math.max(waitMs, random() * 250 * 2 ** this.failures);
    this.pausedUntil = Math.max(this.pausedUntil, now + wait);
  }

  /** The connection is gone: nothing is in flight, everything is due as soon as there is another. */
  disconnected() {
    for (const item of this.items) item.inFlight = false;
    this.pausedUntil = 0;
  }

  #remove(item) {
    const at = this.items.indexOf(item);
    if (at >= 0) this.items.splice(at, 1);
  }
}
