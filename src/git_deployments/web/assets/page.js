"use strict";
/* What every page has: times that people read, dialogs, and following what is moved elsewhere. */

const page = document.documentElement;
const units = [["year", 31536000], ["month", 2592000], ["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "always" });
const absolute = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

function ago(seconds) {
  const passed = Date.now() / 1000 - seconds;
  const [unit, length] = units.find(([, length]) => Math.abs(passed) >= length) || ["", 0];
  return unit ? relative.format(-Math.trunc(passed / length), unit) : "just now";
}

function tellTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    if (!time.title) time.title = time.textContent;
    time.textContent = ago(moment.getTime() / 1000);
  }
}

/* Dialogs: a link to a page with one is enough; without this script it is followed. */

let caller = null;

async function openDialog(link) {
  const answer = await fetch(link.href);
  const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
  const content = parsed.getElementById("move");
  if (!content) { location.assign(link.href); return; }
  closeDialog();
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "move-head");
  // The form and the links were written for their own address.
  for (const form of content.querySelectorAll("form")) form.action = new URL(form.getAttribute("action"), link.href);
  for (const one of content.querySelectorAll("a[href]")) one.href = new URL(one.getAttribute("href"), link.href);
  dialog.append(document.adoptNode(content));
  tellTimes(dialog);
  dialog.addEventListener("close", () => { dialog.remove(); returnFocus(); });
  document.body.append(dialog);
  caller = link;
  dialog.showModal();
  // What will change is seen first, however small the window is.
  (dialog.querySelector("textarea") || dialog.querySelector("a, button")).focus({ preventScroll: true });
  dialog.scrollTop = 0;
}

function closeDialog() {
  const dialog = document.querySelector("dialog");
  if (dialog) dialog.close();
}

function returnFocus() {
  if (!caller) return;
  const same = caller.isConnected ? caller : [...document.querySelectorAll("a[data-dialog]")].find((one) => one.href === caller.href);
  (same || document.getElementById("main")).focus();
  caller = null;
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  if ("dialog" in link.dataset) {
    event.preventDefault();
    openDialog(link).catch(() => location.assign(link.href));
  } else if ("cancel" in link.dataset && link.closest("dialog")) {
    event.preventDefault();
    closeDialog();
  }
});

document.addEventListener("submit", (event) => {
  const button = event.submitter || event.target.querySelector("button[type=submit]");
  if (!button || event.target.method !== "post") return;
  if (button.dataset.busy) button.textContent = button.dataset.busy;
  // Not at once: a form whose button is disabled while it is sent is not sent by all browsers.
  setTimeout(() => { button.disabled = true; });
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.form) event.target.form.requestSubmit();
});

window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

/* Following: a digest of the refs is asked for; where it changed, the page is fetched again and put in place. */

const pause = 1000;
let digest = page.dataset.digest;
let missed = 0;

function tell(words) {
  document.getElementById("news").textContent = words;
}

function connection(lost, words) {
  const place = document.getElementById("following");
  if (!place) return;
  place.hidden = false;
  place.classList.toggle("away", lost);
  if (place.textContent !== words) place.textContent = words;
}

async function look() {
  const answer = await fetch(page.dataset.watch, { cache: "no-store" });
  if (answer.status === 403) { connection(true, "Session ended"); return false; }
  if (answer.ok && (await answer.text()) !== digest) await refresh();
  missed = 0;
  connection(false, "Following");
  return true;
}

async function refresh() {
  const answer = await fetch(location.href, { cache: "no-store" });
  if (!answer.ok && answer.status !== 404) return;
  const next = new DOMParser().parseFromString(await answer.text(), "text/html");
  const before = document.querySelector("#now .big");
  const dialog = document.querySelector("dialog[open]");
  const listed = next.getElementById("list");
  if (listed && !document.getElementById("list")) { location.reload(); return; }
  if (listed) window.takeRows(next);
  else putInPlace(next);
  digest = next.documentElement.dataset.digest || "";
  const after = document.querySelector("#now .big");
  if (before && after && before.textContent !== after.textContent) tell(`${after.textContent} is live now`);
  if (dialog) warn(dialog);
  askServer().catch(() => {});
}

