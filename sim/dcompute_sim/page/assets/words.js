// The verdict and why, in words that lead to the moment and the node they speak of.
const MOMENT = /\b(?:at|since|after|from|until|to) (\d[\d,]*(?:\.\d+)?) s\b/g;

/** Text in which names of nodes and moments of the run are links. `go({us, node, position})` */
export function linked(text, names, go) {
  const box = document.createDocumentFragment(), places = [];
  for (const found of text.matchAll(MOMENT)) {
    const us = Math.round(Number(found[1].replaceAll(",", "")) * S);
    places.push([found.index, found[0], { us }]);
  }
  for (const found of text.matchAll(/[\p{L}\p{N}_][\p{L}\p{N}_.-]*[\p{L}\p{N}_]/gu)) {
    if (names.has(found[0])) places.push([found.index, found[0], { node: found[0] }]);
  }
  let at = 0;
  for (const [index, word, where] of places.sort((a, b) => a[0] - b[0])) {
    if (index < at) continue;
    box.append(text.slice(at, index), link(word, () => go(where)));
    at = index + word.length;
  }
  box.append(text.slice(at));
  return box;
}

export function link(text, follow) {
  const made = element("button", text, "link");
  made.type = "button";
  made.addEventListener("click", follow);
  return made;
}

/** The verdict of one run: what did not hold stands first and open, what held can be opened. */
export function verdict(about, names, go) {
  if (!about.verdict) return element("p", about.over ? "This run was not judged." : "The run goes on; it is judged at its end.");
  const box = document.createDocumentFragment(), { results } = about.verdict, held = results.filter(({ status }) => status === "held");
  for (const status of ["failed", "inconclusive"]) {
    const found = results.filter((result) => result.status === status);
    if (found.length) box.append(resultList(found, names, go));
  }
  if (held.length) {
    const more = box.appendChild(element("details"));
    more.append(element("summary", `${held.length} of ${results.length} expectations held`), resultList(held, names, go));
  }
  return box;
}

function resultList(results, names, go) {
  const list = element("ul", "", "verdict");
  for (const result of results) {
    const item = list.appendChild(element("li", "", result.status)), head = item.appendChild(element("p"));
    head.append(element("span", result.word, `pill ${result.status}`), " ", element("b", result.name), " ");
    if (result.parameters) head.append(element("small", result.parameters));
    if (result.description) head.title = result.description;
    const summary = item.appendChild(element("p", "", "summary"));
    summary.append(linked(result.summary, names, go));
    for (const reason of result.why) {
      const told = item.appendChild(element("p", "", "why"));
      told.append(linked(reason, names, go));
    }
    if (result.events.length) {
      const more = item.appendChild(element("details"));
      more.open = result.status === "failed";
      more.append(element("summary", result.status === "failed" ? "the events that broke it" : "these events"));
      const scroll = more.appendChild(element("div", "", "scroll broken")), events = scroll.appendChild(element("ul", "", "verdict"));
      Object.entries({ role: "region", tabindex: "0", "aria-label": `events of ${result.name}` }).forEach((pair) => scroll.setAttribute(...pair));
      for (const event of result.events) {
        const line = events.appendChild(element("li"));
        line.append(link(moment(event.t), () => go({ position: event.position, node: event.node })), ` ${event.what} ${event.node} ${event.text}`);
      }
    }
  }
  return list;
}

/** What `dcompute compare` says of two runs. */
export function comparison(told) {
  const box = document.createDocumentFragment();
  box.append(element("p", told.agree ? "The verdicts agree." : "The verdicts differ."));
  for (const { title, heads, rows } of told.tables) {
    if (!rows.length) continue;
    const scroll = element("div", "", "scroll"), table = scroll.appendChild(element("table"));
    Object.entries({ role: "region", tabindex: "0", "aria-label": title }).forEach((pair) => scroll.setAttribute(...pair));
    const head = table.appendChild(element("thead")).appendChild(element("tr"));
    for (const name of heads) head.append(Object.assign(element("th", name), { scope: "col" }));
    const body = table.appendChild(element("tbody"));
    for (const row of rows) {
      const line = body.appendChild(element("tr", "", row.differs ? "now" : ""));
      row.cells.forEach((cell) => line.append(element("td", cell)));
    }
    box.append(element("h3", title), scroll);
  }
  return box;
}
