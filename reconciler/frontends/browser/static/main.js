// The page: what is chosen is in the address, what is known comes over one feed.

import { Actions, closeDialogs } from "./actions.js";
import { Console } from "./console.js";
import { announce, byId, el, write } from "./dom.js";
import { Events } from "./events.js";
import { Feed } from "./feed.js";
import { Graph } from "./graph.js";
import { clearPanels, showConditions, showFaults, showNode, showReady, showSnapshots, showTrouble, tickFaults } from "./panels.js";
import { forgetAnswers, showKernel, showPlan, showScreen } from "./questions.js";
import { enter, leave, whenChangedElsewhere, whenRefused } from "./session.js";
import { TABS, asked, begun, consoleNode, feedPath, remember, shown } from "./start.js";
import { drawTimeline } from "./timeline.js";

const OF_NODE = new Set(["console", "kernel", "screen"]);
const CONNECTION = { live: "live", lost: "connection lost, trying again", refused: "not let in" };

let view = null;
let ahead = 0;
let timelineDrawn = 0;

const now = () => Date.now() / 1000 + ahead;
const graph = new Graph(byId("graph"), (name) => choose({ node: name }), now);
const actions = new Actions(() => shown.cluster, () => view, graph);
const events = new Events();
const nodeConsole = new Console(byId("panel-console"));
const feed = new Feed(() => feedPath(asked()), hear, connected);
const troubles = new Map();
let allowed = null;

function hear(kind, data) {
  if (kind.endsWith("-trouble")) return troubled(kind, data.message);
  const heard = {
    hello: () => hello(data),
    clusters: () => showClusters(data),
    cluster: () => showView(data),
    gone: () => gone(data.message),
    events: () => showEvents(data.items),
    "console-cleared": () => nodeConsole.clear(),
    console: () => nodeConsole.add(data),
  }[kind];
  heard?.();
}

function hello({ actions: may, now: theirs, cluster }) {
  ahead = theirs - Date.now() / 1000;
  if (!shown.cluster && cluster) choose({ cluster }, { told: true });
  allowed = may ? actions : null;
  if (byId("toolbar").childElementCount !== (may ? 5 : 0)) byId("toolbar").replaceChildren(...(may ? actions.toolbar() : []));
  allowActions();
  nodeConsole.open(shown.cluster, consoleNode());
  for (const source of troubles.keys()) if (source !== "view") troubled(source, ""); // the new feed says what is left of it
}

// Each source takes back its own trouble only.
function troubled(source, message) {
  troubles.set(source, message);
  showTrouble([...new Set(troubles.values())].filter(Boolean).join("; "));
}

// What is done to a cluster needs one that is known.
function allowActions() {
  for (const button of byId("toolbar").children) button.disabled = !view;
}

function connected(state) {
  write(byId("connection"), CONNECTION[state]);
  byId("connection").className = state;
  byId("door").hidden = state !== "refused";
  for (const part of document.querySelectorAll("header, main")) part.inert = state === "refused";
  byId("leave").hidden = state === "refused";
  if (state !== "refused") return;
  feed.close();
  closeDialogs();
  byId("secret").focus();
}

function showClusters(clusters) {
  const chooser = byId("clusters");
  const names = clusters.map((of) => of.name);
  chooser.disabled = !names.length;
  chooser.replaceChildren(...clusters.map((of) => el("option", { value: of.name }, of.destroyed ? `${of.name} (destroyed)` : of.name)));
  if (names.includes(shown.cluster)) chooser.value = shown.cluster;
  else if (names.length) choose({ cluster: (clusters.find((of) => !of.destroyed) ?? clusters[0]).name });
  else showThatNoneIsThere();
}

function showView(next) {
  const before = view?.name === next.name ? view : null;
  view = next;
  allowActions();
  troubled("view", next.trouble);
  graph.show(next);
  graph.select(shown.node);
  showFaults(next, allowed, now);
  showConditions(next);
  showSnapshots(next, allowed);
  showNode(next, shown.node, allowed);
  showReady(next);
  if (before) tellChanges(before, next);
  if (!performance.getEntriesByName("first-sight").length) performance.mark("first-sight");
}

function tellChanges(before, next) {
  const states = new Map(before.nodes.map((node) => [node.name, node.state]));
  const changed = next.nodes.filter((node) => states.has(node.name) && states.get(node.name) !== node.state);
  if (changed.length) announce(changed.map((node) => `${node.name} is ${node.state}`).join(", "));
}

