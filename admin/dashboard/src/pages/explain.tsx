// Explain: one decision, step by step.

import { Fragment, h } from "preact";
import { useEffect, useState } from "preact/hooks";
import * as api from "../api";
import { km, percent } from "../format";
import { Map, tint } from "../map";
import { useStore } from "../store";
import { State } from "../state";
import { Card, Choice, Facts, Field, Problem } from "../ui";
import { go, type Params } from "../route";

export function Explain({ params }: Params) {
  const s = useStore();
  const [zones, setZones] = useState<api.Zone[]>([]);
  const [found, set] = useState<{ e?: api.Explanation; error?: api.ApiError }>({});
  useEffect(() => { void api.get<{ zones: api.Zone[] }>("/v1/zones").then(z => setZones(z.zones), () => undefined); }, []);
  const bound = zones.flatMap(z => z.bound);
  const first = bound.find(b => !params.pool || b.pool === params.pool) ?? bound[0];
  const name = params.name ?? first?.name.replace("*", "any") ?? "", type = params.type ?? (params.name ? "A" : first?.type ?? "A");
  const { client = "", resolver = "", down = "" } = params;
  useEffect(() => {
    if (!name || !client && !resolver) return set({});
    const stop = new AbortController();
    api.get<api.Explanation>("/v1/explain", { name, type, client, resolver, down: down.split(",") }, stop.signal).then(
      e => set({ e }), error => { if (!stop.signal.aborted && error instanceof api.ApiError) set({ error }); });
    return () => stop.abort();
  }, [name, type, client, resolver, down, s.status]);
  const assume = (list: string[]) => go("explain", { name, type, client, resolver, down: list.join(",") });
  return <div class="stack">
    <Card title="Explain an answer"><Question key={name} name={name} type={type} client={client} resolver={resolver} bound={bound} /></Card>
    <Assumed list={down.split(",").filter(Boolean)} set={assume} />
    {found.error && <Problem error={found.error} />}
    {found.e && <Answer e={found.e} regions={s.regions} down={down.split(",").filter(Boolean)} assume={assume} />}
  </div>;
}

// Assumed lists what the answer takes as down.
function Assumed({ list, set }: { list: string[]; set: (list: string[]) => void }) {
  if (!list.length) return null;
  return <p class="notice calm row wrap" role="status">What if these are down:
    {list.map(t => <button key={t} type="button" aria-pressed={true} aria-label={`${t} is down: take it back`} onClick={() => set(list.filter(x => x !== t))}>{t} ✕</button>)}
    <span class="grow" /><a href={`#/forecast?target=${encodeURIComponent(list.join(","))}&kind=down`}>Forecast for all clients</a></p>;
}

const types = ["A", "AAAA", "HTTPS", "CNAME", "MX", "NS", "SOA", "TXT"];

function Question(p: { name: string; type: string; client: string; resolver: string; bound: { name: string }[] }) {
  const [name, setName] = useState(p.name), [type, setType] = useState(p.type), [client, setClient] = useState(p.client), [resolver, setResolver] = useState(p.resolver);
  return <form class="row wrap" onSubmit={e => { e.preventDefault(); go("explain", { name, type, client, resolver }); }}>
    <Field label="Name" class="long"><input value={name} list="names" required onInput={e => setName(e.currentTarget.value)} /></Field>
    <datalist id="names">{[...new Set(p.bound.map(b => b.name))].map(n => <option key={n} value={n} />)}</datalist>
    <Choice label="Type" value={type} options={types} set={setType} />
    <Field label="Client: address, network, country, AS or me"><input value={client} placeholder="81.2.69.0/24, FR, AS64500" onInput={e => setClient(e.currentTarget.value)} required={!resolver} /></Field>
    <Field label="Resolver"><input value={resolver} placeholder="the client" onInput={e => setResolver(e.currentTarget.value)} /></Field>
    <button type="submit" class="primary">Explain</button>
  </form>;
}

interface WhatIf { down: string[]; assume: (list: string[]) => void }

