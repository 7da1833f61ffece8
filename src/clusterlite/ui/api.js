// The REST interface, as the page uses it. Every failure is a Problem with words for a person.

export class Problem extends Error {
  constructor(status, document) {
    super(document.detail || document.title || `The server answered ${status}.`);
    this.status = status;
    this.code = document.code;
    this.errors = document.errors || [];
  }
}

const UNREACHABLE = "The node does not answer. The page goes on as soon as it does.";

async function call(method, path, { body, headers = {} } = {}) {
  const options = { method, headers: { accept: "application/json", ...headers } };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["content-type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Problem(0, { detail: UNREACHABLE, code: "unreachable" });
  }
  if (answer.status === 304) return { answer, data: null };
  const text = await answer.text();
  let data = null;
  try {
    data = text ? JSON.parse(text) : null;
  } catch {
    throw new Problem(answer.status, { detail: UNREACHABLE, code: "unreachable" });
  }
  if (!answer.ok) throw new Problem(answer.status, data || {});
  return { answer, data };
}

const rowPath = (table, id) => `/${table}/${encodeURIComponent(id)}`;

export async function tables() {
  return (await call("GET", "/")).data.tables;
}

export async function schema(table) {
  return (await call("GET", `/${table}/-/schema`)).data;
}

export async function node() {
  return (await call("GET", "/-/cluster")).data;
}

// One page of rows; `rows` is null where nothing changed since `etag`.
export async function list(path, etag) {
  const headers = etag ? { "if-none-match": etag } : {};
  const { answer, data } = await call("GET", path, { headers });
  const next = /<([^>]+)>; rel="next"/.exec(answer.headers.get("link") || "");
  return { rows: data, etag: answer.headers.get("etag"), next: next && next[1] };
}

export async function row(table, id) {
  const { answer, data } = await call("GET", rowPath(table, id));
  return { row: data, etag: answer.headers.get("etag") };
}

// A new idempotency key. `crypto.randomUUID` exists only under https and on localhost, and a node
// is often opened by its plain http address.
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// `key` makes a second try of the same write safe: it has one effect.
export async function create(table, values, key) {
  return (await call("POST", `/${table}`, { body: values, headers: { "idempotency-key": key } })).data;
}

export async function replace(table, id, values, etag, key) {
  const headers = { "if-match": etag, "idempotency-key": key };
  return (await call("PUT", rowPath(table, id), { body: values, headers })).data;
}

export async function remove(table, id) {
  await call("DELETE", rowPath(table, id));
}
