// One connection after another to the gateway, as one lasting link: login, resume, heartbeats, acks, requests and
// reconnects. Knows nothing of conversations.
//
// Events (CustomEvent, detail in brackets): `state` {state, code, reason, retryAt}, `ready` {welcome, resumed},
// `push` (a ServerFrame that answers nothing), `lost` (every unanswered request has been rejected).

import { FrameError, FrameStream, encodeFrame } from './protocol.js';

const WEB = 1;
const BACKOFF_BASE_MS = 500;
const BACKOFF_MAX_MS = 30_000;
/** A connection that lasted this long clears the backoff. */
const STABLE_MS = 10_000;
const CONNECT_TIMEOUT_MS = 15_000;
const REQUEST_TIMEOUT_MS = 20_000;
const PONG_TIMEOUT_MS = 10_000;
const GO_AWAY_GRACE_MS = 3000;
/** Other places that are remembered. */
const MAX_OTHERS = 8;
const WEBSOCKET_PATH = '/v1/ws';
/** Pushes are acknowledged together: after this long or this many. */
const ACK_DELAY_MS = 200;
const ACK_EVERY = 16;

const VERDICT = { RESUME: 0, FRESH: 1, NEVER: 2 };
const RESUMED = 1;
export const TOKEN_INVALID = 201;
export const TOKEN_EXPIRED = 202;
export const SUPERSEDED = 204;
/** Codes after which to connect again although their class says no. */
const RESUME_ANYWAY = new Set([105, 109, 110, 113]);

/** A request that was not served. `retryable` also covers a connection lost before the answer. */
export class RequestError extends Error {
  constructor({ code = 0, message = '', retryable = false, retry_after_ms = 0 }) {
    super(message || `error ${code}`);
    Object.assign(this, { code, retryable, retryAfterMs: retry_after_ms });
  }
}

export class Link extends EventTarget {
  #socket;
  #stream;
  #attempt = 0;
  #requests = new Map();
  #nextId = 1n;
  #resume;
  #handled = 0n;
  #acked = 0n;
  #ackTimer;
  #timers = [];
  #retryTimer;
  #goAway;
  #others = [];
  #failures = 0;
  #heardAt = 0;
  #saidAt = 0;
  #openedAt = 0;
  #pingAt = 0;
  heartbeatMs = 30_000;

  /** `token` is a string or a function that gives one, asked at every login. */
  constructor({ url, token, installation, client }) {
    super();
    Object.assign(this, { url, token, installation, client });
    this.state = 'idle';
  }

  /** Connects now, whatever a running backoff says. */
  connect() {
    this.#clear();
    const url = this.#place();
    this.#goAway = undefined;
    this.#setState('connecting');
    const socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    this.#stream = new FrameStream('ServerFrame');
    const guard = (handle) => (event) => socket === this.#socket && handle(event);
    socket.onopen = guard(() => this.#hello());
    socket.onmessage = guard((event) => this.#receive(event.data));
    socket.onclose = guard((event) => this.#closed(event.code, event.reason));
    this.#after(CONNECT_TIMEOUT_MS, () => this.state === 'connecting' && this.#drop('no answer'));
  }

  /** Says Bye and stays away. */
  close() {
    if (this.state === 'ready') this.send({ bye: {} });
    this.#stop('closed');
  }

  /** Sends a frame that asks for no answer. False where there is no connection. */
  send(frame) {
    if (this.state !== 'ready') return false;
    this.#write(frame);
    return true;
  }

  /** Sends a request; gives the ServerFrame that answers it. */
  request(body) {
    if (this.state !== 'ready') return Promise.reject(disconnected());
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(id, { error: TIMED_OUT }), REQUEST_TIMEOUT_MS);
      this.#requests.set(id, { resolve, reject, timer });
      this.#write({ id, ...body });
    });
  }

  /** Looks at once whether the connection still works, for example when the page wakes up. */
  check() {
    if (this.state === 'waiting') this.connect();
    else if (this.state === 'ready') this.#ping();
  }

