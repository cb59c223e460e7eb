// The service map: ELK lays it out in a worker, Cytoscape.js draws it, and what is chosen is told about beside it.
// The picture that came with the page stays where either fails.
(() => {
const WIDTH = 176, HEIGHT = 46, LEGIBLE = 0.6, PATIENCE_MS = 10000;

window.drawMaps = function (within) {
  for (const box of within.querySelectorAll("[data-graph]:not([data-state])")) {
    box.dataset.state = "busy";
    drawMap(box, JSON.parse(document.getElementById(box.dataset.graph).textContent)).then(
      () => { box.dataset.state = "drawn"; },
      (error) => {
        box.dataset.state = "failed";
        console.error("The map could not be drawn: " + error);
      },
    );
  }
};

async function drawMap(box, data) {
  const stage = box.querySelector(".stage");
  const laid = await layOut(data);
  const cy = cytoscape({
    container: stage, elements: elements(data, laid), style: style(), layout: {name: "preset"},
    minZoom: 0.1, maxZoom: 2.5, autoungrabify: true, boxSelectionEnabled: false, selectionType: "single",
  });
  box.map = cy;  // for those who look into the page
  cy.nodes().panify();
  const show = () => {
    cy.resize();
    cy.fit(undefined, 18);
    if (cy.zoom() > 1) cy.zoom(1);
    cy.center();
    if (cy.zoom() >= LEGIBLE) return;
    // Too large to be read as a whole: begin where the damage is, or else where requests come in.
    const hurt = cy.nodes(".service.hurt");
    cy.zoom(LEGIBLE);
    cy.center((hurt.nonempty() ? hurt : cy.nodes(".service").roots())[0]);
    const whole = cy.elements().boundingBox(), pan = cy.pan();
    cy.pan({
      x: within(pan.x, whole.x1 * LEGIBLE, whole.x2 * LEGIBLE, cy.width()),
      y: within(pan.y, whole.y1 * LEGIBLE, whole.y2 * LEGIBLE, cy.height()),
    });
  };
  show();
  choosing(box, cy, data);
  for (const [name, act] of Object.entries({
    in: () => zoom(cy, 1.3), out: () => zoom(cy, 1 / 1.3), fit: () => cy.animate({fit: {padding: 18}}, {duration: 160}),
  })) box.querySelector(`[data-act=${name}]`).addEventListener("click", act);
  // A wheel scrolls the page; with Ctrl (which a pinch on a touchpad sends, too) it zooms the map.
  stage.addEventListener("wheel", (event) => {
    cy.userZoomingEnabled(event.ctrlKey || event.metaKey);
    if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
  }, {capture: true});
  // One finger scrolls the page, two move and size the map.
  for (const kind of ["touchstart", "touchmove"]) {
    stage.addEventListener(kind, (event) => {
      cy.userPanningEnabled(event.touches.length > 1);
      cy.userZoomingEnabled(event.touches.length > 1);
      if (kind === "touchmove" && event.touches.length < 2) event.stopPropagation();
    }, {capture: true, passive: true});
  }
  stage.addEventListener("mousedown", () => cy.userPanningEnabled(true), {capture: true});
  stage.addEventListener("keydown", (event) => {
    const step = {ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60]}[event.key];
    if (step) cy.panBy({x: step[0], y: step[1]});
    else if (event.key === "+" || event.key === "=") zoom(cy, 1.3);
    else if (event.key === "-") zoom(cy, 1 / 1.3);
    else if (event.key === "0") show();
    else return;
    event.preventDefault();
  });
  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { cy.emit("cleared"); stage.focus(); }
  });
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const restyle = () => { if (box.isConnected) cy.style(style()); else dark.removeEventListener("change", restyle); };
  dark.addEventListener("change", restyle);
  let width = stage.clientWidth;
  new ResizeObserver((_, observer) => {
    if (!box.isConnected) { observer.disconnect(); return; }
    if (stage.clientWidth === width) { cy.resize(); return; }
    width = stage.clientWidth;
    show();
  }).observe(stage);
}

