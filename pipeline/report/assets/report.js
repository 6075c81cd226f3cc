// What all pages share: data from scripts (pages on a disk may not fetch), tiles, copying, theme, keyboard.
"use strict";
const SpotDiff = (() => {
  const root = document.documentElement.dataset.root;
  const waiting = new Map();
  const given = new Map();

  /** Data files call this. */
  function give(name, value) {
    waiting.get(name)?.resolve(value);
  }

  /** Gets data/NAME.js once. */
  function load(name) {
    if (!given.has(name)) {
      given.set(name, new Promise((resolve, reject) => {
        waiting.set(name, { resolve });
        const script = document.createElement("script");
        script.src = `${root}data/${name}.js`;
        script.onerror = () => reject(new Error(`${script.src} is missing: write the report again`));
        document.head.append(script);
      }));
    }
    return given.get(name);
  }

  function bytes(base64) {
    return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)).buffer;
  }

  /** The table of a data file: texts as {values, codes}, numbers as typed arrays. */
  async function table(name) {
    const raw = await load(name);
    const columns = {};
    for (const [key, column] of Object.entries(raw.columns)) {
      if ("f4" in column) columns[key] = new Float32Array(bytes(column.f4));
      else if ("i4" in column) columns[key] = new Int32Array(bytes(column.i4));
      else columns[key] = { values: column.values, codes: new Int32Array(bytes(column.codes)) };
    }
    const text = (key, row) => columns[key].values[columns[key].codes[row]] ?? null;
    return { n: raw.n, columns, text };
  }

  /** An element; texts only ever become text. */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name in element && typeof value !== "string") element[name] = value;
      else element.setAttribute(name === "className" ? "class" : name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  const COLUMNS = 16, PER_FILE = 256;
  /** Shows one tile of a source's atlas as an element's background. */
  function place(element, source, tile) {
    const file = Math.floor(tile / PER_FILE), at = tile % PER_FILE;
    const rows = Math.ceil(Math.min(source.tiles - file * PER_FILE, PER_FILE) / COLUMNS);
    element.style.backgroundImage = `url("${root}thumbs/${source.name}-${file}.webp")`;
    element.style.setProperty("--x", at % COLUMNS);
    element.style.setProperty("--y", Math.floor(at / COLUMNS));
    element.style.setProperty("--r", rows);
    return element;
  }

  function picture(source, tile, label) {
    return place(make("span", { className: "pic", role: "img", "aria-label": label }), source, tile);
  }

  const words = (name) => String(name).replaceAll("_", " ");
  const whole = (number) => Number(number).toLocaleString("en").replaceAll(",", "\u202f");
  /** A word of a command line, in whatever quotes it needs. */
  function shell(text) {
    if (/^[\w@%+=:,./-]+$/.test(text)) return text;
    return /["$`\\!\n]/.test(text) ? `'${String(text).replaceAll("'", `'"'"'`)}'` : `"${text}"`;
  }
  const sql = (text) => `'${String(text).replaceAll("'", "''")}'`;

  /** The command that writes the rows of some conditions. */
  function filterCommand(manifest, conditions) {
    if (!conditions.length) return `spotdiff filter ${shell(manifest)} --out chosen.parquet`;
    return `spotdiff filter ${shell(manifest)} --where ${shell(conditions.join(" and "))} --out chosen.parquet`;
  }

  function copyable(text) {
    const button = make("button", { type: "button", className: "quiet", "data-copy": "", "aria-label": "Copy the command" }, "Copy");
    return make("div", { className: "copy" }, make("code", {}, text), button);
  }

  async function copy(button) {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    say("Copied");
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1200);
  }

  function say(text) {
    document.getElementById("said").textContent = text;
  }

  /** Choosing one of several tabs, with arrows, too. */
  function tabs(list, chosen) {
    const all = [...list.querySelectorAll('[role="tab"]')];
    function choose(tab) {
      for (const one of all) {
        one.setAttribute("aria-selected", String(one === tab));
        one.tabIndex = one === tab ? 0 : -1;
      }
      document.getElementById(tab.getAttribute("aria-controls")).setAttribute("aria-labelledby", tab.id);
      chosen(tab);
    }
    list.addEventListener("click", (event) => { const tab = event.target.closest('[role="tab"]'); if (tab) choose(tab); });
    list.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
      next.focus();
      choose(next);
    });
    all.forEach((tab, at) => { tab.tabIndex = at ? -1 : 0; });
    return (tab) => choose(tab);
  }

  /** Arrow keys go from tile to tile as these lie on the screen. */
  function move(event) {
    const here = document.activeElement;
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way || !here?.classList.contains("tile")) return;
    const all = [...document.querySelectorAll("main button.tile")];
    const at = all.indexOf(here);
    let next = all[at + way[0]];
    if (way[1]) {
      const box = here.getBoundingClientRect();
      const list = way[1] > 0 ? all.slice(at + 1) : all.slice(0, at).reverse();
      next = list.find((tile) => {
        const other = tile.getBoundingClientRect();
        return Math.abs(other.left - box.left) < box.width / 2 && (other.top - box.top) * way[1] > box.height / 2;
      });
    }
    if (next) {
      event.preventDefault();
      next.focus();
      next.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  }

  const THEMES = ["light", "dark"];
  function theme(name) {
    if (THEMES.includes(name)) document.documentElement.dataset.theme = name;
  }
  function otherTheme() {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
    const next = now === "dark" ? "light" : "dark";
    theme(next);
    try { localStorage.setItem("spotdiff-theme", next); } catch { /* kept for this page alone */ }
  }
  try { theme(localStorage.getItem("spotdiff-theme")); } catch { /* as the system has it */ }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.id === "theme") otherTheme();
    else if (button?.dataset.copy !== undefined) copy(button);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    if (event.key === "t") otherTheme();
    else if (event.key === "/") {
      const first = document.querySelector(".filters select, #choose, .score input");
      if (first) { event.preventDefault(); first.focus(); }
    } else if (!document.getElementById("viewer")?.open) move(event);
  });

  return { give, load, table, make, place, picture, words, whole, shell, sql, filterCommand, copyable, say, tabs };
})();
