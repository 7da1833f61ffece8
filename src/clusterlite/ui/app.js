// The page: which node this is, which tables there are, and the rows of one of them.

import { h, render } from "./vendor/preact.js";
import htm from "./vendor/htm.js";
import "./vendor/signals.js";
import { RowDialog } from "./form.js";
import { attempt, choose, node, notice, start, table, tables, trouble } from "./state.js";
import { Rows } from "./table.js";

const html = htm.bind(h);

const STATES = {
  ready: "ready",
  opening: "opening its log",
  catching_up: "catching up",
  founding: "starting",
  declaring: "starting",
  checking: "checking itself: reading only",
  lagging: "behind its log",
  log_unreachable: "log unreachable: reading only",
  strained: "out of space or memory: reading only",
  halted: "halted: reading only",
  refused: "cannot start",
  node_down: "node process down: reading only",
};

function Status() {
  const found = node.value;
  if (!found) return null;
  const state = trouble.value ? "unreachable" : found.state;
  return html`<p class="status" data-state=${state}>
    <span class="dot" aria-hidden="true"></span>
    <span>${found.node}</span>
    <span class="state">${STATES[state] || state}</span>
    <span class="position" title="Position of the last event applied">#${found.position}</span>
  </p>`;
}

function Reason() {
  if (trouble.value) return html`<p class="banner" role="alert">${trouble.value}</p>`;
  const reason = node.value && node.value.reason;
  if (!reason) return null;
  return html`<p class="banner" role="alert"><b>${reason.reason}</b>: ${reason.detail} ${reason.cure}</p>`;
}

function App() {
  return html`
    <header>
      <a class="name" href="./">ClusterLite</a>
      ${tables.value.length > 1 && html`<nav aria-label="Tables">${tables.value.map((entry) => html`
        <button aria-current=${entry.name === table.value ? "page" : undefined}
          onClick=${() => attempt(() => choose(entry.name))}>${entry.name}</button>`)}</nav>`}
      <${Status} />
    </header>
    <main>
      <${Reason} />
      ${tables.value.length ? html`<${Rows} />` : html`<p class="empty">No tables yet.</p>`}
    </main>
    <${RowDialog} />
    <p class="notice" role="status" aria-live="polite">${notice.value}</p>`;
}

render(html`<${App} />`, document.getElementById("app"));
start();
