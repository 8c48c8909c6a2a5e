// Generations: the configurations that have served, what differs from the present one, and the way back.

import { Fragment, h } from "preact";
import { useEffect, useState } from "preact/hooks";
import * as api from "../api";
import { diff, type Line } from "../diff";
import { Effect } from "../effect";
import { clock } from "../format";
import { describe } from "./canary";
import { announce, isAdmin, update, useStore } from "../store";
import { Card, Dialog, Field, Problem, Table } from "../ui";

export function Generations() {
  const s = useStore(), [list, set] = useState<api.Generation[]>(), [open, setOpen] = useState<api.Generation>();
  useEffect(() => { void api.get<{ generations: api.Generation[] }>("/v1/config/generations").then(g => set(g.generations), () => undefined); }, [s.status!.config_hash, s.status!.reload.at, JSON.stringify(s.status!.cluster?.canary)]);
  if (!list?.length) return null;
  return <Card title="Generations of the configuration" note="those that have served">
    <Table label="Generations" rows={list} id={g => String(g.generation)} kind={g => g.serving ? "current" : ""} columns={[
      { head: "Generation", class: "num", cell: g => g.generation },
      { head: "Since", class: "num", cell: g => clock(g.time) },
      { head: "By", cell: g => <span>{g.source}{g.who && <span class="quiet"> {g.who}</span>}</span> },
      { head: "Reason", class: "why wide", cell: g => g.reason },
      ...(list.some(g => g.canary_run) ? [{ head: "Canary", class: "why wide", cell: (g: api.Generation) => <span class={g.canary_run?.result === "rolled back" ? "bad" : ""}>{describe(g.canary_run)}</span> }] : []),
      { head: "Hash", class: "wide quiet", cell: g => g.hash },
      { head: "", class: "end", cell: g => g.serving ? <span class="quiet">serves</span> : <span class="actions"><button type="button" onClick={() => setOpen(g)} aria-label={`Compare generation ${g.generation}`}>Compare…</button></span> },
    ]} />
    {open && <Compare g={open} close={() => setOpen(undefined)} />}
  </Card>;
}

interface Compared { files: { file: string; lines: Line[] }[]; text?: string; tag: string }

// compare returns what differs from the served configuration to a generation, its text if it is one file, and the tag of the served one.
async function compare(g: api.Generation): Promise<Compared> {
  const found: Compared = { files: [], tag: "" };
  const shared = !g.files.length; // by the nodes of a cluster: one text, without a file name
  for (const file of shared ? [""] : g.files) {
    const of: Record<string, string> = file ? { file } : {};
    const served = await api.getText("/v1/config", of), stored = await api.getText("/v1/config", { ...of, generation: String(g.generation) });
    found.tag = served.tag;
    found.files.push({ file: file || "the shared configuration", lines: diff(served.text, stored.text) });
    if (g.files.length <= 1) found.text = stored.text;
  }
  return found;
}

function Compare({ g, close }: { g: api.Generation; close: () => void }) {
  const s = useStore(), admin = isAdmin(s);
  const [found, set] = useState<Compared>(), [plan, setPlan] = useState<api.Forecast>(), [reason, setReason] = useState(""), [busy, setBusy] = useState(false), [error, setError] = useState<api.ApiError>();
  useEffect(() => {
    void compare(g).then(async c => {
      set(c);
      if (admin && c.text !== undefined) setPlan(api.complete(await api.sendYAML<api.Forecast>("POST", "/v1/config/plan", c.text)));
    }).catch(e => setError(api.asApiError(e)));
  }, [g]);
  const submit = async (e: Event) => {
    e.preventDefault();
    setBusy(true);
    try {
      await api.send("POST", "/v1/config/rollback", undefined, { generation: g.generation, reason }, found!.tag);
      await update();
      announce({ text: `Generation ${g.generation} serves again.` });
      close();
    } catch (e) {
      setError(api.asApiError(e));
      setBusy(false);
    }
  };
  return <Dialog title={`Generation ${g.generation}, of ${clock(g.time)}`} close={close} wide>
    <form class="stack" onSubmit={submit}>
      {found ? found.files.map(f => <Difference key={f.file} file={f.file} lines={f.lines} />) : !error && <p class="quiet">Comparing…</p>}
      {admin && found?.text !== undefined && <section class="effectbox" aria-label="What will happen" aria-live="polite">{plan ? <Effect f={plan} /> : !error && <p class="quiet">Computing what will happen…</p>}</section>}
      {admin && <Field label="Reason"><input value={reason} maxLength={200} onInput={e => setReason(e.currentTarget.value)} /></Field>}
      <Problem error={error} />
      <footer class="row end">
        <button type="button" onClick={close}>Close</button>
        {admin && <button type="submit" class="primary" disabled={busy || !found}>Roll back to it</button>}
      </footer>
    </form>
  </Dialog>;
}

function Difference({ file, lines }: { file: string; lines: Line[] }) {
  return <Fragment><h3>{file} <span class="quiet">from what serves to this generation</span></h3>
    {lines.length ? <pre class="diff" tabIndex={0} role="region" aria-label={`Difference of ${file}`}>{lines.map((l, i) => <span key={i} class={l.mark === "+" ? "added" : l.mark === "-" ? "removed" : "quiet"}>{l.mark === "@" ? "⋯" : `${l.mark} ${l.text}`}</span>)}</pre>
      : <p class="quiet">No difference.</p>}</Fragment>;
}
