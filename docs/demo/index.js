"use strict";
// The page that writes: its form, the loop, and what it says.

addEventListener("DOMContentLoaded", async () => {
  const at = (id) => document.getElementById(id);
  const say = (text, wrong = false) => {
    at("said").textContent = text;
    at("said").classList.toggle("wrong", wrong);
  };
  let writer;
  try {
    writer = new demo.Writer(await demo.session("writer"), demo.packed.writer.about);
  } catch (error) {
    return say(`The model could not be started: ${error.message}`, true);
  }
  const about = writer.about;
  at("from").textContent = about.from;
  at("model").textContent = `${about.model}: ${about.parameters.toLocaleString("en")} parameters`;
  at("legend").append(...about.gates.map(([letter, words]) => {
    const item = document.createElement("li");
    const name = document.createElement("b");
    name.textContent = letter;
    item.append(name, ` ${words}`);
    return item;
  }));
  const units = about.start[Object.keys(about.start).at(-1)].dims.at(-1);
  const gates = new demo.Gates(at("gates"), about.gates, units);
  at("units").textContent = `${gates.shown} of the last layer's ${units} units`;

  const KEPT = 40000; // characters on the page: a longer text makes it slow
  const text = at("text").appendChild(document.createTextNode(""));
  const colours = new demo.Colours(text);
  const unit = at("unit");
  unit.max = String(units);
  unit.closest(".row").hidden = !CSS.highlights; // a browser of before 2025, say
  let running = false;
  let next = null; // the symbol that is chosen and shown, and that the model has not read yet
  let unread = 0; // the letters on the page of that symbol
  let count = 0;
  let random = null;

  const show = (piece) => {
    text.appendData(piece);
    if (text.length > KEPT) text.deleteData(0, text.length - KEPT);
  };
  const read = async (number, letters) => {
    await writer.read(number);
    gates.push(writer.symbols[number], writer.gates);
    colours.push(letters, writer.gates.at(-1));
  };
  const draw = () => {
    gates.draw();
    if (CSS.highlights) colours.draw(unread);
  };
  const look = () => {
    at("write").textContent = next === null ? "Write" : "Go on";
    at("write").disabled = running;
    at("reset").disabled = running;
    at("prime").disabled = running || next !== null;
    at("stop").disabled = !running;
  };

  /** What the form says, or an Error in words. */
  const options = () => {
    const number = (id, low, high, whole = false) => {
      const value = at(id).value.trim() === "" ? NaN : Number(at(id).value);
      if (!(value >= low && value <= high) || (whole && !Number.isInteger(value))) {
        const range = high === Infinity ? `of at least ${low}` : `from ${low} to ${high.toLocaleString("en")}`;
        at(id).focus();
        throw new Error(`${at(id).labels[0].textContent}: expected a ${whole ? "whole " : ""}number ${range}.`);
      }
      return value;
    };
    return {
      temperature: number("temperature", 0, Infinity),
      topP: number("top-p", 0.001, 1),
      length: number("length", 1, 20000, true),
      seed: number("seed", 0, 2 ** 32 - 1, true),
      pace: Number(at("pace").value),
    };
  };

  /** Write `length` symbols, many in each frame, then say how fast that was. */
  const write = async (chosen, prime) => {
    let until = performance.now() + 12;
    for (const [number, letters] of prime) {
      await read(number, letters);
      if (performance.now() < until) continue;
      draw();
      await demo.frame();
      if (!running) return "Stopped while it read the beginning.";
      until = performance.now() + 12;
    }
    const began = performance.now();
    let written = 0;
    const speed = () => Math.round(written / Math.max(1e-3, (performance.now() - began) / 1000));
    while (running && written < chosen.length) {
      until = performance.now() + 12; // the rest of the frame is for drawing
      let piece = "";
      do {
        if (chosen.pace && written >= ((performance.now() - began) / 1000) * chosen.pace) break;
        if (next !== null) await read(next, unread);
        next = writer.choose(chosen);
        const letter = writer.decode(next);
        unread = letter.length;
        piece += letter;
        count++;
        written++;
      } while (written < chosen.length && performance.now() < until);
      show(piece);
      draw();
      at("count").textContent = count.toLocaleString("en");
      at("speed").textContent = speed().toLocaleString("en");
      at("text").scrollTop = at("text").scrollHeight;
      await demo.frame();
    }
    return `${running ? "Wrote" : "Stopped after"} ${written.toLocaleString("en")} symbols, ${at("speed").textContent} a second.`;
  };

  at("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (running) return;
    let chosen;
    try {
      chosen = options();
    } catch (error) {
      return say(error.message, true);
    }
    let prime = [];
    let note = "";
    if (next === null) {
      let given = at("prime").value;
      if (given === "") {
        given = "\n";
        note = "There was nothing to begin with: it began after a line break. ";
      }
      if (given.length > 2000) {
        given = given.slice(-2000);
        note = "It read the last 2,000 characters of the beginning. ";
      }
      const { cut, numbers, unknown } = writer.encode(given);
      if (unknown.length) {
        const some = unknown.slice(0, 5).map((symbol) => JSON.stringify(symbol)).join(", ");
        note += `The model does not know ${some}${unknown.length > 5 ? " and others" : ""}, and read a blank there. `;
      }
      prime = numbers.map((number, i) => [number, at("prime").value ? cut[i].length : 0]);
      random = demo.random(chosen.seed);
      writer.reset();
      show(at("prime").value);
    }
    running = true;
    look();
    say("Writing.");
    try {
      say(note + (await write({ ...chosen, random }, prime)));
    } catch (error) {
      say(`It stopped: ${error.message}`, true);
    }
    running = false;
    look();
  });
  at("stop").addEventListener("click", () => {
    running = false;
  });
  at("reset").addEventListener("click", () => {
    text.data = "";
    next = null;
    unread = count = 0;
    at("count").textContent = at("speed").textContent = "0";
    writer.reset();
    gates.clear();
    if (CSS.highlights) colours.clear();
    say("It has forgotten all that it read.");
    look();
    at("prime").focus();
  });
  unit.addEventListener("input", () => {
    const chosen = Number(unit.value);
    colours.unit = Number.isInteger(chosen) && chosen >= 1 && chosen <= units ? chosen - 1 : null;
    draw();
  });
  if (about.units) at("telling").append(" Try ");
  (about.units ?? []).forEach(([number, words, correlation], i) => {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: number, title: `correlation ${correlation}` });
    button.addEventListener("click", () => {
      unit.value = String(number);
      unit.dispatchEvent(new Event("input"));
    });
    const last = i === about.units.length - 1;
    at("telling").append(button, ` (${words})${last ? "." : i === about.units.length - 2 ? " or " : ", "}`);
  });
  at("gates").addEventListener("click", (event) => {
    const chosen = gates.unit(event);
    if (chosen === null) return;
    unit.value = String(chosen + 1);
    unit.dispatchEvent(new Event("input"));
  });
  if (about.units) {
    unit.value = String(about.units[0][0]);
    unit.dispatchEvent(new Event("input"));
  }
  look();
  at("form").dataset.ready = "true";
  say("Ready.");
});
