// A cluster inside a chat, as an MCP App: the page's graph and lists. It only looks, and only while somebody sees it.

import { byId, write } from "../static/dom.js";
import { Graph } from "../static/graph.js";
import { clearPanels, showConditions, showFaults, showNode, showReady, showSnapshots, showTrouble, tickFaults } from "../static/panels.js";
import { Host } from "./host.js";

const PROTOCOL = "2026-01-26";
const VIEW = "vmcluster/view";
const EVERY_MS = 5000;
const REST = 4; // looking takes at most a fifth of the time
const AFTER_REFUSAL_MS = 60_000;
const ONCE = "This client lets views ask for nothing: what cluster_status answered stays as it is.";

let cluster = "";
let view = null;
let ahead = 0;
let seen = false;
let mayAsk = false;
let looking = false;
let due = 0;

const now = () => Date.now() / 1000 + ahead;
const graph = new Graph(byId("graph"), choose, now);
const host = new Host({
  "ui/notifications/tool-input": ({ arguments: said }) => follow(said?.cluster_name),
  "ui/notifications/tool-result": show,
  "ui/notifications/host-context-changed": dress,
});

function follow(name) {
  if (name) cluster = name;
}

// The answer of a tool: what it says beside the data for the model is drawn, or the name of its cluster is followed.
function show({ structuredContent: said, _meta: beside }) {
  follow(said?.result?.cluster_name);
  const drawn = beside?.[VIEW];
  if (drawn) showView(drawn);
  else if (said?.error) refused(said.error);
}

function showView({ now: theirs, ...next }) {
  ahead = theirs - Date.now() / 1000;
  view = next;
  write(byId("cluster"), view.name);
  write(byId("hint"), mayAsk ? "" : ONCE);
  showTrouble(view.trouble);
  graph.show(view);
  showFaults(view, null, now);
  showConditions(view);
  showSnapshots(view, null);
  showReady(view);
  choose(graph.chosen);
}

function refused({ code, message }) {
  showTrouble(message);
  if (code !== "CLUSTER_NOT_FOUND") return;
  view = null;
  graph.clear();
  clearPanels();
}

function choose(name) {
  graph.select(name);
  if (view) showNode(view, name, null);
}

async function look() {
  looking = true;
  const began = performance.now();
  let rest = EVERY_MS;
  try {
    show(await host.ask("tools/call", { name: "cluster_status", arguments: { cluster_name: cluster } }));
  } catch (error) {
    rest = AFTER_REFUSAL_MS;
    showTrouble(error.message);
  }
  due = performance.now() + Math.max(rest, REST * (performance.now() - began));
  looking = false;
}

function tick() {
  graph.tick();
  tickFaults(now);
  if (mayAsk && cluster && seen && !document.hidden && !looking && performance.now() >= due) look();
}

function dress({ theme }) {
  if (theme) document.documentElement.style.colorScheme = theme;
}

function measure() {
  const { height } = document.documentElement.getBoundingClientRect(); // any width will do
  host.tell("ui/notifications/size-changed", { height: Math.ceil(height) });
}

const { hostContext, hostCapabilities } = await host.ask("ui/initialize", {
  protocolVersion: PROTOCOL,
  appInfo: { name: "vmcluster", version: "1" },
  appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] },
});
dress(hostContext ?? {});
mayAsk = Boolean(hostCapabilities?.serverTools);
if (!mayAsk) write(byId("hint"), ONCE);
host.tell("ui/notifications/initialized");
new ResizeObserver(measure).observe(document.documentElement);
new IntersectionObserver((entries) => (seen = entries.at(-1).isIntersecting)).observe(document.documentElement);
setInterval(tick, 1000);
