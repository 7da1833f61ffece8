// The form of one row, made from the entity's JSON Schema.

import { h } from "./vendor/preact.js";
import { useEffect, useRef, useState } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";
import * as api from "./api.js";
import { announce, editing, refresh, schema, table } from "./state.js";

const html = htm.bind(h);

// The fields that a person fills in. A field that may be null is one of several types.
export function fieldsOf(found) {
  const required = new Set(found.required || []);
  return Object.entries(found.properties)
    .filter(([name]) => name !== "id")
    .map(([name, spelled]) => {
      const kinds = (spelled.anyOf || [spelled]).map((kind) => resolve(found, kind));
      const kind = kinds.find((one) => one.type !== "null") || {};
      const nullable = kinds.some((one) => one.type === "null");
      return { ...kind, ...spelled, type: kind.type, enum: kind.enum, format: kind.format, name, nullable,
        title: spelled.title || name, required: required.has(name) };
    });
}

function resolve(found, kind) {
  if (!kind.$ref) return kind;
  return found.$defs[kind.$ref.split("/").pop()];
}

function shownValue(field, value) {
  if (value === undefined || value === null) return "";
  return field.type === "array" || field.type === "object" ? JSON.stringify(value) : String(value);
}

// The JSON value of an input's text; an empty optional field is left out or null.
function typed(field, text) {
  if (field.type === "boolean") return text === true || text === "true";
  if (text === "") return field.nullable ? null : field.type === "string" || !field.type ? "" : undefined;
  if (field.type === "integer" || field.type === "number") return Number.isNaN(Number(text)) ? text : Number(text);
  if (field.type === "array" || field.type === "object") {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }
  return text;
}

// What is wrong with which field; `whole` where something is wrong that has no input here.
function errorsByField(fields, problem) {
  const names = new Set(fields.map((field) => field.name));
  const errors = (problem.errors || []).map((item) => ({ name: item.pointer.split("/")[1], message: item.message }));
  const known = errors.filter((item) => names.has(item.name));
  return { byField: Object.fromEntries(known.map((item) => [item.name, item.message])),
    whole: known.length === 0 || known.length < errors.length };
}

export function RowDialog() {
  const dialog = useRef(null);
  const target = editing.value;
  const [values, setValues] = useState({});
  const [errors, setErrors] = useState({});
  const [failure, setFailure] = useState(null);
  const [busy, setBusy] = useState(false);
  const key = useRef("");
  const fields = schema.value ? fieldsOf(schema.value) : [];

  const fill = (row) => {
    setValues(Object.fromEntries(fields.map((field) => [field.name,
      field.type === "boolean" ? Boolean(row ? row[field.name] : field.default) : shownValue(field, row ? row[field.name] : field.default)])));
    setErrors({});
    setFailure(null);
    key.current = api.newKey();
  };

  useEffect(() => {
    if (target && !dialog.current.open) {
      fill(target.row);
      dialog.current.showModal();
    } else if (!target && dialog.current.open) {
      dialog.current.close();
    }
  }, [target]);

  const change = (name, value) => {
    setValues({ ...values, [name]: value });
    key.current = api.newKey();
  };

  const save = async (event) => {
    event.preventDefault();
    setBusy(true);
    setErrors({});
    setFailure(null);
    const body = {};
    for (const field of fields) {
      const value = typed(field, values[field.name]);
      if (value !== undefined) body[field.name] = value;
    }
    try {
      if (target.row) await api.replace(table.value, target.row.id, body, target.etag, key.current);
      else await api.create(table.value, body, key.current);
      editing.value = null;
      announce(target.row ? "Saved." : "Created.");
      await refresh().catch(() => {});
    } catch (problem) {
      const found = errorsByField(fields, problem);
      setErrors(found.byField);
      setFailure(found.whole && { text: problem.message, stale: problem.status === 412 });
      // A key brings back its first answer: after a refusal the next try is a new write.
      if (problem.status >= 400 && problem.status < 500) key.current = api.newKey();
      const first = fields.find((field) => found.byField[field.name]);
      if (first) dialog.current.querySelector(`[name="${first.name}"]`).focus();
    } finally {
      setBusy(false);
    }
  };

  const loadTheirs = async () => {
    try {
      const theirs = await api.row(table.value, target.row.id);
      editing.value = theirs;
      fill(theirs.row);
    } catch (problem) {
      setFailure({ text: problem.message });
    }
  };

  return html`
    <dialog ref=${dialog} aria-labelledby="dialog-title" onClose=${() => { editing.value = null; }}>
      <form onSubmit=${save} novalidate>
        <h2 id="dialog-title">${target && target.row ? "Edit" : "New"} ${schema.value && schema.value.title}</h2>
        ${fields.map((field) => html`<${Input} key=${field.name} field=${field} value=${values[field.name]}
          error=${errors[field.name]} change=${change} />`)}
        ${failure && html`<p class="failure" role="alert">
          ${failure.stale ? "Somebody else changed this row since you opened it. Your text is still here." : failure.text}
          ${failure.stale && html` <button type="button" class="link" onClick=${loadTheirs}>Load their version</button>`}
        </p>`}
        <div class="actions">
          <button type="button" onClick=${() => { editing.value = null; }}>Cancel</button>
          <button type="submit" class="primary" disabled=${busy}>${busy ? "Saving…" : "Save"}</button>
        </div>
      </form>
    </dialog>`;
}

function Input({ field, value, error, change }) {
  const id = `field-${field.name}`;
  const described = error ? `${id}-error` : field.description ? `${id}-help` : undefined;
  const common = { id, name: field.name, required: field.required, "aria-invalid": error ? "true" : undefined,
    "aria-describedby": described, onInput: (event) => change(field.name, event.target.value) };
  let input;
  if (field.type === "boolean") {
    input = html`<input ...${common} type="checkbox" checked=${value} required=${false}
      onInput=${(event) => change(field.name, event.target.checked)} />`;
  } else if (field.enum) {
    input = html`<select ...${common} value=${value}>
      ${!field.required && html`<option value=""></option>`}
      ${field.enum.map((item) => html`<option value=${item}>${item}</option>`)}
    </select>`;
  } else if (field.type === "array" || field.type === "object" || (field.maxLength || 0) > 500) {
    input = html`<textarea ...${common} rows="4" value=${value}></textarea>`;
  } else {
    const kinds = { date: "date", email: "email", integer: "number", number: "number" };
    input = html`<input ...${common} type=${kinds[field.format] || kinds[field.type] || "text"}
      step=${field.type === "number" ? "any" : undefined} value=${value} autocomplete="off" />`;
  }
  return html`<div class="field">
    <label for=${id}>${field.title}${field.required && html`<span class="required" aria-hidden="true"> *</span>`}</label>
    ${input}
    ${error ? html`<p class="error" id=${`${id}-error`}>${error}</p>`
      : field.description && html`<p class="help" id=${`${id}-help`}>${field.description}</p>`}
  </div>`;
}