function Answer({ e, regions, ...what }: { e: api.Explanation; regions: api.Region[] } & WhatIf) {
  const near = [...new Set(e.steps.filter(x => x.region).map(x => x.region!))];
  const winners = new Set(e.steps.filter(x => x.in_answer > 0).map(x => x.region));
  return <div class="columns">
    <ol class="way">
      <li><h3>The client</h3>{where(e)}</li>
      <li><h3>The name</h3><p>{e.name} {e.type}{e.asked.length > 0 && <Fragment> is answered by {e.asked.map(a => <span key={a.pool + a.family}>pool <strong>{a.pool}</strong> ({a.mode}): {a.why}. </span>)}</Fragment>}</p></li>
      {groups(e.steps).map(([pool, steps]) => <li key={pool}><h3>Pool {pool} <span class="quiet">{steps[0].policy}</span></h3><Members steps={steps} regions={regions} {...what} /></li>)}
      <li><h3>The answer</h3>
        <p><strong>{e.rcode}</strong>{e.why && `: ${e.why}`}</p>
        {e.answers.length > 0 && <pre>{e.answers.map(a => `${a.name} ${a.ttl} ${a.type} ${a.data}`).join("\n")}</pre>}
        <p class="quiet">{e.scope > 0 ? `Resolvers may reuse it for clients in the same /${e.scope}.` : "Resolvers may reuse it for all their clients."} Random draw {e.draw}.</p>
      </li>
    </ol>
    <div>
      <Card title="Distances"><Map label="Map of the client and the regions" regions={regions} client={[e.location.latitude, e.location.longitude]}
        lines={near.map(to => ({ to, strong: winners.has(to) }))} marks={{}} shade={code => code === e.location.country ? { text: "", region: [...winners][0] } : undefined} /></Card>
      <p class="row"><button type="button" onClick={() => void navigator.clipboard.writeText(asText(e))}>Copy as text</button>
        <button type="button" onClick={() => void navigator.clipboard.writeText(location.href)}>Copy link</button></p>
    </div>
  </div>;
}

function where(e: api.Explanation) {
  const l = e.location;
  const place = [l.city, l.subdivision, l.country, l.continent].filter(Boolean).join(", ");
  return <Fragment>
    <p><strong>{e.client}</strong> <span class="quiet">known by {e.source === "ecs" ? "its client subnet (ECS)" : e.source === "resolver" ? "the address of its resolver" : "the default"}</span></p>
    <Facts rows={[
      ["Location", `${place || "unknown"} at ${l.latitude.toFixed(2)}, ${l.longitude.toFixed(2)}${l.asn ? `, AS${l.asn}` : ""}`],
      ["Found in", `${l.from}${l.network ? `, entry ${l.network}` : ""}`],
      ...e.sources.map(x => [x.source, <span class={x.placed ? "" : "quiet"}>{x.says}</span>] as [string, h.JSX.Element]),
    ]} />
  </Fragment>;
}

// groups returns the steps by pool, in their order.
function groups(steps: api.Step[]): [string, api.Step[]][] {
  const all: Record<string, api.Step[]> = {};
  for (const s of steps) (all[s.pool] ??= []).push(s);
  return Object.entries(all);
}

const mostDropped = 20;

function Members({ steps, regions, down, assume }: { steps: api.Step[]; regions: api.Region[] } & WhatIf) {
  const [all, setAll] = useState(false);
  const order = [...steps].sort((a, b) => b.in_answer - a.in_answer || Number(b.eligible) - Number(a.eligible) || (a.distance_km ?? 1e9) - (b.distance_km ?? 1e9));
  const shown = all ? order : order.slice(0, mostDropped);
  return <Fragment>
    <ul class="choices">{shown.map(m => <li key={m.member} class={m.chosen ? "chosen" : m.in_answer > 0 ? "possible" : "dropped"}>
      <span class="mark">{m.chosen ? <span class="sr">chosen</span> : m.in_answer > 0 ? <span class="sr">possible</span> : <span class="sr">not chosen</span>}</span>
      <span><strong class={m.region ? `key ${tint(regions, m.region)}` : ""}>{m.member}</strong> {m.region && <span class="quiet">{m.region}{m.distance_km !== undefined && `, ${km(m.distance_km)}`}</span>}
        <span class="reason">{m.reason}</span></span>
      <State state={m.state || "live"} quiet /> <span class="num">{percent(m.in_answer)}</span>
      <IfDown target={`${m.pool}/${m.member}`} down={down} assume={assume} />
    </li>)}</ul>
    {order.length > mostDropped && <button type="button" class="plain" onClick={() => setAll(!all)}>{all ? "Show fewer" : `All ${order.length} members`}</button>}
  </Fragment>;
}

// IfDown is a button that takes a member as down, or takes that back.
function IfDown({ target, down, assume }: { target: string } & WhatIf) {
  const on = down.includes(target);
  return <button type="button" class="plain" aria-label={`${on ? "Take back" : "If down"}: ${target}`} onClick={() => assume(on ? down.filter(t => t !== target) : [...down, target])}>{on ? "Take back" : "If down"}</button>;
}

function asText(e: api.Explanation): string {
  return [
    `${e.name} ${e.type} for ${e.client} (${e.source}): ${e.rcode}`,
    ...e.answers.map(a => `  ${a.name} ${a.ttl} ${a.type} ${a.data}`),
    `located by ${e.location.from} at ${e.location.latitude}, ${e.location.longitude} (${e.location.country})`,
    ...e.steps.map(s => `  ${s.chosen ? "*" : " "} ${s.pool}/${s.member} ${s.state}: ${s.reason}`),
    location.href,
  ].join("\n");
}
