// The rows of the chosen table. Values are shown as text, never as HTML.

import { h } from "./vendor/preact.js";
import { useEffect, useRef, useState } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";
import * as api from "./api.js";
import { fieldsOf } from "./form.js";
import { announce, editing, loadMore, more, refresh, rows, schema, table, trouble } from "./state.js";

const html = htm.bind(h);

function text(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

// What a person knows a row by: its first field, or its id.
const called = (fields, row) => (fields.length && text(row[fields[0].name])) || row.id;

export function Rows() {
  const [doomed, setDoomed] = useState(null);
  if (!schema.value || rows.value === null) return html`<p class="empty">Loading…</p>`;
  const fields = fieldsOf(schema.value);

  const edit = async (row) => {
    try {
      editing.value = await api.row(table.value, row.id);
    } catch (problem) {
      announce(problem.message);
      await refresh().catch(() => {});
    }
  };

  return html`
    <div class="bar">
      <h1>${table.value}</h1>
      <span class="count">${rows.value.length}${more.value ? "+" : ""} ${rows.value.length === 1 ? "row" : "rows"}</span>
      <button class="primary" onClick=${() => { editing.value = { row: null }; }}>New ${schema.value.title}</button>
    </div>
    ${rows.value.length === 0
      ? html`<p class="empty">No rows yet. Create the first one here, or with a POST to <code>/${table.value}</code>.</p>`
      : html`<div class="scroll" role="region" aria-label="Rows" tabindex="0"><table>
          <thead><tr>${fields.map((field) => html`<th scope="col">${field.title}</th>`)}
            <th scope="col" class="id">id</th><th scope="col"><span class="hidden">Actions</span></th></tr></thead>
          <tbody>${rows.value.map((row) => html`<tr key=${row.id}>
            ${fields.map((field) => html`<td>${text(row[field.name])}</td>`)}
            <td class="id" title=${row.id}>${row.id}</td>
            <td class="buttons">
              <button onClick=${() => edit(row)} aria-label=${`Edit ${called(fields, row)}`}>Edit</button>
              <button onClick=${() => setDoomed(row)} aria-label=${`Delete ${called(fields, row)}`}>Delete</button>
            </td></tr>`)}</tbody>
        </table></div>`}
    ${more.value && html`<p class="more"><button onClick=${() => loadMore().catch((problem) => { trouble.value = problem.message; })}>Load more</button></p>`}
    <${Confirm} row=${doomed} fields=${fields} done=${() => setDoomed(null)} />`;
}

function Confirm({ row, fields, done }) {
  const dialog = useRef(null);
  const [failure, setFailure] = useState(null);
  useEffect(() => {
    if (row) dialog.current.showModal();
  }, [row]);

  const remove = async () => {
    try {
      await api.remove(table.value, row.id);
    } catch (problem) {
      if (problem.status !== 404) {
        setFailure(problem.message);
        return;
      }
    }
    dialog.current.close();
    announce("Deleted.");
    await refresh().catch(() => {});
  };

  return html`<dialog ref=${dialog} aria-labelledby="confirm-title" onClose=${() => { setFailure(null); done(); }}>
    <h2 id="confirm-title">Delete this row?</h2>
    <p class="doomed">${row && called(fields, row)}</p>
    ${failure && html`<p class="failure" role="alert">${failure}</p>`}
    <div class="actions">
      <button onClick=${() => dialog.current.close()}>Cancel</button>
      <button class="danger" onClick=${remove}>Delete</button>
    </div>
  </dialog>`;
}
