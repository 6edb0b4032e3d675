// Edits and recalls of this device on their way, what may be edited, and what presence says.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { AGAIN_AFTER_MS, AWAY_AFTER_MS, Away, BACK_AFTER_MS } from '../page/away.js';
import { Client } from '../page/client.js';
import { editable, newConversation, sortSends, visible } from '../page/conversation.js';
import { Conversations } from '../page/conversations.js';
import { Link } from '../page/link.js';
import { People, stateOf } from '../page/people.js';
import { Sender } from '../page/sender.js';

const [EDIT, RECALL] = [2, 3];
const data = (text) => new TextEncoder().encode(text);
const content = (text) => ({ type: 'text/plain', data: data(text) });
const turn = () => new Promise(setImmediate);

// A sender on a link that answers as `answer` says, and everything it wrote.
function sender(answer) {
  const sent = [];
  const link = {
    state: 'ready',
    request: async ({ send }) => {
      sent.push(send);
      return answer(send, sent.length);
    },
  };
  const conversations = new Conversations(() => {});
  conversations.me = 'alice';
  const taken = [];
  const reader = { take: (conversation, message) => (taken.push(message), conversation.log.push(message)) };
  const made = new Sender(link, conversations, reader, { emit: () => {}, open: () => {} });
  const conversation = newConversation('g:1', 'alice');
  conversation.exists = true;
  conversation.log.open({ first: 1n, last: 0n, messages: [], tip: 0n, has_more: false });
  return { sender: made, conversation, sent, taken };
}

test('an edit and a recall name the message, and are applied when the server has them', async () => {
  const world = sender((send, n) => ({ send_ack: { seq: BigInt(n), at_ms: 5n } }));
  const { conversation, sent } = world;
  world.sender.send(conversation, 'frist');
  await turn();
  world.sender.edit(conversation, 1n, 'first');
  await turn();
  let [shown] = visible(conversation.log.messages);
  assert.deepEqual([editable(shown), shown.edited, shown.seq], ['first', 2n, 1n]);
  world.sender.recall(conversation, 1n);
  await turn();
  [shown] = visible(conversation.log.messages);
  assert.deepEqual([shown.recalled, shown.content], [true, undefined]);
  assert.deepEqual(sent.map((send) => send.relation), [undefined, { kind: EDIT, seq: 1n }, { kind: RECALL, seq: 1n }]);
  assert.deepEqual(sent.map((send) => send.content && new TextDecoder().decode(send.content.data)), ['frist', 'first', undefined]);
  assert.equal(visible(conversation.log.messages).length, 1);
});

test('a change that is refused is no message, and says why', async () => {
  const refusal = Object.assign(new Error('it was recalled'), { retryable: false });
  const { sender: made, conversation } = sender(() => Promise.reject(refusal));
  made.edit(conversation, 7n, 'too late');
  await turn();
  const { messages, changes } = sortSends(conversation.refused);
  assert.deepEqual([messages.length, changes.get(7n).error], [0, 'it was recalled']);
  made.discard(conversation, changes.get(7n));
  assert.equal(conversation.refused.length, 0);
});

test('of several changes of one message on their way the latest shows', () => {
  const edit = (text, seq) => ({ text, relation: { kind: EDIT, seq } });
  const { messages, changes } = sortSends([edit('a', 1n), { text: 'hello' }, edit('b', 1n), edit('c', 2n)]);
  assert.deepEqual(messages.map((item) => item.text), ['hello']);
  assert.deepEqual([...changes].map(([seq, item]) => [seq, item.text]), [[1n, 'b'], [2n, 'c']]);
});

test('what its author may edit', () => {
  const message = { seq: 3n, content: content('hi') };
  assert.equal(editable(message), 'hi');
  for (const not of [
    { ...message, seq: 0n },
    { ...message, recalled: true, content: undefined },
    { ...message, members_changed: { added: [] } },
    { ...message, content: { type: 'image/png', data: data('hi') } },
    { seq: 3n },
  ]) assert.equal(editable(not), undefined);
});

test('an edit by somebody else changes the log, the list and nothing unread', () => {
  const conversations = new Conversations(() => {});
  conversations.me = 'alice';
  const conversation = conversations.get('d:alice~bob');
  const said = { seq: 1n, sender: 'bob', at_ms: 1n, content: content('frist') };
  const edit = { seq: 2n, sender: 'bob', at_ms: 2n, content: content('first'), relation: { kind: EDIT, seq: 1n } };
  for (const message of [said, edit]) conversations.latest(conversation, message);
  assert.equal(editable(conversation.lastMessage), 'first');
  assert.equal(conversation.activeAt, 1n);
  assert.equal(conversation.silent.has(2n), true);
});

