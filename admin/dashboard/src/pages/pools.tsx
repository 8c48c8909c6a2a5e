// Pools: every member with its state, its share and what can be done.

import { h } from "preact";
import { useMemo, useState } from "preact/hooks";
import { Actions } from "../actions";
import { ago, clock, effect, percent, words } from "../format";
import type { Change, Forecast, Member, Override, Pool } from "../api";
import { measuredInPools } from "../measured";
import { useStore, type Store } from "../store";
import { State } from "../state";
import { Bar, Card, Filter, Strip, Table, type Column } from "../ui";
import { go, type Params } from "../route";

interface Row { pool: Pool; member?: Member; level: number }

// matches reports whether a filter selects a member: problems, override, or a part of a name or an address.
function matches(filter: string, p: Pool, m: Member): boolean {
  if (filter === "problems") return m.state !== "up" && m.state !== "live" || !!m.ejection_deferred;
  if (filter === "override") return !!m.override;
  const text = [`${p.pool}/${m.member}`, m.region, m.state, m.target, ...(m.addresses ?? []).map(a => a.address)].join(" ");
  return text.toLowerCase().includes(filter.toLowerCase());
}

function rowsOf(pools: Pool[], filter: string, closed: Set<string>): Row[] {
  return pools.flatMap(pool => {
    const members = filter ? pool.members.filter(m => matches(filter, pool, m)) : pool.members;
    if (filter && !members.length && !pool.pool.includes(filter)) return [];
    const open = !closed.has(pool.pool);
    return [{ pool, level: 0 }, ...(open ? (members.length || filter ? members : pool.members).map(member => ({ pool, member, level: 1 })) : [])];
  });
}

export function Pools({ params }: Params) {
  const s = useStore();
  const [filter, setFilter] = [params.filter ?? "", (v: string) => { go("pools", { filter: v }, true); dispatchEvent(new HashChangeEvent("hashchange")); }];
  const [closed, setClosed] = useState(new Set<string>());
  const rows = useMemo(() => rowsOf(s.status!.pools, filter, closed), [s.status, filter, closed]);
  const shares = useMemo(() => sharesOf(s.flow), [s.flow]);
  const toggle = (name: string) => setClosed(old => { const next = new Set(old); if (!next.delete(name)) next.add(name); return next; });
  return <div class="stack"><Overrides s={s} /><Card title="Pools" note={words(rows.filter(r => r.member).length, "member")} aside={<span class="row">
    <button type="button" aria-pressed={filter === "problems"} onClick={() => setFilter(filter === "problems" ? "" : "problems")}>Problems only</button>
    <Filter value={filter} set={setFilter} hint="name, region, address" /></span>}>
    <Table label="Pools and members" rows={rows} columns={columns(s, closed, toggle, shares)} empty="No member matches."
      id={r => r.pool.pool + "/" + (r.member?.member ?? "")} kind={r => r.member ? "member" : "group"} />
  </Card></div>;
}

// sharesOf returns the shares of endpoints within their pools, by pool/member.
function sharesOf(f?: Forecast): Record<string, Change> {
  const all: Record<string, Change> = {}, sums: Record<string, Change> = {};
  for (const t of f?.served ?? []) {
    const sum = sums[t.name.split("/")[0]] ??= { before: 0, after: 0 };
    sum.before += t.share.before;
    sum.after += t.share.after;
  }
  for (const t of f?.served ?? []) {
    const sum = sums[t.name.split("/")[0]];
    all[t.name] = { before: sum.before && t.share.before / sum.before, after: sum.after && t.share.after / sum.after };
  }
  return all;
}

function columns(s: Store, closed: Set<string>, toggle: (n: string) => void, shares: Record<string, Change>): Column<Row>[] {
  const measured = measuredInPools(s.answers), totals = new Set(s.answers?.members.map(m => m.pool));
  return [
    { head: "Name", cell: r => r.member ? <MemberName m={r.member} /> : <PoolName p={r.pool} open={!closed.has(r.pool.pool)} toggle={toggle} /> },
    { head: "State", cell: r => r.member ? <State state={r.member.ejection_deferred ? "ejection deferred" : r.member.state} /> : <PoolState p={r.pool} /> },
    { head: "For", class: "num quiet wide", cell: r => ago(r.member ? r.member.since : r.pool.mode_since.IPv4) },
    { head: "Measured", class: "num wide", cell: r => r.member && <Measured share={measured[`${r.pool.pool}/${r.member.member}`]} total={totals.has(r.pool.pool)} /> },
    { head: "Intended", class: "num", cell: r => r.member && <Share t={shares[`${r.pool.pool}/${r.member.member}`]} /> },
    { head: "Last probes", class: "wide", cell: r => r.member?.addresses?.map(a => a.results.length > 0 && <Strip key={a.address} results={a.results} />) },
    { head: "Why", class: "why wide", cell: r => r.member ? <Why m={r.member} /> : <span class="quiet">{r.pool.policy}</span> },
    { head: "", class: "end", cell: r => <Actions target={r.member ? `${r.pool.pool}/${r.member.member}` : r.pool.pool}
      override={r.member ? r.member.override : overrideOf(s, r.pool.pool)} explain={r.member ? undefined : `#/explain?pool=${encodeURIComponent(r.pool.pool)}`} /> },
  ];
}

