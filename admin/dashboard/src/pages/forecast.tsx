// Forecast: what an outage or an action would do, before it is done.

import { h, Fragment } from "preact";
import { useState } from "preact/hooks";
import { Configuration } from "./configuration";
import { Act, useForecast, verbs } from "../actions";
import type { Forecast, Part, Status } from "../api";
import { Effect, farther } from "../effect";
import { country, km, percent } from "../format";
import { Map, shadeOf, tint } from "../map";
import { canOperate, isAdmin, useStore, type Store } from "../store";
import { Bar, Card, Choice, Field, Problem, Table } from "../ui";
import { go, type Params } from "../route";

const kinds: [string, string][] = [["down", "fails"], ["drained", "is drained"], ["forced down", "is forced down"], ["forced up", "is forced up"]];

function targets(s: Store): string[] {
  return [...s.regions.map(r => `region:${r.region}`), ...s.status!.pools.flatMap(p => [p.pool, ...p.members.map(m => `${p.pool}/${m.member}`)])];
}

export function ForecastPage({ params }: Params) {
  const s = useStore(), pasted = isAdmin(s) && params.of === "configuration";
  const [plan, show] = useState<Forecast>();
  return <div class="stack">
    {isAdmin(s) && <p class="tabs"><a href="#/forecast" aria-current={pasted ? undefined : "page"}>Of an outage or action</a> <a href="#/forecast?of=configuration" aria-current={pasted ? "page" : undefined}>Of a configuration</a></p>}
    {pasted ? <Fragment><Configuration show={show} />{plan && <Result f={plan} s={s} />}</Fragment> : <Outage params={params} />}
  </div>;
}

// Outage forecasts a change of health or of overrides.
function Outage({ params }: Params) {
  const s = useStore();
  const list = (params.target ?? "").split(",").filter(Boolean), kind = params.kind ?? "down";
  const [act, setAct] = useState(false);
  const found = useForecast(params.target ?? "", kind);
  const open = (t: string[], k: string) => go("forecast", { target: t.join(","), kind: k });
  const toggle = (t: string) => open(list.includes(t) ? list.filter(x => x !== t) : [...list, t], kind);
  return <Fragment>
    <Card title="What if" note="choose one or more" aside={<Fragment>
      {canOperate(s) && list.length === 1 && kind in verbs && <button type="button" onClick={() => setAct(true)}>{verbs[kind]}…</button>}
      {list.length > 0 && <button type="button" class="plain" onClick={() => open([], kind)}>Clear</button>}</Fragment>}>
      <Toggles s={s} list={list} toggle={toggle} />
      <Others s={s} list={list} kind={kind} toggle={toggle} setKind={k => open(list, k)} />
    </Card>
    {act && <Act target={list[0]} kind={kind} close={() => setAct(false)} />}
    <Problem error={found.error} />
    {list.length > 0 && !found.value && !found.error && <p class="quiet pad" role="status">Computing the answers for every client…</p>}
    {found.value && <Result f={found.value} s={s} />}
  </Fragment>;
}

// Toggles takes a region away, or gives it back, by one click.
function Toggles({ s, list, toggle }: { s: Store; list: string[]; toggle: (t: string) => void }) {
  if (!s.regions.length) return null;
  return <div class="row wrap" role="group" aria-label="Regions">{s.regions.map(r => {
    const target = `region:${r.region}`;
    return <button key={r.region} type="button" class="toggle" aria-pressed={list.includes(target)} onClick={() => toggle(target)}>
      <span class={`key ${tint(s.regions, r.region)}`}>{r.region}</span></button>;
  })}</div>;
}

// Others adds pools and members to the change, and says what happens to all of it.
function Others(p: { s: Store; list: string[]; kind: string; toggle: (t: string) => void; setKind: (k: string) => void }) {
  const all = targets(p.s), [typed, setTyped] = useState("");
  const add = (t: string) => { if (t && !p.list.includes(t)) p.toggle(t); setTyped(""); };
  const rest = p.list.filter(t => !t.startsWith("region:"));
  return <form class="row wrap" onSubmit={e => { e.preventDefault(); add(typed.trim()); }}>
    <Field label="Pool or member" class="long"><input value={typed} list="targets" placeholder={all.find(t => t.includes("/"))} onInput={e => setTyped(e.currentTarget.value)}
      onChange={e => { if (all.includes(e.currentTarget.value)) add(e.currentTarget.value); }} /></Field>
    <datalist id="targets">{all.slice(0, 500).map(t => <option key={t} value={t} />)}</datalist>
    <button type="submit">Add</button>
    {rest.map(t => <button key={t} type="button" class="toggle" aria-pressed={true} onClick={() => p.toggle(t)}>{t}</button>)}
    <span class="grow" />
    <Choice label="All of it" value={p.kind} options={kinds} set={p.setKind} />
  </form>;
}

