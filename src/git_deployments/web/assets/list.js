"use strict";
/* All deployments: rows are made here from the data in the page, as they are looked at. */

const table = document.getElementById("list");
const filter = document.getElementById("filter");
const first = 60; // rows that are there at once; the others follow while nothing else is to be done
const block = 200;
const columns = ["name", "path", "live", "latest", "label", "source", "branch", "link", "marks", "action", "number", "from", "to", "reason", "who", "when"];
const tones = { "rolled back": "amber", held: "amber", unpublished: "blue", behind: "blue", "server differs": "amber", "not on the server": "amber", paused: "", disabled: "", unrecorded: "red", damaged: "red" };

let marks = [];
let rows = [];
let shown = [];
let only = new Set();
let order = { key: "when", down: true };
let turn = 0;

function read(root) {
  const data = JSON.parse(root.getElementById("rows").textContent);
  marks = data.marks;
  return data.rows.map((values) => {
    const row = {};
    columns.forEach((column, place) => { row[column] = values[place]; });
    row.path = row.path || row.name;
    [row.branch, row.branchLink] = data.branches[row.branch] || ["", ""];
    row.link = row.link >= 0 ? data.links[row.link].replace("*", row.source) : "";
    row.who = data.people[row.who] || "";
    row.said = sentence(row);
    row.recorded = row.marks;
    mark(row);
    row.key = JSON.stringify(values);
    row.text = [row.name, row.label, row.branch, row.who, row.reason, row.source, row.said, `v${row.live}`].join("\n").toLowerCase();
    return row;
  });
}

/* What a Prefect server said last: by name, and a mark for each word. */

let standings = {};
const said = { differs: "server differs", absent: "not on the server" };

function mark(row) {
  const place = marks.indexOf(said[standings[row.name]]);
  row.marks = place < 0 ? row.recorded : row.recorded | (1 << place);
}

window.takeStandings = (found) => {
  standings = found;
  for (const row of rows) {
    const before = row.marks;
    mark(row);
    if (row.marks !== before) row.element = null;
  }
  showMarks();
  show();
  const counts = Object.keys(said).map((word) => [Object.values(found).filter((one) => one === word).length, said[word]]);
  const words = counts.filter(([many]) => many).map(([many, words]) => `${many.toLocaleString("en")} ${words}`);
  return words.length ? words.join(", ") : "nothing differs";
};

function sentence({ action, number, from, to }) {
  const before = from ? `v${from}` : "nothing";
  const after = to ? `v${to}` : "nothing";
  if (action === "rollback") return from === to ? `Held at ${after}` : `Rolled back ${before} → ${after}`;
  if (action === "promote") return from === to ? `Hold of ${after} ended` : `Promoted ${before} → ${after}`;
  if (action === "adopt" && !number) return `Moved by hand ${before} → ${after}`;
  const verb = { deploy: "deployed", update: "updated", adopt: "adopted" }[action];
  if (!verb) return "";
  if (!number) return "Settings updated";
  return `v${number} ${verb}${number === to ? "" : ", not live"}`;
}

function make(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children.filter((child) => child !== null));
  return element;
}

function address(row) {
  const path = row.path.split("/").map(encodeURIComponent).join("/");
  return `deployments/${path}/log/`;
}

function element(row) {
  if (row.element) return row.element;
  const slash = row.name.lastIndexOf("/") + 1;
  const name = make("a", { href: address(row) + table.dataset.index },
    slash ? make("span", { className: "flow", textContent: row.name.slice(0, slash) }) : null, row.name.slice(slash));
  const badges = make("span", { className: "badges" }, ...marks.filter((_, place) => row.marks & (1 << place))
    .map((mark) => make("span", { className: `badge ${tones[mark]}`, textContent: mark })));
  const live = make("td", {},
    row.live ? make("span", { className: "live", textContent: `v${row.live}` }) : make("span", { className: "badge", textContent: "nothing live" }),
    row.label ? make("span", { className: "second", textContent: row.label }) : null,
    row.latest > row.live ? make("span", { className: "second", textContent: `latest v${row.latest}` }) : null);
  const commit = row.source ? row.source.slice(0, 8) : "";
  const source = make("td", {},
    commit && row.link ? make("a", { className: "id", href: row.link, rel: "noreferrer", textContent: commit }) : make("span", { className: "id", textContent: commit }),
    row.branch ? make("span", { className: "second" }, row.branchLink ? make("a", { href: row.branchLink, rel: "noreferrer", textContent: row.branch }) : row.branch) : null);
  const what = make("td", {}, row.said, row.reason ? make("span", { className: "second why", textContent: row.reason }) : null);
  const time = row.when ? make("time", { dateTime: new Date(row.when * 1000).toISOString(), textContent: ago(row.when), title: absolute.format(row.when * 1000) }) : "";
  const when = make("td", {}, time, make("span", { className: "second", textContent: row.who }));
  const cells = [make("th", { scope: "row" }, name, badges), live, source, what, when];
  if (table.dataset.move) cells.push(make("td", {}, row.live > 1 ? back(row) : null));
  row.element = make("tr", {}, ...cells);
  for (const cell of cells) cell.setAttribute("role", cell.scope ? "rowheader" : "cell");
  row.element.setAttribute("role", "row");
  row.element.dataset.name = row.name;
  return row.element;
}

function back(row) {
  const link = make("a", { className: "button small", href: `${address(row)}move`, textContent: "Roll back…" });
  link.dataset.dialog = "";
  link.setAttribute("aria-label", `Roll back ${row.name}…`);
  return link;
}

