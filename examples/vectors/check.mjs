// Judge a program by gradparity's test vectors, without gradparity and without Python:
//
//     node check.mjs DIR COMMAND...        DIR as `gradparity vectors DIR` writes it
//
// The command is started once, gets every case on standard input in the order of the index, then all of them again,
// and answers on standard output. Exit status: 0 all right; 1 some are wrong; 2 usage; 3 none was answered.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

const SECONDS = 60; // without an answer, after which a program is taken to hang
const DTYPES = { float64: 'F64', float32: 'F32', bfloat16: 'BF16', float16: 'F16' };
const NUMBERS = {
  F64: [8, (bytes, at) => bytes.readDoubleLE(at)],
  F32: [4, (bytes, at) => bytes.readFloatLE(at)],
  BF16: [2, (bytes, at) => new Float32Array(Uint32Array.of(bytes.readUInt16LE(at) << 16).buffer)[0]],
  F16: [2, (bytes, at) => half(bytes.readUInt16LE(at))],
};

function half(bits) {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
  return (bits >> 15 ? -1 : 1) * (exponent < 31 ? size : fraction ? NaN : Infinity);
}

// Take the document at the front of a buffer apart; undefined as long as it is not whole.
function document(buffer) {
  const begin = buffer.length < 8 ? Infinity : 8 + Number(buffer.readBigUInt64LE());
  if (begin > 2 ** 24 && begin < Infinity) throw new Error(`it begins with ${buffer.subarray(0, 40)}`);
  if (buffer.length < begin) return undefined;
  const { __metadata__: about, ...arrays } = JSON.parse(buffer.subarray(8, begin));
  const end = begin + Math.max(0, ...Object.values(arrays).map((array) => array.data_offsets[1]));
  if (buffer.length < end) return undefined;
  for (const array of Object.values(arrays)) {
    const [width, number] = NUMBERS[array.dtype];
    const [first, last] = array.data_offsets.map((offset) => begin + offset);
    array.values = Array.from({ length: (last - first) / width }, (_, i) => number(buffer, first + i * width));
  }
  return { about, arrays, rest: buffer.subarray(end) };
}

function open({ file, sha256 }) {
  const blob = readFileSync(`${folder}/${file}`);
  if (createHash('sha256').update(blob).digest('hex') !== sha256) throw new Error(`${file} is not what the index says`);
  return blob;
}

function load() {
  try {
    const { vectors, flags } = JSON.parse(readFileSync(`${folder}/index.json`));
    const expected = new Map(vectors.map((vector) => [vector.id, document(open(vector.expected)).arrays]));
    return { vectors, flags, cases: vectors.map((vector) => open(vector.case)), expected };
  } catch (error) {
    return process.exit(console.error(error.message) ?? 2);
  }
}

// Say what is wrong with an answer; '' if nothing is.
function fault(vector, expected, { about, arrays }) {
  if (about.id !== vector.id) return `this is the answer to ${about.id}`;
  if (about.kind !== 'gradients') return `${about.kind}: ${about.message}`;
  for (const name in arrays) if (!(name in vector.arrays)) return `${name} was not asked for`;
  for (const [name, shape] of Object.entries(vector.arrays)) {
    if (!(name in arrays) && !/^d[bW]/.test(name)) continue;
    const { values, dtype, shape: own } = arrays[name] ?? { shape: 'none' };
    if (`${own}` !== `${shape}`) return `${name} has shape ${own}, but should have ${shape}`;
    if (dtype !== DTYPES[vector.precision]) return `${name} is ${dtype}, and not ${vector.precision}`;
    const [exact, low, high] = ['', '.low', '.high'].map((end) => expected[name + end].values);
    const known = (i) => low[i] > -Infinity || high[i] < Infinity;
    const i = values.findIndex((value, i) => known(i) && !(low[i] <= value && value <= high[i]));
    if (i < 0) continue;
    const interval = `${low[i]} and ${high[i]}`;
    return `${name}[${place(i, shape)}] is ${values[i]}, not within ${interval}; exactly it is ${exact[i]}`;
  }
  return '';
}

const place = (i, shape) => shape.reduceRight(([left, at], n) => [Math.floor(left / n), [left % n, ...at]], [i, []])[1];

const [folder, command, ...words] = process.argv.slice(2);
if (!command) process.exit(console.error('usage: node check.mjs DIR COMMAND...') ?? 2);
const { vectors, flags, cases, expected } = load();
const [right, declined, wrong] = [new Set(), new Map(), new Set()];

function judge(vector, answer, again) {
  if (answer.about.kind === 'unsupported') return declined.set(vector.id, answer.about.message);
  const what = fault(vector, expected.get(vector.id), answer);
  return what ? fail(vector, again ? `asked again, ${what}` : what) : right.add(vector.id);
}

function fail(vector, what) {
  if (wrong.has(vector.id)) return;
  wrong.add(vector.id);
  console.log(`${vector.id}  ${vector.summary}\n  ${what}\n  ${vector.flags.join(', ')}`);
}

const asked = [...vectors, ...vectors];
const program = spawn(command, words, { stdio: ['pipe', 'pipe', 'inherit'] });
const patience = setTimeout(() => program.kill('SIGKILL'), SECONDS * 1000);
program.on('error', (error) => process.exit(console.error(`${command}: ${error.message}`) ?? 2));
program.stdin.on('error', () => {}); // nobody reads any more, as a missing answer will tell
program.stdin.end(Buffer.concat([...cases, ...cases]));

let [buffer, next] = [Buffer.alloc(0), 0];
try {
  for await (const chunk of program.stdout) {
    buffer = Buffer.concat([buffer, chunk]);
    for (let found; next < asked.length && (found = document(buffer)); buffer = found.rest) {
      judge(asked[next], found, next >= vectors.length);
      next += 1;
    }
    patience.refresh();
  }
  if (next < asked.length) fail(asked[next], `no answer: the program ended, or was silent for ${SECONDS} seconds`);
} catch (error) {
  fail(asked[next], `no document: ${error.message}`);
  program.kill('SIGKILL');
}
clearTimeout(patience);

const unasked = vectors.filter(({ id }) => ![right, declined, wrong].some((some) => some.has(id))).length;
const all = [...right].filter((id) => !wrong.has(id)).length;
const counts = `${all} right, ${wrong.size} wrong, ${declined.size} declined, ${unasked} not asked`;
console.log(`${vectors.length} vectors: ${counts}`);
for (const message of new Set(declined.values())) console.log(`declined: ${message}`);

// What the wrong ones have in common, first what the right ones have not.
const those = Object.entries(flags).map(([name, flag]) => {
  const own = vectors.filter((vector) => vector.flags.includes(name) && (wrong.has(vector.id) || right.has(vector.id)));
  return { name, ...flag, own: own.length, bad: own.filter(({ id }) => wrong.has(id)).length };
});
for (const flag of those.filter(({ bad }) => bad).sort((one, other) => other.bad / other.own - one.bad / one.own)) {
  const { name, bad, own, why, catches, source } = flag;
  console.log(`${name}, ${bad} of ${own} wrong: ${why}. It catches ${catches}${source ? ` (${source})` : ''}.`);
}
process.exitCode = wrong.size ? 1 : all ? 0 : 3;