function warn(dialog) {
  if (dialog.querySelector(".overtaken")) return;
  const words = document.createElement("p");
  words.className = "notice overtaken";
  words.setAttribute("role", "alert");
  words.textContent = "Something moved meanwhile. This shows how it was; to see how it is, cancel and open it again.";
  dialog.querySelector("h1").parentElement.insertBefore(words, dialog.querySelector(".preview, form"));
}

function putInPlace(next) {
  const main = document.getElementById("main");
  const focused = main.contains(document.activeElement) ? trace(document.activeElement) : null;
  const open = new Set([...main.querySelectorAll("details[open][id]")].map((one) => one.id));
  const chosen = [...main.querySelectorAll("select[id]")].map((one) => [one.id, one.value]);
  main.replaceChildren(...document.adoptNode(next.getElementById("main")).childNodes);
  document.title = next.title;
  for (const one of main.querySelectorAll("details[id]")) one.open = one.open || open.has(one.id);
  for (const [id, value] of chosen) {
    const select = document.getElementById(id);
    if (select && [...select.options].some((one) => one.value === value)) select.value = value;
  }
  tellTimes(main);
  if (focused) (find(main, focused) || main).focus({ preventScroll: true });
}

function trace(element) {
  return { id: element.id, href: element.getAttribute("href"), name: element.tagName };
}

function find(main, { id, href, name }) {
  if (id) return document.getElementById(id);
  return [...main.querySelectorAll(name)].find((one) => one.getAttribute("href") === href);
}

/* An address can name what is folded: it is opened, and what somebody opens is in the address. */

function unfold() {
  let place = null;
  try { place = document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { return; }
  if (!place) return;
  const details = place.closest("details") || place.nextElementSibling?.querySelector("details");
  if (!details || details.open) return;
  details.open = true;
  place.scrollIntoView();
}

document.addEventListener("click", (event) => {
  const details = event.target.closest("summary")?.parentElement;
  if (details?.id && !details.open) history.replaceState(null, "", `#${details.id}`);
});
window.addEventListener("hashchange", unfold);

/* A Prefect server is asked once the page is there, again when something moved, and never before the page. */

let question = 0;

async function askServer() {
  const place = document.getElementById("server");
  if (!place) return;
  const mine = ++question;
  const answer = await fetch(place.dataset.server, { cache: "no-store" });
  if (mine !== question) return;
  if (answer.status === 503) { setTimeout(() => askServer().catch(() => {}), 3000); return; }
  const there = document.getElementById("server"); // the page may have been put in place anew
  if (!there) return;
  if (!answer.ok) { tellServer(there, "unknown", answer.status === 502 ? await answer.text() : "could not be asked", ""); return; }
  const found = await answer.json();
  if (found.standings) tellServer(there, "", `Prefect server: ${window.takeStandings(found.standings)}`, "");
  else tellServer(there, found.standing, found.words, found.command);
}

function tellServer(place, standing, words, command) {
  const parts = [document.createTextNode(place.closest("li") || standing !== "unknown" ? words : `Prefect server: ${words}`)];
  const names = { same: "in step", differs: "differs", absent: "not there", unknown: "not known" };
  if (place.closest("li")) {
    const badge = document.createElement("span");
    badge.className = `badge ${{ same: "green", differs: "amber", absent: "amber" }[standing] || ""}`;
    badge.textContent = names[standing];
    parts.unshift(badge, " ");
    place.closest("li").hidden = false;
  }
  if (command) {
    const code = document.createElement("code");
    code.textContent = command;
    parts.push(" ", code);
  }
  place.replaceChildren(...parts);
  place.hidden = false;
  const mark = document.getElementById("server-mark");
  if (!mark) return;
  mark.hidden = !(standing === "differs" || standing === "absent");
  mark.textContent = standing === "absent" ? "not on the server" : "server differs";
}

async function follow() {
  let going = true;
  try {
    if (!document.hidden) going = await look();
  } catch {
    missed += 1;
    if (missed > 1) connection(true, "Not connected");
  }
  if (going) setTimeout(follow, pause);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && page.dataset.watch) look().catch(() => {});
});

unfold();
tellTimes(document);
setInterval(() => tellTimes(document), 30000);
const done = document.getElementById("done") || document.getElementById("published");
if (done) done.focus();
askServer().catch(() => {});
if (page.dataset.watch) { connection(false, "Following"); setTimeout(follow, pause); }