// Where to move what reaches from `low` to `high` so that the room is filled, or it stands amid the room.
function within(moved, low, high, room) {
  const edge = 18;
  if (high - low + 2 * edge <= room) return (room - low - high) / 2;
  return Math.min(edge - low, Math.max(room - edge - high, moved));
}

function zoom(cy, by) {
  const middle = {x: cy.width() / 2, y: cy.height() / 2};
  cy.zoom({level: cy.zoom() * by, renderedPosition: middle});
}

// Sugiyama's method; https://eclipse.dev/elk/reference/algorithms/org-eclipse-elk-layered.html
async function layOut(data) {
  const elk = new ELK({workerUrl: own.dataset.worker});
  const late = new Promise((_, fail) => setTimeout(fail, PATIENCE_MS, new Error("its layout takes too long")));
  try {
    return await Promise.race([late, elk.layout({
      id: "map",
      layoutOptions: {
        "elk.algorithm": "layered", "elk.direction": "RIGHT", "elk.edgeRouting": "POLYLINE",
        "elk.spacing.nodeNode": "20", "elk.layered.spacing.nodeNodeBetweenLayers": "46",
        "elk.spacing.edgeNode": "14", "elk.layered.spacing.edgeNodeBetweenLayers": "16", "elk.spacing.edgeEdge": "8",
        // Straighter and closer together, but ten times as long where hundreds of calls cross.
        "elk.layered.nodePlacement.strategy": data.edges.length <= 150 ? "NETWORK_SIMPLEX" : "BRANDES_KOEPF",
        "elk.layered.thoroughness": "5",
      },
      children: data.nodes.map((node) => ({id: node.id, width: WIDTH, height: HEIGHT})),
      edges: data.edges.map((edge) => ({id: edge.id, sources: [edge.source], targets: [edge.target]})),
    })]);
  } finally {
    elk.terminateWorker();
  }
}

function elements(data, laid) {
  const at = new Map(laid.children.map((node) => [node.id, {x: node.x + WIDTH / 2, y: node.y + HEIGHT / 2}]));
  const routes = new Map(laid.edges.map((edge) => [edge.id, edge.sections ? edge.sections[0] : null]));
  const found = [];
  for (const node of data.nodes) {
    const {x, y} = at.get(node.id);
    const classes = ["service", node.type === "service" ? "" : "silent", node.mark].join(" ");
    found.push({group: "nodes", data: {id: node.id, label: node.name}, position: {x, y}, classes});
    // A label has one font; the line below the name is a node of its own without a body.
    found.push({
      group: "nodes", data: {id: node.id + "-size", label: node.note}, position: {x, y: y + 9},
      classes: "size " + node.mark, selectable: false,
    });
  }
  for (const edge of data.edges) {
    const route = edge.source === edge.target ? null : bends(routes.get(edge.id), at.get(edge.source), at.get(edge.target));
    const more = route || {};
    found.push({
      group: "edges", data: {id: edge.id, source: edge.source, target: edge.target, width: edge.width, ...more},
      classes: [edge.kind, edge.mark, route ? (route.weights ? "bent" : "straight") : "looped"].join(" "),
    });
  }
  return found;
}

// Points of a route as Cytoscape.js takes them: how far along the line between the ends, and how far beside it.
function bends(route, source, target) {
  if (!route) return null;
  const from = route.startPoint, to = route.endPoint, dx = to.x - from.x, dy = to.y - from.y;
  const length = Math.hypot(dx, dy);
  if (length < 1) return null;
  const ends = {
    begin: `${from.x - source.x}px ${from.y - source.y}px`, end: `${to.x - target.x}px ${to.y - target.y}px`,
  };
  const points = route.bendPoints || [];
  if (!points.length) return ends;
  const along = (p) => ((p.x - from.x) * dx + (p.y - from.y) * dy) / (length * length);
  const beside = (p) => ((p.y - from.y) * dx - (p.x - from.x) * dy) / length;
  return {...ends, weights: points.map(along), distances: points.map(beside)};
}

