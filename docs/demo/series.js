"use strict";
// The model that forecasts: a text as a series, its scale, the quantiles of what comes next. Nothing of the page.

demo.MOST = 2000; // values that are read: the last ones
demo.FEWEST = 8;
const MISSING = new Set(["", "nan", "na", "n/a", "null", "none", "-", "?", "."]);

/** A text of numbers as {values, notes}, NaN where one is missing; throws an Error in words.

Numbers stand between blanks, commas, semicolons or line breaks. Lines that all have the same number of cells, more than
one, are a table, whose last column is taken, with or without a line of names above it. */
demo.parse = (text) => {
  const notes = [];
  if (/[;\t]/.test(text) && /\d,\d/.test(text)) {
    text = text.replace(/(\d),(?=\d)/g, "$1.");
    notes.push("Read commas as decimal points, for semicolons or tabs stand between.");
  }
  const lines = text.split(/\r?\n/).map((line) => line.trim()).filter((line) => line);
  const rows = lines.map((line) => line.split(/\s*[,;\t]\s*/));
  const columns = rows.length > 1 ? rows[0].length : 1;
  const table = columns > 1 && rows.every((row) => row.length === columns);
  let cells = table ? rows.map((row) => row.at(-1)) : text.trim().split(/\s*[,;]\s*|\s+/);
  if (table) notes.push(`Read the last of ${columns} columns.`);
  if (!lines.length) cells = [];
  const value = (cell) => (MISSING.has(cell.toLowerCase()) ? NaN : Number(cell.replace(/^["']|["']$/g, "")));
  const known = (cell) => MISSING.has(cell.toLowerCase()) || !Number.isNaN(value(cell));
  if ((table || lines.length > 1) && cells.length > 1 && !known(cells[0]) && known(cells[1])) cells.shift(); // a name
  const wrong = cells.findIndex((cell) => !known(cell));
  if (wrong >= 0) {
    throw new Error(`Value ${wrong + 1}: expected a number, or nan where one is missing, got “${cells[wrong].slice(0, 30)}”.`);
  }
  const values = cells.map(value);
  const large = values.findIndex((v) => Math.abs(v) > 1e30);
  if (large >= 0) throw new Error(`Value ${large + 1}: expected a number up to 1e30, got “${cells[large].slice(0, 30)}”.`);
  const there = values.filter((v) => !Number.isNaN(v)).length;
  if (there < demo.FEWEST) {
    throw new Error(`Expected at least ${demo.FEWEST} numbers to go on from, got ${there}.`);
  }
  if (values.length > demo.MOST) {
    notes.push(`Read the last ${demo.MOST.toLocaleString("en")} of ${values.length.toLocaleString("en")} values.`);
    values.splice(0, values.length - demo.MOST);
    if (values.filter((v) => !Number.isNaN(v)).length < demo.FEWEST) throw new Error("Nearly all of the last values are missing.");
  } else if (there < 30) {
    notes.push(`${there} values are few: it was trained on 30 and more.`);
  }
  return { values, notes };
};

demo.Forecaster = class {
  constructor(session, about) {
    this.session = session;
    this.about = about;
  }

  /** values [T], NaN where missing -> the quantiles [K][Q] of the next K values. */
  async predict(values) {
    const T = values.length;
    const { location, scale } = demo.scale(values);
    const filled = (number) => new ort.Tensor("float32", new Float32Array(T).fill(number), [T, 1, 1]);
    const given = {
      "xs.y": new ort.Tensor("float32", Float32Array.from(values), [T, 1, 1]),
      "xs.location": filled(location),
      "xs.scale": filled(scale),
      ...demo.start(this.about),
    };
    const { ys } = await this.session.run(given, ["ys"]);
    const { horizon, quantiles } = this.about;
    const last = ys.data.subarray((T - 1) * horizon * quantiles.length);
    const rows = Array.from({ length: horizon }, (_, k) => Array.from(last.subarray(k * quantiles.length, (k + 1) * quantiles.length)));
    ys.dispose();
    return rows;
  }
};

/** Mean and standard deviation of what is there, as a forecaster's scaling="standard" has them. */
demo.scale = (values) => {
  const there = values.filter((v) => !Number.isNaN(v));
  const mean = (numbers) => numbers.reduce((sum, v) => sum + v / numbers.length, 0);
  const size = mean(there.map(Math.abs)) || 1;
  const location = mean(there);
  const variance = mean(there.map((v) => ((v - location) / size) ** 2));
  return { location, scale: variance > (8 * 2 ** -23) ** 2 ? size * Math.sqrt(variance) : size };
};

/** A wave of 96 values to draw on. */
demo.wave = () => Array.from({ length: 96 }, (_, t) => Number((50 + 20 * Math.sin((2 * Math.PI * t) / 48)).toFixed(1)));

/** Series to begin with, all made up: {name: values}. */
demo.examples = () => {
  const random = demo.random(7);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const make = (length, f) => Array.from({ length }, (_, t) => Number(f(t).toPrecision(4)));
  const year = [-12, -14, 2, -1, -3, 12, 25, 24, 8, -6, -19, -8];
  let walk = 100;
  let pulse = 0;
  return {
    "Months of a growing business": make(108, (t) => (120 + 2.1 * t) * (1 + year[t % 12] / 100 + 0.015 * normal())),
    "Hours of a week": make(168, (t) => {
      const hour = t % 24;
      const day = Math.exp(-(((hour - 13) / 4) ** 2)) + 0.6 * Math.exp(-(((hour - 19) / 2) ** 2));
      return 20 + 60 * day * (Math.floor(t / 24) % 7 > 4 ? 0.7 : 1) + 2 * normal();
    }),
    "Cycles of eleven": make(132, (t) => Math.max(0, 70 * Math.sin((Math.PI * t) / 11) ** 2 * (1 + 0.4 * Math.sin(t / 17)) + 5 * normal())),
    "Pulses with gaps": make(120, (t) => {
      pulse = t % 9 === 0 ? 10 : pulse * 0.6;
      return t % 23 === 5 ? NaN : pulse + 0.3 * normal();
    }),
    "A random walk": make(120, () => (walk += normal())),
  };
};
