// Pictures of one tensor. Magnitudes lie on a logarithmic axis, in powers of two.

const STEPS = 4; // bins of each power of two
const ENDS = [-26, 17]; // powers of two that every axis shows, so that tensors can be compared
const FLOATS = [
  { name: "float16", most: Math.log2(65520), normal: -14, least: -25 },
  { name: "bfloat16", most: Math.log2(3.3961e38), normal: -126, least: -134 },
];

// A picture that is stretched or shrunk takes its letters along: on a phone it is drawn narrower instead.
// The details of a tensor stand side by side in a wide window, and a picture has a part of it.
const room = (most, part) => Math.min(most, Math.max(280, innerWidth > 1160 ? part * innerWidth : innerWidth - 90));
const [LEFT, RIGHT] = [0.52, 0.34];

function counts(picture) {
  const side = (text) => (text ? text.split(",").map(Number) : []);
  return { lowest: picture[0], plus: side(picture[1]), minus: side(picture[2]) };
}

function span(histograms) {
  let [low, high] = ENDS;
  for (const each of histograms) {
    const bins = Math.max(each.plus.length, each.minus.length);
    if (!bins) continue;
    low = Math.min(low, Math.floor(each.lowest / STEPS));
    high = Math.max(high, Math.ceil((each.lowest + bins) / STEPS));
  }
  return [low, high];
}

function bars(values, lowest, x, y, height, most, isDown) {
  const width = x(0.25) - x(0);
  let path = "";
  values.forEach((value, place) => {
    if (!value) return;
    const tall = Math.max(2, (value / most) * height);
    const left = x((lowest + place) / STEPS).toFixed(1);
    path += `M${left} ${y}h${(width * 0.92).toFixed(1)}v${(isDown ? tall : -tall).toFixed(1)}h${(-width * 0.92).toFixed(1)}z`;
  });
  return path;
}

function ticks(low, high, width) {
  const first = Math.ceil(low * Math.log10(2));
  const last = Math.floor(high * Math.log10(2));
  const step = Math.max(1, Math.round((last - first) / Math.min(8, width / 50)));
  const found = [];
  for (let power = Math.ceil(first / step) * step; power <= last; power += step) found.push(power);
  return found;
}

const decade = (power) => (power === 0 ? "1" : `1e${String(power).replace("-", "−")}`);

// Draws a histogram, with another one behind it where a tensor is shown before and after a change.
function histogram(picture, limits, label, behind) {
  const now = counts(picture);
  const all = behind ? [now, counts(behind)] : [now];
  const [low, high] = span(all);
  const [width, middle, height] = [room(720, LEFT), 128, 96];
  const x = (power) => 8 + ((power - low) / (high - low)) * (width - 16);
  const most = Math.max(1, ...all.flatMap((each) => [...each.plus, ...each.minus]));
  const chart = svg("svg", { class: "chart", viewBox: `0 0 ${width} 264`, role: "img", "aria-label": label });
  const [half] = FLOATS;
  // At the left end, or behind the line of float16 where that would go through the words.
  const aside = x(half.least) < 80 ? x(half.least) + 6 : 14;
  chart.append(
    svg("rect", { class: "shade", x: x(half.most), y: 20, width: Math.max(0, x(high) - x(half.most)), height: 216 }),
    svg("rect", { class: "shade", x: x(low), y: 20, width: Math.max(0, x(half.normal) - x(low)), height: 216 }),
  );
  if (behind) {
    chart.append(
      svg("path", { class: "before", d: bars(all[1].plus, all[1].lowest, x, middle, height, most, false) }),
      svg("path", { class: "before", d: bars(all[1].minus, all[1].lowest, x, middle, height, most, true) }),
    );
  }
  chart.append(
    svg("path", { class: "plus", d: bars(now.plus, now.lowest, x, middle, height, most, false) }),
    svg("path", { class: "minus", d: bars(now.minus, now.lowest, x, middle, height, most, true) }),
    svg("line", { class: "axis-line", x1: 8, x2: width - 8, y1: middle, y2: middle }),
    svg("text", { x: aside, y: 34 }, "above zero"),
    svg("text", { x: aside, y: 232 }, "below zero"),
  );
  for (const power of ticks(low, high, width)) {
    chart.append(svg("text", { x: x(power / Math.log10(2)), y: 256, "text-anchor": "middle" }, decade(power)));
  }
  marks(chart, x, low, high, limits, width);
  return chart;
}

