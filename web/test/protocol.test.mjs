// Holds the codec against the golden bytes of protocol/fixtures. Run: node --test web/test/
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { FLAG_BATCH, FrameStream, decodeFrames, encodeFrame } from '../page/protocol.js';
import { SCHEMA } from '../page/schema.js';

const fixtures = (file) =>
  JSON.parse(readFileSync(new URL(`../../protocol/fixtures/${file}`, import.meta.url), 'utf8'));
const KINDS = { client: 'ClientFrame', server: 'ServerFrame' };
const hex = (bytes) => Buffer.from(bytes).toString('hex');
const bytes = (text) => new Uint8Array(Buffer.from(text, 'hex'));

// A decoded message as the fixtures write it: defaults left out, 64-bit numbers as strings, bytes as hex.
function toJson(value) {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Uint8Array) return hex(value);
  if (Array.isArray(value)) return value.map(toJson);
  if (typeof value !== 'object') return value;
  const set = Object.entries(value).filter(([, v]) => v && v.length !== 0);
  return Object.fromEntries(set.map(([k, v]) => [k, toJson(v)]));
}

function fromJson(kind, json) {
  const message = {};
  for (const { name, type, repeated } of SCHEMA[kind].fields) {
    if (!(name in json)) continue;
    const one = (v) => {
      if (['u64', 'i64', 'fixed64'].includes(type)) return BigInt(v);
      if (type === 'bytes') return bytes(v);
      return SCHEMA[type] ? fromJson(type, v) : v;
    };
    message[name] = repeated ? json[name].map(one) : one(json[name]);
  }
  return message;
}

for (const file of ['client_frames.json', 'server_frames.json']) {
  const cases = fixtures(file);
  assert.ok(cases.length > 20);
  for (const fixture of cases) {
    const kind = KINDS[fixture.direction];
    test(`${file} ${fixture.name} decodes`, () => {
      const messages = decodeFrames(kind, bytes(fixture.frame_hex));
      assert.deepEqual(messages.map(toJson), fixture.messages);
    });
    test(`${file} ${fixture.name} encodes`, () => {
      const messages = fixture.messages.map((m) => fromJson(kind, m));
      const frame = encodeFrame(kind, fixture.flags & FLAG_BATCH ? messages : messages[0]);
      assert.equal(hex(frame) === fixture.frame_hex, fixture.canonical);
      assert.deepEqual(decodeFrames(kind, frame).map(toJson), fixture.messages);
    });
  }
}

for (const fixture of fixtures('refused.json')) {
  test(`refused ${fixture.name}`, () => {
    const decode = () => decodeFrames(KINDS[fixture.direction], bytes(fixture.bytes_hex), fixture.max_frame_bytes);
    assert.throws(decode, { message: fixture.error });
  });
}

test('several frames in one message come out in order', () => {
  const frames = [1n, 2n, 3n].map((re) => encodeFrame('ServerFrame', { re, pong: {} }));
  const joined = new Uint8Array(frames.flatMap((f) => [...f]));
  assert.deepEqual(decodeFrames('ServerFrame', joined).map((f) => f.re), [1n, 2n, 3n]);
});

test('a stream may be cut at every byte', () => {
  const frames = [1n, 2n, 3n].map((re) => encodeFrame('ServerFrame', { re, error: { message: 'no' } }));
  const joined = new Uint8Array(frames.flatMap((f) => [...f]));
  for (let cut = 0; cut <= joined.length; cut++) {
    const stream = new FrameStream('ServerFrame');
    const messages = [...stream.push(joined.subarray(0, cut)), ...stream.push(joined.subarray(cut))];
    assert.deepEqual(messages.map((m) => m.re), [1n, 2n, 3n]);
  }
});

test('a view into a larger buffer decodes', () => {
  const frame = encodeFrame('ServerFrame', { welcome: { device_id: 5n } });
  const room = new Uint8Array(frame.length + 7);
  room.set(frame, 7);
  assert.equal(decodeFrames('ServerFrame', room.subarray(7))[0].welcome.device_id, 5n);
});
