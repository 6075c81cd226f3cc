// The large picture with all that is known of it. Items: {page, row} or {page, miss}, by the source's page and number.
"use strict";
SpotDiff.viewer = (() => {
  const { make, load, picture, words, shell, copyable, filterCommand, sql } = SpotDiff;
  const dialog = document.getElementById("viewer");
  const part = (name) => document.getElementById(`viewer-${name}`);
  let items = [], at = 0, opener = null, turn = 0;

  function open(list, position) {
    items = list;
    at = position;
    if (!dialog.open) {
      opener = document.activeElement;
      dialog.showModal();
    }
    show();
  }

  async function show() {
    const mine = ++turn;
    const item = items[at];
    const [site, source] = await Promise.all([load("site"), load(`sources/${item.page}`)]);
    if (mine !== turn) return;
    document.documentElement.toggleAttribute("data-smooth", (source.width ?? 0) > 128);
    part("back").disabled = at === 0;
    part("on").disabled = at === items.length - 1;
    if ("row" in item) accepted(site, source, item.row);
    else left(site, source, source.misses[item.miss]);
    SpotDiff.say(`${at + 1} of ${items.length}: ${part("title").textContent}`);
  }

  function accepted(site, source, number) {
    const row = source.rows[number], subject = source.subjects[row.subject];
    const label = `${subject.prompt}, ${source.backgrounds[row.background_id] ?? row.background_id}`;
    part("title").textContent = `${row.subject} × ${row.background_id}`;
    pictures(site, source, row.tile, label, subject, `originals/${source.name}/${number}.png`);
    const scores = { ...subject, ...row };
    const manifest = shell(site.manifest);
    part("facts").replaceChildren(
      facts([
        ["prompt", row.prompt], ["subject", subject.prompt], ["background", source.backgrounds[row.background_id]],
        ["avoided", row.negative_prompt], ["split", source.split], ["variation", row.variation_id],
        ["seeds", `subject ${subject.seed}, background ${row.background_seed}`], ["attempt", row.attempt + 1], ["sha256", row.sha256],
      ]),
      heading("Scores"), scoreTable(site, scores),
      heading("Make exactly this one again"),
      copyable(`spotdiff reproduce ${shell(row.variation_id)} --manifest ${manifest} --out ${shell(`${row.variation_id}.png`)}`),
      heading("Take it out as a manifest"), copyable(filterCommand(site.manifest, [`variation_id = ${sql(row.variation_id)}`])),
      heading("Made with"), models(site), links(source),
    );
  }

  function left(site, source, miss) {
    part("title").textContent = `${words(miss.reason)}: ${[miss.subject_id, miss.background_id].filter(Boolean).join(" × ") || miss.path}`;
    const subject = source.subjects[miss.subject_id] ?? null;
    pictures(site, source, miss.tile, `Rejected: ${words(miss.reason)}`, subject, null);
    part("facts").replaceChildren(
      facts([
        ["left out", miss.kind], ["why", words(miss.reason)], ["detail", miss.detail], ["error", miss.error], ["file", miss.path],
        ["prompt", miss.prompt ?? subject?.prompt], ["background", source.backgrounds[miss.background_id]],
        ["seed", miss.background_seed ?? miss.subject_seed], ["people found", miss.people], ["last attempt", miss.attempt === null ? null : miss.attempt + 1],
      ]),
      heading("Scores of the last attempt"), scoreTable(site, miss), links(source),
    );
  }

  function pictures(site, source, tile, label, subject, original) {
    const shown = [];
    if (tile === null) shown.push(make("span", { className: "gap" }, make("span", {}, "no picture is kept")));
    else {
      const large = picture(source, tile, label);
      if (site.originals && original) {
        const image = make("img", { src: `${document.documentElement.dataset.root}${original}`, alt: label });
        large.style.backgroundImage = "none";
        large.removeAttribute("role");
        large.removeAttribute("aria-label");
        large.append(image);
      }
      if (subject?.outline) large.append(outline(subject.outline));
      shown.push(large);
    }
    const beside = [["photo", source.photo], ["skeleton", source.control], ["subject", subject?.tile]].filter(([, one]) => one !== undefined && one !== null);
    shown.push(make("div", { className: "duo" }, ...beside.map(([name, one]) => {
      const small = picture(source, one, name);
      if (name === "subject" && subject.outline) small.append(outline(subject.outline));
      return make("figure", {}, small, make("figcaption", {}, name));
    })));
    if ((source.width ?? 0) > 128 && !site.originals) shown.push(make("p", { className: "soft small" }, "A thumbnail; `spotdiff report … --originals` adds the pictures as they are."));
    part("pictures").replaceChildren(...shown);
  }

  function outline(path) {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg"), line = document.createElementNS(space, "path");
    svg.setAttribute("viewBox", "0 0 1000 1000");
    svg.setAttribute("aria-hidden", "true");
    line.setAttribute("d", path);
    svg.append(line);
    return svg;
  }

  const heading = (text) => make("h3", {}, text);
  function facts(pairs) {
    const rows = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
    return make("table", { className: "lines pairs" }, make("tbody", {}, ...rows.map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, String(value))))));
  }

  function scoreTable(site, values) {
    const rows = Object.keys(site.titles).filter((score) => typeof values[score] === "number").map((score) => {
      const gate = site.gates[score] ?? {};
      const limits = [gate.min !== undefined ? `≥ ${gate.min}` : null, gate.max !== undefined ? `≤ ${gate.max}` : null].filter(Boolean).join(", ");
      const bar = make("span", { className: "bar", "aria-hidden": "true" }, make("i"));
      bar.firstChild.style.width = `${Math.max(0, Math.min(1, values[score])) * 100}%`;
      return make("tr", {}, make("th", { scope: "row" }, site.titles[score]), make("td", { className: "n" }, values[score].toFixed(3), bar), make("td", { className: "n soft" }, limits));
    });
    return make("table", { className: "lines" }, make("tbody", {}, ...rows));
  }

  function models(site) {
    const named = site.models.map((model) => [model.role, `${model.repo} @ ${(model.revision ?? model.fingerprint ?? "no revision").slice(0, 16)}`]);
    return facts([["code", site.code_version], ...named]);
  }

  function links(source) {
    return make("p", {}, make("a", { href: `${document.documentElement.dataset.root}sources/${source.name}.html` }, "All of this source"));
  }

  function step(by) {
    if (items[at + by]) { at += by; show(); }
  }
  function toggleOutline() {
    const on = part("pictures").classList.toggle("outlined");
    part("outline").setAttribute("aria-pressed", String(on));
  }

  part("back").addEventListener("click", () => step(-1));
  part("on").addEventListener("click", () => step(1));
  part("close").addEventListener("click", () => dialog.close());
  part("outline").addEventListener("click", toggleOutline);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => { turn++; opener?.focus(); });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    else if (event.key === "ArrowRight") step(1);
    else if (event.key === "o") toggleOutline();
  });

  // a source's own page: its cells are there already
  document.querySelector(".matrix")?.addEventListener("click", (event) => {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    const matrix = event.currentTarget, all = [...matrix.querySelectorAll(".tile")];
    const list = all.map((one) => ("row" in one.dataset ? { page: matrix.dataset.source, row: +one.dataset.row } : { page: matrix.dataset.source, miss: +one.dataset.miss }));
    open(list, all.indexOf(tile));
  });

  return { open };
})();
