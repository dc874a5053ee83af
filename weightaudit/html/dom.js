"use strict";
// Elements and words. Everything that comes from the data becomes text or an attribute, never markup.

const SVG = "http://www.w3.org/2000/svg";

function put(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "on") for (const [event, does] of Object.entries(value)) element.addEventListener(event, does);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  for (const child of children) if (child !== null && child !== undefined) element.append(child);
  return element;
}

const el = (tag, attributes, ...children) => put(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => put(document.createElementNS(SVG, tag), attributes, children);

function icon(kind) {
  return svg("svg", { class: `icon ${kind}`, "aria-hidden": "true" }, svg("use", { href: `#i-${kind}` }));
}

// A long name may be broken behind a slash or an underscore.
function breakable(name) {
  return el("span", {}, ...name.split(/(?<=[/_])/).flatMap((part, place) => (place ? [el("wbr"), part] : [part])));
}

// Names in the order in which people count: layer_2 before layer_10.
const COUNTING = new Intl.Collator("en", { numeric: true });

const real = (value) => (value === "inf" ? Infinity : value === "-inf" ? -Infinity : value);

function number(value) {
  value = real(value);
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  let text;
  if (value === 0) text = "0";
  else if (size >= 1e6 || size < 1e-4) text = value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  else if (size >= 999.5) text = Math.round(value).toLocaleString("en-US");
  else text = String(Number(value.toPrecision(3)));
  return text.replace("-", "−").replace("e-", "e−");
}

const whole = (value) => (value === undefined || value === null ? "–" : value.toLocaleString("en-US"));

function percent(share) {
  if (share === null || share === undefined || Number.isNaN(share)) return "–";
  if (share === 0 || share === 1) return `${share * 100} %`;
  if (share < 1e-4) return "<0.01 %";
  if (share > 0.9999) return ">99.99 %";
  return `${(share * 100).toFixed(share < 0.01 ? 2 : 1)} %`;
}

const plural = (count, noun) => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;