  // Where the server sent this side; while attempts fail, every other time one of the places that it named before.
  #place() {
    const named = this.#trusted(this.#goAway?.endpoint);
    const other = this.#others[Math.floor(Math.random() * this.#others.length)];
    return named || (this.#failures % 2 === 1 && other) || this.url;
  }

  // A place of the server's, unless it would send the token where it is less protected.
  #trusted(place) {
    const secure = /^wss:/i.test(this.url);
    if (!place || !(secure ? /^wss:\/\//i : /^wss?:\/\//i).test(place) || !URL.canParse(place)) return undefined;
    return new URL(place).pathname === '/' ? new URL(WEBSOCKET_PATH, place).href : place;
  }

  // ---- outgoing -------------------------------------------------------------------------------------------

  async #hello() {
    const socket = this.#socket;
    const token = typeof this.token === 'function' ? await this.token() : this.token;
    if (socket !== this.#socket || socket.readyState !== WebSocket.OPEN) return;
    const resume = this.#resume && { token: this.#resume, last_seq: this.#handled };
    const hello = { version_min: 1, version_max: 1, client: this.client, token, resume };
    this.#write({ id: this.#nextId++, hello: { ...hello, installation: this.installation, device_type: WEB } });
  }

  #write(frame) {
    const ack = frame.hello ? 0n : this.#handled;
    this.#socket.send(encodeFrame('ClientFrame', { ...frame, ack: ack > this.#acked ? ack : 0n }));
    if (ack > this.#acked) this.#acked = ack;
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    this.#saidAt = Date.now();
  }

  #ackSoon() {
    if (this.#handled - this.#acked >= BigInt(ACK_EVERY)) this.send({});
    else this.#ackTimer ??= setTimeout(() => this.send({}), ACK_DELAY_MS);
  }

  #beat() {
    const now = Date.now();
    if (this.#pingAt && this.#heardAt < this.#pingAt && now - this.#pingAt > PONG_TIMEOUT_MS) {
      this.#drop('heartbeat lost');
    } else if (now - this.#saidAt >= this.heartbeatMs || now - this.#heardAt >= 2 * this.heartbeatMs) {
      this.#ping();
    }
  }

  #ping() {
    if (this.#pingAt && this.#heardAt < this.#pingAt) return;
    this.#pingAt = Date.now();
    this.#write({ id: this.#nextId++, ping: {} });
  }

  // ---- incoming -------------------------------------------------------------------------------------------

  #receive(data) {
    this.#heardAt = Date.now();
    try {
      if (typeof data === 'string') throw new FrameError('TEXT_MESSAGE', 106);
      for (const frame of this.#stream.push(new Uint8Array(data))) this.#handle(frame);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#drop(error.message);
    }
  }

  #handle(frame) {
    if (frame.session_seq > 0n && !this.#isNew(frame.session_seq)) return;
    if (frame.welcome) this.#welcome(frame.welcome);
    else if (frame.go_away) this.#leave(frame.go_away);
    else if (frame.tune) this.#tune(frame.tune.heartbeat_ms);
    else if (frame.re > 0n) this.#settle(frame.re, frame);
    else this.#emit('push', frame);
    if (frame.error && this.state === 'connecting') this.#goAway ??= refusal(frame.error);
  }

  // A push that was already handled is only acknowledged again; a hole in the session is left unacknowledged, so
  // that the server sends what is missing.
  #isNew(seq) {
    const fresh = seq > this.#handled;
    if (seq === this.#handled + 1n) this.#handled = seq;
    if (!fresh && seq <= this.#acked) this.#acked = seq - 1n;
    this.#ackSoon();
    return fresh;
  }

  #welcome(welcome) {
    this.#failures = 0;
    this.#others = welcome.endpoints.map((place) => this.#trusted(place)).filter(Boolean).slice(0, MAX_OTHERS);
    const resumed = welcome.outcome === RESUMED;
    if (!resumed) this.#handled = 0n;
    this.#acked = resumed ? this.#handled : 0n;
    this.#resume = welcome.resume_token.length ? welcome.resume_token : undefined;
    this.#tune(welcome.heartbeat_ms);
    this.#openedAt = Date.now();
    this.#pingAt = 0;
    this.#every(1000, () => this.#beat());
    this.#setState('ready');
    this.#emit('ready', { welcome, resumed });
  }

