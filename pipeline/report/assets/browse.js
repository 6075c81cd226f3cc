// Browse and Rejects: filter, sort and look at thousands of rows; the tiles are made as they scroll into sight.
"use strict";
(async () => {
  const { make, place, words, whole, sql, table, load, filterCommand } = SpotDiff;
  const BATCH = 240;
  const box = document.querySelector(".browse");
  const form = box.querySelector("form"), tiles = document.getElementById("tiles"), code = box.querySelector(".copy code");
  const accepted = box.dataset.table === "rows";
  const [site, data] = await Promise.all([load("site"), table(box.dataset.table)]);
  const sourceOf = new Map(site.sources.map((source) => [source.source_id, source]));
  const scores = Object.keys(site.titles).filter((score) => data.columns[score]?.some((value) => value === value));
  const choices = [...form.querySelectorAll("select")].filter((select) => select.name !== "sort");

  function described(name, value) {
    if (name === "subject_id") return [value, site.subjects[value]].filter(Boolean).join(" · ");
    if (name === "background_id") return [value, site.backgrounds[value]].filter(Boolean).join(" · ");
    if (name === "source_id") return sourceOf.get(value)?.path ?? value;
    return words(value);
  }
  for (const select of choices) {
    const values = data.columns[select.name].values;
    select.append(make("option", { value: "" }, "all"), ...values.map((value) => make("option", { value }, described(select.name, value).slice(0, 90))));
  }
  const ranges = document.getElementById("ranges");
  for (const score of scores) {
    let low = Infinity, high = -Infinity;
    for (const value of data.columns[score]) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    low = Math.floor(low * 1000) / 1000;
    const input = make("input", { type: "range", name: score, min: String(low), max: String(Math.ceil(high * 1000) / 1000), step: "0.001", value: String(low), "aria-label": `${site.titles[score]}: at least` });
    ranges.append(make("label", {}, `${words(score)} ≥ `, make("output", {}, "any"), input));
  }
  const sort = form.elements.sort;
  sort.append(make("option", { value: "" }, "source, subject, background"), ...scores.flatMap((score) => [
    make("option", { value: `+${score}` }, `${words(score)}, lowest first`), make("option", { value: `-${score}` }, `${words(score)}, highest first`),
  ]));

  function fromAddress() {
    const asked = new URLSearchParams(location.hash.slice(1));
    form.reset();
    for (const [name, value] of asked) {
      const field = form.elements[name];
      if (field && field.name === name) field.value = value;
    }
  }

  let shown = [], filled = 0;
  function apply() {
    const wanted = [], limits = [], asked = new URLSearchParams();
    for (const select of choices) {
      if (select.value === "") continue;
      const column = data.columns[select.name];
      wanted.push([column.codes, column.values.indexOf(select.value)]);
      asked.set(select.name, select.value);
    }
    for (const score of scores) {
      const input = form.elements[score], on = input.value !== input.min;
      input.previousElementSibling.textContent = on ? input.value : "any";
      if (!on) continue;
      limits.push([data.columns[score], Number(input.value)]);
      asked.set(score, input.value);
    }
    shown = [];
    for (let row = 0; row < data.n; row++) {
      if (wanted.every(([codes, code]) => codes[row] === code) && limits.every(([values, least]) => values[row] >= least)) shown.push(row);
    }
    if (sort.value) {
      const values = data.columns[sort.value.slice(1)], sign = sort.value[0] === "-" ? -1 : 1;
      const key = (row) => (Number.isNaN(values[row]) ? Infinity : sign * values[row]);
      shown.sort((one, other) => key(one) - key(other) || one - other);
      asked.set("sort", sort.value);
    }
    history.replaceState(null, "", asked.size ? `#${asked}` : location.pathname + location.search);
    document.getElementById("count").textContent = `${whole(shown.length)} of ${whole(data.n)}`;
    if (code) code.textContent = accepted ? filterCommand(site.manifest, conditions(asked)) : listed(asked);
    tiles.replaceChildren();
    filled = 0;
    fill();
  }

  function conditions(asked) {
    return [...asked].filter(([name]) => name !== "sort").map(([name, value]) => (scores.includes(name) ? `${name} >= ${value}` : `${name} = ${sql(value)}`));
  }

  /** What is not in the manifest is in its list of misses: pandas reads that. */
  function listed(asked) {
    const tests = [...asked].filter(([name]) => !["sort", "split", "reason"].includes(name)).map(([name, value]) => (scores.includes(name) ? `${name} >= ${value}` : `${name} == ${JSON.stringify(value)}`));
    const reason = asked.get("reason");
    if (reason) tests.push(reason === "failed" ? 'status == "failed"' : `reason == ${JSON.stringify(reason)}`);
    const read = `pandas.read_parquet(${JSON.stringify(site.rejected)})`;
    return tests.length ? `${read}.query(${JSON.stringify(tests.join(" and "))})` : read;
  }

  function tileOf(row, at) {
    const source = sourceOf.get(data.text("source_id", row)), number = data.columns.tile[row];
    const subject = data.text("subject_id", row), background = data.text("background_id", row);
    const scored = scores.filter((score) => sort.value.slice(1) === score).map((score) => `${words(score)} ${data.columns[score][row].toFixed(3)}`);
    if (accepted) {
      const label = [subject, site.backgrounds[background] ?? background, ...scored].join(", ");
      return place(make("button", { type: "button", className: "tile", "aria-label": label, title: label, "data-at": String(at) }), source, number);
    }
    const why = words(data.text("error", row) ?? data.text("reason", row));
    const label = ["Rejected", why, subject, site.backgrounds[background] ?? background ?? data.text("path", row), ...scored].filter(Boolean).join(", ");
    const attributes = { type: "button", "aria-label": label, title: label, "data-at": String(at) };
    if (!source || number < 0) return make("button", { ...attributes, className: "tile gap" }, make("span", {}, why.slice(0, 60)));
    return place(make("button", { ...attributes, className: "tile miss" }, make("span", {}, why.slice(0, 40))), source, number);
  }

  function fill() {
    if (filled >= shown.length) return;
    const batch = make("div", { className: "batch" });
    for (let at = filled; at < Math.min(filled + BATCH, shown.length); at++) batch.append(tileOf(shown[at], at));
    filled += BATCH;
    tiles.append(batch);
    watch.disconnect();
    watch.observe(batch);
  }
  const watch = new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) fill(); }, { rootMargin: "1200px" });

  function itemOf(row) {
    const source = sourceOf.get(data.text("source_id", row));
    if (!source) return null;
    return accepted ? { page: source.name, row: row - source.first } : { page: source.name, miss: data.columns.at[row] };
  }

  tiles.addEventListener("click", (event) => {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    const row = shown[+tile.dataset.at], list = [];
    let at = -1;
    for (const one of shown) {
      const item = itemOf(one);
      if (one === row) at = item ? list.length : -1;
      if (item) list.push(item);
    }
    if (at >= 0) SpotDiff.viewer.open(list, at);
    else SpotDiff.say("Nothing more is known of this one");
  });
  let due = 0;
  form.addEventListener("input", () => { cancelAnimationFrame(due); due = requestAnimationFrame(apply); });
  form.addEventListener("reset", () => { setTimeout(apply); });
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", () => { fromAddress(); apply(); });
  fromAddress();
  apply();
  performance.mark("spotdiff-ready");
})();
