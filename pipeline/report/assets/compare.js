// Compare: what a factorial dataset is for. One factor is held, the others vary.
"use strict";
(async () => {
  const { make, place, picture, whole, sql, table, load, filterCommand, tabs } = SpotDiff;
  const [site, rows, twins] = await Promise.all([load("site"), table("rows"), load("twins")]);
  const sourceOf = new Map(site.sources.map((source) => [source.source_id, source]));
  const groups = document.getElementById("groups"), choose = document.getElementById("choose"), said = document.getElementById("compare-said");
  const chooser = document.querySelector(".chooser"), command = document.querySelector(".copy");
  let items = [];

  function tile(row, label) {
    const source = sourceOf.get(rows.text("source_id", row));
    items.push({ page: source.name, row: row - source.first });
    return place(make("button", { type: "button", className: "tile", "aria-label": label, title: label, "data-at": String(items.length - 1) }), source, rows.columns.tile[row]);
  }

  const MODES = {
    "by-subject": { held: "subject_id", names: site.subjects, label: (row) => site.backgrounds[rows.text("background_id", row)] },
    "by-background": { held: "background_id", names: site.backgrounds, label: (row) => site.subjects[rows.text("subject_id", row)] },
  };
  let mode = MODES["by-subject"];

  /** Values of the held factor with their rows and sources, those with most sources first. */
  function choices() {
    const { values, codes } = rows.columns[mode.held];
    const found = values.map((value, code) => ({ value, code, rows: 0, sources: new Set() }));
    for (let row = 0; row < rows.n; row++) {
      found[codes[row]].rows++;
      found[codes[row]].sources.add(rows.columns.source_id.codes[row]);
    }
    return found.filter((one) => one.rows).sort((one, other) => other.sources.size - one.sources.size || one.code - other.code);
  }

  function show() {
    const { values, codes } = rows.columns[mode.held], code = values.indexOf(choose.value);
    const bySource = new Map();
    items = [];
    for (let row = 0; row < rows.n; row++) {
      if (codes[row] !== code) continue;
      const source = rows.text("source_id", row);
      if (!bySource.has(source)) bySource.set(source, []);
      bySource.get(source).push(row);
    }
    groups.className = "";
    groups.replaceChildren(...[...bySource].map(([id, of]) => {
      const source = sourceOf.get(id);
      const pose = source.control === null ? null : picture(source, source.control, `Pose of ${source.path ?? id}`);
      const strip = make("div", { className: "strip" }, pose, ...of.map((row) => tile(row, mode.label(row) ?? "")));
      return make("section", { className: "group", "aria-label": source.path ?? id }, make("h3", {}, source.path ?? id), strip);
    }));
    said.textContent = `${mode.names[choose.value] ?? ""}: ${whole(items.length)} pictures in ${whole(bySource.size)} ${bySource.size === 1 ? "pose" : "poses"}`;
    command.querySelector("code").textContent = filterCommand(site.manifest, [`${mode.held} = ${sql(choose.value)}`]);
  }

  function showTwins() {
    items = [];
    groups.className = "pairs-of";
    groups.replaceChildren(...twins.map(([one, other, bits]) => {
      const pair = [one, other].map((row) => tile(row, `${site.subjects[rows.text("subject_id", row)] ?? ""}`));
      const names = [one, other].map((row) => rows.text("subject_id", row)).join(" and ");
      return make("section", { className: "card", "aria-label": names }, make("div", { className: "duo" }, ...pair),
        make("p", { className: "small" }, names), make("p", { className: "small soft" }, `${bits} of 64 bits differ · ${site.backgrounds[rows.text("background_id", one)] ?? ""}`));
    }));
    said.textContent = twins.length ? "Different subjects before the same background, those whose perceptual hashes differ least first." : "There are no two subjects before the same background.";
  }

  const chosen = tabs(document.querySelector('[role="tablist"]'), (tab) => {
    const pairs = tab.id === "by-twins";
    chooser.hidden = command.hidden = pairs;
    chooser.style.display = command.style.display = pairs ? "none" : "";
    history.replaceState(null, "", `#show=${tab.id}`);
    if (pairs) return showTwins();
    mode = MODES[tab.id];
    document.getElementById("choose-label").firstChild.textContent = tab.id === "by-subject" ? "subject " : "background ";
    choose.replaceChildren(...choices().map((one) => make("option", { value: one.value }, `${one.value} · ${mode.names[one.value] ?? ""} (${one.sources.size} ${one.sources.size === 1 ? "pose" : "poses"})`)));
    return show();
  });
  function step(by) {
    choose.selectedIndex = Math.max(0, Math.min(choose.options.length - 1, choose.selectedIndex + by));
    show();
  }
  choose.addEventListener("input", show);
  document.getElementById("choose-back").addEventListener("click", () => step(-1));
  document.getElementById("choose-on").addEventListener("click", () => step(1));
  groups.addEventListener("click", (event) => {
    const one = event.target.closest(".tile");
    if (one) SpotDiff.viewer.open(items, +one.dataset.at);
  });
  const asked = document.getElementById(new URLSearchParams(location.hash.slice(1)).get("show") ?? "");
  chosen(asked?.getAttribute("role") === "tab" ? asked : document.getElementById("by-subject"));
  performance.mark("spotdiff-ready");
})();