  // The server closes next; where it does not, this side does.
  #leave(goAway) {
    this.#goAway = goAway;
    this.#after(GO_AWAY_GRACE_MS, () => this.#drop(goAway.reason));
  }

  #tune(heartbeatMs) {
    if (heartbeatMs > 0) this.heartbeatMs = heartbeatMs;
  }

  #settle(id, frame) {
    const request = this.#requests.get(id);
    if (!request) return;
    this.#requests.delete(id);
    clearTimeout(request.timer);
    if (frame.error) request.reject(new RequestError(frame.error));
    else request.resolve(frame);
  }

  // ---- the end of a connection ----------------------------------------------------------------------------

  #drop(reason) {
    this.#closed(1006, reason);
  }

  #closed(closeCode, reason) {
    const code = this.#goAway?.code ?? (closeCode >= 4000 ? closeCode - 4000 : 0);
    const why = this.#goAway?.reason || reason;
    const verdict = this.#goAway?.verdict ?? verdictOf(code);
    if (this.state === 'ready' && Date.now() - this.#openedAt > STABLE_MS) this.#attempt = 0;
    if (this.state === 'connecting') this.#failures++;
    // Nothing has failed where the server sends this side elsewhere, which it does at its own pace.
    if (this.#trusted(this.#goAway?.endpoint)) this.#attempt = 0;
    if (verdict !== VERDICT.RESUME) this.#resume = undefined;
    if (verdict === VERDICT.NEVER) return this.#stop('stopped', code, why);
    const delay = this.#goAway?.delay_ms ?? 0;
    this.#lose();
    const wait = delay + Math.random() * delay + backoff(this.#attempt++);
    this.#setState('waiting', { code, reason: why, retryAt: Date.now() + wait });
    this.#retryTimer = setTimeout(() => this.connect(), wait);
  }

  #stop(state, code = 0, reason = '') {
    this.#lose();
    this.#resume = undefined;
    this.#setState(state, { code, reason });
  }

  #lose() {
    this.#clear();
    this.state = 'lost';
    for (const id of [...this.#requests.keys()]) this.#settle(id, { error: LOST });
    this.#emit('lost');
  }

  #clear() {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    clearTimeout(this.#ackTimer);
    clearTimeout(this.#retryTimer);
    this.#ackTimer = undefined;
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close();
  }

  #after(ms, act) {
    this.#timers.push(setTimeout(act, ms));
  }

  #every(ms, act) {
    this.#timers.push(setInterval(act, ms));
  }

  #setState(state, detail = {}) {
    this.state = state;
    this.#emit('state', { state, ...detail });
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

const LOST = { message: 'the connection was lost', retryable: true };
const TIMED_OUT = { message: 'no answer in time', retryable: true };

function disconnected() {
  return new RequestError(LOST);
}

/** What a code means for the connection it closed, where no GoAway said it. */
export function verdictOf(code) {
  if (RESUME_ANYWAY.has(code)) return VERDICT.RESUME;
  if (code >= 100 && code < 300) return VERDICT.NEVER;
  return (code >= 300 && code < 400) || code === 505 ? VERDICT.FRESH : VERDICT.RESUME;
}

function refusal(error) {
  const verdict = error.retryable ? VERDICT.RESUME : VERDICT.NEVER;
  return { verdict, code: error.code, reason: error.message, delay_ms: error.retry_after_ms };
}

/** Full jitter: anything between nothing and the doubled bound. */
export function backoff(attempt, random = Math.random) {
  return random() * Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** Math.min(attempt, 10));
}
