// The sender: transmits what the outboxes hold, until the server has it or refuses it.

import { KIND } from './conversation.js';

const utf8 = new TextEncoder();

export class Sender {
  #link;
  #conversations;
  #reader;
  #emit;
  #open;

  /** `emit` and `open` as of the client. */
  constructor(link, conversations, reader, { emit, open }) {
    this.#link = link;
    this.#conversations = conversations;
    this.#reader = reader;
    this.#emit = emit;
    this.#open = open;
  }

  /** Queues a text; it is transmitted as soon as there is a connection, and again until the server has it. */
  send(conversation, text) {
    this.#queue(conversation, { text });
  }

  /** Queues another text for an own message. */
  edit(conversation, seq, text) {
    this.#queue(conversation, { text, relation: { kind: KIND.EDIT, seq } });
  }

  /** Queues the recall of a message. */
  recall(conversation, seq) {
    this.#queue(conversation, { relation: { kind: KIND.RECALL, seq } });
  }

  #queue(conversation, what) {
    const { me } = this.#conversations;
    conversation.outbox.add({ client_msg_id: randomId(), ...what, at_ms: BigInt(Date.now()), sender: me });
    this.#emit('pending', { conversation });
    this.transmit(conversation);
  }

  /** Takes a refused send out, to be written again. */
  discard(conversation, item) {
    conversation.refused = conversation.refused.filter((other) => other !== item);
    this.#emit('pending', { conversation });
  }

  /** Transmits what is due. */
  transmit(conversation) {
    if (this.#link.state !== 'ready') return;
    for (const [item, after] of conversation.outbox.due(Date.now())) this.#transmitOne(conversation, item, after);
  }

  async #transmitOne(conversation, item, after) {
    const to = conversation.peer ? { to_user: conversation.peer } : { conversation: conversation.id };
    const content = item.text === undefined ? undefined : { type: 'text/plain', data: utf8.encode(item.text) };
    try {
      const { send_ack } = await this.#link.request({
        send: { ...to, client_msg_id: item.client_msg_id, content, relation: item.relation, after },
      });
      conversation.outbox.acked(item);
      this.#acked(conversation, item, content, send_ack);
    } catch (error) {
      this.#notAcked(conversation, item, error);
    }
    this.transmit(conversation);
  }

  // The sending device is told the seq and gets no push, so it puts its own message in place.
  #acked(conversation, item, content, { seq, at_ms }) {
    const first = !conversation.exists;
    conversation.exists = true;
    const { me, device } = this.#conversations;
    const own = { conversation: conversation.id, sender: me, sender_device: device, client_msg_id: item.client_msg_id };
    this.#reader.take(conversation, { ...own, seq, at_ms, content, relation: item.relation, hidden: false });
    if (first) this.#open(conversation);
    this.#emit('pending', { conversation });
  }

  #notAcked(conversation, item, error) {
    if (this.#link.state !== 'ready') return;
    if (error.retryable) {
      conversation.outbox.postponed(item, Date.now(), error.retryAfterMs);
      const wait = conversation.outbox.pausedUntil - Date.now();
      setTimeout(() => this.transmit(conversation), wait + 1);
    } else {
      conversation.outbox.refused(item);
      item.error = error.message;
      conversation.refused.push(item);
    }
    this.#emit('pending', { conversation });
  }
}

function randomId() {
  return crypto.getRandomValues(new Uint8Array(16));
}
