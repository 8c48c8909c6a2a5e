// Forecast: what an outage or an action would do, before it is done.

import { h, Fragment } from "preact";
import { useState } from "preact/hooks";
import { Act, useForecast, verbs } from "../actions";
import type { Forecast, Part, Status } from "../api";
import { Effect, farther } from "../effect";
import { country, km, percent } from "../format";
import { Map, shadeOf, tint } from "../map";
import { canOperate, useStore, type Store } from "../store";
import { Bar, Card, Choice, Field, Problem, Table } from "../ui";
import { go, type Params } from "../route";

const kinds: [string, string][] = [["down", "fails"], ["drained", "is drained"], ["forced down", "is forced down"], ["forced up", "is forced up"]];

function targets(s: Store): string[] {
  return [...s.regions.map(r => `region:${r.region}`), ...s.status!.pools.flatMap(p => [p.pool, ...p.members.map(m => `${p.pool}/${m.member}`)])];
}

export function ForecastPage({ params }: Params) {
  const s = useStore(), all = targets(s);
  const target = params.target ?? "", kind = params.kind ?? "down";
  const [typed, setTyped] = useState<string>();
  const [act, setAct] = useState(false);
  const found = useForecast(target, kind);
  const open = (t: string, k: string) => { setTyped(undefined); go("forecast", { target: t, kind: k }); };
  return <div class="stack">
    <Card title="What if">
      <form class="row wrap" onSubmit={e => { e.preventDefault(); open(typed ?? target, kind); }}>
        <Field label="Region, pool or member" class="long"><input value={typed ?? target} list="targets" required placeholder={all[0]} onInput={e => setTyped(e.currentTarget.value)}
          onChange={e => { if (all.includes(e.currentTarget.value)) open(e.currentTarget.value, kind); }} /></Field>
        <datalist id="targets">{all.slice(0, 500).map(t => <option key={t} value={t} />)}</datalist>
        <Choice label="Change" value={kind} options={kinds} set={k => open(typed ?? target, k)} />
        <button type="submit" class="primary">Forecast</button>
        {canOperate(s) && target && kind in verbs && <button type="button" onClick={() => setAct(true)}>{verbs[kind]}…</button>}
      </form>
      {!target && <p class="row wrap">{s.regions.map(r => <button key={r.region} type="button" onClick={() => open(`region:${r.region}`, "down")}>Lose {r.region}</button>)}</p>}
    </Card>
    {act && <Act target={target} kind={kind} close={() => setAct(false)} />}
    <Problem error={found.error} />
    {target && !found.value && !found.error && <p class="quiet pad">Computing the answers for every client…</p>}
    {found.value && <Result f={found.value} s={s} />}
  </div>;
}

function Result({ f, s }: { f: Forecast; s: Store }) {
  return <Fragment>
    <div class="columns even">
      <Side f={f} s={s} side="before" title="Now" />
      <Side f={f} s={s} side="after" title="Then" />
    </div>
    <div class="columns even">
      <div>
        <Card title="In short"><Effect f={f} /></Card>
        <Card title="Regions"><Table label="Regions" rows={f.regions} id={t => t.name} columns={[
          { head: "Region", cell: t => <span class={`key ${tint(s.regions, t.name)}`}>{t.name}</span> },
          { head: "Now", class: "num", cell: t => percent(t.share.before) },
          { head: "Then", class: "num", cell: t => <span class="share">{percent(t.share.after)}<Bar share={t.share.after} was={t.share.before} /></span> },
          { head: "Change", class: "num", cell: t => change(t.share.before, t.share.after) },
        ]} /></Card>
      </div>
      <div>
        <Card title="Who moves" note="region to region"><Flows f={f} s={s} /></Card>
        <Card title="Who gets farther"><Farther rows={f.worst ?? []} /></Card>
      </div>
    </div>
  </Fragment>;
}

const change = (a: number, b: number) => {
  const share = a === 0 ? undefined : b / a - 1;
  if (Math.abs(b - a) < 0.0005) return "";
  return share === undefined ? "new" : `${share > 0 ? "+" : "−"}${Math.round(100 * Math.abs(share))} %`;
};

function Side({ f, s, side, title }: { f: Forecast; s: Store; side: "before" | "after"; title: string }) {
  const marks = Object.fromEntries(f.regions.map(t => [t.name, { name: t.name, share: t.share[side], down: lost(s.status!, f, t.name, side) }]));
  return <Card title={title} note={`${km(f.km[side])} on average`}>
    <Map label={`World, ${title.toLowerCase()}`} regions={s.regions} shade={shadeOf(f, side)} marks={marks} />
  </Card>;
}

// lost reports whether a region has no client on one side although it has members.
function lost(s: Status, f: Forecast, region: string, side: "before" | "after"): boolean {
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
