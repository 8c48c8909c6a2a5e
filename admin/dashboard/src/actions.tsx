// Drain, force and weight: a form that forecasts the effect before the button.

import { Fragment, h } from "preact";
import { useEffect, useState } from "preact/hooks";
import * as api from "./api";
import { Effect } from "./effect";
import { effect } from "./format";
import { announce, canOperate, update, useStore, type Done } from "./store";
import { Choice, Dialog, Field, Problem } from "./ui";

export const verbs: Record<string, string> = {
  drained: "Drain", "forced up": "Force up", "forced down": "Force down", weight: "Set the weight", off: "Remove the override",
};

const spans: [string, string][] = [
  ["15m", "15 minutes"], ["1h", "1 hour"], ["4h", "4 hours"], ["24h", "1 day"], ["", "until removed"],
];

// Act is the form of one action on a target.
export function Act({ target, kind: first, local, close }: { target: string; kind: string; local?: boolean; close: () => void }) {
  const [kind, setKind] = useState(first), [lasts, setLasts] = useState("1h"), [reason, setReason] = useState("");
  const [force, setForce] = useState(false), [busy, setBusy] = useState(false), [error, setError] = useState<api.ApiError | null>(null);
  const [weight, setWeight] = useState("50"), [begin, setBegin] = useState("");
  const value = kind === "weight" ? `${weight}%` : undefined;
  const forecast = useForecast(target, kind, value);
  const submit = async (e: Event) => {
    e.preventDefault();
    setBusy(true);
    try {
      if (kind === "off") await api.send("DELETE", "/v1/overrides", { target, ...(local && { local: "true" }) });
      else await api.send("POST", "/v1/overrides", undefined, { target, kind, value, reason, ...(begin && { at: new Date(begin).toISOString() }), ...(lasts && { for: lasts }), ...(force && { force }) });
      await update();
      announce(kind === "off" ? undefined : { text: `${target} ${begin ? "will be" : "is"} ${effect({ kind, value })}.`, target });
      close();
    } catch (e) {
      setError(api.asApiError(e));
      setBusy(false);
    }
  };
  return <Dialog title={`${verbs[kind]}: ${target}`} close={close}>
    <form onSubmit={submit} class="stack">
      {kind !== "off" && <div class="row">
        <Choice label="Action" value={kind} set={setKind} options={["drained", "forced up", "forced down", "weight"].map(k => [k, verbs[k]])} />
        {kind === "weight" && <Field label="Clients that it keeps, in %"><input type="number" min="0" max="100" step="any" required value={weight} onInput={e => setWeight(e.currentTarget.value)} /></Field>}
      </div>}
      {kind !== "off" && <div class="row">
        <Field label="Begins (empty: now)"><input type="datetime-local" value={begin} onInput={e => setBegin(e.currentTarget.value)} /></Field>
        <Choice label="For" value={lasts} set={setLasts} options={spans} />
      </div>}
      {kind !== "off" && <Field label="Reason"><input value={reason} maxLength={200} placeholder="kernel upgrade" onInput={e => setReason(e.currentTarget.value)} /></Field>}
      <section class="effectbox" aria-label="What will happen" aria-live="polite">
        {forecast.error ? <p>{forecast.error.message}</p> : forecast.value ? <Effect f={forecast.value} /> : <p class="quiet">Computing what will happen…</p>}
      </section>
      <Problem error={error} />
      {error?.status === 409 && <label class="check"><input type="checkbox" checked={force} onChange={e => setForce(e.currentTarget.checked)} /> Do it all the same</label>}
      <footer class="row end">
        <button type="button" onClick={close}>Cancel</button>
        <button type="submit" class="primary" disabled={busy}>{verbs[kind]}</button>
      </footer>
    </form>
  </Dialog>;
}

export interface Forecasted { value?: api.Forecast; error?: api.ApiError }

// useForecast asks what an action on one or more targets, separated by commas, would do, from the state of now.
export function useForecast(target: string, kind: string, value?: string): Forecasted {
  const [found, set] = useState<Forecasted>({});
  useEffect(() => {
    if (!target) {
      set({});
      return;
    }
    const stop = new AbortController();
    set({});
    api.forecast({ target: target.split(","), kind, value }, stop.signal).then(
      found => set({ value: found }),
      e => { if (!stop.signal.aborted) set({ error: api.asApiError(e) }); },
    );
    return () => stop.abort();
  }, [target, kind, value]);
  return found;
}

// Undo shows the last action, and a button that removes its override if it set one.
export function Undo({ done }: { done?: Done }) {
  const [asked, ask] = useState(false);
  if (!done) return null;
  return <div class="notice calm row" role="status"><strong>{done.text}</strong> <span class="grow" />
    {done.target && <button type="button" onClick={() => ask(true)}>Undo…</button>}
    <button type="button" class="plain" aria-label="Close" onClick={() => announce()}>✕</button>
    {asked && done.target && <Act target={done.target} kind="off" close={() => ask(false)} />}</div>;
}

// Actions are the buttons of a member or pool: what its state allows.
export function Actions({ target, override, explain }: { target: string; override?: api.Override; explain?: string }) {
  const s = useStore();
  const [kind, set] = useState("");
  const own = override?.target === target && !override.owner;
  return <span class="actions">
    {explain && <a class="button" href={explain} aria-label={`Explain ${target}`}>Explain</a>}
    {canOperate(s) && (own
      ? <button type="button" onClick={() => set("off")} aria-label={`Undo the override of ${target}`}>Undo…</button>
      : <Fragment>
        <button type="button" onClick={() => set("drained")} aria-label={`Drain ${target}`}>Drain…</button>
        <button type="button" onClick={() => set("forced down")} aria-label={`Force ${target}`}>Force…</button>
        <button type="button" onClick={() => set("weight")} aria-label={`Weight of ${target}`}>Weight…</button>
      </Fragment>)}
    {kind && <Act target={target} kind={kind} local={kind === "off" && override?.local} close={() => set("")} />}
  </span>;
}
