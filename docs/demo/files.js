"use strict";
// What the other scripts share: packed files, sessions of ONNX Runtime, random numbers, colours of the theme.

const demo = { packed: {} };

/** Called by runtime.js, writer.js and forecaster.js, which docs/demo.py writes. */
demo.put = (name, about, packed) => {
  demo.packed[name] = { about, packed };
};

/** The bytes of a packed file, which is then dropped. */
demo.bytes = async (name) => {
  const packed = Uint8Array.from(atob(demo.packed[name].packed), (c) => c.charCodeAt(0));
  delete demo.packed[name].packed;
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};

/** A session for a packed model, on one thread: several need headers that a plain server does not send. */
demo.session = async (name) => {
  if (!(name in demo.packed && "wasm" in demo.packed)) {
    throw new Error(`the scripts that docs/demo.py writes are not beside this page: make demo writes them`);
  }
  const glue = new Blob([await demo.bytes("glue")], { type: "text/javascript" });
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = (await demo.bytes("wasm")).buffer;
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(glue) };
  return ort.InferenceSession.create(await demo.bytes(name), { executionProviders: ["wasm"] });
};

/** The carry before the first step, {name: tensor}. */
demo.start = (about) => {
  const tensor = ({ dims, data }) => new ort.Tensor("float32", Float32Array.from(data), dims);
  return Object.fromEntries(Object.entries(about.start).map(([name, value]) => [name, tensor(value)]));
};

/** A function that gives numbers in [0, 1), the same ones for the same seed (mulberry32). */
demo.random = (seed) => {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
};

/** The red, green and blue of a colour of style.css, as it is now. */
demo.rgb = (name) => {
  const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
};

/** Calls f whenever light changes to dark, or the window its size. */
demo.onLook = (f) => {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", f);
  addEventListener("resize", f);
};

demo.frame = () => new Promise((done) => requestAnimationFrame(done));
