// The document in JavaScript, whole: cases from standard input, answers to standard output, until end of file.
// 8 bytes of header length, a JSON header, and the arrays as they lie in a little-endian machine's memory.

const ARRAYS = { F64: Float64Array, F32: Float32Array };
const BYTES = { F64: 8, F32: 4 };

export class Unsupported extends Error {}

function* arrays(header, body) {
  const { __metadata__, ...entries } = header;
  for (const [name, { dtype, shape, data_offsets: [begin, end] }] of Object.entries(entries)) {
    if (!(dtype in ARRAYS)) throw new Unsupported(`JavaScript has no arrays of ${dtype}`);
    const copy = new Uint8Array(body.subarray(begin, end)); // its own memory, aligned
    yield [name, { dtype, shape, data: new ARRAYS[dtype](copy.buffer) }];
  }
}

function read(blob, length) {
  const header = JSON.parse(blob.subarray(8, 8 + length).toString());
  const { id, architecture } = header.__metadata__;
  return { id, ...JSON.parse(architecture), tensors: () => Object.fromEntries(arrays(header, blob.subarray(8 + length))) };
}

function write(kind, id, author, tensors = {}, more = {}) {
  const header = { __metadata__: { gradparity: '1', kind, id, implementation: JSON.stringify(author), ...more } };
  const parts = [];
  let offset = 0;
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    const bytes = Buffer.from(ARRAYS[dtype].from(data).buffer);
    header[name] = { dtype, shape, data_offsets: [offset, (offset += bytes.length)] };
    parts.push(bytes);
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  process.stdout.write(Buffer.concat([length, json, ...parts]));
}

// How many bytes the document at the front of a buffer has, or Infinity as long as that cannot be told.
function size(buffer) {
  if (buffer.length < 8) return Infinity;
  const length = Number(buffer.readBigUInt64LE());
  if (buffer.length < 8 + length) return Infinity;
  const { __metadata__, ...entries } = JSON.parse(buffer.subarray(8, 8 + length).toString());
  return 8 + length + Math.max(0, ...Object.values(entries).map(({ data_offsets: [, end] }) => end));
}

// Answer every case with gradients(case), which gives tensors by name and throws Unsupported where it declines.
export async function serve(author, gradients) {
  let buffer = Buffer.alloc(0);
  for await (const chunk of process.stdin) {
    buffer = Buffer.concat([buffer, chunk]);
    for (let n = size(buffer); n <= buffer.length; n = size(buffer)) {
      const given = read(buffer.subarray(0, n), Number(buffer.readBigUInt64LE()));
      buffer = buffer.subarray(n);
      try {
        write('gradients', given.id, author, gradients({ ...given, tensors: given.tensors() }));
      } catch (error) {
        if (!(error instanceof Unsupported)) console.error(error);
        const kind = error instanceof Unsupported ? 'unsupported' : 'error';
        write(kind, given.id, author, {}, { message: error.message });
      }
    }
  }
}
