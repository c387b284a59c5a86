// How this browser is let in. The key is kept for this origin, which includes the port: other servers of the host
// never see it, as they would see a cookie, and no other site can make the browser send it.

const KEY = "vmcluster-session";

export class NotLetIn extends Error {
  constructor() {
    super("This browser is not let in.");
  }
}

const key = () => localStorage.getItem(KEY);
let refused = () => {};

// `told()` is called whenever it turns out that this browser is not let in, whatever was asked.
export function whenRefused(told) {
  refused = told;
}

// `told()` is called when another tab of this browser signs in or out.
export function whenChangedElsewhere(told) {
  addEventListener("storage", (event) => event.key === KEY && told());
}

// Whether the secret lets this browser in. The answer is the feed that is asked for.
export async function enter(secret, { feed, signal } = {}) {
  const answer = await fetch("/api/session", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ secret, feed }),
    signal,
  });
  if (!answer.ok) return null;
  localStorage.setItem(KEY, answer.headers.get("Vmcluster-Session"));
  return answer;
}

export async function leave() {
  await call("/api/session", { method: "DELETE" }).catch(() => {});
  localStorage.removeItem(KEY);
}

export async function call(path, options = {}) {
  const sent = key();
  const headers = { Authorization: `Bearer ${sent}`, ...options.headers };
  const answer = sent && (await fetch(path, { ...options, headers, cache: "no-store" }));
  if (answer && answer.status !== 401) return answer;
  if (sent !== key()) return call(path, options); // it was let in meanwhile, or signed out in another tab
  refused();
  throw new NotLetIn();
}

// The result of a question; throws an error whose message is for people.
export async function ask(path, options) {
  const answer = await call(path, options);
  if (answer.headers.get("Content-Type")?.startsWith("image/")) return answer.blob();
  if (!answer.ok) throw new Error((await answer.text()).trim());
  const { result, error } = await answer.json();
  if (error) throw new Error(error.message);
  return result;
}

export const act = (cluster, action, details) =>
  ask(`/api/clusters/${encodeURIComponent(cluster)}/actions/${action}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(details),
  });
