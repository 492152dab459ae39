// The report: its data, the pictures below the lanes, drawn when scrolled to, and the start of it.
const D = JSON.parse(document.getElementById("data").textContent);
const TIME = timeUnit(D.end), shownTime = (us) => us / TIME.us;
const rows = (columns, pick) => columns.lane.map((_, i) => i).filter(pick);

const BINS = 40;

/** A histogram of one distribution, with its bound when that is near enough to be drawn beside the samples. */
function drawDistribution(box, d) {
  const worst = Math.max(...d.samples), small = worst < 0.5 && d.unit === "s", scale = small ? 1000 : 1;
  const near = d.bound !== null && d.bound < worst * 20; // else the bound would squeeze the samples to a line
  const end = Math.max(worst, near ? d.bound : 0) * scale * 1.02 || 1, width = end / BINS, bins = new Array(BINS).fill(0);
  d.samples.forEach((s) => bins[Math.min(BINS - 1, Math.floor(s * scale / width))]++);
  const late = d.bound !== null && worst > d.bound;
  box.append(element("h3", `${d.check}: ${d.name} (${count(d.samples.length)})`));
  const far = d.bound !== null && !near ? `, ${Math.round(d.bound / (worst || 1))} times the worst` : "";
  box.append(element("p", d.bound === null ? "no bound" : `bound ${d.unit === "s" ? told(d.bound * S) : `${d.bound} ${d.unit}`}${far}`, late ? "bound late" : "bound"));
  plot(box.appendChild(element("div", "", "plot tiny")), {
    padding: [6, 10, 0, 0],
    scales: { x: { time: false, range: [0, end] }, y: { range: (_, __, max) => [0, max * 1.08] } },
    series: [{}, { fill: () => late ? colour("failed") : "#4683bd", width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.92, Infinity] }) }],
    axes: [axis(small ? "ms" : d.unit), axis("", { size: 40, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 1e5] })],
    cursor: { drag: { x: false }, y: false, points: { show: false } },
    hooks: {
      draw: [(u) => near && onCanvas(u, (ctx, X, _, dpr) => { ctx.fillStyle = colour(late ? "failed" : "ink"); ctx.fillRect(X(d.bound * scale) - dpr, 0, 2 * dpr, u.bbox.top + u.bbox.height); })],
      setCursor: [(u) => tip(u, u.cursor.idx === null || u.cursor.left < 0 || !bins[u.cursor.idx] ? null
        : [`${(u.cursor.idx * width).toPrecision(3)} to ${((u.cursor.idx + 1) * width).toPrecision(3)} ${small ? "ms" : d.unit}`, `${count(bins[u.cursor.idx])} of ${count(d.samples.length)}`])],
    },
  }, [bins.map((_, i) => (i + 0.5) * width), bins]);
}

function drawLatencies() {
  for (const d of D.distributions) drawDistribution($("latencies").appendChild(element("div")), d);
}

/** Each take as a point, by priority; a take that passed over a more urgent task as a cross. */
function drawOrder() {
  const W = D.work, wrong = rows(W, (i) => W.passed[i]);
  $("order-told").textContent = !W.of ? "No task was taken." : `${count(W.of)} takes, ${count(wrong.length)} out of order.`
    + (W.lane.length < W.of ? ` ${count(W.lane.length)} of them are drawn.` : "");
  const level = (i) => W.priority[i] + ((i * 0.618034) % 1 - 0.5) * 0.7; // spread, so that takes of one priority do not hide each other
  const points = (u) => onCanvas(u, (ctx, X, Y, dpr) => {
    ctx.globalAlpha = 0.7;
    W.lane.forEach((_, i) => {
      ctx.fillStyle = PRIORITY[W.priority[i] - 1] ?? OTHER[0];
      ctx.fillRect(X(shownTime(W.taken[i])) - 1.5 * dpr, Y(level(i)) - 1.5 * dpr, 3 * dpr, 3 * dpr);
    });
    ctx.globalAlpha = 1;
    ctx.beginPath();
    wrong.forEach((i) => marks.cross(ctx, X(shownTime(W.taken[i])), Y(level(i)), 5 * dpr));
    finish(ctx, "cross", colour("failed"), dpr);
  });
  const nearest = (u) => {
    let best = null, least = 10;
    if (u.cursor.left >= 0) W.lane.forEach((_, i) => {
      const distance = Math.hypot(u.valToPos(shownTime(W.taken[i]), "x") - u.cursor.left, u.valToPos(level(i), "y") - u.cursor.top) - (W.passed[i] ? 4 : 0);
      if (distance < least) [best, least] = [i, distance];
    });
    return best;
  };
  plot($("order"), {
    padding: [6, 16, 0, 0],
    scales: { x: { time: false }, y: { auto: false, range: [0.4, 10.6] } },
    series: [{}, { paths: () => null, points: { show: false } }],
    axes: [axis(`taken at, ${TIME.unit}`), axis("priority", { size: 34, splits: () => PRIORITY.map((_, i) => i + 1), space: 1 })],
    cursor: { points: { show: false }, drag: { x: true, y: false, dist: 4 } },
    hooks: { draw: [points], setCursor: [(u) => {
      const i = nearest(u);
      tip(u, i === null ? null : [`${D.nodes[W.lane[i]]} took ${W.task[i]} (priority ${W.priority[i]})`, `at ${moment(W.taken[i])}, after ${told(W.taken[i] - W.received[i])}`,
        ...(W.passed[i] ? [`while ${W.passed[i]} of higher priority waited`] : [])]);
    }] },
  }, [[0, shownTime(D.end)], [null, null]]);
  drawWaits();
}