function marks(chart, x, low, high, limits, width) {
  for (const each of FLOATS) {
    for (const [power, says] of [[each.most, "ends"], [each.normal, "loses digits"], [each.least, "= 0"]]) {
      if (power <= low || power >= high) continue;
      const isLeft = x(power) < 120;
      // The words at the lower line end before those at the upper one begin, however close the lines are.
      const end = power === each.least ? Math.min(x(power), x(each.normal) - 112) : x(power);
      const at = isLeft && power === each.least ? x(power) - 8 : end;
      chart.append(
        svg("line", { class: "limit", x1: x(power), x2: x(power), y1: 18, y2: 238 }),
        svg("text", { class: isLeft ? "limit start" : "limit", x: at, y: 14 }, `${each.name} ${says}`),
      );
    }
  }
  limits.forEach(([value, name], place) => {
    const power = Math.log2(value);
    if (power <= low || power >= high) return;
    const side = x(power) > 0.75 * width ? "end" : "start";
    chart.append(
      svg("line", { class: "rule", x1: x(power), x2: x(power), y1: 24, y2: 238 }),
      svg("text", { class: "rule", x: x(power) + (side === "end" ? -4 : 4), y: 40 + 13 * (place % 4), "text-anchor": side },
        `${name} ${number(value)}`),
    );
  });
}

// Draws the norm of each output channel, or of each few of very many, in order.
function channels([size, step, least, largest, extremes], label) {
  const [width, height] = [room(720, LEFT), 110];
  const tops = (largest.length ? largest : least).map(real);
  const most = Math.max(...tops.filter(Number.isFinite), Number.MIN_VALUE);
  const wide = (width - 16) / tops.length;
  const chart = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height + 12}`, role: "img", "aria-label": label });
  const tall = (value) => Math.max(1, (Math.min(real(value), most) / most) * (height - 8));
  const bar = (value, place) =>
    `M${(8 + place * wide).toFixed(2)} ${height}h${(wide * 0.9).toFixed(2)}v${(-tall(value)).toFixed(1)}h${(-wide * 0.9).toFixed(2)}z`;
  if (largest.length) chart.append(svg("path", { class: "before", d: largest.map(bar).join("") }));
  chart.append(svg("path", { class: "plus", d: least.map(bar).join("") }));
  const weak = extremes.filter(([, norm]) => real(norm) === 0);
  for (const [place] of weak) {
    chart.append(svg("circle", { class: "stand", cx: 8 + (Math.floor(place / step) + 0.5) * wide, cy: height + 6, r: 3 }));
  }
  return chart;
}

// Draws where a tensor stands among all others of its role in the model.
function peers(values, own, label) {
  const powers = values.filter((value) => value > 0 && Number.isFinite(value)).map(Math.log10);
  const mine = Math.log10(own);
  // A tensor that is very far from all others is drawn at the edge, and leaves them apart.
  const middle = [...powers].sort((a, b) => a - b)[Math.floor(powers.length / 2)];
  const near = powers.filter((power) => Math.abs(power - middle) < 4);
  const low = Math.min(...near) - 0.15;
  const high = Math.max(...near, low + 1) + 0.15;
  const width = room(460, RIGHT);
  const x = (power) => 12 + ((Math.min(high, Math.max(low, power)) - low) / (high - low)) * (width - 24);
  const chart = svg("svg", { class: "chart", viewBox: `0 0 ${width} 58`, role: "img", "aria-label": label });
  const dots = powers.map((power, place) => `M${x(power).toFixed(1)} ${13 + ((place * 7) % 9)}h0`);
  chart.append(svg("path", { class: "peer", d: dots.join("") }));
  for (let power = Math.ceil(low); power <= high; power += Math.max(1, Math.round((high - low) / 6))) {
    chart.append(svg("text", { x: x(power), y: 52, "text-anchor": "middle" }, decade(power)));
  }
  chart.append(
    svg("line", { class: "axis-line", x1: 8, x2: width - 8, y1: 36, y2: 36 }),
    svg("path", { class: "self", d: `M${x(mine)} 34l-6 -9v-16h12v16z` }),
  );
  return chart;
}

// Draws the histogram of a row of the table; all rows have one axis.
function spark(picture) {
  const chart = svg("svg", { class: "spark", viewBox: "0 0 172 24", preserveAspectRatio: "none", "aria-hidden": "true" });
  const { lowest, plus, minus } = counts(picture);
  const both = new Array(172).fill(0);
  for (let place = 0; place < Math.max(plus.length, minus.length); place++) {
    const at = Math.min(171, Math.max(0, lowest + place - ENDS[0] * STEPS));
    both[at] += (plus[place] || 0) + (minus[place] || 0);
  }
  // The bins at either end hold all that lies beyond, and must not dwarf the others.
  const most = Math.max(1, ...both.slice(1, -1));
  let path = "";
  both.forEach((value, place) => {
    if (value) path += `M${place} 24h1v${(-Math.max(1.5, Math.min(1, value / most) * 23)).toFixed(1)}h-1z`;
  });
  const at = (power) => (power - ENDS[0]) * STEPS;
  chart.append(svg("path", { d: path }));
  for (const power of [-14, 16]) chart.append(svg("line", { x1: at(power), x2: at(power), y1: 0, y2: 24, "vector-effect": "non-scaling-stroke" }));
  return chart;
}
