// Overview: charts (Observable Plot), and what stricter thresholds would leave.
"use strict";
(async () => {
  const { make, whole, load, table, filterCommand, tabs, words } = SpotDiff;
  const numbers = JSON.parse(document.getElementById("numbers").textContent);
  const color = (name) => `var(--${name})`;
  const STYLE = { background: "none", color: "currentColor", fontSize: "12px", overflow: "visible" };

  /** A chart of Plot's for eyes alone: its place has a label, and a table says the same. */
  function plot(options) {
    const chart = Plot.plot(options);
    chart.setAttribute("aria-hidden", "true");
    for (const part of chart.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label");
    return chart;
  }

  /** Draws a chart now and whenever its place changes its width. */
  function chart(place, draw) {
    let width = 0;
    const again = () => {
      if (place.clientWidth === width || !place.clientWidth) return;
      width = place.clientWidth;
      place.replaceChildren(draw(width));
    };
    again();
    new ResizeObserver(again).observe(place);
  }

  /** Bars with what they stand for written on them. */
  function bars(place, lines, fill, most) {
    chart(place, (width) => plot({
      width, height: lines.length * 32 + 4, margin: 0, style: STYLE,
      x: { axis: null, domain: [0, most] }, y: { axis: null, domain: lines.map((one) => one.name), padding: 0.15 },
      marks: [
        Plot.barX(lines, { x: "count", y: "name", fill, fillOpacity: 0.5, rx: 4 }),
        Plot.text(lines, { x: 0, y: "name", dx: 10, textAnchor: "start", fontWeight: 600, fill: "currentColor", text: (one) => `${whole(one.count)}  ${one.name}`, pointerEvents: "none" }),
        Plot.text(lines, { frameAnchor: "right", y: "name", dx: -10, fill: "currentColor", fillOpacity: 0.8, text: (one) => (width > 460 ? one.note ?? "" : ""), pointerEvents: "none" }),
      ],
    }));
  }
  const funnel = document.getElementById("funnel");
  if (funnel) bars(funnel, numbers.funnel.map((one) => ({ ...one, name: one.step })), color("accent"), Math.max(1, numbers.funnel[0].count));
  const reasons = document.getElementById("reasons");
  if (reasons) {
    const lines = numbers.reasons.slice(0, 10).map((one) => ({
      count: one.count, name: words(one.reason) + (numbers.reasons.some((other) => other !== one && other.reason === one.reason) ? ` (${one.kind})` : ""), note: `${one.kind}s`,
    }));
    bars(reasons, lines, color("rejected"), lines[0].count);
  }

  // the charts of the scores, and the threshold that the slider asks for
  const asked = {};
  for (const card of document.querySelectorAll(".score")) {
    const score = numbers.scores.find((one) => one.score === card.dataset.score);
    const bins = ["accepted", "rejected"].flatMap((kind) => score[kind].map((count, at) => ({ kind, count, from: score.edges[at], to: score.edges[at + 1] })).filter((bin) => bin.count));
    const place = card.querySelector(".chart");
    const draw = (width) => {
      const lines = Object.values(score.gates).map((gate) => ({ x: gate }));
      const own = ["min", "max"].map((side) => asked[`${score.score} ${side}`]).filter(Boolean).map((one) => ({ x: one.value }));
      return plot({
        width, height: 150, marginLeft: 34, marginRight: 6, marginTop: 10, marginBottom: 24, style: STYLE,
        x: { label: null, ticks: 5, domain: [score.edges[0], score.edges.at(-1)], insetLeft: 2, insetRight: 2 }, y: { label: null, ticks: 3, grid: true, tickFormat: "~s" },
        marks: [
          Plot.rectY(bins, Plot.stackY({ x1: "from", x2: "to", y: "count", fill: (bin) => color(bin.kind === "accepted" ? "accent" : "rejected"), insetLeft: 0.5, insetRight: 0.5 })),
          Plot.ruleX(lines, { x: "x", stroke: "currentColor", strokeDasharray: "4 3" }),
          Plot.ruleX(own, { x: "x", stroke: color("part"), strokeWidth: 2 }),
          Plot.ruleY([0], { stroke: "currentColor", strokeOpacity: 0.4 }),
        ],
      });
    };
    chart(place, draw);
    card.redraw = () => place.replaceChildren(draw(place.clientWidth));
    for (const input of card.querySelectorAll("input")) {
      // three decimals, the loosest value outside of all rows
      const low = Math.floor(score.low * 1000) / 1000, high = Math.ceil(score.high * 1000) / 1000;
      Object.assign(input, { step: 0.001, min: low, max: high });
      input.value = input.dataset.side === "min" ? low : high;
      input.loosest = input.value;
      input.previousElementSibling.textContent = "any";
    }
  }

  const site = await load("site");
  const verdict = document.getElementById("verdict");
  let rows = null;
  function passes(values, { side, value }, row) {
    return side === "min" ? values[row] >= value : values[row] <= value;
  }
  async function judge(event) {
    const input = event.target.closest(".score input");
    if (!input) return;
    rows ??= await table("rows");
    const card = input.closest(".score"), score = card.dataset.score, key = `${score} ${input.dataset.side}`;
    if (input.value === input.loosest) delete asked[key];
    else asked[key] = { score, side: input.dataset.side, value: Number(input.value), text: input.value };
    input.previousElementSibling.textContent = asked[key] ? asked[key].text : "any";
    tell(card);
  }
  function tell(card) {
    const all = Object.values(asked), mine = all.filter((one) => one.score === card.dataset.score);
    const count = (limits) => {
      let found = 0;
      for (let row = 0; row < rows.n; row++) if (limits.every((one) => passes(rows.columns[one.score], one, row))) found++;
      return found;
    };
    card.classList.toggle("strict", mine.length > 0);
    card.querySelector(".left").textContent = mine.length ? `would leave ${whole(count(mine))} of ${whole(rows.n)}` : "";
    card.redraw();
    const left = count(all);
    verdict.hidden = all.length === 0;
    document.getElementById("verdict-count").textContent = `${whole(left)} of ${whole(rows.n)} rows are left`;
    document.getElementById("verdict-share").textContent = `(${((100 * left) / Math.max(1, rows.n)).toFixed(1)} %)`;
    document.getElementById("verdict-link").href = `browse.html#${new URLSearchParams(all.filter((one) => one.side === "min").map((one) => [one.score, one.text]))}`;
    verdict.querySelector("code").textContent = filterCommand(site.manifest, all.map((one) => `${one.score} ${one.side === "min" ? ">=" : "<="} ${one.text}`));
  }
  document.querySelector(".scores").addEventListener("input", judge);
  document.getElementById("verdict-reset").addEventListener("click", () => {
    for (const key of Object.keys(asked)) delete asked[key];
    for (const input of document.querySelectorAll(".score input")) {
      input.value = input.loosest;
      input.previousElementSibling.textContent = "any";
    }
    document.querySelectorAll(".score").forEach(tell);
  });

  // factor coverage
  const panel = document.querySelector("#map .chart");
  function nameOf(factor, id) {
    if (factor === "pose") return site.sources.find((one) => one.source_id === id)?.path ?? id;
    return { subject: site.subjects, background: site.backgrounds }[factor][id] ?? id;
  }
  function map(one) {
    const cells = one.cells.map(([y, x, here, lost]) => ({ y, x, here, lost }));
    const { xs: columns, ys: lines } = one;
    const tick = (factor) => (id) => { const name = factor === "pose" ? nameOf(factor, id) : id; return name.length > 20 ? `…${name.slice(-19)}` : name; };
    const draw = (width) => {
      const side = Math.max(4, Math.min(26, Math.floor((Math.max(width, 300) - 160) / Math.max(1, columns.length))));
      const tall = Math.max(4, Math.min(26, Math.floor(900 / Math.max(1, lines.length))));
      const titled = (list, room) => (list.length * 11 < room ? undefined : []);
      return plot({
        width: columns.length * side + 162, height: lines.length * tall + 116, marginLeft: 150, marginBottom: 100, marginTop: 6, marginRight: 6, style: STYLE, padding: 0.08,
        x: { label: null, tickRotate: -60, ticks: titled(columns, columns.length * side), domain: columns, tickSize: 0, tickFormat: tick(one.x) },
        y: { label: null, domain: lines, ticks: titled(lines, lines.length * tall), tickSize: 0, tickFormat: tick(one.y) },
        marks: [
          Plot.cell(cells, { x: "x", y: "y", fill: (cell) => color(cell.here === 0 ? "bad" : cell.lost ? "part" : "good"),
            title: (cell) => `${nameOf(one.y, cell.y)}\n${nameOf(one.x, cell.x)}\n${cell.here} there, ${cell.lost} missing`, tip: cells.length <= 6000 }),
        ],
      });
    };
    const width = panel.clientWidth;
    panel.replaceChildren(cells.length ? draw(width) : make("p", { className: "soft" }, "Every cell is complete."));
    const said = `${whole(one.total)} cells of ${one.y} and ${one.x}, ${whole(one.short)} incomplete, ${whole(one.empty)} empty.`;
    document.getElementById("map-said").textContent = one.whole ? said : `${said} Too many to draw: these are the incomplete ones${cells.length < one.short ? `, the first ${whole(cells.length)}` : ""}.`;
    const short = cells.filter((cell) => cell.lost).slice(0, 300);
    document.getElementById("map-table").replaceChildren(
      make("thead", {}, make("tr", {}, ...[one.y, one.x, "there", "missing"].map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...(short.length ? short : []).map((cell) => make("tr", {}, make("th", { scope: "row" }, nameOf(one.y, cell.y)), make("td", {}, nameOf(one.x, cell.x)), make("td", { className: "n" }, String(cell.here)), make("td", { className: "n" }, String(cell.lost))))),
    );
  }
  const all = [...document.querySelectorAll(".tabs [role=tab]")];
  let current = 0;
  const chosen = tabs(document.querySelector(".tabs"), (tab) => { current = all.indexOf(tab); map(numbers.coverage[current]); });
  chosen(all[0]);
  let before = panel.clientWidth;
  new ResizeObserver(() => { if (panel.clientWidth !== before) { before = panel.clientWidth; map(numbers.coverage[current]); } }).observe(panel);
  performance.mark("spotdiff-ready");
  load("rows");
})();