function showEvents(items) {
  const fresh = events.add(items);
  if (fresh.length) timelineDrawn = 0;
  const faults = fresh.filter((of) => of.kind.startsWith("Fault") && now() - of.at < 10);
  if (faults.length) announce(faults.map((of) => `${of.subject}: ${of.message}`).join(", "));
}

// Nothing is wrong: it is how everybody begins.
function showThatNoneIsThere() {
  gone("");
  write(byId("hint"), "There are no clusters yet: `vmcluster apply TOPOLOGY` makes one.");
}

function gone(message) {
  forget();
  troubled("view", message);
}

// What is shown of a cluster, and what can be done to it, goes with it.
function forget() {
  view = null;
  allowActions();
  graph.clear();
  clearPanels();
  write(byId("hint"), "");
}

// What is `told` already need not be asked for.
function choose(next, { told = false } = {}) {
  const before = { ...shown };
  if (next.cluster !== undefined && next.cluster !== shown.cluster) {
    Object.assign(shown, { cluster: next.cluster, node: "" });
    forget();
    events.clear();
    troubled("view", "");
  }
  Object.assign(shown, next);
  if (!shown.node && OF_NODE.has(shown.tab)) shown.tab = "events";
  remember();
  if (!told && (before.cluster !== shown.cluster || (shown.tab === "console" && before.node + before.tab !== shown.node + shown.tab))) listen();
  if (before.cluster !== shown.cluster) forgetAnswers(byId("panel-plan"));
  if (before.cluster !== shown.cluster || before.node !== shown.node) forgetAnswers(byId("panel-kernel"), byId("panel-screen"));
  graph.select(shown.node);
  if (view) showNode(view, shown.node, allowed);
  showTabs(before);
}

function listen() {
  nodeConsole.open(shown.cluster, consoleNode());
  feed.open();
}

function showTabs(before) {
  const of = view?.nodes.find((node) => node.name === shown.node);
  byId("tabs").replaceChildren(
    ...TABS.filter(([id]) => !OF_NODE.has(id) || shown.node).filter(([id]) => id !== "screen" || of?.video).map(([id, text]) =>
      el("button", { type: "button", role: "tab", id: `tab-${id}`, "aria-controls": `panel-${id}`, "aria-selected": String(id === shown.tab),
        tabindex: id === shown.tab ? 0 : -1, onclick: () => choose({ tab: id }) }, OF_NODE.has(id) ? `${text}: ${shown.node}` : text)),
  );
  for (const [id] of TABS) byId(`panel-${id}`).hidden = id !== shown.tab;
  const fresh = !before || before.tab !== shown.tab || before.node !== shown.node || before.cluster !== shown.cluster;
  if (!fresh || !shown.cluster) return;
  if (shown.tab === "plan") showPlan(byId("panel-plan"), shown.cluster);
  if (shown.tab === "kernel") showKernel(byId("panel-kernel"), shown.cluster, shown.node);
  if (shown.tab === "screen") showScreen(byId("panel-screen"), shown.cluster, shown.node);
  timelineDrawn = 0;
}

function tick() {
  graph.tick();
  tickFaults(now);
  if (shown.tab === "events" && now() - timelineDrawn > 5) {
    timelineDrawn = now();
    drawTimeline(events.all, now());
  }
}

byId("tabs").addEventListener("keydown", (event) => {
  const tabs = [...byId("tabs").children];
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length].id;
  choose({ tab: next.replace("tab-", "") });
  byId(next).focus();
});

byId("clusters").addEventListener("change", (event) => choose({ cluster: event.target.value }));

byId("door").querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const letIn = await enter(byId("secret").value);
  byId("secret").value = "";
  write(byId("refused"), letIn ? "" : "That lets nobody in.");
  if (letIn) listen();
});

byId("leave").addEventListener("click", async () => {
  feed.close();
  await leave();
  location.reload();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    graph.cutBy(null);
    write(byId("hint"), "");
  }
});

whenRefused(() => connected("refused"));
whenChangedElsewhere(() => location.reload());

// A page that nobody sees takes no connection.
document.addEventListener("visibilitychange", () => (document.hidden ? feed.close() : listen()));

const first = await begun;
if (first?.path === feedPath(asked())) feed.open(first);
else listen();
showTabs(null);
setInterval(tick, 1000);
