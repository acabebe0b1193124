"use strict";
// The gates as they move: a strip for each, a row for each unit, a column for each symbol read, newest to the right.

demo.Gates = class {
  /** canvas; gates [[letter, words]]; units H, of which the first `shown` are drawn. */
  constructor(canvas, gates, units) {
    Object.assign(this, { canvas, gates, shown: Math.min(units, 40), columns: [] });
    this.rowHeight = 2.5;
    this.columnWidth = 10;
    this.left = 26;
    this.gap = 10;
    this.foot = 20;
    demo.onLook(() => this.resize());
    this.resize();
  }

  /** The unit of the row that was clicked, or null between the strips. */
  unit(event) {
    const box = this.canvas.getBoundingClientRect();
    const height = this.shown * this.rowHeight + this.gap;
    const row = Math.floor(((event.clientY - box.top) % height) / this.rowHeight);
    return event.clientY - box.top < height * this.gates.length && row < this.shown ? row : null;
  }

  /** How many columns there is room for. */
  get room() {
    return Math.max(1, Math.floor((this.canvas.clientWidth - this.left) / this.columnWidth));
  }

  resize() {
    const ratio = devicePixelRatio || 1;
    const height = this.gates.length * (this.shown * this.rowHeight + this.gap) + this.foot;
    this.canvas.style.height = `${height}px`;
    this.canvas.width = this.canvas.clientWidth * ratio;
    this.canvas.height = height * ratio;
    this.ratio = ratio;
    this.draw();
  }

  /** A symbol was read: its text, and the gates [letter][H] of that step. */
  push(text, gates) {
    this.columns.push({ text, gates: gates.map((gate) => gate.slice(0, this.shown)) });
    if (this.columns.length > 200) this.columns.shift();
  }

  clear() {
    this.columns = [];
    this.draw();
  }

  draw() {
    const columns = this.columns.slice(-this.room);
    const pen = this.canvas.getContext("2d");
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    pen.imageSmoothingEnabled = false;
    const [none, more, less, ink] = ["--none", "--more", "--less", "--ink"].map(demo.rgb);
    const height = this.shown * this.rowHeight;
    pen.font = "600 15px ui-monospace, monospace";
    pen.textBaseline = "middle";
    pen.textAlign = "center";
    pen.fillStyle = `rgb(${ink})`;
    this.gates.forEach(([letter], g) => {
      const top = g * (height + this.gap);
      pen.fillText(letter, 10, top + height / 2);
      pen.fillStyle = `rgb(${none})`;
      pen.fillRect(this.left, top, this.room * this.columnWidth, height);
      pen.fillStyle = `rgb(${ink})`;
      if (!columns.length) return;
      const image = new ImageData(columns.length, this.shown);
      columns.forEach((column, x) => {
        for (let unit = 0; unit < this.shown; unit++) {
          const value = Math.max(-1, Math.min(1, column.gates[g][unit]));
          const full = value < 0 ? less : more;
          const share = Math.abs(value);
          const at = 4 * (unit * columns.length + x);
          for (let c = 0; c < 3; c++) image.data[at + c] = none[c] + share * (full[c] - none[c]);
          image.data[at + 3] = 255;
        }
      });
      const small = new OffscreenCanvas(image.width, image.height);
      small.getContext("2d").putImageData(image, 0, 0);
      pen.drawImage(small, this.left, top, columns.length * this.columnWidth, height);
    });
    pen.font = "13px ui-monospace, monospace";
    const bottom = this.gates.length * (height + this.gap) + 6;
    const seen = { "\n": "⏎", " ": "·", "\t": "⇥" };
    columns.forEach((column, x) => {
      const text = seen[column.text] ?? Array.from(column.text)[0] ?? "";
      pen.fillText(text, this.left + (x + 0.5) * this.columnWidth, bottom);
    });
  }
};
