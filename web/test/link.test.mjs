// The link against a scripted server: login, acks, resume, and when to come back.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';

import { directId, unread, visible } from '../page/conversation.js';
import { Link, backoff, verdictOf } from '../page/link.js';
import { FrameStream, encodeFrame } from '../page/protocol.js';

const sockets = [];
const links = [];

class FakeSocket {
  static OPEN = 1;
  readyState = 1;
  stream = new FrameStream('ClientFrame');
  frames = [];

  constructor(url) {
    this.url = url;
    sockets.push(this);
    setImmediate(() => this.onopen());
  }

  send(bytes) {
    this.frames.push(...this.stream.push(bytes));
  }

  close() {
    this.readyState = 3;
  }

  push(...frames) {
    for (const frame of frames) this.onmessage({ data: encodeFrame('ServerFrame', frame).buffer });
  }

  // The server closes.
  end(code) {
    this.readyState = 3;
    this.onclose({ code, reason: '' });
  }
}
globalThis.WebSocket = FakeSocket;

const turn = () => new Promise(setImmediate);
const WELCOME = { welcome: { version: 1, resume_token: new Uint8Array([7]), heartbeat_ms: 30_000 } };

async function loggedIn() {
  const link = new Link({ url: 'ws://x/v1/ws', token: 'secret', installation: 'tab-1', client: {} });
  links.push(link);
  const pushes = [];
  link.addEventListener('push', ({ detail }) => pushes.push(detail));
  link.connect();
  await turn();
  await turn();
  sockets.at(-1).push(WELCOME);
  return { link, pushes, socket: sockets.at(-1) };
}

async function again(link) {
  link.connect();
  await turn();
  await turn();
  return sockets.at(-1);
}

const head = (session_seq) => ({ session_seq, head: { conversation: 'c', tip: session_seq } });

afterEach(() => {
  for (const link of links.splice(0)) link.close();
});

test('the first frame is Hello; the token is in it and not in the URL', async () => {
  const { link, socket } = await loggedIn();
  assert.equal(socket.frames[0].hello.token, 'secret');
  assert.equal(socket.frames[0].hello.installation, 'tab-1');
  assert.equal(socket.frames[0].hello.resume, undefined);
  assert.ok(!socket.url.includes('secret'));
  assert.equal(link.state, 'ready');
});

test('pushes are acknowledged cumulatively and repeats are dropped', async () => {
  const { link, pushes, socket } = await loggedIn();
  socket.push(head(1n), head(2n), head(2n), head(1n), head(3n));
  assert.deepEqual(pushes.map((f) => f.session_seq), [1n, 2n, 3n]);
  link.send({ ping: {} });
  assert.equal(socket.frames.at(-1).ack, 3n);
  link.send({ ping: {} });
  assert.equal(socket.frames.at(-1).ack, 0n);
  socket.push(head(3n));
  link.send({ ping: {} });
  assert.equal(socket.frames.at(-1).ack, 3n, 'a repeat is acknowledged again');
});

test('a hole in the session is not acknowledged', async () => {
  const { link, pushes, socket } = await loggedIn();
  socket.push(head(1n), head(3n));
  assert.equal(pushes.length, 2);
  link.send({ ping: {} });
  assert.equal(socket.frames.at(-1).ack, 1n);
  socket.push(head(2n), head(3n));
  link.send({ ping: {} });
  assert.equal(socket.frames.at(-1).ack, 3n);
});

test('sixteen pushes are acknowledged at once', async () => {
  const { socket } = await loggedIn();
  for (let seq = 1n; seq <= 16n; seq++) socket.push(head(seq));
  assert.equal(socket.frames.at(-1).ack, 16n);
});

test('a lost connection rejects what was asked and resumes', async () => {
  const { link, socket } = await loggedIn();
  socket.push(head(1n));
  const asked = assert.rejects(link.request({ watch: {} }), (error) => error.retryable);
  socket.end(1006);
  await asked;
  assert.equal(link.state, 'waiting');
  const next = await again(link);
  assert.deepEqual(next.frames[0].hello.resume, { token: new Uint8Array([7]), last_seq: 1n });
  assert.equal(next.frames[0].ack, 0n);
  next.push({ welcome: { ...WELCOME.welcome, outcome: 1 } }, head(2n));
  link.send({ ping: {} });
  assert.equal(next.frames.at(-1).ack, 2n);
});

test('a new session counts from one again', async () => {
  const { link, pushes, socket } = await loggedIn();
  socket.push(head(1n), head(2n));
  socket.end(1006);
  const next = await again(link);
  next.push({ welcome: { ...WELCOME.welcome, outcome: 2 } }, head(1n));
  assert.equal(pushes.length, 3);
});

test('superseded stays away, by GoAway and by close code', async () => {
  for (const goAway of [true, false]) {
    const { link, socket } = await loggedIn();
    if (goAway) socket.push({ go_away: { verdict: 2, code: 204, reason: 'elsewhere' } });
    const stopped = new Promise((resolve) => link.addEventListener('state', ({ detail }) => resolve(detail)));
    socket.end(4204);
    const { state, code } = await stopped;
    assert.deepEqual([state, code], ['stopped', 204]);
    const next = await again(link);
    assert.equal(next.frames[0].hello.resume, undefined);
  }
});

