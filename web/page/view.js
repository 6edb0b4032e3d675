// Conversations and messages as elements. Text enters the page through textContent only.

import { editable, KIND, sortSends, unread, visible } from './conversation.js';

const GROUP_MS = 5 * 60_000;
const HUES = 8;
const text = new TextDecoder();
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const fullDate = new Intl.DateTimeFormat(undefined, { dateStyle: 'long' });
const shortDate = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });

/** An element with a class, text or children. */
export function element(tag, className = '', content = []) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (typeof content === 'string') made.textContent = content;
  else made.append(...content);
  return made;
}

/** Makes `parent` hold exactly these elements in this order, moving as little as possible. */
export function arrange(parent, children) {
  const kept = new Set(children);
  for (const child of [...parent.children]) if (!kept.has(child)) child.remove();
  children.forEach((child, i) => {
    if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i] ?? null);
  });
}

/** Shows a name's initials in a colour of its own; with a presence, a dot for it. */
export function paintAvatar(avatar, name, presence = '') {
  let hash = 7;
  for (const char of name) hash = (hash * 33 + char.codePointAt(0)) % 65_521;
  avatar.className = `avatar hue-${hash % HUES}${['online', 'away'].includes(presence) ? ` ${presence}` : ''}`;
  const words = name.split(/[^\p{L}\p{M}\p{N}]+/u).filter(Boolean);
  if (words.length === 0) words.push(name);
  avatar.textContent = [...(words.length > 1 ? [words[0], words.at(-1)] : words)].map((w) => [...w][0] ?? '').join('').toUpperCase();
}

/** One row of the conversation list. `row` is reused where there is one. */
export function conversationRow(client, conversation, open, row = newRow()) {
  const count = conversation === open ? 0 : unread(conversation);
  const title = client.titleOf(conversation);
  const presence = (conversation.peer && client.presenceOf(conversation.peer)) ?? '';
  const [button] = row.children;
  const [avatar, middle, right] = button.children;
  paintAvatar(avatar, title, presence);
  middle.children[0].textContent = title;
  middle.children[1].textContent = preview(client, conversation);
  right.children[0].textContent = conversation.activeAt ? when(Number(conversation.activeAt)) : '';
  right.children[1].textContent = count > 99 ? '99+' : String(count);
  right.children[1].hidden = count === 0;
  row.classList.toggle('unread', count > 0);
  button.setAttribute('aria-label', `${title}${['online', 'away'].includes(presence) ? `, ${presence}` : ''}${count ? `, ${count} unread` : ''}`);
  if (conversation === open) button.setAttribute('aria-current', 'true');
  else button.removeAttribute('aria-current');
  return row;
}

function newRow() {
  const middle = element('span', 'row-middle', [element('span', 'row-title'), element('span', 'row-preview')]);
  const right = element('span', 'row-right', [element('time'), element('span', 'badge')]);
  const button = element('button', 'row', [element('span', 'avatar'), middle, right]);
  button.type = 'button';
  return element('li', '', [button]);
}

/**
 * Elements of everything in a conversation, in order; `cache` (a Map) keeps those that did not change. `on` has what
 * buttons do: `retry` and `dismiss` with a send that was refused, `change` with a message {seq, text} and its button.
 */
export function messageElements(client, conversation, cache, on) {
  const made = [];
  const used = new Set();
  // What is there when a conversation opens is not new; what joins it later is.
  const opened = cache.size === 0;
  let previous;
  const keep = (key, state, build) => {
    const old = cache.get(key);
    const entry = old?.state === state ? old : { state, node: build() };
    if (!old && !opened) entry.node.classList.add('fresh');
    cache.set(key, entry);
    used.add(key);
    made.push(entry.node);
  };
  const waiting = sortSends(conversation.outbox.items);
  const refused = sortSends(conversation.refused);
  const local = pending(client, conversation, [...refused.messages, ...waiting.messages]);
  for (const stored of [...visible(conversation.log.messages), ...local]) {
    const message = changed(stored, waiting.changes.get(stored.seq), refused.changes.get(stored.seq));
    const at = Number(message.at_ms);
    const day = new Date(at).toDateString();
    if (!previous || previous.day !== day) {
      keep(`day ${day}`, dayName(at), () => element('p', 'day', [element('span', '', dayName(at))]));
    }
    const follows = previous?.day === day && previous.sender === message.sender && at - previous.at < GROUP_MS;
    const system = Boolean(message.members_changed);
    const facts = describe(client, conversation, message, follows && !previous.system);
    keep(facts.key, JSON.stringify(facts), () => (system ? systemLine(facts) : bubble(facts, message, on)));
    previous = { day, at, sender: message.sender, system };
  }
  for (const key of [...cache.keys()]) if (!used.has(key)) cache.delete(key);
  return made;
}

function pending(client, { log }, items) {
  if (items.length === 0) return [];
  const stored = new Set(log.messages.filter((m) => m.sender === client.me).map((m) => String(m.client_msg_id)));
  const unknown = items.filter((item) => item.error || !stored.has(String(item.client_msg_id)));
  return unknown.map((item) => ({ ...item, item, local: true }));
}

// A stored message with this device's own change of it, which the server does not have yet or does not take.
function changed(message, waiting, refused) {
  if (message.local || !(waiting || refused)) return message;
  const unchanged = refused && { item: refused, unchanged: refused.error };
  if (!waiting || message.recalled) return { ...message, ...unchanged };
  const recalled = waiting.relation.kind === KIND.RECALL;
  return { ...message, ...unchanged, changing: true, recalled, text: waiting.text };
}

