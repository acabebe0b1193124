"use strict";
// The page that forecasts: its form, its plot, its table.

addEventListener("DOMContentLoaded", async () => {
  const at = (id) => document.getElementById(id);
  const say = (text, wrong = false) => {
    at("said").textContent = text;
    at("said").classList.toggle("wrong", wrong);
  };
  let model;
  try {
    model = new demo.Forecaster(await demo.session("forecaster"), demo.packed.forecaster.about);
  } catch (error) {
    return say(`The model could not be started: ${error.message}`, true);
  }
  demo.forecaster = model; // for whoever opens the console
  const { horizon, quantiles, from } = model.about;
  at("from").textContent = from;
  at("model").textContent = model.about.model;
  const levels = quantiles.slice(0, quantiles.length >> 1).map((q) => Math.round(100 * (1 - 2 * q)));
  at("levels").textContent = levels.toReversed().join("%, ").replace(/, (?=[^,]*$)/, " and ") + "%";
  at("horizon").textContent = String(horizon);

  let notes = "";
  let waiting = null; // the series to forecast next; of several in a row only the last counts
  let busy = false;
  const plot = new demo.Plot(at("plot"), () => {
    plot.draw();
    notes = "";
    if (!plot.drawing) at("series").value = written(plot.values);
    forecast(plot.values);
  });

  const forecast = async (values) => {
    waiting = values;
    if (busy) return;
    busy = true;
    at("plot").setAttribute("aria-busy", "true");
    try {
      while (waiting) {
        const now = waiting;
        waiting = null;
        const began = performance.now();
        const rows = await model.predict(now);
        if (rows.flat().some((v) => !Number.isFinite(v))) throw new Error("the numbers are too large or too small for it.");
        plot.set(now, rows);
        table(rows);
        say(`${notes} The next ${horizon} from ${now.length.toLocaleString("en")} values, in ${Math.round(performance.now() - began)} ms.`.trim());
        await demo.frame();
      }
    } catch (error) {
      plot.set(plot.values, []);
      table([]);
      say(`No forecast: ${error.message}`, true);
    }
    busy = false;
    at("plot").setAttribute("aria-busy", "false");
  };

  const table = (rows) => {
    const cell = (kind, text) => Object.assign(document.createElement(kind), { textContent: text });
    const line = (kind, cells) => {
      const row = document.createElement("tr");
      row.append(...cells.map((text) => cell(kind, text)));
      return row;
    };
    const names = quantiles.map((q) => (q === 0.5 ? "median" : `${Number((100 * q).toFixed(1))}%`));
    at("numbers").replaceChildren(line("th", ["step", ...names]), ...rows.map((row, k) => line("td", [`+${k + 1}`, ...row.map(demo.short)])));
  };

  const written = (values) => values.map((v) => (Number.isFinite(v) ? Number(v.toPrecision(5)) : "nan")).join(" ");
  const read = () => {
    try {
      const parsed = demo.parse(at("series").value);
      notes = parsed.notes.join(" ");
      plot.at = parsed.values.length - 1;
      forecast(parsed.values);
    } catch (error) {
      say(error.message, true);
    }
  };
  const take = (values) => {
    at("series").value = written(values);
    read();
  };

  at("form").addEventListener("submit", (event) => {
    event.preventDefault();
    read();
  });
  at("series").addEventListener("paste", () => setTimeout(read));
  const examples = demo.examples();
  at("examples").append(...Object.entries(examples).map(([name, values]) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: name });
    button.addEventListener("click", () => take(values));
    return button;
  }));
  at("calm").addEventListener("click", () => {
    take(demo.wave());
    at("plot").focus();
  });
  take(Object.values(examples)[0]);
  at("form").dataset.ready = "true";
});
