// Fetches the parts of a view that come later, and loads what draws their charts and maps.
const own = document.currentScript;
const loading = new Set();
// What was asked for is no longer wanted once the view is left: the server stops working on it, and its connection, of
// which a browser has few, is free for the next view.
let leaving = new AbortController();

function ask(address) {
  return fetch(address, {headers: {Accept: "text/html"}, signal: leaving.signal});
}

function say(place, words) {
  const box = document.createElement("div");
  box.className = "refused";
  box.setAttribute("role", "alert");
  const text = document.createElement("p");
  text.textContent = words;
  const again = document.createElement("button");
  again.type = "button";
  again.textContent = "Try again";
  again.addEventListener("click", () => { wait(place); fetchPart(place); });
  box.append(text, again);
  place.replaceChildren(box);
  place.removeAttribute("aria-busy");
}

function wait(place) {
  const box = document.createElement("div");
  box.className = "card loading";
  const spinner = document.createElement("span");
  spinner.className = "spinner";
  const text = document.createElement("p");
  text.textContent = place.dataset.doing + " …";
  box.append(spinner, text);
  place.replaceChildren(box);
  place.setAttribute("aria-busy", "true");
}

// Charts and the map are drawn by scripts of their own, which are loaded where something wants them, or soon will.
const DRAWN_BY = [
  {wanted: "[data-chart]", script: own.dataset.charts, act: "drawAll", soon: /^\/part\/(what-if|plan|causes\/\d)/},
  {wanted: "[data-graph]", script: own.dataset.map, act: "drawMaps", soon: /^\/part\/map/},
];

function bring(place) {
  for (const {wanted, script, act, soon} of DRAWN_BY) {
    if (place.querySelector(wanted) && window[act]) window[act](place);
    else if (place.querySelector(wanted) || soon.test(place.dataset.part)) load(script, wanted);
  }
}

function load(script, wanted) {
  if (loading.has(script)) return;
  loading.add(script);
  const element = document.createElement("script");
  element.src = script;
  element.addEventListener("error", () => {
    loading.delete(script);
    element.remove();
    for (const empty of document.querySelectorAll(`${wanted}:not(.drawn)`)) {
      if (empty.matches("[data-chart]")) empty.textContent = "What draws this could not be loaded; load the page again.";
      else empty.dataset.state = "failed";
    }
  });
  document.body.append(element);
}

async function fetchPart(place) {
  const stay = leaving;
  try {
    const answer = await ask(place.dataset.part);
    if (answer.status === 202) {
      const later = 1000 * (Number(answer.headers.get("Retry-After")) || 1);
      // Who comes back to the view asks anew.
      setTimeout(() => place.isConnected && stay === leaving && fetchPart(place), later);
      return;
    }
    const text = await answer.text();
    const kind = answer.headers.get("Content-Type") || "";
    if (!kind.startsWith("text/html")) {
      say(place, answer.status === 503 ? "The server is busy with other questions." : `The server answered ${answer.status}.`);
      return;
    }
    // Scripts that come this way do not run, and the policy forbids all but the page's own. What says the same as
    // before stays, with all that somebody unfolded in it.
    const box = document.createElement("div");
    box.innerHTML = text;
    if (box.textContent.trim() !== place.dataset.said) {
      place.dataset.said = box.textContent.trim();
      place.replaceChildren(...box.childNodes);
    }
    place.removeAttribute("aria-busy");
    bring(place);
  } catch (error) {
    if (error.name !== "AbortError") say(place, "The server cannot be reached.");
  }
}

function begin() {
  for (const place of document.querySelectorAll("[data-part]")) {
    place.dataset.said = place.textContent.trim();
    bring(place);
    fetchPart(place);
  }
}

// A view of what goes on is asked for again now and then, while somebody can see it and is not amid something.
let renewing = false;
async function renew() {
  const main = document.getElementById("main");
  if (renewing || document.hidden || amid(main) || main.querySelector("[aria-busy=true]")) return;
  renewing = true;
  try {
    const answer = await ask(location.href);
    if (!answer.ok) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    reached(true);
    const awaited = !document.querySelector(".pick");
    if (awaited && fresh.querySelector(".pick")) location.reload();  // the first spans came in
    if (!awaited && fresh.querySelector(".pick") && !amid(main)) take(main, fresh);
  } catch (error) {
    if (error.name !== "AbortError") reached(false);
  } finally {
    renewing = false;
  }
}

function amid(main) {
  const focused = document.activeElement, selected = getSelection();
  return (focused !== main && main.contains(focused)) || (!selected.isCollapsed && main.contains(selected.anchorNode));
}

function take(main, fresh) {
  document.querySelector(".pick .shown").textContent = fresh.querySelector(".pick .shown").textContent;
  document.querySelector(".pick .fixed").href = fresh.querySelector(".pick .fixed").href;
  const now = [...main.children], next = [...fresh.getElementById("main").children];
  if (now.length !== next.length) { main.replaceChildren(...next); begin(); return; }
  now.forEach((child, at) => {
    if (child.matches("[data-part]")) fetchPart(child);
    else if (child.outerHTML !== next[at].outerHTML) child.replaceWith(next[at]);
  });
}

function reached(now) {
  const told = document.querySelector(".unreached");
  if (now && told) told.remove();
  if (now || told) return;
  const line = document.createElement("p");
  line.className = "unreached";
  line.setAttribute("role", "status");
  line.textContent = `The server has not answered since ${new Date().toISOString().slice(11, 19)} UTC; this is what it showed before.`;
  document.getElementById("main").before(line);
}

begin();
const every = Number(document.getElementById("main").dataset.renewed);
if (every) setInterval(renew, every * 1000);
for (const form of document.querySelectorAll("form")) {
  // Addresses stay short: an empty field is not sent.
  form.addEventListener("submit", () => {
    for (const field of form.querySelectorAll("input")) field.disabled = !field.value;
  });
}
window.addEventListener("pagehide", () => leaving.abort());
window.addEventListener("pageshow", (event) => {
  for (const field of document.querySelectorAll("form input")) field.disabled = false;
  if (!event.persisted) return;
  // The view is as it was left, with what had not come by then.
  leaving = new AbortController();
  begin();
});
// On a phone the views stand in a row that scrolls; show where one is.
const current = document.querySelector(".views [aria-current]");
if (current) current.parentElement.scrollLeft = current.offsetLeft - current.parentElement.offsetLeft - 60;
