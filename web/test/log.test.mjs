// The log and the outbox under random schedules: whatever is lost, repeated or reordered on the way, what is shown
// is every visible message once, ascending, and sends reach the server in the order they were written.
// A failing schedule names its seed: SEED=n node --test web/test/log.test.mjs
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Log, MAX_AHEAD } from '../page/log.js';
import { MAX_IN_FLIGHT, Outbox } from '../page/outbox.js';

const SEEDS = process.env.SEED ? [Number(process.env.SEED)] : Array.from({ length: 400 }, (_, i) => i + 1);

function dice(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return { below: (n) => Math.floor(next() * n), chance: (p) => next() < p, next };
}

const message = (seq) => ({ seq: BigInt(seq) });
const seqs = (messages) => messages.map((m) => Number(m.seq));

// A conversation on the server; this user sees nothing before `joined` nor what `secret` names.
class Server {
  constructor(random) {
    this.tip = random.below(120);
    this.joined = 1 + random.below(this.tip + 1);
    this.secret = new Set(Array.from({ length: random.below(10) }, () => 1 + random.below(150)));
  }

  sees(seq) {
    return seq >= this.joined && !this.secret.has(seq);
  }

  read(first, last, has_more) {
    const messages = [];
    for (let seq = first; seq <= last; seq++) if (this.sees(seq)) messages.push(message(seq));
    return { first: BigInt(first), last: BigInt(last), messages, tip: BigInt(this.tip), has_more };
  }

  forward(from, limit) {
    const last = Math.min(this.tip, from + limit - 1);
    return this.read(from, last, last < this.tip);
  }

  backward(from, limit) {
    const last = from === 0 ? this.tip : Math.min(from, this.tip);
    const first = Math.max(this.joined, last - limit + 1, 1);
    return this.read(first, last, first > this.joined);
  }

  visible(from = 1) {
    return seqs(this.read(from, this.tip, false).messages);
  }
}

function ascendingOnce(log) {
  const shown = seqs(log.messages);
  assert.deepEqual(shown, [...new Set(shown)].sort((a, b) => a - b));
  return shown;
}

// One random step: something is stored, an announcement arrives late, twice or never, or an answer arrives.
function step(random, server, log, wire) {
  const action = random.below(8);
  if (action < 3) {
    server.tip += 1;
    if (server.sees(server.tip) && random.chance(0.8)) wire.push(['push', message(server.tip)]);
    else wire.push(['head', BigInt(server.tip)]);
  } else if (action === 3) {
    wire.push(['open', server.backward(0, 1 + random.below(30))]);
  } else if (action === 4 && log.wanted() !== undefined) {
    wire.push(['extend', server.forward(Number(log.wanted()), 1 + random.below(30)), log.wanted()]);
  } else if (action === 5 && log.older() !== undefined) {
    wire.push(['prepend', server.backward(Number(log.older()), 1 + random.below(30)), log.older()]);
  } else if (wire.length > 0) {
    const [event] = random.chance(0.7) ? wire.splice(random.below(wire.length), 1) : [wire[random.below(wire.length)]];
    if (!random.chance(0.15)) deliver(log, event);
  }
}

function deliver(log, [kind, what, from]) {
  const before = seqs(log.messages);
  const args = kind === 'head' ? [what] : [what, from];
  const joined = log[kind === 'head' ? 'raise' : kind](...args) ?? [];
  const after = ascendingOnce(log);
  assert.deepEqual(after, kind === 'prepend' ? [...seqs(joined), ...before] : [...before, ...seqs(joined)]);
}

test('whatever happens on the way, the log ends complete', () => {
  for (const seed of SEEDS) {
    const random = dice(seed);
    const server = new Server(random);
    const log = new Log();
    const wire = [];
    for (let i = 0; i < 200; i++) {
      step(random, server, log, wire);
      const shown = ascendingOnce(log);
      if (!log.loaded) continue;
      const window = server.read(Number(log.first), Number(log.last), false).messages;
      assert.deepEqual(shown, seqs(window), `seed ${seed}: the window has a hole`);
    }
    settle(server, log);
    assert.deepEqual(ascendingOnce(log), server.visible(), `seed ${seed}: something is missing at the end`);
    assert.equal(log.ahead.size, 0);
  }
});

function settle(server, log) {
  log.raise(BigInt(server.tip));
  log.open(server.backward(0, 10));
  for (let rounds = 0; log.wanted() !== undefined; rounds++) {
    assert.ok(rounds < 500, 'no end forwards');
    log.extend(server.forward(Number(log.wanted()), 7), log.wanted());
  }
  for (let rounds = 0; log.older() !== undefined; rounds++) {
    assert.ok(rounds < 500, 'no end backwards');
    log.prepend(server.backward(Number(log.older()), 7), log.older());
  }
}

test('pushes far ahead are bounded and asked for again', () => {
  const log = new Log();
  log.open({ first: 1n, last: 1n, messages: [message(1)], tip: 1n, has_more: false });
  for (let seq = 3; seq < 3 + 2 * MAX_AHEAD; seq++) log.push(message(seq));
  assert.equal(log.ahead.size, MAX_AHEAD);
  assert.equal(log.wanted(), 2n);
  log.push(message(2));
  assert.equal(log.last, BigInt(MAX_AHEAD + 1));
  assert.equal(log.wanted(), BigInt(MAX_AHEAD + 2));
});

// A server that takes a send only if the one named by `after` was accepted, that may lose any answer, and may
// refuse for a while.
class Acceptor {
  accepted = [];

  receive(item, after) {
    const id = item.client_msg_id;
    if (this.accepted.includes(id)) return 'ack';
    if (after && !this.accepted.includes(after)) return 'out of order';
    this.accepted.push(id);
    return 'ack';
  }
}

function outboxStep(random, outbox, acceptor, flying, time) {
  for (const [item, after] of outbox.due(time)) flying.push({ item, after });
  assert.ok(outbox.items.filter((item) => item.inFlight).length <= MAX_IN_FLIGHT);
  if (random.chance(0.05)) {
    // The connection breaks: a prefix of what was on its way has arrived, no answer has.
    for (const { item, after } of flying.splice(0).slice(0, random.below(5))) acceptor.receive(item, after);
    outbox.disconnected();
  } else if (flying.length > 0) {
    const { item, after } = flying.shift();
    const busy = random.chance(0.2);
    const answer = busy ? 'busy' : acceptor.receive(item, after);
    if (answer === 'ack' && !random.chance(0.1)) outbox.acked(item);
    else outbox.postponed(item, time, 100, random.next);
  }
}

test('sends are accepted once, in the order they were written', () => {
  for (const seed of SEEDS) {
    const random = dice(seed);
    const [outbox, acceptor, flying, written] = [new Outbox(), new Acceptor(), [], []];
    let time = 0;
    for (let i = 0; i < 40 || outbox.items.length > 0; i++) {
      assert.ok(i < 5000, `seed ${seed}: never done`);
      if (i < 40 && random.chance(0.7)) {
        written.push(`m${i}`);
        outbox.add({ client_msg_id: `m${i}` });
      }
      outboxStep(random, outbox, acceptor, flying, (time += random.below(2000)));
    }
    assert.deepEqual(acceptor.accepted, written, `seed ${seed}`);
  }
});