function style() {
  const read = getComputedStyle(document.documentElement);
  const color = (name) => read.getPropertyValue("--" + name).trim();
  const font = getComputedStyle(document.body).fontFamily;
  const arrow = (tone) => ({"line-color": tone, "target-arrow-color": tone});
  return [
    {selector: "node", style: {
      label: "data(label)", "font-family": font, "text-halign": "center", "text-valign": "center",
      "text-wrap": "ellipsis", "text-max-width": WIDTH - 26, "min-zoomed-font-size": 4, "overlay-opacity": 0,
    }},
    {selector: ".service", style: {
      width: WIDTH, height: HEIGHT, shape: "round-rectangle", "corner-radius": 8, "background-color": color("card"),
      "border-width": 1.2, "border-color": color("map-line"), color: color("text"), "font-size": 13, "font-weight": 600,
      "text-margin-y": -8,
    }},
    {selector: ".silent", style: {"corner-radius": 23, "border-style": "dashed"}},
    {selector: ".service.way", style: {"border-color": color("seen"), "border-width": 1.6}},
    {selector: ".service.hurt", style: {
      "background-color": color("bad-tint"), "border-color": color("seen"), "border-width": 2.2,
    }},
    {selector: ".size", style: {
      width: 1, height: 1, "background-opacity": 0, "border-width": 0, color: color("muted"), "font-size": 11,
      events: "no",
    }},
    {selector: ".size.hurt", style: {color: color("bad")}},
    {selector: "edge", style: {
      ...arrow(color("map-line")), width: "data(width)", "target-arrow-shape": "triangle", "arrow-scale": 0.75,
      "curve-style": "bezier", "overlay-opacity": 0,
    }},
    {selector: "edge.async", style: {"line-style": "dashed", "line-dash-pattern": [5, 4]}},
    {selector: "edge.straight, edge.bent", style: {
      "source-endpoint": "data(begin)", "target-endpoint": "data(end)", "curve-style": "straight",
    }},
    {selector: "edge.bent", style: {
      "curve-style": "round-segments", "segment-weights": "data(weights)", "segment-distances": "data(distances)",
      "segment-radii": 18, "edge-distances": "endpoints",
    }},
    {selector: "edge.way", style: {...arrow(color("seen")), "z-index": 2}},
    {selector: ".aside", style: {opacity: 0.3}},
    {selector: "edge.near", style: {...arrow(color("link")), "z-index": 3}},
    {selector: "edge.near.way", style: arrow(color("seen"))},
    {selector: ".service:selected", style: {"border-color": color("link"), "border-width": 2.6}},
    {selector: "edge:selected", style: {...arrow(color("link")), "z-index": 4}},
  ];
}

