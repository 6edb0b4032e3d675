// Frames and messages of the device protocol as bytes. 64-bit numbers are BigInt, bytes are Uint8Array.
//
// A decoded message has every scalar and every list (at its default where the bytes say nothing); an embedded
// message that is absent is missing. Encoding accepts messages with fields left out.

import { SCHEMA } from './schema.js';

/** Most bytes a frame may hold after its length field. */
export const MAX_FRAME_BYTES = 64 * 1024;
/** The body is a sequence of length-delimited messages. */
export const FLAG_BATCH = 2;
const HEADER_BYTES = 5;

/** Bytes that are not a frame or not a message. `code` is the number of the protocol's catalogue. */
export class FrameError extends Error {
  constructor(name, code) {
    super(name);
    this.code = code;
  }
}

const malformed = () => new FrameError('MALFORMED', 100);

/** One whole frame around a message of this kind, or around an array of them as a batch. */
export function encodeFrame(kind, message) {
  const batch = Array.isArray(message);
  const body = batch ? message.flatMap((each) => delimited(encode(kind, each))) : encode(kind, message);
  const frame = new Uint8Array(HEADER_BYTES + body.length);
  new DataView(frame.buffer).setUint32(0, body.length + 1);
  frame[4] = batch ? FLAG_BATCH : 0;
  frame.set(body, HEADER_BYTES);
  return frame;
}

/** The messages in bytes that hold whole frames, in order. */
export function decodeFrames(kind, bytes, limit = MAX_FRAME_BYTES) {
  const messages = [];
  for (let at = 0; at < bytes.length; ) {
    const length = frameLength(bytes, at, limit);
    const body = bytes.subarray(at + HEADER_BYTES, at + 4 + length);
    messages.push(...decodeBody(kind, bytes[at + 4], body));
    at += 4 + length;
  }
  return messages;
}

/** Messages out of a stream whose pieces may end anywhere. */
export class FrameStream {
  #rest = new Uint8Array();

  constructor(kind, limit = MAX_FRAME_BYTES) {
    this.kind = kind;
    this.limit = limit;
  }

