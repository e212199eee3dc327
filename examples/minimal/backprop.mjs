// A whole implementation in one file, without any package: it reads cases from standard input and writes answers.
//
//     gradparity verify 'exec:node examples/minimal/backprop.mjs' --only sigmoid,half_squared_error
//
// It knows the sigmoid and the quadratic cost, and declines the rest. JavaScript computes in float64; what is kept,
// in an array of the case's precision, is rounded to that.

import { readSync, writeSync } from 'node:fs';

const ARRAYS = { F64: Float64Array, F32: Float32Array };
const DECLINED = 'sigmoid and half_squared_error only, in float64 and float32';
const AUTHOR = '{"name":"minimal","version":"1","language":"JavaScript"}';

// ---------------------------------------------------------------------------------------------- the document

// The next n bytes, or null at the end of input.
function take(n) {
  const bytes = Buffer.alloc(n);
  for (let have = 0; have < n; ) {
    const more = readSync(0, bytes, have, n - have, null);
    if (more === 0) return null;
    have += more;
  }
  return bytes;
}

// One document: its metadata, and its arrays by name, or null where JavaScript has none of their type.
function read() {
  const begin = take(8);
  if (begin === null) return null;
  const { __metadata__: metadata, ...entries } = JSON.parse(take(Number(begin.readBigUInt64LE())));
  const body = take(Math.max(...Object.values(entries).map(({ data_offsets: [, end] }) => end)));
  const given = {};
  for (const [name, { dtype, shape, data_offsets: [first, end] }] of Object.entries(entries)) {
    if (!(dtype in ARRAYS)) return { metadata, given: null }; // bfloat16 and float16
    const copy = new Uint8Array(body.subarray(first, end)); // its own memory, aligned
    given[name] = { dtype, shape, data: new ARRAYS[dtype](copy.buffer) };
  }
  return { metadata, given };
}

function write(kind, id, arrays, more = {}) {
  const header = { __metadata__: { gradparity: '1', kind, id, implementation: AUTHOR, ...more } };
  const body = [];
  let offset = 0;
  for (const [name, { dtype, shape, data }] of Object.entries(arrays)) {
    header[name] = { dtype, shape, data_offsets: [offset, (offset += data.byteLength)] };
    body.push(Buffer.from(data.buffer));
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  let rest = Buffer.concat([length, text, ...body]);
  while (rest.length) rest = rest.subarray(writeSync(1, rest));
}

// --------------------------------------------------------------------------------------------- the equations

// 1 / (1 + e^-z), without overflow.
function sigmoid(z) {
  const fall = Math.exp(-Math.abs(z));
  return (z >= 0 ? 1 : fall) / (1 + fall);
}

function sum(n, term) {
  let total = 0;
  for (let k = 0; k < n; k++) total += term(k);
  return total;
}

// Every array has a row for each example (x, y, z, a, δ) or for each neuron (W, ∂C/∂W); at(i, j) reads it.
const at = ({ shape, data }, i, j) => data[i * shape[1] + j];

// The four equations, with σ′(z) = a (1 - a).
function gradients({ layers, reduction }, { x, y, ...given }) {
  const L = layers.length;
  const m = x.shape[0];
  const share = reduction === 'mean' ? m : 1;
  const answer = {};
  const make = (name, shape, value) => {
    const [rows, columns] = shape.length === 2 ? shape : [1, shape.length ? shape[0] : 1];
    const data = new ARRAYS[x.dtype](rows * columns);
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) data[i * columns + j] = value(i, j);
    return (answer[name] = { dtype: x.dtype, shape, data });
  };

  const a = [x];
  for (let l = 1; l <= L; l++) {
    const [W, b] = [given[`W${l}`], given[`b${l}`]];
    const [n, before] = W.shape;
    const z = make(`z${l}`, [m, n], (i, j) => sum(before, (k) => at(a[l - 1], i, k) * at(W, j, k)) + b.data[j]);
    a[l] = make(`a${l}`, [m, n], (i, j) => sigmoid(at(z, i, j)));
  }
  const off = (i, j) => at(a[L], i, j) - at(y, i, j);
  make('cost', [], () => sum(m, (i) => sum(y.shape[1], (j) => off(i, j) ** 2)) / 2 / share);

  for (let l = L, above; l >= 1; l--) {
    const [n, before] = given[`W${l}`].shape;
    const slope = (i, j) => at(a[l], i, j) * (1 - at(a[l], i, j));
    const W = given[`W${l + 1}`];
    const back = (i, j) => sum(W.shape[0], (k) => at(above, i, k) * at(W, k, j));
    const delta = l === L
      ? make(`delta${l}`, [m, n], (i, j) => off(i, j) * slope(i, j) / share) // BP1
      : make(`delta${l}`, [m, n], (i, j) => back(i, j) * slope(i, j)); // BP2
    make(`db${l}`, [n], (_, j) => sum(m, (i) => at(delta, i, j))); // BP3
    make(`dW${l}`, [n, before], (j, k) => sum(m, (i) => at(delta, i, j) * at(a[l - 1], i, k))); // BP4
    above = delta;
  }
  return answer;
}

for (let document; (document = read()) !== null; ) {
  const { metadata: { id, architecture }, given } = document;
  const network = JSON.parse(architecture);
  const known = network.cost.name === 'half_squared_error' && network.layers.every((l) => l.activation === 'sigmoid');
  if (given && known) write('gradients', id, gradients(network, given));
  else write('unsupported', id, {}, { message: DECLINED });
}
