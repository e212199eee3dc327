// ConvNetJS, whose layers' forward and backward are written by hand: one example at a time, in float64.
// It has four activations and two losses; the last, of a class, is softmax and cross entropy in one. Its gradients
// add up over the examples; the mean divides them by m, as its trainers do. Its layers hold z and a, so that the
// derivatives that they leave in them are δ and ∂C/∂a.

import { createRequire } from 'node:module';
import { serve, Unsupported } from '../document.mjs';

const require = createRequire(import.meta.url);
const convnetjs = require('convnetjs');
const { version } = require('convnetjs/package.json');

const ACTIVATIONS = { identity: null, sigmoid: 'SigmoidLayer', tanh: 'TanhLayer', relu: 'ReluLayer' };

const row = ({ data, shape: [, n] }, i) => data.slice(i * n, (i + 1) * n);
const isOneHot = (y) => y.every((t) => t === 0 || t === 1) && y.reduce((sum, t) => sum + t) === 1;

// Which loss ends the network, and what it wants to know of an example's targets.
function ending({ layers, cost, tensors }) {
  const last = layers.at(-1).activation;
  const onClasses = () => {
    const rows = [...Array(tensors.y.shape[0]).keys()].map((i) => row(tensors.y, i));
    if (!rows.every(isOneHot)) throw new Unsupported('the softmax loss of ConvNetJS takes a class, not probabilities');
    return { loss: 'SoftmaxLayer', target: (y) => y.indexOf(1) };
  };
  if (cost.name === 'half_squared_error') return { loss: 'RegressionLayer', target: (y) => y };
  if (cost.name === 'cross_entropy' && last === 'softmax') return { ...onClasses(), swallows: 'a' };
  if (cost.name === 'softmax_cross_entropy' && last in ACTIVATIONS) return onClasses();
  throw new Unsupported(`ConvNetJS has no ${cost.name} of ${last}`);
}

function gradients(given) {
  const { layers, reduction, tensors } = given;
  if (given.precision !== 'float64') throw new Unsupported('ConvNetJS computes in float64');
  const { loss: Loss, target, swallows } = ending(given);
  layers.forEach(({ activation }, l) => {
    if (activation in ACTIVATIONS || (swallows && l === layers.length - 1)) return;
    throw new Unsupported(`ConvNetJS has no ${activation}`);
  });

  let width = given.inputs;
  const dense = layers.map(({ width: n, activation }, l) => {
    const linear = new convnetjs.FullyConnLayer({ num_neurons: n, in_sx: 1, in_sy: 1, in_depth: width });
    linear.filters.forEach((filter, i) => (filter.w = row(tensors[`W${l + 1}`], i)));
    linear.biases.w = tensors[`b${l + 1}`].data.slice();
    width = n;
    const name = ACTIVATIONS[activation];
    return { linear, sigma: name && new convnetjs[name]({ in_sx: 1, in_sy: 1, in_depth: n }) };
  });
  const loss = new convnetjs[Loss]({ in_sx: 1, in_sy: 1, in_depth: width });

  const m = tensors.x.shape[0];
  const share = reduction === 'mean' ? m : 1;
  const named = { cost: { dtype: 'F64', shape: [], data: [0] } };
  const put = (name, shape) => (named[name] ??= { dtype: 'F64', shape, data: [] }).data;
  for (let i = 0; i < m; i++) {
    let vol = new convnetjs.Vol([...row(tensors.x, i)]);
    for (const { linear, sigma } of dense) {
      vol = linear.forward(vol);
      vol = sigma ? sigma.forward(vol) : vol;
    }
    const output = loss.forward(vol);
    named.cost.data[0] += loss.backward(target(row(tensors.y, i)));
    for (const { linear, sigma } of dense.toReversed()) {
      sigma?.backward();
      linear.backward();
    }
    dense.forEach(({ linear, sigma }, l) => {
      const { w: z, dw } = linear.out_act;
      const shape = [m, layers[l].width];
      put(`z${l + 1}`, shape).push(...z);
      put(`delta${l + 1}`, shape).push(...dw.map((d) => d / share));
      const a = sigma ? sigma.out_act : l === dense.length - 1 && swallows ? output : linear.out_act;
      put(`a${l + 1}`, shape).push(...a.w);
    });
  }
  named.cost.data[0] /= share;
  dense.forEach(({ linear }, l) => {
    const { shape } = tensors[`W${l + 1}`];
    put(`dW${l + 1}`, shape).push(...linear.filters.flatMap(({ dw }) => [...dw].map((d) => d / share)));
    put(`db${l + 1}`, [shape[0]]).push(...linear.biases.dw.map((d) => d / share));
  });
  return named;
}

await serve({ name: 'convnetjs', version, language: 'JavaScript' }, gradients);
