"use strict";
(() => {
  // Rollouts are strangers' text: everything enters by textContent, nothing as markup.
  const SVG = "http://www.w3.org/2000/svg";
  const byId = (id) => document.getElementById(id);
  const read = (id) => JSON.parse(byId(id).textContent);
  const report = read("report");
  const NONE = report.noCredit;
  const tasks = new Map();
  const state = { task: 0, rollout: 0, step: -1, node: -1, estimator: report.colours, part: "all", least: 0 };
  let task, graph;

  function make(space, tag, attributes, children) {
    const element = space ? document.createElementNS(space, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "on") for (const [event, run] of Object.entries(value)) element.addEventListener(event, run);
      else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }
  const el = (tag, attributes, ...children) => make(null, tag, attributes, children);
  const svg = (tag, attributes, ...children) => make(SVG, tag, attributes, children);
  const bdi = (text) => el("bdi", {}, text);
  const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
  const sign = (x) => (x === null || Math.abs(x) <= NONE ? "none" : x > 0 ? "plus" : "minus");
  const signed = (x) => (x === null ? "unknown" : sign(x) === "none" ? "0" : `${x > 0 ? "+" : "−"}${Math.abs(x).toFixed(2)}`);
  const short = (x) => (x === null ? "unknown" : x !== 0 && Math.abs(x) < 1e-3 ? x.toExponential(2) : String(Number(x.toPrecision(4))));
  const line = (text, most) => { const flat = text.replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "").replace(/\s+/g, " ").trim(); return flat.length > most ? `${flat.slice(0, most - 1)}…` : flat; };
  const say = (text) => { byId("status").textContent = text; };

  // --- one task -----------------------------------------------------------------------------------

  function load(index) {
    if (!tasks.has(index)) {
      const data = read(`task-${index}`);
      let from = 0;
      data.rollouts.forEach((rollout) => { rollout.from = from; from += rollout.shown; });
      data.rolloutOf = [];
      data.rollouts.forEach((rollout, r) => { for (let i = 0; i < rollout.shown; i += 1) data.rolloutOf.push(r); });
      data.place = new Map(data.drawn.map((node, i) => [node, i]));
      data.largest = {};
      for (const [name, parts] of Object.entries(data.steps.credit)) {
        data.largest[name] = Math.max(1e-9, ...parts.all.map((x) => Math.abs(x || 0)));
      }
      tasks.set(index, data);
    }
    return tasks.get(index);
  }

  function openTask(index, focus) {
    Object.assign(state, { task: index, rollout: 0, step: -1, node: -1, least: 0 });
    task = load(index);
    document.querySelectorAll("#picker button").forEach((button, i) => button.setAttribute("aria-current", String(i === index)));
    document.querySelectorAll("[data-about]").forEach((about) => { about.hidden = Number(about.dataset.about) !== index; });
    byId("canvas").replaceChildren(byId(`graph-${index}`).content.cloneNode(true));
    graph = byId("canvas").querySelector("svg");
    task.nodeElements = [...graph.querySelectorAll("[data-node]")];
    task.edgeElements = [];
    graph.querySelectorAll("[data-edge]").forEach((edge) => { task.edgeElements[Number(edge.dataset.edge)] = edge; });
    fit();
    prepareSlider();
    colour();
    const start = Math.max(0, task.nodeElements.findIndex((node) => node.classList.contains("start")));
    rove(start, false);
    const box = byId("canvas"), shrunk = graph.clientWidth / Number(graph.getAttribute("width"));
    box.scrollTo(task.at[start][0] * shrunk - box.clientWidth / 3, task.at[start][1] * shrunk - box.clientHeight / 2);
    const telling = task.rollouts.map((rollout, r) => [r, task.steps.disagrees.slice(rollout.from, rollout.from + rollout.shown).reduce((a, b) => a + b, 0)]);
    telling.sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    openRollout(telling[0][0]);
    const apart = task.steps.disagrees.findIndex((x, i) => x && task.rolloutOf[i] === state.rollout);
    showStep(apart >= 0 ? apart : task.rollouts[state.rollout].from, false);
    if (focus) say(`Task ${line(task.name, 80)}, ${plural(task.rollouts.length, "rollout")}`);
  }

  function fit() {
    const width = Number(graph.getAttribute("width")), height = Number(graph.getAttribute("height"));
    const room = byId("canvas").clientWidth - 22;
    const scale = Math.max(0.6, Math.min(1.25, room / width)); // narrower is scrolled, not read
    graph.style.width = `${width * scale}px`;
    graph.style.height = `${height * scale}px`;
  }

  // --- the graph ----------------------------------------------------------------------------------

  function colour() {
    const credit = task.edges.credit[state.estimator][state.part === "all" ? 0 : 1];
    task.edgeElements.forEach((edge, i) => {
      edge.classList.remove("plus", "minus", "none");
      edge.classList.add(sign(credit[i]));
    });
    drawStrips();
  }

  function prepareSlider() {
    const counts = [...new Set(task.edges.count)].sort((a, b) => a - b);
    const most = 12;
    task.levels = counts.length <= most ? counts : Array.from({ length: most }, (_, i) => counts[Math.round((i * (counts.length - 1)) / (most - 1))]);
    const slider = byId("least");
    slider.max = String(Math.max(0, task.levels.length - 1));
    slider.value = "0";
    slider.disabled = task.levels.length < 2;
    hideRare();
  }

  function hideRare() {
    const least = task.levels[state.least] || 1;
    const seen = new Set();
    let edges = 0;
    task.edgeElements.forEach((edge, i) => {
      const rare = task.edges.count[i] < least;
      edge.classList.toggle("rare", rare);
      if (!rare) { edges += 1; seen.add(task.edges.source[i]).add(task.edges.target[i]); }
    });
    let nodes = 0;
    task.nodeElements.forEach((node, i) => {
      const kept = seen.has(i) || node.matches(".goal, .start") || least <= 1;
      node.classList.toggle("rare", !kept);
      if (kept) nodes += 1;
    });
    const words = `${least === 1 ? "all" : `${least} times or more`}: ${plural(nodes, "state")}, ${plural(edges, "transition")}`;
    byId("least-words").textContent = words;
    byId("least").setAttribute("aria-valuetext", words);
  }

  function rove(place, focus) {
    task.nodeElements.forEach((node) => node.setAttribute("tabindex", "-1"));
    const node = task.nodeElements[place];
    if (!node) return;
    node.setAttribute("tabindex", "0");
    if (focus) { node.focus(); node.scrollIntoView({ block: "nearest", inline: "nearest" }); }
  }

  // Along the transition most taken, to that side; up and down inside a column, else along one too.
  function neighbour(place, key) {
    const [x, y] = task.at[place];
    const fits = { ArrowRight: (p) => p[0] > x, ArrowLeft: (p) => p[0] < x, ArrowUp: (p) => p[1] < y, ArrowDown: (p) => p[1] > y }[key];
    const isShown = (i) => !task.nodeElements[i].classList.contains("rare");
    if (key === "ArrowUp" || key === "ArrowDown") {
      const inside = task.at.map((p, i) => i).filter((i) => i !== place && task.at[i][0] === x && fits(task.at[i]) && isShown(i));
      if (inside.length) return inside.reduce((a, b) => (Math.abs(task.at[a][1] - y) <= Math.abs(task.at[b][1] - y) ? a : b));
    }
    const band = (i) => task.nodes.reached[task.drawn[i]];
    const along = (isOwnBand) => {
      let best = -1, count = 0;
      task.edges.count.forEach((taken, e) => {
        const source = task.edges.source[e], target = task.edges.target[e];
        const other = source === place ? target : target === place ? source : -1;
        if (other < 0 || other === place || (band(other) === band(place)) !== isOwnBand) return;
        if (taken > count && fits(task.at[other]) && isShown(other)) { best = other; count = taken; }
      });
      return best;
    };
    const own = along(true);
    return own >= 0 ? own : along(false);
  }

  function trace(nodes, edges) {
    const on = nodes.length + edges.length > 0;
    graph.classList.toggle("tracing", on);
    task.nodeElements.forEach((node, i) => node.classList.toggle("traced", nodes.includes(i)));
    task.edgeElements.forEach((edge, i) => edge.classList.toggle("traced", edges.includes(i)));
  }

  function around(place) {
    const edges = [];
    const nodes = new Set([place]);
    task.edges.source.forEach((source, e) => {
      if (source === place || task.edges.target[e] === place) { edges.push(e); nodes.add(source).add(task.edges.target[e]); }
    });
    return [[...nodes], edges];
  }

  function choose(place) {
    task.nodeElements.forEach((node, i) => node.classList.toggle("chosen", i === place));
  }

  // --- rollouts -----------------------------------------------------------------------------------

  function drawStrips() {
    const list = byId("rollouts");
    list.replaceChildren(...task.rollouts.map((rollout, r) => {
      const verdict = rollout.solved === null ? "no verdict" : rollout.solved ? "solved" : "failed";
      const mark = rollout.solved === null ? "?" : rollout.solved ? "●" : "○";
      return el("li", {}, el("button", {
        type: "button", "aria-current": String(r === state.rollout), on: { click: () => { openRollout(r); showStep(task.rollouts[r].from, true); } },
      },
      el("span", { class: "top" }, bdi(rollout.name), el("span", { class: "muted" }, `${mark} ${verdict}, ${plural(rollout.length, "step")}`)),
      strip(rollout)));
    }));
  }

  function strip(rollout) {
    const credit = task.steps.credit[state.estimator][state.part];
    const largest = task.largest[state.estimator];
    const width = Math.max(rollout.shown, 24);
    const bars = { plus: [], minus: [], none: [], apart: [] }; // a path each: thousands of bars are many elements
    const bar = (kind, i, y, height) => bars[kind].push(`M${(i + 0.12).toFixed(2)} ${y.toFixed(1)}h.76v${height.toFixed(1)}h-.76z`);
    for (let i = 0; i < rollout.shown; i += 1) {
      const x = credit[rollout.from + i];
      const kind = sign(x);
      const height = kind === "none" ? 0.8 : 2 + (12 * Math.sqrt(Math.min(1, Math.abs(x) / largest)));
      bar(kind, i, kind === "plus" ? 15 - height : 15, height);
      if (task.steps.disagrees[rollout.from + i]) bar("apart", i, 31, 2);
    }
    const drawn = Object.entries(bars).filter(([, parts]) => parts.length).map(([kind, parts]) => svg("path", { class: kind, d: parts.join("") }));
    return svg("svg", { class: "strip", viewBox: `0 0 ${width} 34`, preserveAspectRatio: "none", "aria-hidden": "true" }, svg("path", { class: "axis", d: `M0 15H${width}` }), ...drawn);
  }

  function openRollout(index) {
    state.rollout = index;
    const rollout = task.rollouts[index];
    document.querySelectorAll("#rollouts button").forEach((button, i) => button.setAttribute("aria-current", String(i === index)));
    const verdict = rollout.solved === null ? "without a verdict" : rollout.solved ? "solved" : "failed";
    byId("rollout-title").replaceChildren("Rollout ", bdi(rollout.name), `, ${verdict}, ${plural(rollout.length, "step")}`);
    const head = el("tr", {}, el("th", { class: "right", scope: "col" }, "step"), el("th", { scope: "col" }, "state"), el("th", { scope: "col" }, "action"),
      el("th", { scope: "col" }, "distance"), ...report.estimators.map((name) => el("th", { scope: "col", class: "right" }, name)), el("th", { scope: "col" }, el("span", { class: "sr" }, "signs")));
    const rows = [];
    for (let i = rollout.from; i < rollout.from + rollout.shown; i += 1) rows.push(stepRow(i, i - rollout.from));
    byId("steps").replaceChildren(el("thead", {}, head), el("tbody", {}, ...rows));
  }

  function stepRow(step, turn) {
    const s = task.steps;
    const from = s.distance[step], to = s.nextDistance[step];
    return el("tr", { "data-step": step, tabindex: "-1", "aria-current": "false" },
      el("td", { class: "right muted" }, String(turn)),
      el("td", { class: "state" }, bdi(task.nodes.name[s.source[step]])),
      el("td", { class: "action" }, bdi(line(s.action[step], 60) || "–")),
      el("td", { class: "way" }, way(step, from, to)),
      ...report.estimators.map((name) => el("td", { class: "right" }, credit(s.credit[name].all[step], task.largest[name]))),
      el("td", { class: "apart" }, ...(s.disagrees[step] ? [el("span", { "aria-hidden": "true", title: "the estimators disagree in sign" }, "≠"), el("span", { class: "sr" }, "signs differ")] : [])));
  }

  function way(step, from, to) {
    const none = !task.nodes.reached[task.steps.source[step]];
    const lost = !task.nodes.reached[task.steps.target[step]];
    return `${none ? "∞" : short(from)} → ${lost ? "∞" : short(to)}`;
  }

  function credit(value, largest) {
    const meter = el("span", { class: "meter", "aria-hidden": "true" }, ...(sign(value) === "none" ? [] : [el("i")]));
    if (meter.firstChild) meter.firstChild.style.setProperty("--share", Math.sqrt(Math.min(1, Math.abs(value) / largest)).toFixed(3));
    return el("span", { class: `credit ${sign(value)}` }, meter, el("span", { class: "value" }, signed(value)));
  }

  // --- why ----------------------------------------------------------------------------------------

  function showStep(step, focus) {
    if (task.rolloutOf[step] !== state.rollout) openRollout(task.rolloutOf[step]);
    Object.assign(state, { step, node: -1 });
    document.querySelectorAll("#steps tbody tr").forEach((row) => {
      const chosen = Number(row.dataset.step) === step;
      row.setAttribute("aria-current", String(chosen));
      row.setAttribute("tabindex", chosen ? "0" : "-1");
      if (chosen && focus) { row.focus({ preventScroll: true }); keepInside(row); }
    });
    const s = task.steps, rollout = task.rollouts[state.rollout], turn = step - rollout.from;
    const source = task.nodes.name[s.source[step]], target = task.nodes.name[s.target[step]];
    choose(task.place.has(s.source[step]) ? task.place.get(s.source[step]) : -1);
    byId("why").replaceChildren(
      el("h3", {}, `Step ${turn} of rollout `, bdi(rollout.name)),
      el("p", {}, el("b", {}, bdi(line(s.action[step], 160) || "(no action given)"))),
      el("p", { class: "muted" }, bdi(source), " → ", bdi(target)),
      el("p", {}, movement(step)),
      ...(s.disagrees[step] ? [el("p", {}, el("b", {}, "≠ "), "The estimators disagree in sign here.")] : []),
      ...report.estimators.flatMap((name) => explained(name, step)),
      ...texts(step));
    if (focus) say(`Step ${turn}: ${line(s.action[step], 80)}. ${report.estimators.map((name) => `${name} ${signed(s.credit[name].all[step])}`).join(", ")}`);
  }

  function keepInside(row) {
    const box = byId("steps").closest(".scroll"), head = 34;
    if (row.offsetTop < box.scrollTop + head) box.scrollTop = row.offsetTop - head;
    else if (row.offsetTop + row.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = row.offsetTop + row.offsetHeight - box.clientHeight;
  }

  function movement(step) {
    const s = task.steps;
    const before = task.nodes.reached[s.source[step]], after = task.nodes.reached[s.target[step]];
    if (!before) return "From here no rollout shows a way to the goal.";
    if (!after) return `It leaves the way: ${short(s.distance[step])} from the goal before, no way seen after it.`;
    if (s.nextDistance[step] === 0) return `It reaches the goal from distance ${short(s.distance[step])}.`;
    const change = s.nextDistance[step] - s.distance[step];
    const words = change < 0 ? "nearer to the goal" : change > 0 ? "farther from the goal" : "neither nearer nor farther";
    return `Distance ${short(s.distance[step])} → ${short(s.nextDistance[step])}: ${words}.`;
  }

  function explained(name, step) {
    const c = task.steps.credit[name], why = task.why[name];
    const parts = [el("h4", {}, name, el("span", { class: `credit ${sign(c.all[step])}` }, el("span", { class: "value" }, signed(c.all[step]))))];
    if (!why) return parts;
    for (const term of why.terms) {
      const weight = term.weight * (term.episodic ? why.episodeWeight : why.stepWeight);
      const times = weight === 1 ? "" : ` × ${short(weight)}`;
      parts.push(el("p", { class: "part" }, el("b", {}, `${term.episodic ? "rollout" : "step"} part ${signed(term.values[step])}${times}`)));
      for (const level of term.levels) parts.push(...compared(level, step));
    }
    return parts;
  }

  function compared(level, step) {
    const own = level.own[step], set = level.sets[level.set[step]];
    if (!set) return [el("p", {}, `${level.score} ${short(own)}, ${level.normaliser}: ${signed(level.standings[step])}`)];
    const verdict = level.void[step]
      ? (set.num < 2 ? "nothing to compare it with" : own === null ? "its own is unknown" : set.low === set.high ? "all are equal: no credit" : "nothing to learn")
      : `standing ${signed(level.standings[step])} (${level.normaliser})`;
    const words = `${level.score} ${short(own)} among ${plural(set.num, level.unit.replace(/s$/, ""))} of the ${level.peersBy}; mean ${short(set.mean)}, deviation ${short(set.std)}: ${verdict}`;
    const parts = [el("p", {}, words)];
    if (set.num > 1 && set.low !== set.high && own !== null) parts.push(dots(set, own));
    if (set.peers.length > 1) parts.push(peers(level, set));
    return parts;
  }

  function dots(set, own) {
    const low = Math.min(set.low, own), high = Math.max(set.high, own);
    const x = (value) => (10 + (320 * (value - low)) / (high - low)).toFixed(1);
    return svg("svg", { class: "dots", viewBox: "0 0 340 34", "aria-hidden": "true" },
      svg("path", { class: "axis", d: "M10 14H330" }),
      svg("path", { class: "mean", d: `M${x(set.mean)} 6V22` }),
      ...set.peers.filter((peer) => peer[1] !== null).map((peer) => svg("circle", { class: "peer", cx: x(peer[1]), cy: 14, r: 4 })),
      svg("path", { class: "own", d: `M${x(own)} 8l6 6l-6 6l-6 -6Z` }),
      svg("text", { x: 10, y: 32 }, short(low)), svg("text", { x: 330, y: 32, "text-anchor": "end" }, short(high)));
  }

  function peers(level, set) {
    const s = task.steps;
    const rows = set.peers.map(([step, score, standing]) => {
      if (step < 0) return el("tr", {}, el("td", { class: "muted" }, "not listed"), el("td"), el("td", { class: "right" }, short(score)), el("td", { class: "right" }, signed(standing)));
      const rollout = task.rollouts[task.rolloutOf[step]];
      const where = `${line(rollout.name, 14)}, step ${step - rollout.from}`;
      return el("tr", {},
        el("td", {}, el("button", { type: "button", class: "link", on: { click: () => showStep(step, true) } }, bdi(where))),
        el("td", {}, bdi(line(s.action[step], 24))), el("td", { class: "right" }, short(score)), el("td", { class: "right" }, signed(standing)));
    });
    const left = set.num - set.peers.length;
    return el("details", {}, el("summary", {}, left > 0 ? `${set.peers.length} of ${set.num} peers` : `${set.peers.length} peers`),
      el("table", {}, el("thead", {}, el("tr", {}, ...["rollout", "action", level.score, "credit"].map((title, i) => el("th", { scope: "col", class: i > 1 ? "right" : null }, title)))), el("tbody", {}, ...rows)));
  }

  function texts(step) {
    const s = task.steps;
    return [["State", s.source[step]], ["Next state", s.target[step]]].filter(([, node]) => task.nodes.kind[node] === "state" && task.nodes.text[node])
      .map(([title, node], i) => el("details", { open: i === 0 }, el("summary", {}, title), page(node)));
  }

  function page(node) {
    const left = task.nodes.left[node];
    return el("div", {}, el("pre", { dir: "auto" }, task.nodes.text[node]), ...(left ? [el("p", { class: "note" }, `${plural(left, "character")} more are not shown.`)] : []));
  }

  function showNode(place, focus) {
    const node = task.drawn[place], s = task.steps;
    Object.assign(state, { node, step: -1 });
    choose(place);
    rove(place, focus);
    const done = new Map();
    s.source.forEach((source, step) => {
      if (source !== node) return;
      const key = JSON.stringify([s.action[step], s.target[step]]);
      if (!done.has(key)) done.set(key, []);
      done.get(key).push(step);
    });
    const choices = [...done.values()].sort((a, b) => b.length - a.length);
    const mean = (steps, name) => steps.reduce((sum, step) => sum + (s.credit[name].all[step] || 0), 0) / steps.length;
    const rows = choices.slice(0, 40).map((steps) => el("tr", {},
      el("td", {}, el("button", { type: "button", class: "link", on: { click: () => showStep(steps[0], true) } }, bdi(line(s.action[steps[0]], 28) || "step"))),
      el("td", {}, bdi(line(task.nodes.name[s.target[steps[0]]], 22))), el("td", { class: "right" }, String(steps.length)),
      ...report.estimators.map((name) => el("td", { class: "right" }, el("span", { class: `credit ${sign(mean(steps, name))}` }, el("span", { class: "value" }, signed(mean(steps, name))))))));
    const about = task.nodeElements[place].querySelector("title").textContent;
    byId("why").replaceChildren(
      el("h3", {}, bdi(task.nodes.name[node])), el("p", {}, bdi(about)),
      ...(rows.length ? [el("h4", {}, "What was done here"), el("table", {}, el("thead", {}, el("tr", {}, ...["action", "leads to", "times", ...report.estimators].map((title, i) => el("th", { scope: "col", class: i > 1 ? "right" : null }, title)))), el("tbody", {}, ...rows))] : []),
      ...(choices.length > 40 ? [el("p", { class: "note" }, `${choices.length - 40} more are not shown.`)] : []),
      ...(task.nodes.kind[node] === "state" ? [el("h4", {}, "The state"), page(node)] : []));
    say(about);
  }

  // --- what people do -----------------------------------------------------------------------------

  document.querySelectorAll("#picker button").forEach((button, i) => button.addEventListener("click", () => openTask(i, true)));
  document.querySelectorAll("input[name=estimator]").forEach((input) => input.addEventListener("change", () => { state.estimator = input.value; colour(); say(`Colours show ${input.value}`); }));
  document.querySelectorAll("input[name=part]").forEach((input) => input.addEventListener("change", () => { state.part = input.value; colour(); }));
  byId("least").addEventListener("input", (event) => { state.least = Number(event.target.value); hideRare(); });

  const canvas = byId("canvas");
  const placeOf = (event) => { const node = event.target.closest("[data-node]"); return node ? Number(node.dataset.node) : -1; };
  canvas.addEventListener("click", (event) => { const place = placeOf(event); if (place >= 0) showNode(place, true); });
  canvas.addEventListener("mouseover", (event) => { const place = placeOf(event); if (place >= 0) trace(...around(place)); else trace([], []); });
  canvas.addEventListener("mouseleave", () => trace([], []));
  canvas.addEventListener("focusin", (event) => { const place = placeOf(event); if (place >= 0 && event.target.matches(":focus-visible")) trace(...around(place)); });
  canvas.addEventListener("focusout", () => trace([], []));
  canvas.addEventListener("keydown", (event) => {
    const place = placeOf(event);
    if (place < 0) return;
    if (event.key === "Enter" || event.key === " ") showNode(place, true);
    else if (event.key === "Home") rove(Math.max(0, task.nodeElements.findIndex((node) => node.matches(".start"))), true);
    else if (event.key === "End") rove(Math.max(0, task.nodeElements.findIndex((node) => node.matches(".goal"))), true);
    else if (event.key.startsWith("Arrow")) { const next = neighbour(place, event.key); if (next >= 0) rove(next, true); }
    else return;
    event.preventDefault();
  });

  const steps = byId("steps");
  const rowOf = (event) => { const row = event.target.closest("tr[data-step]"); return row ? Number(row.dataset.step) : -1; };
  steps.addEventListener("click", (event) => { if (rowOf(event) >= 0) showStep(rowOf(event), true); });
  steps.addEventListener("mouseover", (event) => { const step = rowOf(event); if (step >= 0) traceStep(step); });
  steps.addEventListener("mouseleave", () => trace([], []));
  steps.addEventListener("keydown", (event) => {
    const step = rowOf(event), rollout = task.rollouts[state.rollout];
    const last = rollout.from + rollout.shown - 1;
    const next = { ArrowDown: step + 1, ArrowUp: step - 1, PageDown: step + 10, PageUp: step - 10, Home: rollout.from, End: last, Enter: step }[event.key];
    if (step < 0 || next === undefined) return;
    showStep(Math.min(last, Math.max(rollout.from, next)), true);
    if (event.key === "Enter") byId("why").focus();
    event.preventDefault();
  });

  function traceStep(step) {
    const edge = task.steps.edge[step];
    if (edge < 0) trace([], []);
    else trace([task.edges.source[edge], task.edges.target[edge]], [edge]);
  }

  addEventListener("resize", () => { if (graph) fit(); });
  openTask(0, false);
  document.documentElement.dataset.ready = "yes";
})();
