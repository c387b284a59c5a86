// The host that shows this view: JSON-RPC between frames (MCP Apps 2026-01-26). Only the frame around this one is heard.

const METHOD_NOT_FOUND = { code: -32601, message: "this view answers no such request" };
const ANSWERED = new Set(["ping", "ui/resource-teardown"]);

export class Host {
  #asked = new Map();
  #number = 0;

  // `hear` has a function for each notification that matters.
  constructor(hear) {
    window.addEventListener("message", ({ source, data }) => {
      if (source === window.parent && data?.jsonrpc === "2.0") this.#take(data, hear);
    });
  }

  tell(method, params = {}) {
    this.#send({ method, params });
  }

  ask(method, params = {}) {
    const id = (this.#number += 1);
    this.#send({ id, method, params });
    return new Promise((resolve, reject) => this.#asked.set(id, { resolve, reject }));
  }

  // Which origin the host has is not known here; what is sent are names that it has sent itself.
  #send(message) {
    window.parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
  }

  #take({ id, method, params, result, error }, hear) {
    if (method === undefined) {
      const asked = this.#asked.get(id);
      this.#asked.delete(id);
      if (error) asked?.reject(new Error(error.message));
      else asked?.resolve(result);
    } else if (id === undefined) hear[method]?.(params ?? {});
    else this.#send(ANSWERED.has(method) ? { id, result: {} } : { id, error: METHOD_NOT_FOUND });
  }
}
