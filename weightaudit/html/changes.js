// Tables of two states of a model: a comparison of two models, and a repair.

const arrow = ([before, after]) => (before === after ? number(before) : `${number(before)} → ${number(after)}`);
const counted = ([before, after]) => (before === after ? whole(before) : `${whole(before)} → ${whole(after)}`);
const share = (row) => (row.of ? row.elements / row.of : null);
const ofAll = (row) => `${whole(row.elements)} of ${whole(row.of)}`;

// A bar by logarithm, from 1e-8 to 1.
function sized(value) {
  const long = real(value) > 0 ? Math.min(1, Math.max(0.02, (Math.log10(real(value)) + 8) / 8)) : 0;
  const bar = svg("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { width: 100 * long, height: 10 }));
  return el("span", {}, bar, el("span", {}, number(value)));
}

const NAME = { title: "Name", cell: (row) => breakable(row.name), value: (row) => row.name };
const RELATIVE = {
  title: "Relative change", kind: "number", value: (row) => real(row.relative) ?? null,
  cell: (row) => (row.relative === undefined ? null : sized(row.relative)),
};
const PART = { title: "Numbers changed", kind: "number", value: share, cell: (row) => (row.of ? percent(share(row)) : null) };
const text = (title, key) => ({ title, cell: (row) => row[key], value: (row) => row[key] });
const figureOf = (title, value, cell) => ({ title, kind: "number", value, cell: (row) => (row.of ? cell(row) : null) });

function oneOf(rows, title, key) {
  return { title, options: pairs(unique(rows.map((row) => row[key]))), matches: (row, value) => row[key] === value };
}

function said(entries) {
  const list = el("dl", { class: "facts" });
  for (const [title, value] of entries) if (value) list.append(el("dt", {}, title), el("dd", {}, value));
  return list;
}

function diffTable(place) {
  const rows = DATA.tensors.map((row, at) => ({ ...row, place: at }));
  place.dataset.id = "d";
  return new Table(place, {
    noun: "tensor", caption: "Tensors of both models", rows,
    search: (row) => `${row.name} ${row.status} ${row.role} ${row.type}`,
    columns: [
      NAME, text("Status", "status"), RELATIVE,
      figureOf("Largest change", (row) => real(row.largest) ?? null, (row) => number(row.largest)),
      PART,
      figureOf("Signs turned", (row) => row.flips ?? null, (row) => whole(row.flips)),
      figureOf("Norm", (row) => (row.norms ? real(row.norms[1]) : null), (row) => arrow(row.norms)),
      { title: "Shape", cell: (row) => row.shape }, text("Type", "type"),
    ],
    filters: [oneOf(rows, "Status", "status"), oneOf(rows, "Role", "role"), oneOf(rows, "Layer", "layer")],
    detail: (row) => el("div", { class: "panel" }, diffFacts(row), el("div", {}, changedPeers(row, rows))),
  });
}

function diffFacts(row) {
  const figures = !row.of ? [] : [
    ["Relative change", number(row.relative)], ["Cosine", String(row.cosine ?? "–")], ["Norm", arrow(row.norms)],
    ["Largest change", number(row.largest)], ["It is at", row.at], ["Its values", row.values && arrow(row.values)],
    ["Numbers changed", ofAll(row)], ["Signs turned", whole(row.flips)],
    ["Zeros", counted(row.zeros)], ["NaN and Inf", counted(row.nonfinite)],
  ];
  return said([
    ["Status", row.status], ["Paired by", row.paired], ["Why", row.reason], ["Role", row.role],
    ["Layer", row.layer], ["Shape", row.shape], ["Type", row.type], ...figures,
  ]);
}

function changedPeers(row, rows) {
  const others = rows.filter((one) => one.role === row.role && real(one.relative) > 0 && Number.isFinite(real(one.relative)));
  if (others.length < 2 || !others.includes(row)) return null;
  const role = row.role.replaceAll("_", " ");
  return figure(peers(others.map((one) => one.relative), row.relative, `Relative change among ${others.length} tensors`),
    `Its relative change among the ${others.length} tensors of the role ${role} that changed.`);
}

function repairTable(place) {
  const rows = DATA.tensors.map((row, at) => ({ ...row, place: at }));
  const outer = ([, low, high]) => Math.max(Math.abs(real(low)), Math.abs(real(high)));
  place.dataset.id = "r";
  return new Table(place, {
    noun: "tensor", caption: "Tensors that change", rows,
    search: (row) => `${row.name} ${row.projections} ${row.rules} ${row.role}`,
    columns: [
      NAME, { title: "By", cell: (row) => el("code", {}, row.projections), value: (row) => row.projections },
      ...(rows.some((row) => row.rules) ? [text("For", "rules")] : []), RELATIVE, PART,
      figureOf("Norm", (row) => real(row.before[0]), (row) => arrow([row.before[0], row.after[0]])),
      figureOf("Largest |x|", (row) => outer(row.before), (row) => arrow([outer(row.before), outer(row.after)])),
    ],
    filters: [
      oneOf(rows, "Role", "role"), oneOf(rows, "Layer", "layer"),
      { title: "more than is allowed", keep: (row) => row.excessive },
    ],
    detail: (row) => el("div", { class: "panel" }, el("div", {}, row.pictures ? both(row) : ranges(row)), repairFacts(row)),
  });
}

function repairFacts(row) {
  const pair = (at) => [row.before[at], row.after[at]];
  return said([
    ["By", row.projections], ["For", row.rules], ["Numbers changed", ofAll(row)],
    ["Relative change", `${number(row.relative)}${row.excessive ? ", more than is allowed" : ""}`],
    ["Largest change", number(row.largest)], ["Norm", arrow(pair(0))], ["Least", arrow(pair(1))],
    ["Largest", arrow(pair(2))], ["Zeros", counted(pair(3))], ["NaN and Inf", counted(pair(4))],
  ]);
}

function both(row) {
  const [before, after] = row.pictures;
  return figure(histogram(after, [], `Histogram of ${row.name} before and after`, before),
    "Numbers by magnitude: dark after the repair, pale before it.");
}

// Draws the range of a tensor before and after, where no histogram was measured.
function ranges(row) {
  const ends = [row.before[1], row.before[2], row.after[1], row.after[2]].map(real);
  if (!ends.every(Number.isFinite)) {
    return el("p", { class: "hint" }, "There is nothing to draw: no number was finite before, or is after.");
  }
  const [low, high] = [Math.min(...ends, 0), Math.max(...ends, 0)];
  const width = room(720, LEFT);
  const x = (value) => 70 + ((value - low) / (high - low || 1)) * (width - 80);
  const chart = svg("svg", { class: "chart", viewBox: `0 0 ${width} 92`, role: "img", "aria-label": `Range of ${row.name} before and after` });
  for (const [name, shade, [, least, largest], y] of [["before", "before", row.before, 16], ["after", "plus", row.after, 44]]) {
    const [from, to] = [x(real(least)), x(real(largest))];
    chart.append(svg("text", { x: 10, y: y + 12 }, name),
      svg("rect", { class: shade, x: from, y, width: Math.max(2, to - from), height: 16 }));
  }
  chart.append(svg("line", { class: "axis-line", x1: x(0), x2: x(0), y1: 8, y2: 68 }));
  for (const value of new Set([low, 0, high])) {
    chart.append(svg("text", { x: x(value), y: 84, "text-anchor": value === high ? "end" : "middle" }, number(value)));
  }
  return figure(chart, "From the least to the largest number, before and after.");
}