// Everything a message's element depends on; it is drawn anew when this changes.
function describe(client, conversation, message, follows) {
  const mine = message.sender === client.me;
  const state = !mine ? '' : message.error ? 'refused' : message.local || message.changing ? 'pending' : readState(client, conversation, message);
  return {
    key: message.client_msg_id?.length ? `id ${message.sender_device ?? client.device} ${message.client_msg_id}` : `seq ${message.seq}`,
    follows,
    mine,
    state,
    // A direct conversation says in its header who the other is.
    name: conversation.peer ? '' : client.nameOf(message.sender),
    time: clock.format(Number(message.at_ms)),
    text: message.members_changed ? changeText(client, message) : bodyText(message),
    muted: Boolean(message.recalled),
    edited: Boolean(message.edited),
    error: message.error ?? '',
    unchanged: message.unchanged ?? '',
    // Only what the server has can be changed, and only by its author.
    mayChange: mine && !message.local && !message.changing && !message.recalled && !message.members_changed,
    reply: message.relation?.kind === 1 ? replied(client, conversation, message.relation.seq) : '',
  };
}

function readState(client, conversation, message) {
  const others = [...(conversation.members?.values() ?? [])].filter((member) => member.user !== client.me);
  return others.length > 0 && others.every((member) => member.read >= message.seq) ? 'read' : 'sent';
}

function replied(client, conversation, seq) {
  const original = conversation.log.messages.find((message) => message.seq === seq);
  return original ? `${client.nameOf(original.sender)}: ${bodyText(original)}` : 'an earlier message';
}

function bubble(facts, message, on) {
  const parts = [];
  if (facts.name && !facts.mine && !facts.follows) parts.push(element('span', 'sender', facts.name));
  if (facts.reply) parts.push(element('span', 'reply', facts.reply));
  parts.push(element('span', 'text', facts.text));
  const meta = element('span', 'meta', [element('time', '', facts.edited ? `edited ${facts.time}` : facts.time)]);
  if (facts.state) meta.append(stateMark(facts.state));
  parts.push(meta);
  if (facts.state === 'refused') {
    parts.push(refusal(`Not sent: ${facts.error} `, 'Edit and send again', () => on.retry(message.item)));
  }
  if (facts.unchanged) parts.push(refusal(`Not changed: ${facts.unchanged} `, 'OK', () => on.dismiss(message.item)));
  const side = facts.mine ? 'mine' : 'theirs';
  const classes = ['message', side, facts.follows && 'follows', facts.muted && 'muted', facts.state].filter(Boolean);
  const { seq } = message;
  const more = facts.mayChange ? [moreButton((button) => on.change({ seq, text: editable(message) }, button))] : [];
  return element('article', classes.join(' '), [...more, element('div', 'bubble', parts)]);
}

// Opens the menu of a message.
function moreButton(act) {
  const more = element('button', 'more', '⋯');
  more.type = 'button';
  more.setAttribute('aria-label', 'Change this message');
  more.setAttribute('aria-haspopup', 'menu');
  more.setAttribute('aria-expanded', 'false');
  more.addEventListener('click', () => act(more));
  return more;
}

const STATES = { pending: ['◷', 'Sending'], sent: ['✓', 'Sent'], read: ['✓✓', 'Read'], refused: ['!', 'Not sent'] };

function stateMark(state) {
  const [sign, label] = STATES[state];
  const mark = element('span', 'state', sign);
  mark.setAttribute('role', 'img');
  mark.setAttribute('aria-label', label);
  mark.title = label;
  return mark;
}

function refusal(why, label, act) {
  const button = element('button', 'link', label);
  button.type = 'button';
  button.addEventListener('click', act);
  return element('span', 'refusal', [why, button]);
}

function systemLine(facts) {
  return element('p', 'system', `${facts.text} · ${facts.time}`);
}

function changeText(client, message) {
  const { added, removed, created } = message.members_changed;
  const who = client.nameOf(message.sender) || 'Somebody';
  const names = (users) => users.map((user) => client.nameOf(user)).join(', ');
  const newcomers = names(added.map((member) => member.user).filter((user) => !created || user !== message.sender));
  if (created?.kind === 1) return 'This is the beginning of the conversation';
  if (created && !message.sender) return `Conversation started${newcomers ? ` with ${newcomers}` : ''}`;
  if (created) return `${who} started the conversation${newcomers ? ` with ${newcomers}` : ''}`;
  if (removed.length === 1 && removed[0] === message.sender) return `${who} left`;
  const parts = [newcomers && `added ${newcomers}`, removed.length && `removed ${names(removed)}`].filter(Boolean);
  return `${who} ${parts.join(' and ') || 'changed the members'}`;
}

function bodyText(message) {
  if (message.recalled) return 'This message was recalled';
  if (message.text !== undefined) return message.text;
  const { type = '', data = new Uint8Array() } = message.content ?? {};
  return type.startsWith('text/') ? text.decode(data) : `${type || 'something'}, ${data.length} bytes`;
}

function preview(client, { lastMessage, outbox }) {
  const waiting = sortSends(outbox.items).messages.at(-1);
  if (waiting) return `You: ${waiting.text}`;
  if (!lastMessage) return '';
  if (lastMessage.members_changed) return changeText(client, lastMessage);
  if (lastMessage.hidden) return '';
  return `${lastMessage.sender === client.me ? 'You: ' : ''}${bodyText(lastMessage)}`;
}

function when(at) {
  return new Date(at).toDateString() === new Date().toDateString() ? clock.format(at) : shortDate.format(at);
}

function dayName(at) {
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(at).setHours(0, 0, 0, 0)) / 86_400_000);
  if (days === 0) return 'Today';
  if (days === 1) return 'Yesterday';
  return days < 180 ? weekday.format(at) : fullDate.format(at);
}
