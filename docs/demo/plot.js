"use strict";
// The series and its fan as SVG, where a pointer draws and arrow keys move a point.

demo.Plot = class {
  /** svg; changed(index, value): called when a value is drawn. */
  constructor(svg, changed) {
    Object.assign(this, { svg, changed, values: [], rows: [], at: 0, range: null });
    this.height = 340;
    this.edge = { left: 52, right: 10, top: 12, bottom: 30 };
    demo.onLook(() => this.draw());
    svg.addEventListener("pointerdown", (event) => this.down(event));
    svg.addEventListener("pointermove", (event) => this.move(event));
    for (const kind of ["pointerup", "pointercancel"]) svg.addEventListener(kind, () => this.up());
    svg.addEventListener("keydown", (event) => this.key(event));
  }

  /** values [T], rows [K][Q] of quantiles, of which the middle one is the median. */
  set(values, rows) {
    Object.assign(this, { values, rows });
    this.at = Math.min(this.at, values.length - 1);
    this.draw();
  }

  /** The first of the values that are shown. */
  get first() {
    return Math.max(0, this.values.length - 144);
  }

  draw() {
    if (!this.values.length) return;
    const { left, right, top, bottom } = this.edge;
    this.width = Math.max(280, this.svg.clientWidth);
    const shown = this.values.slice(this.first);
    const count = shown.length + this.rows.length;
    const all = [...shown, ...this.rows.flat()].filter(Number.isFinite);
    if (!this.drawing) {
      const [low, high] = [Math.min(...all), Math.max(...all)];
      const room = 0.05 * (high - low) || Math.abs(low) || 1;
      this.range = [low - room, high + room];
    }
    const [low, high] = this.range;
    this.x = (i) => left + ((i - this.first) / Math.max(1, count - 1)) * (this.width - left - right);
    this.y = (v) => top + ((high - v) / (high - low)) * (this.height - top - bottom);
    const dot = (i, v) => `${this.x(i).toFixed(1)} ${this.y(v).toFixed(1)}`;
    const parts = [];
    for (const tick of ticks(low, high, 5)) {
      const y = this.y(tick).toFixed(1);
      parts.push(`<line class="grid" x1="${left}" x2="${this.width - right}" y1="${y}" y2="${y}"/>`);
      parts.push(`<text x="${left - 6}" y="${y}" dy="0.35em" text-anchor="end">${short(tick)}</text>`);
    }
    const T = this.values.length;
    for (const tick of ticks(this.first - T + 1, this.rows.length, this.width / 90)) {
      if (!Number.isInteger(tick)) continue;
      const words = tick > 0 ? `+${tick}` : tick || "now";
      parts.push(`<text x="${this.x(T - 1 + tick)}" y="${this.height - 8}" text-anchor="middle">${words}</text>`);
    }
    const last = this.values.findLastIndex(Number.isFinite);
    const levels = this.rows.length ? this.rows[0].length >> 1 : 0;
    for (let l = 0; l < levels; l++) {
      const high = this.rows.map((row, k) => dot(T + k, row.at(-1 - l)));
      const low = this.rows.map((row, k) => dot(T + k, row[l])).reverse();
      parts.push(`<path class="fan" d="M${[dot(last, this.values[last]), ...high, ...low].join("L")}Z"/>`);
    }
    if (this.rows.length) {
      const middle = this.rows.map((row, k) => dot(T + k, row[levels]));
      parts.push(`<path class="median" d="M${[dot(last, this.values[last]), ...middle].join("L")}"/>`);
    }
    let path = "";
    shown.forEach((v, i) => {
      if (!Number.isFinite(v)) return;
      const begins = i === 0 || !Number.isFinite(shown[i - 1]);
      path += `${begins ? "M" : "L"}${dot(this.first + i, v)}`;
      if (begins && !Number.isFinite(shown[i + 1])) path += "h0.1"; // one between two gaps is a dot
    });
    parts.push(`<path class="series" d="${path}"/>`);
    const here = Number.isFinite(this.values[this.at]) ? this.values[this.at] : (low + high) / 2;
    if (this.at >= this.first) {
      parts.push(`<circle class="point" r="6" cx="${this.x(this.at)}" cy="${this.y(here)}"/>`);
    }
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.svg.innerHTML = parts.join("");
    const words = Number.isFinite(this.values[this.at]) ? short(this.values[this.at]) : "missing";
    this.svg.setAttribute("aria-valuenow", String(this.at + 1));
    this.svg.setAttribute("aria-valuemin", "1");
    this.svg.setAttribute("aria-valuemax", String(T));
    this.svg.setAttribute("aria-valuetext", `value ${this.at + 1} of ${T}: ${words}`);
  }

  /** Where a pointer is, as [index, value]. */
  place(event) {
    const box = this.svg.getBoundingClientRect();
    const { left, right, top, bottom } = this.edge;
    const along = ((event.clientX - box.left) / box.width) * this.width;
    const down = ((event.clientY - box.top) / box.height) * this.height;
    const count = this.values.length - this.first + this.rows.length;
    const index = this.first + Math.round(((along - left) / (this.width - left - right)) * (count - 1));
    const [low, high] = this.range;
    const value = high - ((down - top) / (this.height - top - bottom)) * (high - low);
    return [Math.max(this.first, index), Math.min(high, Math.max(low, value))];
  }

  down(event) {
    if (!this.range || this.place(event)[0] >= this.values.length) return;
    this.drawing = this.place(event);
    this.svg.setPointerCapture(event.pointerId);
    this.move(event);
  }

  move(event) {
    if (!this.drawing) return;
    const [from, old] = this.drawing;
    let [to, value] = this.place(event);
    to = Math.min(to, this.values.length - 1);
    const steps = Math.max(1, Math.abs(to - from));
    for (let s = 0; s <= steps; s++) {
      this.values[Math.round(from + ((to - from) * s) / steps)] = old + ((value - old) * s) / steps;
    }
    this.drawing = [to, value];
    this.at = to;
    this.changed();
  }

  up() {
    if (!this.drawing) return;
    this.drawing = null;
    this.changed();
  }

  key(event) {
    const far = event.shiftKey ? 10 : 1;
    const aside = { ArrowLeft: -far, ArrowRight: far, Home: -Infinity, End: Infinity }[event.key];
    const up = { ArrowUp: far, ArrowDown: -far, PageUp: 10, PageDown: -10 }[event.key];
    if (!this.range || (aside === undefined && up === undefined)) return;
    event.preventDefault();
    if (aside !== undefined) {
      this.at = Math.min(this.values.length - 1, Math.max(this.first, this.at + aside));
      return this.draw();
    }
    const [low, high] = this.range;
    const old = Number.isFinite(this.values[this.at]) ? this.values[this.at] : (low + high) / 2;
    this.values[this.at] = old + (up * (high - low)) / 100;
    this.changed();
  }
};

/** Round numbers from low to high, about `count` of them. */
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const made = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) made.push(Number((n * step).toPrecision(12)));
  return made;
}

/** A number in few characters. */
function short(value) {
  const size = Math.abs(value);
  if (size && (size >= 1e6 || size < 1e-3)) return value.toExponential(1).replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}
demo.short = short;
