// What the page knows, as signals, and what keeps it up to date.

import { signal } from "./vendor/signals.js";
import * as api from "./api.js";

const LIST_EVERY_MS = 1500;
const NODE_EVERY_MS = 3000;

export const tables = signal([]);
export const table = signal(null);
export const schema = signal(null);
export const rows = signal(null);
export const more = signal(null);
export const node = signal(null);
export const trouble = signal(null);
export const notice = signal("");
export const editing = signal(null);

let etag = null;
let extended = false;
// Lists asked for, and the latest of them that is shown: a slow answer never hides a newer one.
let asked = 0;
let shown = 0;

// Say something to everybody, people who hear the page included.
export function announce(text) {
  notice.value = text;
}

export async function choose(name) {
  table.value = name;
  schema.value = null;
  rows.value = null;
  more.value = null;
  etag = null;
  extended = false;
  location.hash = name;
  const found = await api.schema(name);
  if (table.value !== name) return;
  schema.value = found;
  await refresh();
}

export async function refresh() {
  const name = table.value;
  // Further pages were asked for: show as many rows as there are now, in one page.
  const path = extended ? `/${name}?_limit=${Math.max(1000, Math.min(10000, rows.value.length))}` : `/${name}`;
  const turn = ++asked;
  const found = await api.list(path, etag);
  if (table.value !== name || turn < shown) return;
  shown = turn;
  if (found.rows === null) return;
  etag = found.etag;
  rows.value = found.rows;
  more.value = found.next;
}

export async function loadMore() {
  const name = table.value;
  const found = await api.list(more.value, null);
  if (table.value !== name) return;
  shown = ++asked;
  extended = true;
  etag = null;
  rows.value = [...rows.value, ...found.rows];
  more.value = found.next;
}

export async function start() {
  await attempt(async () => {
    tables.value = await api.tables();
    const wanted = decodeURIComponent(location.hash.slice(1));
    const names = tables.value.map((entry) => entry.name);
    if (names.length) await choose(names.includes(wanted) ? wanted : names[0]);
  });
  every(LIST_EVERY_MS, async () => {
    if (!tables.value.length) tables.value = await api.tables();
    if (!table.value && tables.value.length) await choose(tables.value[0].name);
    else if (table.value && !schema.value) await choose(table.value);
    else if (table.value) await refresh();
  });
  every(NODE_EVERY_MS, async () => {
    node.value = await api.node();
  });
}

// Run again and again while somebody looks; a failure is shown until it goes away.
function every(ms, work) {
  const run = async () => {
    if (!document.hidden) await attempt(work);
    setTimeout(run, ms);
  };
  run();
}

// Do it, and show a failure until something succeeds again.
export async function attempt(work) {
  try {
    await work();
    trouble.value = null;
  } catch (error) {
    trouble.value = error.message;
  }
}
