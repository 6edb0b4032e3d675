// The page: sign-in, the list, the open conversation, and what keys and buttons do.

import { Changes } from './changes.js';
import { Client, SUPERSEDED, TOKEN_EXPIRED, TOKEN_INVALID } from './client.js';
import { unread } from './conversation.js';
import { arrange, conversationRow, element, messageElements, paintAvatar } from './view.js';

const TOKEN = 'whimbrel.token';
const DEV_USER = 'whimbrel.dev-user';
const INSTALLATION = 'whimbrel.installation';
const TYPING_EVERY_MS = 3000;
const TYPING_SHOWN_MS = 5000;
const NEAR_END_PX = 60;
const LOAD_OLDER_PX = 200;

const $ = (id) => document.getElementById(id);
const rows = new Map();
const drafts = new Map();
const typists = new Map();
let cache = new Map();
let client;
let open;
let connection = { state: 'idle' };
let tokenRenewed = false;
let typingSentAt = 0;
let atEnd = true;
let drawing = false;
const changes = new Changes({ client: () => client, conversation: () => open, grow });

// ---- sign-in ------------------------------------------------------------------------------------------------

async function start() {
  const token = sessionStorage.getItem(TOKEN);
  if (token) return signIn(token);
  await showSignIn('');
}

async function showSignIn(note, byToken = false) {
  $('chat').hidden = true;
  $('signin').hidden = false;
  $('signin-note').textContent = note;
  const users = await devUsers();
  $('signin-users').hidden = users.length === 0;
  $('signin-other').open = byToken || users.length === 0;
  $('signin-list').replaceChildren(...users.map(userButton));
  const first = byToken ? undefined : $('signin-list').querySelector('button');
  (first ?? $('signin-token')).focus();
}

// A development server offers its users; any other answers that there is no such page.
async function devUsers() {
  try {
    const answer = await fetch('/dev/users', { headers: { accept: 'application/json' }, cache: 'no-store' });
    return answer.ok ? await answer.json() : [];
  } catch {
    return [];
  }
}

function userButton({ user, name, role, token }) {
  const avatar = element('span');
  paintAvatar(avatar, name || user);
  const label = element('span', 'who', [
    element('strong', '', `Sign in as ${name || user}`),
    element('span', 'about', role ? `${user} · ${role}` : user),
  ]);
  const button = element('button', 'user', [avatar, label]);
  button.type = 'button';
  button.addEventListener('click', () => {
    sessionStorage.setItem(DEV_USER, user);
    signIn(token);
  });
  return button;
}

function signIn(token) {
  sessionStorage.setItem(TOKEN, token);
  $('signin-token').value = '';
  const url = new URL('v1/ws', document.baseURI);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  const about = { name: 'whimbrel-web', version: '0.1.0', platform: 'browser' };
  client = new Client({ url: url.href, token: currentToken, installation: installation(), client: about });
  listen(client);
  client.hidden(document.hidden);
  $('signin').hidden = true;
  $('chat').hidden = false;
  devUsers().then((users) => {
    for (const { user, name } of users) client?.names.set(user, name);
    draw();
  });
  client.connect();
}

// The token to log in with; with `fresh`, a new one where the server hands them out.
async function currentToken(fresh = false) {
  const user = sessionStorage.getItem(DEV_USER);
  if (fresh && user) {
    const found = (await devUsers()).find((each) => each.user === user);
    if (found) sessionStorage.setItem(TOKEN, found.token);
  }
  return sessionStorage.getItem(TOKEN) ?? '';
}

function signOut(note = '') {
  // Who typed a token that was refused types another.
  const byToken = Boolean(note) && !sessionStorage.getItem(DEV_USER);
  client?.close();
  sessionStorage.removeItem(TOKEN);
  sessionStorage.removeItem(DEV_USER);
  client = undefined;
  show(undefined);
  rows.clear();
  drafts.clear();
  $('list').replaceChildren();
  showSignIn(note, byToken);
}

