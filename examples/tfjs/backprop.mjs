// TensorFlow.js, differentiated by tf.grads, on its backend in plain JavaScript, which has float32 only.
// What it has no function of is composed of its operations, as its users do; costs are sums, divided by m.

import { serve, Unsupported } from '../document.mjs';

console.log = console.warn = console.info = console.error; // standard output is for documents
const tf = await import('@tensorflow/tfjs');
await tf.setBackend('cpu');

// A comparison on the tape would have to have a derivative, and has none: this one is beside it.
const isPositive = (z) => tf.tensor(z.dataSync().map((v) => v > 0), z.shape, 'bool');
const where = (z, above, below) => tf.where(isPositive(z), above, below);
const ramp = (z) => tf.minimum(tf.maximum(tf.add(z, 3), 0), 6);
const gelu_tanh = (z) => {
  const inner = tf.mul(Math.sqrt(2 / Math.PI), tf.add(z, tf.mul(0.044715, tf.mul(z, tf.mul(z, z)))));
  return tf.mul(tf.mul(0.5, z), tf.add(1, tf.tanh(inner)));
};
const ACTIVATIONS = {
  identity: (z) => z,
  sigmoid: tf.sigmoid,
  tanh: tf.tanh,
  relu: tf.relu,
  relu6: tf.relu6,
  leaky_relu: tf.leakyRelu,
  elu: (z, alpha) => (alpha === 1 ? tf.elu(z) : where(z, z, tf.mul(alpha, tf.elu(z)))),
  celu: (z, alpha) => where(z, z, tf.mul(alpha, tf.elu(tf.div(z, alpha)))),
  selu: tf.selu,
  gelu: (z) => tf.mul(tf.mul(0.5, z), tf.add(1, tf.erf(tf.mul(z, Math.SQRT1_2)))),
  gelu_tanh,
  silu: (z) => tf.mul(z, tf.sigmoid(z)),
  mish: (z) => tf.mul(z, tf.tanh(tf.softplus(z))),
  softplus: tf.softplus,
  softsign: (z) => tf.div(z, tf.add(1, tf.abs(z))),
  hardtanh: (z) => tf.clipByValue(z, -1, 1),
  hardsigmoid: (z) => tf.div(ramp(z), 6),
  hardswish: (z) => tf.div(tf.mul(z, ramp(z)), 6),
  log_sigmoid: tf.logSigmoid,
  softmax: (z) => tf.softmax(z),
  log_softmax: (z) => tf.logSoftmax(z),
};

const { SUM } = tf.Reduction;
const plogq = (y, q) => tf.mul(y, tf.log(tf.where(tf.equal(y, 0), tf.onesLike(q), q)));
const squared = (r) => tf.square(r);
const COSTS = {
  half_squared_error: (a, y) => tf.mul(0.5, tf.losses.meanSquaredError(y, a, undefined, SUM)),
  squared_error: (a, y) => tf.losses.meanSquaredError(y, a, undefined, SUM),
  absolute_error: (a, y) => tf.losses.absoluteDifference(y, a, undefined, SUM),
  huber: (a, y, delta) => tf.losses.huberLoss(y, a, undefined, delta, SUM),
  log_cosh: (a, y) => {
    const r = tf.sub(a, y);
    return tf.sum(tf.sub(tf.add(r, tf.softplus(tf.mul(-2, r))), Math.LN2));
  },
  // Its labels are 0 and 1.
  hinge: (a, y) => tf.losses.hingeLoss(tf.div(tf.add(y, 1), 2), a, undefined, SUM),
  squared_hinge: (a, y) => tf.sum(squared(tf.relu(tf.sub(1, tf.mul(y, a))))),
  // With its epsilon of 1e-7, as everybody calls it.
  binary_cross_entropy: (a, y) => tf.losses.logLoss(y, a, undefined, undefined, SUM),
  binary_cross_entropy_with_logits: (a, y) => tf.losses.sigmoidCrossEntropy(y, a, undefined, 0, SUM),
  cross_entropy: (a, y) => tf.neg(tf.sum(plogq(y, a))),
  softmax_cross_entropy: (a, y) => tf.losses.softmaxCrossEntropy(y, a, undefined, 0, SUM),
  negative_log_likelihood: (a, y) => tf.neg(tf.sum(tf.mul(y, a))),
  kl_divergence: (a, y) => tf.sum(tf.sub(plogq(y, y), tf.mul(y, a))),
  poisson: (a, y) => tf.sum(tf.sub(tf.exp(a), tf.mul(y, a))),
};

function gradients(given) {
  if (given.precision !== 'float32') throw new Unsupported('TensorFlow.js computes in float32 only');
  const { layers, cost, reduction } = given;
  for (const { activation } of layers) {
    if (!ACTIVATIONS[activation]) throw new Unsupported(`TensorFlow.js is not asked about ${activation} here`);
  }
  if (!COSTS[cost.name]) throw new Unsupported(`TensorFlow.js is not asked about ${cost.name} here`);
  const L = layers.length;
  const tensor = ({ data, shape }) => tf.tensor(data, shape, 'float32');
  const x = tensor(given.tensors.x);
  const y = tensor(given.tensors.y);
  const m = x.shape[0];
  const z = [];
  const a = [];

  // Δz is zero and is added to z, so that the derivative by it is δ.
  function network(...variables) {
    let last = x;
    layers.forEach(({ activation, alpha }, l) => {
      z[l] = tf.add(tf.add(tf.matMul(last, variables[l], false, true), variables[L + l]), variables[2 * L + l]);
      last = a[l] = ACTIVATIONS[activation](z[l], alpha);
    });
    const total = COSTS[cost.name](last, y, cost.delta);
    return reduction === 'mean' ? tf.div(total, m) : total;
  }

  return tf.tidy(() => {
    const family = (name) => layers.map((_, l) => tensor(given.tensors[`${name}${l + 1}`]));
    const variables = [...family('W'), ...family('b'), ...layers.map(({ width }) => tf.zeros([m, width]))];
    const { value, grads } = tf.valueAndGrads(network)(variables);
    const [dW, db, delta] = [0, 1, 2].map((k) => grads.slice(k * L, (k + 1) * L));
    const named = { cost: value };
    for (const [name, tensors] of Object.entries({ dW, db, delta })) {
      tensors.forEach((one, l) => (named[`${name}${l + 1}`] = one));
    }
    network(...variables); // what is made while differentiating does not outlive it
    z.forEach((one, l) => ((named[`z${l + 1}`] = one), (named[`a${l + 1}`] = a[l])));
    const answer = ([name, { shape }]) => [name, { dtype: 'F32', shape, data: named[name].dataSync() }];
    return Object.fromEntries(Object.entries(named).map(answer));
  });
}

const author = { name: 'tfjs', version: tf.version.tfjs, language: 'JavaScript' };
await serve(author, (given) => tf.tidy(() => gradients(given)));