test('GoAway says how long to wait, and FRESH forgets the session', async () => {
  const { link, socket } = await loggedIn();
  socket.push({ go_away: { verdict: 1, code: 504, delay_ms: 5000 } });
  const waiting = new Promise((resolve) => link.addEventListener('state', ({ detail }) => resolve(detail)));
  socket.end(4504);
  const { state, retryAt } = await waiting;
  assert.equal(state, 'waiting');
  assert.ok(retryAt - Date.now() > 4900 && retryAt - Date.now() < 11_000);
  assert.equal((await again(link)).frames[0].hello.resume, undefined);
});

test('an answer finds its request, an error rejects it', async () => {
  const { link, socket } = await loggedIn();
  const [one, two] = [link.request({ watch: {} }), link.request({ watch: {} })];
  const [first, second] = socket.frames.slice(-2).map((f) => f.id);
  socket.push({ re: second, error: { code: 400, retryable: true, retry_after_ms: 9 } }, { re: first, watching: {} });
  assert.ok((await one).watching);
  await assert.rejects(two, { code: 400, retryable: true, retryAfterMs: 9 });
});

test('broken bytes end the connection', async () => {
  const { link, socket } = await loggedIn();
  socket.onmessage({ data: new Uint8Array([0, 0, 0, 0]).buffer });
  assert.equal(link.state, 'waiting');
});

test('verdicts of codes that come without a GoAway', () => {
  const [resume, fresh, never] = [0, 1, 2];
  for (const code of [0, 105, 109, 110, 113, 400, 402, 500, 504]) assert.equal(verdictOf(code), resume, code);
  for (const code of [300, 301, 505]) assert.equal(verdictOf(code), fresh, code);
  for (const code of [100, 104, 107, 112, 200, 201, 202, 204, 205]) assert.equal(verdictOf(code), never, code);
});

test('the backoff is jittered, grows and is bounded', () => {
  assert.equal(backoff(5, () => 0), 0);
  assert.equal(backoff(0, () => 1), 500);
  assert.equal(backoff(3, () => 1), 4000);
  assert.equal(backoff(1000, () => 1), 30_000);
});

test('direct conversations are named as the server names them', () => {
  assert.equal(directId('bob', 'alice'), 'd:alice~bob');
  assert.equal(directId('alice', 'alice2'), 'd:alice~alice2');
  assert.equal(directId('alice2', 'alice'), 'd:alice~alice2');
  // By bytes U+1F426 is above U+FFFD; by UTF-16 units it would be below.
  assert.equal(directId('\u{1F426}', '\uFFFD'), 'd:\uFFFD~\u{1F426}');
});

test('edits and recalls count as the server let them through', () => {
  const message = (seq, sender, kind, of) => ({ seq, sender, content: { seq }, relation: kind && { kind, seq: of } });
  const [edit, recall] = [2, 3];
  const log = [message(1n, 'a'), message(2n, 'a'), message(3n, 'a')];
  // An agent recalls what another wrote; the author edits twice.
  log.push(message(4n, 'agent', recall, 1n), message(5n, 'a', edit, 2n), message(6n, 'a', edit, 2n));
  const shown = visible(log).map((m) => [m.seq, Boolean(m.recalled), m.content?.seq, m.edited]);
  assert.deepEqual(shown, [[1n, true, undefined, undefined], [2n, false, 6n, 6n], [3n, false, 3n, undefined]]);
});

test('unread never falls below zero', () => {
  assert.equal(unread({ log: { tip: 7n }, seen: 5n }), 2);
  assert.equal(unread({ log: { tip: 5n }, seen: 7n }), 0);
});

test('a place that the server names is tried once, and never one that protects the token less', async () => {
  const { link, socket } = await loggedIn();
  socket.push({ go_away: { verdict: 0, code: 506, endpoint: 'wss://other.example' } });
  socket.end(4506);
  assert.equal((await again(link)).url, 'wss://other.example/v1/ws');
  sockets.at(-1).end(1006);
  assert.equal((await again(link)).url, 'ws://x/v1/ws');
  const secure = new Link({ url: 'wss://x/v1/ws', token: 'secret', installation: 'tab-1', client: {} });
  links.push(secure);
  await again(secure);
  sockets.at(-1).push(WELCOME, { go_away: { verdict: 0, code: 506, endpoint: 'ws://other.example' } });
  sockets.at(-1).end(4506);
  assert.equal((await again(secure)).url, 'wss://x/v1/ws');
});

test('while attempts fail the others that Welcome named are tried in turn with the usual one', async () => {
  const { link, socket } = await loggedIn();
  socket.push({ welcome: { ...WELCOME.welcome, endpoints: ['ws://a', 'wss://b:1/v1/ws', 'tcp://c:1', 'nonsense'] } });
  socket.end(1006);
  const tried = [];
  for (let attempt = 0; attempt < 20; attempt++) {
    tried.push((await again(link)).url);
    sockets.at(-1).end(1006);
  }
  assert.equal(tried[0], 'ws://x/v1/ws');
  assert.deepEqual(new Set(tried.filter((_, at) => at % 2 === 0)), new Set(['ws://x/v1/ws']));
  assert.ok(tried.filter((_, at) => at % 2 === 1).every((url) => ['ws://a/v1/ws', 'wss://b:1/v1/ws'].includes(url)));
});
