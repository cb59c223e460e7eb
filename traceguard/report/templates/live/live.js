// Fetches the parts of a view that come later, and loads what draws their charts and maps.
const own = document.currentScript;
const loading = new Set();

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

// Charts and the map are drawn by scripts of their own, which are loaded where something wants them.
function bring(place) {
  for (const [wanted, script, act] of [["[data-chart]", own.dataset.charts, "drawAll"], ["[data-graph]", own.dataset.map, "drawMaps"]]) {
    if (!place.querySelector(wanted)) continue;
    if (window[act]) { window[act](place); continue; }
    if (loading.has(script)) continue;
    loading.add(script);
    const element = document.createElement("script");
    element.src = script;
    document.body.append(element);
  }
}

async function fetchPart(place) {
  try {
    const answer = await fetch(place.dataset.part, {headers: {Accept: "text/html"}});
    if (answer.status === 202) { setTimeout(fetchPart, 500, place); return; }
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
    say(place, "The server cannot be reached.");
  }
}

function begin() {
  for (const place of document.querySelectorAll("[data-part]")) {
    place.dataset.said = place.textContent.trim();
    bring(place);
    fetchPart(place);
  }
}

// A view of what goes on is asked for again now and then, while somebody can see it.
async function renew() {
  const main = document.getElementById("main");
  if (document.hidden || main.querySelector("[aria-busy=true]")) return;
  try {
    const answer = await fetch(location.href, {headers: {Accept: "text/html"}});
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!document.querySelector(".pick .shown") !== !fresh.querySelector(".pick .shown")) {
      location.reload();  // the first spans came in
      return;
    }
    for (const part of ["#main", ".pick .shown"]) {
      if (!fresh.querySelector(part)) continue;
      document.querySelector(part).replaceChildren(...fresh.querySelector(part).childNodes);
    }
    begin();
  } catch (error) {
    // The server cannot be reached; what is shown stays, and says until when it goes.
  }
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
window.addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("form input")) field.disabled = false;
});
// On a phone the views stand in a row that scrolls; show where one is.
const current = document.querySelector(".views [aria-current]");
if (current) current.parentElement.scrollLeft = current.offsetLeft - current.parentElement.offsetLeft - 60;
