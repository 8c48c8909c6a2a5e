// Configuration: what a pasted or uploaded configuration would change, before it is applied.

import { Fragment, h } from "preact";
import { useState } from "preact/hooks";
import * as api from "../api";
import { words } from "../format";
import { announce, update } from "../store";
import { Card, Field, Table } from "../ui";

// Found is the outcome of the last request. planned is the text of the forecast, which may be applied while the served
// configuration has the tag that it had then.
interface Found { checked?: string; error?: api.ApiError; busy?: boolean; planned?: string; tag?: string }

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
    const { tag } = await api.getText("/v1/config").catch(() => ({ tag: "" }));
    show(api.complete(await api.sendYAML<api.Forecast>("POST", "/v1/config/plan", text)));
    return { planned: text, tag };
  });
  const apply = (reason: string) => run(async () => {
    await api.sendYAML("PUT", "/v1/config", text, { reason }, found.tag);
    await update();
    announce({ text: "The configuration serves." });
    return {};
  });
  const upload = async (file?: File) => { if (file) setText(await file.text()); };
  return <Card title="A configuration" note="nothing is changed before Apply">
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
      {found.planned === text && found.tag && <Apply apply={reason => void apply(reason)} />}
    </div>
  </Card>;
}

// Apply is the form that makes the forecast configuration serve.
function Apply({ apply }: { apply: (reason: string) => void }) {
  const [reason, setReason] = useState("");
  return <form class="row wrap apply" onSubmit={e => { e.preventDefault(); apply(reason); }}>
    <Field label="Reason" class="long"><input value={reason} maxLength={200} placeholder="a new region" onInput={e => setReason(e.currentTarget.value)} /></Field>
    <button type="submit">Apply this configuration</button> <span class="quiet">The forecast is below.</span>
  </form>;
}

function Errors({ error }: { error: api.ApiError }) {
  if (!error.errors.length) return <p class="bad pad">{error.message}{error.hint && <span class="quiet"> — {error.hint}</span>}</p>;
  return <Table label={words(error.errors.length, "error")} rows={error.errors} id={e => `${e.line}:${e.column} ${e.message}`} columns={[
    { head: "Line", class: "num", cell: e => e.line ? `${e.line}:${e.column}` : "" },
    { head: "Key", class: "why", cell: e => e.path },
    { head: "Error", class: "why", cell: e => <Fragment><span class="bad">{e.message}</span>{e.hint && <span class="quiet">; {e.hint}</span>}</Fragment> },
  ]} />;
}
