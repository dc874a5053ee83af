// What this page shows of its data: tensors of an audit, of a comparison, or of a repair.

const DATA = JSON.parse(document.getElementById("data").textContent);
const RANKS = { error: 3, warning: 2, note: 1 };
const EVIDENCE = { guess: ", a guess", unknown: "" };
const TABLES = [];
const EAGER = 8; // models whose tables are made at once

function tensorOf(model, row, place) {
  const words = model.words;
  const [name, layer, layerClass, role, dtype, evidence, shape, fanIn, ...rest] = row;
  const [constraint, regularizer, initializer, size, rms, mean, std, l2, minimum, maximum, zeros, nan, infinite, overflow, gain] = rest;
  const word = (at) => (at === null || at === undefined ? "" : words[at]);
  return {
    place, name, layer: word(layer), layerClass: word(layerClass), role: word(role), dtype: word(dtype),
    evidence: word(evidence), shape, fanIn, constraint: word(constraint), regularizer: word(regularizer),
    initializer: word(initializer), size, rms: real(rms), mean, std, l2, minimum: real(minimum), maximum: real(maximum),
    zeros, nan, infinite, overflow, gain: real(gain), picture: model.pictures[place], limits: model.limits[place] || [],
    skipped: model.skipped[place], moved: model.moved[place], findings: [],
  };
}

const shapeText = (shape) => shape.join("×") || "scalar";
const peak = (row) => (row.minimum === undefined || row.minimum === null ? null : Math.max(Math.abs(row.minimum), Math.abs(row.maximum)));
// What was skipped comes behind errors and before warnings.
const worst = (row) => Math.max(row.skipped === undefined ? 0 : 2.5, ...row.findings.map((one) => RANKS[one.severity]));
const unique = (values) => [...new Set(values.filter(Boolean))].sort(COUNTING.compare);
const pairs = (values) => values.map((value) => [value, value]);

function findingMarks(row) {
  const found = el("span");
  for (const label of Object.keys(RANKS)) {
    const codes = unique(row.findings.filter((one) => one.severity === label).map((one) => one.code));
    if (!codes.length) continue;
    // A sign stays on the line of its code.
    const [first, ...others] = codes;
    found.append(el("span", { class: "mark-of" }, icon(label), el("span", { class: "sr" }, `${label}: `), `\u00a0${first}`),
      ...others.map((code) => `, ${code}`), " ");
  }
  if (row.skipped !== undefined) found.append(el("span", { class: "mark-of" }, icon("incomplete"), " skipped"));
  return found.childNodes.length ? found : null;
}

function tensorColumns() {
  const text = (title, key) => ({ title, cell: (row) => row[key], value: (row) => row[key] });
  const numeric = (title, value, cell) => ({ title, kind: "number", value, cell: cell || ((row) => number(value(row))) });
  const sparsity = (row) => (row.size ? row.zeros / row.size : null);
  return [
    { title: "Name", cell: (row) => breakable(row.name), value: (row) => row.name },
    { title: "Findings", cell: findingMarks, value: (row) => -worst(row) },
    text("Role", "role"),
    { title: "Shape", cell: (row) => shapeText(row.shape) },
    text("Type", "dtype"),
    numeric("Numbers", (row) => row.size ?? null, (row) => whole(row.size)),
    numeric("RMS", (row) => row.rms ?? null),
    numeric("Largest |x|", peak),
    numeric("Zeros", sparsity, (row) => percent(sparsity(row))),
    { title: "Magnitudes, 1e−8 to 1e5", kind: "picture", cell: (row) => (row.picture ? spark(row.picture) : null) },
  ];
}

function tensorTable(place, model, id) {
  const rows = model.tensors.map((row, at) => tensorOf(model, row, at));
  for (const [at, code, severity, message] of model.findings) if (at >= 0) rows[at].findings.push({ code, severity, message });
  place.dataset.id = id;
  const layers = unique(rows.map((row) => row.layer));
  const codes = unique(model.findings.map((one) => one[1]));
  const has = (values, title, key) => ({ title, options: pairs(values), matches: (row, value) => row[key] === value });
  return new Table(place, {
    noun: "tensor", caption: `Tensors of ${place.closest(".model").dataset.name}`, rows, columns: tensorColumns(),
    search: (row) => `${row.name} ${row.layerClass} ${row.role} ${row.dtype}`,
    detail: (row) => tensorPanel(row, rows),
    start: rows.some(worst) ? { column: 1, down: false } : null,
    filters: [
      has(unique(rows.map((row) => row.role)), "Role", "role"),
      has(layers, "Layer", "layer"),
      {
        title: "Rule", options: codes.map((code) => [code, DATA.names[code] ? `${code} ${DATA.names[code]}` : code]),
        matches: (row, code) => row.findings.some((one) => one.code === code),
      },
      { title: rows.some((row) => row.skipped !== undefined) ? "with findings, or skipped" : "with findings", keep: worst },
    ],
  });
}

