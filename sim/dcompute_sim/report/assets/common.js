// What all pictures share: the data, colours, words, and how a plot is set up.
"use strict";
const D = JSON.parse(document.getElementById("data").textContent);
const S = 1e6; // microseconds in a second
const TIME = D.end > 3 * 3600 * S ? { unit: "hours", us: 3600 * S } : D.end > 600 * S ? { unit: "minutes", us: 60 * S } : { unit: "seconds", us: S };

const STATUS = { connected: "#dfe8c8", ready: "#bfe3cd", busy: "#b7d6ee", offline: "#d9d9de", dead: "#f3b7b3" };
const PRIORITY = ["#9db4c9", "#8aa9c7", "#769dc4", "#5f90c1", "#4683bd", "#3f72b5", "#5560ad", "#6f4ba0", "#8a3390", "#a3117c"];
const OTHER = ["#37474f", "#ad1457", "#00695c", "#4527a0", "#827717", "#bf360c"];
const LINES = ["#4683bd", "#0b7285", "#1a7f4b", "#8a6d3b", "#c62828"];
const BAD = "#c62828", INK = "#1d2733", SOFT = "#6b7785", GRID = "#e8ecf0";
const FONT = "12px system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";

const $ = (id) => document.getElementById(id);
const unique = (values) => [...new Set(values)];
const shownTime = (us) => us / TIME.us;
const count = (n) => n.toLocaleString("en");

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
const axis = (label, more = {}) => ({ stroke: INK, font: FONT, label, labelFont: FONT, labelSize: label ? 20 : 0, gap: 4, size: 28,
  grid: { stroke: GRID, width: 1 }, ticks: { stroke: GRID, width: 1, size: 4 }, ...more });

/** A plot that fills `box` and follows its width. */
function plot(box, options, data) {
  const size = () => ({ width: box.clientWidth, height: box.clientHeight - (options.legend?.show ? 30 : 0) });
  const made = new uPlot({ ...size(), legend: { show: false }, ...options }, data, box);
  new ResizeObserver(() => { if (box.clientWidth !== made.width) made.setSize(size()); }).observe(box);
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
  u.tip.style.left = left + 14 + u.tip.offsetWidth > u.over.clientWidth ? `${left - 14 - u.tip.offsetWidth}px` : `${left + 14}px`;
  u.tip.style.top = `${Math.min(Math.max(0, top - 10), Math.max(0, u.over.clientHeight - u.tip.offsetHeight))}px`;
}
