// What all pictures share, of the report and of the page: colours, words, and how a plot is set up.
"use strict";
const S = 1e6; // microseconds in a second
const OPEN = -1; // the end of what goes on
const STATUSES = ["connected", "ready", "busy", "offline", "dead"];
const PRIORITY = ["#9db4c9", "#8aa9c7", "#769dc4", "#5f90c1", "#4683bd", "#3f72b5", "#5560ad", "#6f4ba0", "#8a3390", "#a3117c"];
const OTHER = ["#37474f", "#6d4c00", "#00695c", "#4527a0", "#827717", "#006080"];
const LINES = ["#4683bd", "#0b7f94", "#1a8f55", "#a07a3a", "#8e6bb8"];
const FONT = "12px system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";

const DARK = matchMedia("(prefers-color-scheme: dark)");
let colours = {};
/** A colour of the style sheet by its name there. */
const colour = (name) => colours[name] ??= getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const plots = new Set(); // all that are drawn anew when the colours change
DARK.addEventListener("change", () => { colours = {}; plots.forEach((u) => u.redraw()); });

const $ = (id) => document.getElementById(id);
const unique = (values) => [...new Set(values)];
const count = (n) => n.toLocaleString("en");

/** The unit of an axis over so many microseconds. */
const timeUnit = (us) => us > 3 * 3600 * S ? { unit: "hours", us: 3600 * S } : us > 600 * S ? { unit: "minutes", us: 60 * S } : { unit: "seconds", us: S };

/** A new element with this text. */
function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** How long so many microseconds are, in words. */
function told(us) {
  if (us < 1e3) return Math.round(us) + " us";
  if (us < S) return +(us / 1e3).toPrecision(3) + " ms";
  if (us < 300 * S) return +(us / S).toPrecision(3) + " s";
  return us < 3 * 3600 * S ? +(us / 60 / S).toPrecision(3) + " min" : +(us / 3600 / S).toPrecision(3) + " h";
}

/** A moment of the run, as the log writes it. */
const moment = (us) => (us / S).toFixed(3) + " s";

/** An axis in the page's style. */
const axis = (label, more = {}) => ({ stroke: () => colour("ink"), font: FONT, label, labelFont: FONT, labelSize: label ? 20 : 0, gap: 4, size: 28,
  grid: { stroke: () => colour("grid"), width: 1 }, ticks: { stroke: () => colour("grid"), width: 1, size: 4 }, ...more });

/** A plot that fills `box` and follows its width. */
function plot(box, options, data) {
  const size = () => ({ width: Math.max(60, box.clientWidth), height: Math.max(60, box.clientHeight - (options.legend?.show ? 30 : 0)) });
  const made = new uPlot({ ...size(), legend: { show: false }, ...options }, data, box);
  new ResizeObserver(() => { const now = size(); if (now.width !== made.width || now.height !== made.height) made.setSize(now); }).observe(box);
  plots.add(made);
  return made;
}

/** Draw on the plot's canvas, inside its axes only. `draw(context, X, Y, dpr)`: X and Y give pixels. */
function onCanvas(u, draw) {
  const { ctx, bbox } = u, { x, y } = u.scales;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  const kx = bbox.width / (x.max - x.min), ky = bbox.height / (y.max - y.min), bottom = bbox.top + bbox.height;
  draw(ctx, (value) => bbox.left + (value - x.min) * kx, (value) => bottom - (value - y.min) * ky, uPlot.pxRatio);
  ctx.restore();
}

/** What the pointer is on, beside it; nothing hides it. */
function tip(u, lines) {
  u.tip ??= u.over.appendChild(element("div", "", "tip"));
  u.tip.hidden = !lines;
  if (!lines) return;
  u.tip.textContent = lines.join("\n");
  const { left, top } = u.cursor;
  u.tip.style.left = left + 14 + u.tip.offsetWidth > u.over.clientWidth ? `${Math.max(0, left - 14 - u.tip.offsetWidth)}px` : `${left + 14}px`;
  u.tip.style.top = `${Math.min(Math.max(0, top - 10), Math.max(0, u.over.clientHeight - u.tip.offsetHeight))}px`;
}