function facts(row) {
  const list = el("dl", { class: "facts" });
  const say = (title, value) => value && list.append(el("dt", {}, title), el("dd", {}, value));
  say("Layer", [row.layer, row.layerClass && `(${row.layerClass})`].filter(Boolean).join(" "));
  say("Role", `${row.role}${EVIDENCE[row.evidence] ?? `, known by ${row.evidence}`}`);
  say("Shape", `${shapeText(row.shape)}, ${row.dtype}`);
  if (row.skipped) say("Skipped", row.skipped);
  if (row.size === undefined) return list;
  if (row.rms !== null) {
    say("RMS", number(row.rms));
    say("Mean ± deviation", `${number(row.mean)} ± ${number(row.std)}`);
    say("Range", `${number(row.minimum)} to ${number(row.maximum)}`);
    say("Norm", number(row.l2));
  }
  if (row.gain !== null) say("Gain", `${number(row.gain)}, the root of ${whole(row.fanIn)} inputs times RMS`);
  say("Zeros", `${whole(row.zeros)} of ${whole(row.size)} (${percent(row.zeros / row.size)})`);
  if (row.nan || row.infinite) say("Not finite", el("span", { class: "bad" }, `${whole(row.nan)} NaN, ${whole(row.infinite)} infinite`));
  say("In float16", row.overflow ? el("span", { class: "bad" }, `${whole(row.overflow)} overflow`) : null);
  if (row.moved) {
    const [status, relative] = row.moved;
    say("Since the reference", relative === null ? status : `${status}, by ${number(relative)} of its norm`);
  }
  say("Constraint", row.constraint);
  say("Regularizer", row.regularizer);
  say("Initializer", row.initializer);
  return list;
}

function figure(chart, caption) {
  return el("figure", {}, chart, el("figcaption", {}, caption));
}

function tensorPanel(row, rows) {
  const [pictures, words] = [el("div"), el("div", {}, facts(row))];
  if (row.findings.length) {
    const list = row.findings.map((one) => el("li", { class: "finding" }, icon(one.severity),
      el("span", {}, el("b", {}, one.code), el("span", { class: "message" }, one.message))));
    words.prepend(el("ul", { class: "findings" }, ...list));
  }
  if (row.picture && (row.picture[1] || row.picture[2])) drawn(row, pictures);
  else pictures.append(el("p", { class: "hint" }, nothingDrawn(row)));
  const others = rows.filter((one) => one.role === row.role && one.rms > 0);
  if (others.length > 1 && row.rms > 0 && Number.isFinite(row.rms)) words.append(standing(row, others));
  return el("div", { class: "panel" }, pictures, words);
}

function nothingDrawn(row) {
  if (row.size === undefined) return "It was not measured.";
  return row.picture ? "There is nothing to draw: no number is finite and other than zero." : "Its histogram is not in this file.";
}

function drawn(row, pictures) {
  const kept = row.size - row.zeros - row.nan - row.infinite;
  pictures.append(figure(histogram(row.picture, row.limits, `Histogram of ${row.name}: ${number(row.minimum)} to ${number(row.maximum)}`),
    `${whole(kept)} numbers by magnitude, four bars to a power of two, the least of them two pixels high` +
    `${row.zeros ? `; ${whole(row.zeros)} zeros are not drawn` : ""}. Shaded: what float16 does not hold in full.`));
  const found = row.picture.slice(3);
  if (!found.length) return;
  const [size, step, , , extremes] = found;
  const list = [...extremes].sort((a, b) => real(b[1]) - real(a[1])).map(([place, norm]) => `${place}: ${number(norm)}`);
  pictures.append(figure(channels(found, `Norms of ${size} output channels`),
    `Norm of each of ${whole(size)} output channels${step > 1 ? `, ${step} side by side in a bar, the least dark` : ""}. Largest and least: ${list.join(", ")}.`));
}

function standing(row, others) {
  const values = others.map((one) => one.rms);
  const rank = values.filter((value) => value > row.rms).length + 1;
  const sorted = [...values].sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)];
  const role = row.role.replaceAll("_", " ");
  return figure(peers(values, row.rms, `RMS among ${others.length} tensors of its role`),
    `Its RMS among the ${others.length} tensors of the role ${role}: number ${rank} from above, ${number(row.rms / median)} times the median.`);
}

