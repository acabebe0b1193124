"use strict";
// The model that writes: symbols to numbers and back, one step, the choice of the next symbol. Nothing of the page.

demo.Writer = class {
  constructor(session, about) {
    this.session = session;
    this.about = about;
    this.kind = about.vocabulary.kind;
    this.symbols = ["\ufffd", ...about.vocabulary.symbols]; // number 0 is for whatever is not known
    this.number = new Map(this.symbols.map((symbol, i) => [symbol, i]));
    this.reset();
  }

  /** Forget all that was read. */
  reset() {
    this.carry = demo.start(this.about);
    this.logits = null;
    this.gates = null;
    this.utf8 = new TextDecoder();
  }

  /** A text as the symbols that the model reads: characters, bytes or words. */
  cut(text) {
    if (this.kind === "bytes") return Array.from(new TextEncoder().encode(text), (b) => String.fromCharCode(b));
    if (this.kind === "words") return text.match(/[\p{L}\p{N}_]+|[^\p{L}\p{N}_]/gu) ?? [];
    return Array.from(text);
  }

  /** {cut, numbers, unknown}: a text's symbols, their numbers, and those that the model does not know. */
  encode(text) {
    const cut = this.cut(text);
    const unknown = [...new Set(cut.filter((symbol) => !this.number.has(symbol)))];
    return { cut, numbers: cut.map((symbol) => this.number.get(symbol) ?? 0), unknown };
  }

  /** The text of the next symbol; of bytes, what is whole of a character by now. */
  decode(number) {
    if (this.kind !== "bytes") return this.symbols[number];
    return this.utf8.decode(Uint8Array.of(number ? this.symbols[number].charCodeAt(0) : 255), { stream: true });
  }

  /** Read one symbol: afterwards `logits` are of the next, and `gates` [letter][H] what the last layer did. */
  async read(number) {
    const out = await this.session.run({ x: new ort.Tensor("int32", Int32Array.of(number), [1]), ...this.carry });
    for (const name in this.carry) this.carry[name] = out[`new_${name}`];
    this.logits = out["y.logits"].data;
    this.gates = this.about.gates.map(([letter]) => out[`y.gates.${letter}`].data);
  }

  /** The next symbol: the likeliest at temperature 0, else drawn from the fewest with the probability topP. */
  choose({ temperature, topP, random }) {
    const logits = this.logits;
    let best = 0;
    for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
    if (temperature === 0) return best;
    const odds = Array.from(logits, (logit) => Math.exp((logit - logits[best]) / temperature));
    let left = odds.reduce((a, b) => a + b, 0);
    let order = odds.map((_, i) => i);
    if (topP < 1) {
      order.sort((a, b) => odds[b] - odds[a]);
      const enough = topP * left;
      let kept = 0;
      let sum = 0;
      while (kept < order.length && sum < enough) sum += odds[order[kept++]];
      order = order.slice(0, kept);
      left = sum;
    }
    let at = random() * left;
    for (const i of order) if ((at -= odds[i]) < 0) return i;
    return best; // what rounding leaves over
  }
};