const overrideOf = (s: Store, target: string): Override | undefined => s.status!.overrides.find(o => o.target === target && !o.at);

function PoolName({ p, open, toggle }: { p: Pool; open: boolean; toggle: (n: string) => void }) {
  return <button type="button" class="tree" aria-expanded={open} onClick={() => toggle(p.pool)}>
    <svg viewBox="0 0 12 12" aria-hidden="true"><path d={open ? "M2 4l4 4 4-4" : "M4 2l4 4-4 4"} /></svg>{p.pool}
  </button>;
}

function MemberName({ m }: { m: Member }) {
  const detail = [m.region, m.addresses?.map(a => a.address).join(" ") || m.target || m.cname].filter(Boolean).join(" · ");
  return <span class="name"><span>{m.member}</span> <span class="quiet">{detail}</span></span>;
}

function PoolState({ p }: { p: Pool }) {
  const family = p.mode.IPv4 !== "normal" ? "IPv4" : "IPv6", mode = p.mode[family];
  const n = Math.max(p.eligible.IPv4, p.eligible.IPv6);
  return <span class="state">{n} of {p.members.length} eligible{p.mode.IPv4 !== "normal" && <span class="bad"> {mode}</span>}</span>;
}

function Share({ t }: { t?: Change }) {
  if (!t) return null;
  return <span class="share">{percent(t.after)}<Bar share={t.after} was={t.before} /></span>;
}

function Measured({ share, total }: { share?: number; total: boolean }) {
  return total ? <span>{percent(share ?? 0)}</span> : null;
}

function Why({ m }: { m: Member }) {
  const o = m.override;
  if (!o) return <span title={m.next}>{m.why}</span>;
  return <span>{o.owner && <span class="quiet">{o.owner}: </span>}{o.kind === "weight" && `${effect(o)}: `}{o.reason || "no reason given"}{o.until && <span class="quiet"> for {ago(new Date().toISOString(), Date.parse(o.until))}</span>}</span>;
}

interface Entry { id: string; target: string; what: string; by: string; state: h.JSX.Element; begin?: string; end?: string; reason: string; own?: Override }

// setBy says by what an override was set, and in a cluster where it applies.
function setBy(o: Override): string {
  if (o.shared) return `${o.shared.by || "an operator"} at ${o.shared.node}, on all nodes`;
  return o.owner ?? (o.local ? "an operator, on this node only" : "an operator");
}

// Overrides lists every override and maintenance window, those that wait too.
function Overrides({ s }: { s: Store }) {
  const status = s.status!;
  const rows: Entry[] = [
    ...status.overrides.map((o, i) => ({
      id: `${i} ${o.target}`, target: o.target, what: effect(o), by: setBy(o), begin: o.at ?? o.since, end: o.until, reason: o.reason ?? "",
      state: o.error ? <span class="bad" title={o.error}>does not begin</span> : o.at ? <span class="quiet">scheduled</span> : o.unknown ? <span class="warn">not in the configuration</span> : <span>applies</span>,
      own: o.owner ? undefined : o,
    })),
    ...(status.maintenance ?? []).filter(w => w.state !== "open").map(w => ({
      id: w.name, target: w.targets.join(", "), what: w.weight ? `at weight ${w.weight}` : "drained", by: `maintenance ${w.name}`, begin: w.begin, end: w.end, reason: w.reason ?? "",
      state: w.state === "refused" ? <span class="bad" title={w.error}>does not begin</span> : <span class="quiet">waits</span>,
    })),
  ];
  if (!rows.length) return null;
  return <Card title="Overrides and maintenance" note={words(rows.length, "entry").replace("entrys", "entries")}>
    <Table label="Overrides and maintenance" rows={rows} id={r => r.id} columns={[
      { head: "Target", cell: r => r.target }, { head: "Effect", cell: r => r.what }, { head: "State", cell: r => r.state },
      { head: "By", class: "wide", cell: r => r.by }, { head: "From", class: "num wide", cell: r => clock(r.begin) }, { head: "Until", class: "num", cell: r => clock(r.end) || "removed" },
      { head: "Reason", class: "why wide", cell: r => r.reason },
      { head: "", class: "end", cell: r => r.own && <Actions target={r.target} override={r.own} /> },
    ]} />
  </Card>;
}
