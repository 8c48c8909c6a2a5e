// Configuration: what a pasted or uploaded configuration would change, before it serves.

import { Fragment, h } from "preact";
import { useState } from "preact/hooks";
import * as api from "../api";
import { words } from "../format";
import { Card, Field, Table } from "../ui";

interface Found { plan?: api.Forecast; checked?: string; error?: api.ApiError; busy?: boolean }

// Configuration is a form for a configuration; show gets the forecast of it.
export function Configuration({ show }: { show: (f?: api.Forecast) => void }) {
  const [text, setText] = useState(""), [found, set] = useState<Found>({});
  const run = async (work: () => Promise<Found>) => {
    set({ busy: true });
    show(undefined);
    try { set(await work()); } catch (e) { set({ error: api.asApiError(e) }); }
  };
  const check = () => run(async () => {
    await api.sendYAML("POST", "/v1/config/check", text);
    return { checked: "The configuration is valid." };
  });
  const plan = () => run(async () => {
    show(api.complete(await api.sendYAML<api.Forecast>("POST", "/v1/config/plan", text)));
    return {};
  });
  const upload = async (file?: File) => { if (file) setText(await file.text()); };
  return <Card title="A configuration" note="nothing is changed">
    <form class="stack" onSubmit={e => { e.preventDefault(); void plan(); }}>
      <Field label="YAML, pasted or from a file" class="wide-field"><textarea rows={10} spellcheck={false} value={text} required placeholder="zones: …" onInput={e => setText(e.currentTarget.value)} /></Field>
      <div class="row wrap">
        <input type="file" accept=".yaml,.yml" aria-label="Configuration file" onChange={e => void upload(e.currentTarget.files?.[0])} />
        <span class="grow" />
        <button type="button" disabled={found.busy || !text} onClick={() => void check()}>Check</button>
        <button type="submit" class="primary" disabled={found.busy || !text}>{found.busy ? "Computing…" : "Forecast"}</button>
      </div>
    </form>
    <div aria-live="polite">
      {found.checked && <p class="quiet pad">{found.checked}</p>}
      {found.error && <Errors error={found.error} />}
    </div>
  </Card>;
}

function Errors({ error }: { error: api.ApiError }) {
  if (!error.errors.length) return <p class="bad pad">{error.message}{error.hint && <span class="quiet"> — {error.hint}</span>}</p>;
  return <Table label={words(error.errors.length, "error")} rows={error.errors} id={e => `${e.line}:${e.column} ${e.message}`} columns={[
    { head: "Line", class: "num", cell: e => e.line ? `${e.line}:${e.column}` : "" },
    { head: "Key", class: "why", cell: e => e.path },
    { head: "Error", class: "why", cell: e => <Fragment><span class="bad">{e.message}</span>{e.hint && <span class="quiet">; {e.hint}</span>}</Fragment> },
  ]} />;
}
