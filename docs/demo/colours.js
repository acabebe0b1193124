"use strict";
// The text coloured by what one unit held after each symbol was read, as Karpathy, Johnson and Fei-Fei 2015 show it
// ("Visualizing and understanding recurrent networks"). Ranges of the text are coloured, the text stays as it is.

demo.Colours = class {
  static SHADES = 4; // to either side of 0; style.css has a rule for each

  /** text: the node with the text. */
  constructor(text) {
    Object.assign(this, { text, trail: [], unit: null });
  }

  /** A symbol was read, which has so many letters on the page; state [H] after it. */
  push(letters, state) {
    this.trail.push({ letters, state });
    if (this.trail.length > 4000) this.trail.splice(0, 1000);
  }

  clear() {
    this.trail = [];
    this.draw(0);
  }

  /** unread: how many letters at the end of the text the model has not read. */
  draw(unread) {
    const { SHADES } = demo.Colours;
    const ranges = Array.from({ length: 2 * SHADES + 1 }, () => []);
    let end = this.text.length - unread;
    for (let i = this.trail.length - 1; this.unit !== null && i >= 0 && end > 0; i--) {
      const { letters, state } = this.trail[i];
      const start = Math.max(0, end - letters);
      const shade = SHADES + Math.round(SHADES * Math.max(-1, Math.min(1, state[this.unit])));
      const next = ranges[shade].at(-1);
      if (next && next[0] === end) next[0] = start; // one with the range after it
      else if (start < end) ranges[shade].push([start, end]);
      end = start;
    }
    ranges.forEach((pairs, shade) => {
      const at = ([start, end]) =>
        new StaticRange({ startContainer: this.text, startOffset: start, endContainer: this.text, endOffset: end });
      if (shade !== SHADES) CSS.highlights.set(`shade-${shade}`, new Highlight(...pairs.map(at)));
    });
  }
};