  /** The messages that these bytes complete. */
  push(bytes) {
    const input = new Uint8Array(this.#rest.length + bytes.length);
    input.set(this.#rest);
    input.set(bytes, this.#rest.length);
    let at = 0;
    while (input.length - at >= 4 && input.length - at >= 4 + announced(input, at, this.limit)) {
      at += 4 + announced(input, at, this.limit);
    }
    this.#rest = input.slice(at);
    return decodeFrames(this.kind, input.subarray(0, at), this.limit);
  }
}

/** A message as an array of byte values. */
export function encode(kind, message) {
  const out = [];
  for (const field of SCHEMA[kind].fields) {
    const value = message[field.name];
    if (value === undefined || value === null) continue;
    for (const one of field.repeated ? value : [value]) putField(out, field, one);
  }
  return out;
}

/** The message in these bytes. */
export function decode(kind, bytes) {
  return merge(kind, empty(kind), new Reader(bytes));
}

function frameLength(bytes, at, limit) {
  if (bytes.length - at < 4) throw new FrameError('TRUNCATED', 110);
  const length = announced(bytes, at, limit);
  if (bytes.length - at < 4 + length) throw new FrameError('TRUNCATED', 110);
  return length;
}

function announced(bytes, at, limit) {
  const length = new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(0);
  if (length === 0) throw new FrameError('FRAME_EMPTY', 101);
  if (length > limit) throw new FrameError('FRAME_TOO_LARGE', 102);
  return length;
}

function decodeBody(kind, flags, body) {
  if (flags & ~FLAG_BATCH) throw new FrameError('UNSUPPORTED_FLAG', 108);
  if (!(flags & FLAG_BATCH)) return [decode(kind, body)];
  const messages = [];
  const reader = new Reader(body);
  while (!reader.done()) messages.push(decode(kind, reader.bytes()));
  return messages;
}

// ---- fields ---------------------------------------------------------------------------------------------

const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const START_GROUP = 3;
const END_GROUP = 4;
const FIXED32 = 5;
const MAX_DEPTH = 100;

const utf8 = new TextEncoder();
const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const SCALARS = {
  u32: { wire: VARINT, zero: 0, put: (out, v) => putVarint(out, BigInt(v)), get: (r) => Number(BigInt.asUintN(32, r.varint())) },
  enum: { wire: VARINT, zero: 0, put: (out, v) => putVarint(out, BigInt(v)), get: (r) => Number(BigInt.asIntN(32, r.varint())) },
  u64: { wire: VARINT, zero: 0n, put: (out, v) => putVarint(out, BigInt(v)), get: (r) => r.varint() },
  i64: { wire: VARINT, zero: 0n, put: (out, v) => putVarint(out, BigInt(v)), get: (r) => BigInt.asIntN(64, r.varint()) },
  bool: { wire: VARINT, zero: false, put: (out, v) => out.push(v ? 1 : 0), get: (r) => r.varint() !== 0n },
  fixed64: { wire: FIXED64, zero: 0n, put: putFixed64, get: (r) => r.fixed64() },
  string: { wire: DELIMITED, zero: '', put: (out, v) => putBytes(out, utf8.encode(v)), get: (r) => readText(r.bytes()) },
  bytes: { wire: DELIMITED, zero: new Uint8Array(), put: putBytes, get: (r) => r.bytes().slice() },
};

function empty(kind) {
  const message = {};
  for (const { name, type, repeated } of SCHEMA[kind].fields) {
    if (repeated) message[name] = [];
    else if (SCALARS[type]) message[name] = SCALARS[type].zero;
  }
  return message;
}

function putField(out, field, value) {
  const scalar = SCALARS[field.type];
  if (scalar && !field.repeated && isZero(value)) return;
  putVarint(out, BigInt((field.number << 3) | (scalar ? scalar.wire : DELIMITED)));
  if (scalar) scalar.put(out, value);
  else putBytes(out, encode(field.type, value));
}

function isZero(value) {
  return !value || value.length === 0;
}

function merge(kind, message, reader, depth = 0) {
  if (depth > MAX_DEPTH) throw malformed();
  const { byNumber, choices } = SCHEMA[kind];
  while (!reader.done()) {
    const [number, wire] = reader.key();
    const field = byNumber.get(number);
    if (!field) reader.skip(number, wire, depth);
    else getField(message, field, wire, reader, choices, depth);
  }
  return message;
}

function getField(message, { name, type, repeated, choice }, wire, reader, choices, depth) {
  const scalar = SCALARS[type];
  if (wire !== (scalar ? scalar.wire : DELIMITED)) throw malformed();
  // The last member of a oneof counts; a repeated occurrence of the same one is merged into it.
  if (choice) for (const other of choices) if (other !== name) delete message[other];
  const base = repeated ? undefined : message[name];
  const value = scalar ? scalar.get(reader) : merge(type, base ?? empty(type), new Reader(reader.bytes()), depth + 1);
  if (repeated) message[name].push(value);
  else message[name] = value;
}

function putVarint(out, value) {
  let rest = BigInt.asUintN(64, value);
  while (rest > 127n) {
    out.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  out.push(Number(rest));
}

function putFixed64(out, value) {
  for (let shift = 0n; shift < 64n; shift += 8n) out.push(Number((value >> shift) & 255n));
}

function putBytes(out, bytes) {
  putVarint(out, BigInt(bytes.length));
  for (const byte of bytes) out.push(byte);
}

function delimited(bytes) {
  const out = [];
  putBytes(out, bytes);
  return out;
}

function readText(bytes) {
  try {
    return text.decode(bytes);
  } catch {
    throw malformed();
  }
}

class Reader {
  constructor(bytes) {
    this.input = bytes;
    this.at = 0;
  }

  done() {
    return this.at >= this.input.length;
  }

  key() {
    const key = this.varint();
    const number = Number(key >> 3n);
    const wire = Number(key & 7n);
    if (key > 0xffffffffn || number === 0 || wire > FIXED32) throw malformed();
    return [number, wire];
  }

  varint() {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.input[this.at++];
      // The tenth byte has room for one bit of the 64.
      if (byte === undefined || (shift === 63n && byte > 1)) throw malformed();
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw malformed();
  }

  bytes() {
    const length = this.varint();
    return this.take(length > BigInt(this.input.length) ? Infinity : Number(length));
  }

  fixed64() {
    const bytes = this.take(8);
    return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  }

  take(length) {
    if (length > this.input.length - this.at) throw malformed();
    const bytes = this.input.subarray(this.at, this.at + length);
    this.at += length;
    return bytes;
  }

  skip(number, wire, depth) {
    if (wire === VARINT) this.varint();
    else if (wire === FIXED64) this.take(8);
    else if (wire === DELIMITED) this.bytes();
    else if (wire === FIXED32) this.take(4);
    else if (wire === START_GROUP && depth < MAX_DEPTH) this.skipGroup(number, depth + 1);
    else throw malformed();
  }

  skipGroup(group, depth) {
    for (;;) {
      const [number, wire] = this.key();
      if (wire === END_GROUP && number === group) return;
      this.skip(number, wire, depth);
    }
  }
}