test('presence has three states, and two from a server that knows no more', () => {
  const states = [[0, false], [0, true], [1, false], [2, true], [3, true]];
  const expected = ['offline', 'online', 'offline', 'away', 'online'];
  assert.deepEqual(states.map(([state, online]) => stateOf({ state, online })), expected);
});

test('a resumed session is told who is there; a lost connection knows nothing', async () => {
  const asked = [];
  const conversations = new Conversations(() => {});
  const link = {
    state: 'ready',
    request: async (body) => {
      asked.push(body);
      return { watching: { presences: [{ user: 'bob', state: 2, online: true }] } };
    },
  };
  const people = new People(link, conversations, () => {});
  const room = { ...conversations.get('g:1'), exists: true, listed: true };
  await people.watch(room);
  assert.equal(people.presenceOf('bob'), 'away');
  people.lost();
  assert.equal(people.presenceOf('bob'), undefined);
  people.tell([{ user: 'bob', state: 3, online: true }]);
  await people.watch(room);
  assert.deepEqual([people.presenceOf('bob'), asked.length], ['online', 1], 'the session still watches');
  people.unwatched();
  await people.watch(room);
  assert.equal(asked.length, 2);
});

test('a watch that was not answered is asked again', async () => {
  let asked = 0;
  const link = { state: 'ready', request: async () => Promise.reject(new Error(String(asked++))) };
  const people = new People(link, new Conversations(() => {}), () => {});
  const room = { ...newConversation('g:1', 'alice'), exists: true };
  await people.watch(room);
  await people.watch(room);
  assert.equal(asked, 2);
});

// What the server took, with a clock that the test moves.
function attended(t, connected = () => true) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const said = [];
  const away = new Away(async (is) => connected() && said.push(is) > 0);
  const pass = async (ms) => {
    t.mock.timers.tick(ms);
    await turn();
  };
  return { said, away, pass };
}

test('a page that stays hidden is away, and back when it is looked at', async (t) => {
  const { said, away, pass } = attended(t);
  away.ready(false);
  away.hidden(true);
  await pass(AWAY_AFTER_MS - 1);
  assert.deepEqual(said, []);
  await pass(1);
  assert.deepEqual(said, [true]);
  away.hidden(false);
  await pass(BACK_AFTER_MS);
  assert.deepEqual(said, [true, false]);
});

test('a short look elsewhere, or past, says nothing', async (t) => {
  const { said, away, pass } = attended(t);
  away.ready(false);
  away.hidden(true);
  await pass(AWAY_AFTER_MS / 2);
  away.hidden(false);
  await pass(10 * AWAY_AFTER_MS);
  assert.deepEqual(said, []);
  away.hidden(true);
  await pass(AWAY_AFTER_MS);
  away.hidden(false);
  await pass(BACK_AFTER_MS / 2);
  away.hidden(true);
  await pass(10 * AWAY_AFTER_MS);
  assert.deepEqual(said, [true]);
});

test('away is said again after a login, and what changed without a connection', async (t) => {
  let connected = true;
  const { said, away, pass } = attended(t, () => connected);
  away.ready(false);
  away.hidden(true);
  await pass(AWAY_AFTER_MS);
  away.ready(false);
  await turn();
  assert.deepEqual(said, [true, true]);
  connected = false;
  away.hidden(false);
  await pass(BACK_AFTER_MS);
  connected = true;
  away.ready(true);
  await turn();
  assert.deepEqual(said, [true, true, false]);
  away.ready(false);
  await pass(10 * AWAY_AFTER_MS);
  assert.equal(said.length, 3, 'a new session is taken to be attended');
});

test('what the server does not take is said again, until it is not so any more', async (t) => {
  let connected = false;
  const { said, away, pass } = attended(t, () => connected);
  away.ready(false);
  away.hidden(true);
  await pass(AWAY_AFTER_MS);
  await pass(AGAIN_AFTER_MS);
  assert.deepEqual(said, []);
  connected = true;
  await pass(AGAIN_AFTER_MS);
  assert.deepEqual(said, [true]);
  await pass(10 * AGAIN_AFTER_MS);
  assert.deepEqual(said, [true]);
});

test('presence is set by a request with an id, which the server wants', async (t) => {
  const asked = [];
  t.mock.method(Link.prototype, 'request', async (body) => (asked.push(body), { presence: {} }));
  const client = new Client({ url: 'ws://x', token: '', installation: 'i', client: {} });
  const welcome = { user: 'alice', device_id: 1n, auth_expires_ms: 0n, server_time_ms: 0n };
  client.link.dispatchEvent(new CustomEvent('ready', { detail: { welcome, resumed: true } }));
  await turn();
  assert.deepEqual(asked.filter((body) => body.set_presence), [{ set_presence: { away: false } }]);
  client.close();
});