/** How long tasks of each priority waited: half of them less than this. */
function drawWaits() {
  const W = D.work, waits = PRIORITY.map(() => []);
  W.priority.forEach((p, i) => waits[p - 1]?.push(W.taken[i] - W.received[i]));
  const medians = waits.map((w) => w.length ? w.sort((a, b) => a - b)[w.length >> 1] : null), most = Math.max(...medians, 1);
  medians.map((wait, p) => {
    const row = element("tr"), bar = element("td", "", "wait");
    const fill = bar.appendChild(element("div"));
    fill.style.cssText = `width: ${wait === null ? 0 : Math.max(1, 100 * wait / most)}%; background: ${PRIORITY[p]}`;
    row.append(element("td", String(p + 1)), bar, element("td", wait === null ? "" : told(wait)));
    return row;
  }).reverse().forEach((row) => $("waits").append(row));
}

function drawRates() {
  const perS = D.rates.bin / S, names = Object.keys(D.rates.counts), columns = Object.values(D.rates.counts);
  const length = columns[0]?.length ?? 1;
  plot($("rates"), {
    legend: { show: true },
    padding: [6, 16, 0, 0],
    scales: { x: { time: false }, y: { range: (_, __, max) => [0, (max || 1) * 1.05] } },
    series: [{ label: TIME.unit, value: (_, x) => x === null ? "" : x.toPrecision(4) }, ...names.map((label, i) => ({ label: `${label} per second`, stroke: LINES[i % LINES.length], width: 1.4,
      points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }), value: (_, v) => v === null ? "" : +v.toPrecision(4) }))],
    axes: [axis(TIME.unit), axis("per second", { size: 50 })],
    cursor: { y: false, drag: { dist: 4 } },
  }, [Array.from({ length }, (_, i) => shownTime(i * D.rates.bin)), ...columns.map((counts) => counts.map((n) => n / perS))]);
}

function drawLog() {
  const wanted = $("log-find").value.toLowerCase(), cap = 1000;
  const found = D.log.rows.filter((row) => !wanted || row.slice(1).join(" ").toLowerCase().includes(wanted));
  $("log").replaceChildren(...found.slice(0, cap).map((row) => {
    const tr = element("tr");
    tr.append(element("td", (row[0] / S).toFixed(6) + " s"), ...row.slice(1).map((value) => element("td", value)));
    return tr;
  }));
  $("log-shown").textContent = `${count(Math.min(cap, found.length))} of ${count(D.log.of)} notable events`;
}

for (const group of unique(D.groups).sort()) $("group").append(new Option(group, group));
const lanes = new Lanes($("lanes"), D, { legend: $("legend"), onShown: (shown, of) => { $("shown").textContent = `${shown} of ${of} nodes`; } });
const redraw = () => { clearTimeout(redraw.timer); redraw.timer = setTimeout(() => lanes.select({ text: $("find").value, group: $("group").value, hit: $("hit").checked, sort: $("sort").value }), 100); };
for (const id of ["find", "group", "hit", "sort"]) $(id).addEventListener("input", redraw);
$("all").addEventListener("click", () => lanes.showAll());
$("log-find").addEventListener("input", drawLog);
$("copy").addEventListener("click", () => navigator.clipboard?.writeText($("replay").textContent));

const LATER = { latencies: drawLatencies, order: drawOrder, rates: drawRates, log: drawLog };
const EMPTY = { latencies: !D.distributions.length, order: !D.work.of, rates: !Object.keys(D.rates.counts).length };
const watcher = new IntersectionObserver((entries) => entries.filter((e) => e.isIntersecting).forEach((entry) => {
  watcher.unobserve(entry.target);
  LATER[entry.target.id]();
}), { rootMargin: "300px" });
Object.keys(LATER).forEach((id) => { if (EMPTY[id]) $(id).closest("section").hidden = true; else watcher.observe($(id)); });
requestAnimationFrame(() => { document.body.dataset.ready = Math.round(performance.now()); }); // for tests: milliseconds until the lanes stood
