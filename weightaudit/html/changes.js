// Tables of two states of a model: a comparison of two models, and a repair.

const arrow = ([before, after]) => (before === after ? number(before) : `${number(before)} → ${number(after)}`);
const counted = ([before, after]) => (before === after ? whole(before) : `${whole(before)} → ${whole(after)}`);

// A bar by logarithm, from 1e-8 to 1.
function sized(value) {
  const long = value > 0 ? Math.min(1, Math.max(0.02, (Math.log10(real(value)) + 8) / 8)) : 0;
  return el("span", {}, svg("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { width: 100 * long, height: 10 })), el("span", {}, number(value)));
}

const measured = (title, key) => ({ title, kind: "number", value: (row) => real(row[key]) ?? null, cell: (row) => number(row[key]) });
const named = { title: "Name", cell: (row) => breakable(row.name), value: (row) => row.name };
const changing = {
  title: "Relative change", kind: "number", value: (row) => real(row.relative) ?? null,
  cell: (row) => (row.relative === undefined ? null : sized(row.relative)),
};
const share = (row) => (row.of ? row.elements / row.of : null);
const part = { title: "Numbers changed", kind: "number", value: share, cell: (row) => (row.of ? percent(share(row)) : null) };
const oneOf = (rows, title, key) => ({ title, options: pairs(unique(rows.map((row) => row[key]))), matches: (row, value) => row[key] === value });

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
    columns: [named, { title: "Status", cell: (row) => row.status, value: (row) => row.status }, changing, measured("Largest", "largest"), part,
      { title: "Signs turned", kind: "number", value: (row) => row.flips ?? null, cell: (row) => (row.of ? whole(row.flips) : null) },
      { title: "Norm", kind: "number", value: (row) => (row.norms ? real(row.norms[1]) / real(row.norms[0]) : null), cell: (row) => (row.norms ? arrow(row.norms) : null) },
      { title: "Shape", cell: (row) => row.shape }, { title: "Type", cell: (row) => row.type, value: (row) => row.type }],
    filters: [oneOf(rows, "Status", "status"), oneOf(rows, "Role", "role"), oneOf(rows, "Layer", "layer")],
    detail: (row) => {
      const facts = said([["Status", row.status], ["Paired by", row.paired], ["Why", row.reason], ["Role", row.role], ["Layer", row.layer], ["Shape", row.shape],
        ["Type", row.type], ...(row.of ? [["Relative change", number(row.relative)], ["Cosine", String(row.cosine ?? "–")], ["Norm", arrow(row.norms)],
          ["Largest change", number(row.largest)], ["It is at", row.at], ["Its values", row.values && arrow(row.values)],
          ["Numbers changed", `${whole(row.elements)} of ${whole(row.of)}`], ["Signs turned", whole(row.flips)], ["Zeros", counted(row.zeros)], ["NaN and Inf", counted(row.nonfinite)]] : [])]);
      const others = rows.filter((one) => one.role === row.role && real(one.relative) > 0 && Number.isFinite(real(one.relative)));
      const chart = others.length > 1 && others.includes(row)
        ? figure(peers(others.map((one) => one.relative), row.relative, `Relative change among ${others.length} tensors of its role`),
          `Its relative change among the ${others.length} tensors of the role ${row.role.replaceAll("_", " ")} that changed.`) : null;
      return el("div", { class: "panel" }, facts, el("div", {}, chart));
    },
  });
}

function repairTable(place) {
  const rows = DATA.tensors.map((row, at) => ({ ...row, place: at }));
  place.dataset.id = "r";
  const both = (at) => (row) => [row.before[at], row.after[at]];
  const outer = ([, low, high]) => Math.max(Math.abs(real(low)), Math.abs(real(high)));
  return new Table(place, {
    noun: "tensor", caption: "Tensors that change", rows,
    search: (row) => `${row.name} ${row.projections} ${row.rules} ${row.role}`,
    columns: [named, { title: "By", cell: (row) => el("code", {}, row.projections), value: (row) => row.projections },
      { title: "For", cell: (row) => row.rules, value: (row) => row.rules }, changing, part,
      { title: "Norm", kind: "number", value: (row) => real(row.before[0]), cell: (row) => arrow(both(0)(row)) },
      { title: "Largest |x|", kind: "number", value: (row) => outer(row.before), cell: (row) => arrow([outer(row.before), outer(row.after)]) }],
    filters: [oneOf(rows, "Role", "role"), oneOf(rows, "Layer", "layer"), { title: "more than is allowed", keep: (row) => row.excessive }],
    detail: (row) => {
      const facts = said([["By", row.projections], ["For", row.rules], ["Numbers changed", `${whole(row.elements)} of ${whole(row.of)}`],
        ["Relative change", `${number(row.relative)}${row.excessive ? ", more than is allowed" : ""}`], ["Largest change", number(row.largest)],
        ["Norm", arrow(both(0)(row))], ["Least", arrow(both(1)(row))], ["Largest", arrow(both(2)(row))],
        ["Zeros", counted(both(3)(row))], ["NaN and Inf", counted(both(4)(row))]]);
      const chart = row.pictures ? figure(histogram(row.pictures[1], [], `Histogram of ${row.name} before and after`, row.pictures[0]),
        "Numbers by magnitude: dark after the repair, pale before it.") : ranges(row);
      return el("div", { class: "panel" }, el("div", {}, chart), facts);
    },
  });
}

// Draws the range of a tensor before and after, where no histogram was measured.
function ranges(row) {
  const ends = [row.before[1], row.before[2], row.after[1], row.after[2]].map(real);
  if (!ends.every(Number.isFinite)) return el("p", { class: "hint" }, "There is nothing to draw: no number was finite before, or is after.");
  const [low, high] = [Math.min(...ends, 0), Math.max(...ends, 0)];
  const x = (value) => 70 + ((value - low) / (high - low || 1)) * 640;
  const chart = svg("svg", { class: "chart", viewBox: "0 0 720 92", role: "img", "aria-label": `Range of ${row.name} before and after` });
  [["before", row.before, 16], ["after", row.after, 44]].forEach(([name, [, least, largest], y]) => {
    const [from, to] = [x(real(least)), x(real(largest))];
    chart.append(svg("text", { x: 10, y: y + 12 }, name),
      svg("rect", { class: name === "before" ? "before" : "plus", x: from, y, width: Math.max(2, to - from), height: 16 }));
  });
  chart.append(svg("line", { class: "axis-line", x1: x(0), x2: x(0), y1: 8, y2: 68 }));
  for (const value of new Set([low, 0, high])) chart.append(svg("text", { x: x(value), y: 84, "text-anchor": value === high ? "end" : "middle" }, number(value)));
  return figure(chart, "From the least to the largest number, before and after.");
}