function Result({ f, s }: { f: Forecast; s: Store }) {
  return <Fragment>
    <div class="columns">
      <div><Wipe f={f} s={s} /></div>
      <div>
        <Card title="In short"><Effect f={f} /></Card>
        <Card title="Who moves" note="region to region"><Flows f={f} s={s} /></Card>
      </div>
    </div>
    <div class="columns even">
      <div><Card title="Regions"><Table label="Regions" rows={f.regions} id={t => t.name} columns={[
        { head: "Region", cell: t => <span class={`key ${tint(s.regions, t.name)}`}>{t.name}</span> },
        { head: "Now", class: "num", cell: t => percent(t.share.before) },
        { head: "Then", class: "num", cell: t => <span class="share">{percent(t.share.after)}<Bar share={t.share.after} was={t.share.before} /></span> },
        { head: "Change", class: "num", cell: t => change(t.share.before, t.share.after) },
      ]} /></Card></div>
      <div><Card title="Who gets farther"><Farther rows={f.worst ?? []} /></Card></div>
    </div>
  </Fragment>;
}

const change = (a: number, b: number) => {
  const share = a === 0 ? undefined : b / a - 1;
  if (Math.abs(b - a) < 0.0005) return "";
  return share === undefined ? "new" : `${share > 0 ? "+" : "−"}${Math.round(100 * Math.abs(share))} %`;
};

type When = "before" | "after";

// Wipe shows the map of now over the map of then, up to a line that the slider moves.
function Wipe({ f, s }: { f: Forecast; s: Store }) {
  const [at, set] = useState(50);
  return <Card title="Where clients go" note="move the line: left of it now, right of it then">
    <div class="wipe" style={{ "--at": `${at}%` }}>
      <Side f={f} s={s} side="after" label="World, then" />
      <div class="now"><Side f={f} s={s} side="before" label="World, now" /></div>
      <i class="divider" aria-hidden="true" />
    </div>
    <label class="slider"><span>Now <span class="quiet">{km(f.km.before)} on average</span></span>
      <input type="range" min="0" max="100" value={at} aria-label="Line between now and then" aria-valuetext={`${at} % of the map shows now`} onInput={e => set(Number(e.currentTarget.value))} />
      <span>Then <span class="quiet">{km(f.km.after)}</span></span></label>
  </Card>;
}

function Side({ f, s, side, label }: { f: Forecast; s: Store; side: When; label: string }) {
  const marks = Object.fromEntries(f.regions.map(t => [t.name, { name: t.name, share: t.share[side], down: lost(s.status!, f, t.name, side) }]));
  return <Map label={label} regions={s.regions} shade={shadeOf(f, side)} marks={marks} />;
}

// lost reports whether a region has no client on one side although it has members.
function lost(s: Status, f: Forecast, region: string, side: When): boolean {
  const t = f.regions.find(r => r.name === region);
  return !!t && t.share[side] === 0 && s.pools.some(p => p.members.some(m => m.region === region)) && (t.share.before > 0 || t.share.after > 0);
}

function Flows({ f, s }: { f: Forecast; s: Store }) {
  if (!f.flows.length) return <p class="quiet pad">No client moves.</p>;
  const most = f.flows[0].share;
  return <ul class="ways">{f.flows.slice(0, 12).map(w => <li key={w.from + w.to}>
    <span class={`key ${tint(s.regions, w.from)}`}>{w.from}</span>
    <span class="thread" aria-hidden="true"><i style={{ height: `${Math.max(1, 14 * w.share / most)}px` }} /></span>
    <span class={`key ${tint(s.regions, w.to)}`}>{w.to}</span> <span class="num">{percent(w.share)}</span>
  </li>)}</ul>;
}

function Farther({ rows }: { rows: Part[] }) {
  return <Table label="Countries that get farther" rows={rows.slice(0, 15)} id={c => c.name} empty="No country." columns={[
    { head: "Country", cell: c => country(c.name) },
    { head: "From", class: "num", cell: c => km(c.km.before) },
    { head: "To", class: "num", cell: c => km(c.km.after) },
    { head: "Farther by", class: "num", cell: c => km(farther(c)) },
  ]} />;
}