// Each tab is a device of its own.
function installation() {
  let id = sessionStorage.getItem(INSTALLATION);
  if (!id) {
    const random = crypto.getRandomValues(new Uint8Array(12));
    id = `tab-${[...random].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
    sessionStorage.setItem(INSTALLATION, id);
  }
  return id;
}

// ---- events of the client -----------------------------------------------------------------------------------

function listen(to) {
  const on = (name, act) => to.addEventListener(name, (event) => to === client && act(event.detail));
  on('state', connectionChanged);
  for (const name of ['ready', 'conversations', 'presence', 'cursor', 'pending']) on(name, draw);
  on('messages', ({ conversation, joined, older }) => {
    for (const { sender } of older ? [] : joined) typists.delete(`${conversation.id}\n${sender}`);
    if (conversation === open && older) drawOlder();
    else draw();
  });
  on('typing', ({ conversation, user, type }) => type === 'typing' && showTyping(conversation, user));
}

async function connectionChanged(detail) {
  connection = detail;
  draw();
  if (detail.state === 'ready') tokenRenewed = false;
  if (detail.state !== 'stopped' || ![TOKEN_EXPIRED, TOKEN_INVALID].includes(detail.code)) return;
  const stale = await currentToken();
  const renewed = !tokenRenewed && (await currentToken(true)) !== stale;
  tokenRenewed = true;
  if (renewed) client?.connect();
  else signOut(detail.code === TOKEN_EXPIRED ? 'Your token has expired. Sign in again.' : 'The server does not accept this token.');
}

function drawConnection() {
  const { state, code, reason, retryAt } = connection;
  const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
  const words = { ready: 'Connected', waiting: 'Reconnecting', stopped: 'Not connected' };
  $('connection').textContent = words[state] ?? 'Connecting';
  $('connection').dataset.state = state;
  if (state === 'waiting') banner(`Connection lost. Reconnecting in ${seconds} s`, 'Connect now', () => client.connect());
  else if (state === 'connecting' && $('banner').hidden === false) banner('Reconnecting …');
  else if (state === 'stopped' && code === SUPERSEDED) {
    banner('Signed in elsewhere: this session continues in another window.', 'Use here', () => client.connect());
  } else if (state === 'stopped') {
    banner(`Signed out by the server: ${reason || `code ${code}`}`, 'Sign in again', () => signOut());
  } else banner('');
}

function banner(text, label = '', act) {
  $('banner').hidden = !text;
  if ($('banner-text').textContent !== text) $('banner-text').textContent = text;
  $('banner-action').hidden = !label;
  $('banner-action').textContent = label;
  $('banner-action').onclick = act ?? null;
  $('banner').dataset.state = connection.state;
}

function showTyping(id, user) {
  typists.set(`${id}\n${user}`, { id, user, until: Date.now() + TYPING_SHOWN_MS });
  draw();
  setTimeout(draw, TYPING_SHOWN_MS + 50);
}

// ---- drawing ------------------------------------------------------------------------------------------------

// Many events of one moment are drawn once.
function draw() {
  if (drawing) return;
  drawing = true;
  queueMicrotask(() => {
    drawing = false;
    if (!client) return;
    drawConnection();
    drawMe();
    drawList();
    if (open) drawOpen();
  });
}

function drawMe() {
  const name = client.nameOf(client.me) || '…';
  paintAvatar($('me-avatar'), name);
  $('me-name').textContent = name;
}

function drawList() {
  const list = client.list();
  for (const conversation of list) {
    const old = rows.get(conversation.id);
    const row = conversationRow(client, conversation, open, old);
    if (!old) row.firstChild.addEventListener('click', () => show(conversation));
    rows.set(conversation.id, row);
  }
  arrange($('list'), list.map((conversation) => rows.get(conversation.id)));
  $('list-empty').hidden = list.length > 0 || connection.state !== 'ready';
  const count = list.filter((c) => c !== open || document.hidden).reduce((sum, c) => sum + unread(c), 0);
  document.title = count ? `(${count}) Whimbrel` : 'Whimbrel';
}

function drawOpen() {
  const title = client.titleOf(open);
  const presence = (open.peer && client.presenceOf(open.peer)) ?? '';
  paintAvatar($('open-avatar'), title, presence);
  $('open-title').textContent = title;
  $('open-about').textContent = about(presence);
  $('log-top').textContent = open.log.older() !== undefined ? 'Loading earlier messages …' : '';
  $('log').setAttribute('aria-busy', String(!open.log.loaded && open.exists));
  const messages = messageElements(client, open, cache, { retry, dismiss, change });
  $('log-empty').hidden = messages.length > 0 || (open.exists && !open.log.loaded);
  $('log-empty').textContent = open.peer ? `Nothing was said here yet. Say hello to ${title}.` : 'Nothing was said here yet.';
  arrange($('messages'), messages);
  drawTyping();
  if (atEnd) toEnd();
  else $('jump').hidden = open.log.last <= open.read;
  seen();
  if ($('log').scrollHeight <= $('log').clientHeight) older();
}

// Keeps what the reader looks at in its place while older messages appear above it.
function drawOlder() {
  const log = $('log');
  const below = log.scrollHeight - log.scrollTop;
  log.setAttribute('aria-live', 'off');
  drawOpen();
  if (!atEnd) log.scrollTop = log.scrollHeight - below;
  requestAnimationFrame(() => log.removeAttribute('aria-live'));
}

function about(presence) {
  if (open.peer) return presence;
  if (!open.members) return '';
  const users = [...open.members.keys()];
  const count = users.filter((user) => client.presenceOf(user) === 'online').length;
  const who = users.length > 6 ? `${users.length} members` : users.map((user) => client.nameOf(user)).join(', ');
  return count ? `${who} · ${count} online` : who;
}

function drawTyping() {
  const now = Date.now();
  for (const [key, { until }] of typists) if (until <= now) typists.delete(key);
  const names = [...typists.values()].filter((t) => t.id === open.id && t.user !== client.me).map((t) => client.nameOf(t.user));
  const text = names.length === 0 ? '' : `${names.join(', ')} ${names.length > 1 ? 'are' : 'is'} typing …`;
  if ($('typing').textContent !== text) $('typing').textContent = text;
}

// ---- the open conversation ----------------------------------------------------------------------------------

function show(conversation) {
  if (open) drafts.set(open.id, changes.draft());
  changes.cancel();
  open = conversation;
  cache = new Map();
  $('messages').replaceChildren();
  $('chat').dataset.pane = open ? 'open' : 'list';
  $('open').hidden = !open;
  $('nothing').hidden = Boolean(open);
  if (!open) return;
  $('text').value = drafts.get(open.id) ?? '';
  grow();
  atEnd = true;
  client.open(open).then(draw);
  draw();
  $('text').focus();
}

function toEnd() {
  $('log').scrollTop = $('log').scrollHeight;
  $('jump').hidden = true;
}

function seen() {
  if (open && atEnd && !document.hidden && document.hasFocus()) client.markRead(open);
}

const older = () => open?.log.older() !== undefined && client.loadOlder(open);

// Why there is no chat with a user; empty if there can be one.
function refusal(user) {
  if (!client.me) return 'Not connected yet. Try again in a moment.';
  if (user === client.me) return 'That is you. Enter the id of somebody else.';
  return user.includes('~') ? 'A user id has no ~ in it.' : '';
}

const dismiss = (item) => client.discard(open, item);
const change = (message, button) => changes.open(message, button);

function retry(item) {
  dismiss(item);
  $('text').value = item.text;
  grow();
  $('text').focus();
}

function submit() {
  const text = $('text').value.trim();
  if (!open || changes.submit(text) || !text) return;
  $('text').value = '';
  grow();
  atEnd = true;
  typingSentAt = 0;
  client.send(open, text);
}

function grow() {
  const text = $('text');
  text.rows = Math.min(8, Math.max(1, text.value.split('\n').length));
}

// ---- keys and buttons ---------------------------------------------------------------------------------------

$('signin-form').addEventListener('submit', (event) => {
  event.preventDefault();
  sessionStorage.removeItem(DEV_USER);
  signIn($('signin-token').value.trim());
});
$('sign-out').addEventListener('click', () => signOut());
$('back').addEventListener('click', () => show(undefined));
$('jump').addEventListener('click', () => {
  atEnd = true;
  draw();
});
$('new-chat').addEventListener('submit', (event) => {
  event.preventDefault();
  const user = $('new-chat-user').value.trim();
  $('new-chat-note').textContent = user ? refusal(user) : '';
  if (!user || refusal(user)) return;
  $('new-chat-user').value = '';
  show(client.direct(user));
});
$('new-chat-user').addEventListener('input', () => {
  $('new-chat-note').textContent = '';
});
$('composer').addEventListener('submit', (event) => {
  event.preventDefault();
  submit();
});
$('text').addEventListener('keydown', (event) => {
  if (event.key === 'ArrowUp' && !$('text').value && changes.editLast()) event.preventDefault();
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
});
$('text').addEventListener('input', () => {
  grow();
  if (!open?.exists || !$('text').value || Date.now() - typingSentAt < TYPING_EVERY_MS) return;
  typingSentAt = Date.now();
  client.typing(open);
});
$('log').addEventListener('scroll', () => {
  const log = $('log');
  atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END_PX;
  if (atEnd) $('jump').hidden = true;
  if (log.scrollTop < LOAD_OLDER_PX) older();
  seen();
});
$('list').addEventListener('keydown', (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const buttons = [...$('list').querySelectorAll('button')];
  buttons[buttons.indexOf(document.activeElement) + step]?.focus();
});
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape' || event.defaultPrevented || document.querySelector('dialog[open], [popover]:popover-open')) return;
  if (!changes.cancel() && open) show(undefined);
});
window.addEventListener('focus', draw);
window.addEventListener('resize', () => atEnd && toEnd());
window.addEventListener('online', () => client?.link.check());
document.addEventListener('visibilitychange', () => {
  client?.hidden(document.hidden);
  if (document.hidden) return;
  client?.link.check();
  draw();
});
setInterval(() => connection.state === 'waiting' && client && drawConnection(), 500);

start();
