//! A whole implementation in one file, with the standard library alone: it reads cases from standard input and writes
//! answers.
//!
//!     rustc -O --edition 2021 examples/minimal/backprop.rs
//!     gradparity verify 'exec:./backprop' --only sigmoid,half_squared_error
//!
//! It knows the sigmoid and the quadratic cost, and declines the rest. It computes in f64; what is kept is rounded to
//! the case's precision.

#![allow(non_snake_case)] // W, L and dW are what everybody calls them

use std::io::{self, Read, Write};

const DECLINED: &str = "sigmoid and half_squared_error only, in float64 and float32";
const AUTHOR: &str = r#"{\"name\":\"minimal\",\"version\":\"1\",\"language\":\"Rust\"}"#;

// ---------------------------------------------------------------------------------------------------- arrays

#[derive(Clone, Copy, PartialEq)]
enum Precision {
    F64,
    F32,
}

impl Precision {
    fn rounded(self, value: f64) -> f64 {
        if self == Precision::F32 { f64::from(value as f32) } else { value }
    }

    fn read(self, bytes: &[u8]) -> Vec<f64> {
        match self {
            Precision::F64 => bytes.chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
            Precision::F32 => bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect(),
        }
    }

    fn write(self, values: &[f64]) -> Vec<u8> {
        match self {
            Precision::F64 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Precision::F32 => values.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect(),
        }
    }
}

/// A row for each example (x, y, z, a, δ) or for each neuron (W, ∂C/∂W); a vector is one row.
#[derive(Clone)]
struct Array {
    rows: usize,
    columns: usize,
    values: Vec<f64>,
    precision: Precision,
}

impl Array {
    /// An array in the same precision, of what is computed for each of its places.
    fn make(&self, rows: usize, columns: usize, value: impl Fn(usize, usize) -> f64) -> Array {
        let places = (0..rows * columns).map(|place| (place / columns, place % columns));
        let values = places.map(|(i, j)| self.precision.rounded(value(i, j))).collect();
        Array { rows, columns, values, precision: self.precision }
    }

    fn at(&self, i: usize, j: usize) -> f64 {
        self.values[i * self.columns + j]
    }
}

fn sum(n: usize, term: impl Fn(usize) -> f64) -> f64 {
    (0..n).map(term).sum()
}

// --------------------------------------------------------------------------------------------- the equations

/// 1 / (1 + e^-z), without overflow.
fn sigmoid(z: f64) -> f64 {
    let fall = (-z.abs()).exp();
    (if z >= 0.0 { 1.0 } else { fall }) / (1.0 + fall)
}

/// The four equations, with σ′(z) = a (1 - a); gives each array's name, how many dimensions it has, and the array.
fn gradients(mean: bool, x: Array, y: Array, W: &[Array], b: &[Array]) -> Vec<(String, usize, Array)> {
    let (L, m) = (W.len(), x.rows);
    let share = if mean { m as f64 } else { 1.0 };
    let mut answer = Vec::new();

    let mut a = vec![x]; // a^0, a^1, ..., a^L, where W[0] is W^1
    for l in 1..=L {
        let (W, b, before) = (&W[l - 1], &b[l - 1], &a[l - 1]);
        let z = W.make(m, W.rows, |i, j| sum(W.columns, |k| before.at(i, k) * W.at(j, k)) + b.at(0, j));
        a.push(W.make(m, W.rows, |i, j| sigmoid(z.at(i, j))));
        answer.push((format!("z{l}"), 2, z));
        answer.push((format!("a{l}"), 2, a[l].clone()));
    }
    let off = |i: usize, j: usize| a[L].at(i, j) - y.at(i, j);
    let cost = sum(m, |i| sum(y.columns, |j| off(i, j).powi(2))) / 2.0 / share;
    answer.push(("cost".into(), 0, y.make(1, 1, |_, _| cost)));

    let mut above = y.clone(); // δ^(l+1)
    for l in (1..=L).rev() {
        let slope = |i: usize, j: usize| a[l].at(i, j) * (1.0 - a[l].at(i, j));
        let delta = if l == L {
            y.make(m, a[l].columns, |i, j| off(i, j) * slope(i, j) / share) // BP1
        } else {
            let W = &W[l]; // W^(l+1)
            y.make(m, a[l].columns, |i, j| sum(W.rows, |k| above.at(i, k) * W.at(k, j)) * slope(i, j)) // BP2
        };
        let before = &a[l - 1];
        let db = y.make(1, delta.columns, |_, j| sum(m, |i| delta.at(i, j))); // BP3
        let dW = y.make(delta.columns, before.columns, |j, k| sum(m, |i| delta.at(i, j) * before.at(i, k))); // BP4
        above = delta.clone();
        answer.extend([(format!("delta{l}"), 2, delta), (format!("db{l}"), 1, db), (format!("dW{l}"), 2, dW)]);
    }
    answer
}