function map(plot, model, table, readout) {
  const found = model.columns;
  const cursor = el("div", { class: "cursor", hidden: true });
  let at = 0;
  function show(place) {
    at = Math.max(0, Math.min(found.length - 1, place));
    const [label, sentence] = found[at];
    cursor.hidden = false;
    cursor.style.left = `${(at / found.length) * 100}%`;
    cursor.style.width = `${100 / found.length}%`;
    readout.replaceChildren(el("b", {}, `${at + 1} of ${found.length}: ${label}`), ` – ${sentence}`);
    plot.setAttribute("aria-valuenow", at + 1);
    plot.setAttribute("aria-valuetext", `${label}: ${sentence}`);
  }
  const under = (event) => Math.floor(((event.clientX - plot.getBoundingClientRect().left) / plot.clientWidth) * found.length);
  const enter = () => found[at][2].length && table.open(table.what.rows[found[at][2][0]]);
  const moves = { ArrowLeft: () => at - 1, ArrowRight: () => at + 1, ArrowDown: () => at - 1, ArrowUp: () => at + 1,
    PageDown: () => at - 10, PageUp: () => at + 10, Home: () => 0, End: () => found.length - 1 };
  put(plot, { tabindex: 0, role: "slider", "aria-label": `Layer of ${plot.closest(".model").dataset.name}`, "aria-valuemin": 1, "aria-valuemax": found.length, "aria-valuenow": 1,
    on: {
      pointermove: (event) => show(under(event)), click: (event) => { show(under(event)); enter(); }, focus: () => cursor.hidden && show(at),
      keydown: (event) => {
        if (event.key !== "Enter" && !moves[event.key]) return;
        // Otherwise the key would go on to the row that it has just opened, and close it again.
        event.preventDefault();
        if (event.key === "Enter") enter();
        else show(moves[event.key]());
      },
    } }, [cursor]);
}

function theme() {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  const choices = ["automatic", "light", "dark"];
  // A file that is opened from a disk may have no place to remember a choice.
  const remembered = () => { try { return localStorage.getItem("weightaudit-theme"); } catch { return null; } };
  function choose(name) {
    if (name === "automatic") delete root.dataset.theme;
    else root.dataset.theme = name;
    button.textContent = `Theme: ${name}`;
    button.dataset.choice = name;
    try { localStorage.setItem("weightaudit-theme", name); } catch { /* it holds while the page is open */ }
  }
  button.hidden = false;
  button.addEventListener("click", () => choose(choices[(choices.indexOf(button.dataset.choice) + 1) % 3]));
  choose(choices.includes(remembered()) ? remembered() : "automatic");
}

function copying() {
  for (const button of document.querySelectorAll(".copy")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.previousElementSibling.textContent);
      button.textContent = "Copied";
    });
  }
}

// Makes the table of a model and wakes its picture; once, however often it is asked for.
function begin(place) {
  const id = `m${place.dataset.table}`;
  if (place.dataset.id) return;
  const model = DATA.models[place.dataset.table];
  const table = tensorTable(place, model, id);
  TABLES.push(table);
  const plot = document.querySelector(`[data-map="${place.dataset.table}"]`);
  if (plot) map(plot, model, table, document.getElementById(`${id}-readout`));
}

// Hundreds of tables at once would keep the page from opening: beyond a few, each is made when it comes near.
function lazily(places) {
  places.slice(0, EAGER).forEach(begin);
  const watch = new IntersectionObserver((seen) => {
    for (const one of seen) {
      if (!one.isIntersecting) continue;
      watch.unobserve(one.target);
      begin(one.target.querySelector("[data-table]"));
    }
  }, { rootMargin: "1500px" });
  for (const place of places.slice(EAGER)) watch.observe(place.closest(".model"));
  addEventListener("beforeprint", () => places.forEach(begin));
}

function goTo() {
  const found = /^#(m\d+|d|r)-t(\d+)$/.exec(location.hash);
  const place = found && document.querySelector(`[data-table="${found[1].slice(1)}"]`);
  if (place) begin(place);
  const table = found && TABLES.find((one) => one.id === found[1]);
  if (table && table.what.rows[found[2]]) table.open(table.what.rows[found[2]]);
}

theme();
copying();
lazily([...document.querySelectorAll("[data-table]")]);
for (const place of document.querySelectorAll("[data-diff]")) TABLES.push(diffTable(place));
for (const place of document.querySelectorAll("[data-repair]")) TABLES.push(repairTable(place));
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-tensor]");
  // The address may be the same as before; then nothing else would tell that the link was followed again.
  if (!link || link.hash !== location.hash) return;
  event.preventDefault();
  goTo();
});
addEventListener("hashchange", goTo);
goTo();