// Choosing a service, on the map, by its name or among the neighbours of another.
function choosing(box, cy, data) {
  const nodes = new Map(data.nodes.map((node) => [node.id, node]));
  const edges = new Map(data.edges.map((edge) => [edge.id, edge]));
  const named = new Map(data.nodes.map((node) => [node.name, node.id]));
  const told = box.querySelector(".told"), find = box.querySelector(".find input");
  const calls = (id) => ({
    calledBy: data.edges.filter((edge) => edge.target === id), calls: data.edges.filter((edge) => edge.source === id),
  });

  function clear() {
    cy.elements().removeClass("aside near").unselect();
    told.replaceChildren();
    address("");
  }

  // Which service is looked at stands in the address, and in the links that lead to the same view.
  function address(hash) {
    history.replaceState(history.state, "", location.pathname + location.search + hash);
    for (const link of document.querySelectorAll(".pick a")) link.hash = hash;
  }

  function unknown(name) {
    told.replaceChildren(element("p", `Nothing on this map is called ${name}.`, "small"));
  }

  function choose(id, move, focus = move) {
    const found = cy.getElementById(id), node = nodes.get(id);
    cy.elements().unselect();
    found.select();
    const around = node ? found.closedNeighborhood() : found.union(found.connectedNodes());
    const kept = around.union(around.nodes().map((each) => cy.getElementById(each.id() + "-size")).reduce((a, b) => a.union(b), cy.collection()));
    cy.elements().removeClass("near").addClass("aside");
    kept.removeClass("aside");
    around.edges().addClass("near");
    const close = button("×", clear);
    close.className = "close";
    close.setAttribute("aria-label", "Close");
    told.replaceChildren(...(node ? ofService(node, calls(id)) : ofCall(edges.get(id))), close);
    address(node ? "#" + encodeURIComponent(node.name) : "");
    if (focus) told.querySelector("h2").focus({preventScroll: true});
    // What is told must not lie over what it is about.
    const right = cy.width() - (getComputedStyle(told).position === "absolute" ? told.offsetWidth + 24 : 0);
    const it = found.renderedBoundingBox(), all = around.nodes().renderedBoundingBox();
    if (move && (it.x1 < 0 || it.y1 < 0 || it.x2 > right || it.y2 > cy.height())) {
      cy.animate({panBy: {x: right / 2 - (it.x1 + it.x2) / 2, y: cy.height() / 2 - (it.y1 + it.y2) / 2}}, {duration: 160});
    } else if (all.x2 > right) {
      cy.animate({panBy: {x: -Math.min(all.x2 - right + 12, Math.max(it.x1 - 12, 0)), y: 0}}, {duration: 160});
    }
  }

  function ofService(node, {calledBy, calls}) {
    return [
      heading(node.name), element("p", node.kind, "muted small"), ...(node.why ? [element("p", node.why, "why")] : []),
      facts(node.facts), ...neighbours("Called by", calledBy, "source"), ...neighbours("Calls", calls, "target"),
      ...(node.links.length ? [links(node.links)] : []),
    ];
  }

  function ofCall(edge) {
    const title = heading(`${nodes.get(edge.source).name} calls ${nodes.get(edge.target).name}`);
    const ends = element("p", "", "ends");
    for (const id of [edge.source, edge.target]) ends.append(button(nodes.get(id).name, () => choose(id, true)), " ");
    return [title, element("p", edge.type, "muted small"), facts(edge.facts), ends];
  }

  function neighbours(title, some, end) {
    if (!some.length) return [];
    const list = document.createElement("ul");
    for (const edge of some) {
      const item = document.createElement("li");
      item.append(button(nodes.get(edge[end]).name, () => choose(edge[end], true)), element("span", edge.label));
      list.append(item);
    }
    return [element("h3", `${title} ${some.length}`), list];
  }

  cy.on("tap", "node.service, edge", (event) => choose(event.target.id(), false));
  cy.on("tap", (event) => { if (event.target === cy) clear(); });
  cy.on("cleared", clear);
  cy.on("mouseover", "node.service, edge", () => { cy.container().style.cursor = "pointer"; });
  cy.on("mouseout", "node.service, edge", () => { cy.container().style.cursor = ""; });
  find.addEventListener("input", () => { if (named.has(find.value)) choose(named.get(find.value), true, false); });
  find.addEventListener("change", () => {
    const text = find.value.trim().toLowerCase();
    if (!text) return;
    const name = [...named.keys()].find((each) => each === find.value) ||
      [...named.keys()].find((each) => each.toLowerCase().includes(text));
    if (name) choose(named.get(name), true); else unknown(find.value);
  });
  const chooseAsked = () => {
    if (!box.isConnected) { window.removeEventListener("hashchange", chooseAsked); return; }
    const name = decoded(location.hash.slice(1));
    if (!name) return;
    if (named.has(name)) choose(named.get(name), true, false); else unknown(name);
  };
  window.addEventListener("hashchange", chooseAsked);
  chooseAsked();
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    return text;  // no encoding of anything
  }
}

function heading(text) {
  const made = element("h2", text);
  made.tabIndex = -1;
  return made;
}

function element(name, text, kind) {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function button(text, act) {
  const made = element("button", text, "plain");
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

function facts(rows) {
  const list = document.createElement("dl");
  for (const [name, value] of rows) {
    const row = document.createElement("div");
    row.append(element("dt", name), element("dd", value));
    list.append(row);
  }
  return list;
}

function links(some) {
  const list = element("p", "", "links");
  for (const [text, address] of some) {
    const link = element("a", text);
    link.href = address;
    list.append(link);
  }
  return list;
}

window.drawMaps(document);
})();