// ----------------------------------------------------------------------------------------- just enough JSON

/// What follows each key of that name. Quotes within strings are escaped, so that a name between quotes and before a
/// colon is a key.
fn values_of<'a>(key: &str, text: &'a str) -> Vec<&'a str> {
    let quoted = format!("\"{key}\"");
    let behind = text.match_indices(&quoted).map(|(place, name)| text[place + name.len()..].trim_start());
    behind.filter_map(|rest| Some(rest.strip_prefix(':')?.trim_start())).collect()
}

fn value_of<'a>(key: &str, text: &'a str) -> &'a str {
    values_of(key, text).first().unwrap_or_else(|| panic!("the document has no {key}"))
}

/// What a string says, where only quotes are escaped in it.
fn string(value: &str) -> String {
    value[1..].replace("\\\"", "\0").split('"').next().unwrap_or("").replace('\0', "\"")
}

fn sizes(list: &str) -> Vec<usize> {
    let inside = list[1..].split(']').next().unwrap_or("");
    inside.split(',').map(|number| number.trim().parse().expect("a size")).collect()
}

// ---------------------------------------------------------------------------------------------- the document

/// The next n bytes, or fewer at the end of input.
fn take(n: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(n).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn array_of(name: &str, header: &str, body: &[u8], precision: Precision) -> Array {
    let entry = value_of(name, header);
    let (shape, place) = (sizes(value_of("shape", entry)), sizes(value_of("data_offsets", entry)));
    let (rows, columns) = if shape.len() == 2 { (shape[0], shape[1]) } else { (1, shape[0]) };
    Array { rows, columns, values: precision.read(&body[place[0]..place[1]]), precision }
}

/// Answer one case: its header and its body.
fn answer(header: &str, body: &[u8]) -> Vec<u8> {
    let network = string(value_of("architecture", header));
    let precision = match string(value_of("precision", &network)).as_str() {
        "float64" => Some(Precision::F64),
        "float32" => Some(Precision::F32),
        _ => None,
    };
    let layers = values_of("activation", &network);
    let known = string(value_of("name", value_of("cost", &network))) == "half_squared_error"
        && layers.iter().all(|activation| string(activation) == "sigmoid");

    let begin = r#"{"__metadata__":{"gradparity":"1""#;
    let author = format!(r#""id":"{}","implementation":"{AUTHOR}""#, string(value_of("id", header)));
    let (Some(precision), true) = (precision, known) else {
        let header = format!(r#"{begin},"kind":"unsupported",{author},"message":"{DECLINED}"}}}}"#);
        return [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    };
    let given = |name: &str| array_of(name, header, body, precision);
    let family = |name: &str| (1..=layers.len()).map(|l| given(&format!("{name}{l}"))).collect::<Vec<_>>();
    let mean = string(value_of("reduction", &network)) == "mean";

    let (mut header, mut body) = (format!(r#"{begin},"kind":"gradients",{author}}}"#), Vec::new());
    let dtype = if precision == Precision::F64 { "F64" } else { "F32" };
    for (name, dimensions, array) in gradients(mean, given("x"), given("y"), &family("W"), &family("b")) {
        let shape = &[array.rows, array.columns][2 - dimensions..];
        let first = body.len();
        body.extend(precision.write(&array.values));
        let place = [first, body.len()];
        header += &format!(r#","{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":{place:?}}}"#);
    }
    header.push('}');
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &body].concat()
}

fn main() -> io::Result<()> {
    loop {
        let Ok(length) = take(8)?.try_into() else { return Ok(()) }; // the end of input
        let header = String::from_utf8(take(u64::from_le_bytes(length))?).expect("UTF-8");
        let last = values_of("data_offsets", &header).iter().map(|place| sizes(place)[1]).max();
        let body = take(last.unwrap_or(0) as u64)?;
        io::stdout().write_all(&answer(&header, &body))?;
        io::stdout().flush()?;
    }
}