const keys = {
  name: (row) => row.name.toLowerCase(),
  live: (row) => row.live,
  source: (row) => `${row.branch} ${row.source}`,
  action: (row) => `${row.action} ${row.reason}`,
  when: (row) => row.when || 0,
};

function arrange() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = [...only].reduce((sum, mark) => sum | (1 << marks.indexOf(mark)), 0);
  const key = keys[order.key];
  shown = rows.filter((row) => (!wanted || row.marks & wanted) && words.every((word) => row.text.includes(word)));
  const sign = order.down ? -1 : 1;
  shown.sort((a, b) => {
    const [one, other] = [key(a), key(b)];
    return one < other ? -sign : one > other ? sign : a.name < b.name ? -1 : 1;
  });
}

function show() {
  arrange();
  const body = table.tBodies[0];
  const focused = body.contains(document.activeElement) ? document.activeElement.closest("tr").dataset.name : null;
  const lastColumn = focused && document.activeElement.classList.contains("button");
  body.replaceChildren(...shown.slice(0, first).map(element));
  turn += 1;
  fill(turn, first);
  const count = document.getElementById("count");
  const all = `${rows.length.toLocaleString("en")} deployment${rows.length === 1 ? "" : "s"}`;
  const words = shown.length === rows.length ? all : `${shown.length.toLocaleString("en")} of ${all}`;
  if (count.textContent !== words) count.textContent = words;
  if (focused) {
    const row = shown.find((one) => one.name === focused);
    if (row) element(row).querySelector(lastColumn ? "a.button" : "a")?.focus({ preventScroll: true });
  }
  remember();
}

function fill(mine, from) {
  if (from >= shown.length) return;
  const later = window.requestIdleCallback || ((call) => setTimeout(call, 16));
  later(() => {
    if (mine !== turn) return;
    table.tBodies[0].append(...shown.slice(from, from + block).map(element));
    fill(mine, from + block);
  });
}

function showMarks() {
  const place = document.getElementById("marks");
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.mark : null;
  place.replaceChildren(...marks.map((mark, bit) => {
    const many = rows.filter((row) => row.marks & (1 << bit)).length;
    if (!many && !only.has(mark)) return null;
    const button = make("button", { type: "button" }, mark, make("span", { className: "many", textContent: many.toLocaleString("en") }));
    button.dataset.mark = mark;
    button.setAttribute("aria-pressed", String(only.has(mark)));
    return button;
  }).filter(Boolean));
  if (focused) place.querySelector(`[data-mark="${focused}"]`)?.focus();
}

function showOrder() {
  for (const head of table.querySelectorAll("th[data-sort]")) {
    if (head.dataset.sort === order.key) head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
}

/* What is chosen is kept in the address, so that it can be sent to somebody. */

function remember() {
  const chosen = new URLSearchParams();
  if (filter.value) chosen.set("q", filter.value);
  if (only.size) chosen.set("only", [...only].join(","));
  if (order.key !== "when" || !order.down) chosen.set("sort", `${order.down ? "-" : ""}${order.key}`);
  const hash = chosen.toString() ? `#${chosen}` : "";
  if (hash !== location.hash) history.replaceState(null, "", hash || location.pathname + location.search);
}

function recall() {
  const chosen = new URLSearchParams(location.hash.slice(1));
  filter.value = chosen.get("q") || "";
  only = new Set((chosen.get("only") || "").split(",").filter((mark) => marks.includes(mark)));
  const key = (chosen.get("sort") || "-when").replace(/^-/, "");
  order = keys[key] ? { key, down: (chosen.get("sort") || "-when").startsWith("-") } : { key: "when", down: true };
}

window.takeRows = (root) => {
  const before = new Map(rows.map((row) => [row.name, row]));
  rows = read(root);
  const changed = [];
  for (const row of rows) {
    const old = before.get(row.name);
    if (old && old.key === row.key) row.element = old.element;
    else changed.push(row);
  }
  showMarks();
  show();
  for (const row of changed) element(row).classList.add("fresh");
  tell(changed.slice(0, 3).map((row) => `${row.name}: ${row.said}`).join(". "));
};

if (table) {
  for (const part of table.querySelectorAll("thead, tbody")) part.setAttribute("role", "rowgroup");
  table.setAttribute("role", "table");
  for (const head of table.tHead.rows[0].cells) head.setAttribute("role", "columnheader");
  table.tHead.rows[0].setAttribute("role", "row");
  rows = read(document);
  recall();
  showMarks();
  showOrder();
  show();
  filter.addEventListener("input", show);
  document.getElementById("marks").addEventListener("click", (event) => {
    const mark = event.target.closest("button")?.dataset.mark;
    if (!mark) return;
    only = new Set(only.has(mark) ? [] : [mark]);
    showMarks();
    show();
  });
  table.tHead.addEventListener("click", (event) => {
    const key = event.target.closest("button") && event.target.closest("th").dataset.sort;
    if (!key) return;
    order = { key, down: order.key === key ? !order.down : key === "when" || key === "live" };
    showOrder();
    show();
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, dialog");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      filter.focus();
      filter.select();
    } else if (event.key === "Escape" && event.target === filter && filter.value) {
      filter.value = "";
      show();
    }
  });
  window.addEventListener("hashchange", () => { recall(); showMarks(); showOrder(); show(); });
}
