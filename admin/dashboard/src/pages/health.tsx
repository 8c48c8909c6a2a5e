// Health: every checked address with its last results.

import { Fragment, h } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import * as api from "../api";
import { ago, clock, millis, words } from "../format";
import { useStore } from "../store";
import { State } from "../state";
import { Card, Choice, Filter, Problem, Spark, Strip, Table } from "../ui";
import { go, type Params } from "../route";

interface Row { id: string; pool: string; member: string; a: api.Address }

export function Health({ params }: Params) {
  const s = useStore();
  const names = s.status!.pools.map(p => p.pool);
  const [filter, setFilter] = useState(params.filter ?? ""), [open, setOpen] = useState("");
  const pool = names.includes(params.pool) ? params.pool : s.status!.pools.length === 1 || s.status!.pools.some(p => p.members.some(m => !m.addresses)) ? names[0] : "";
  const detail = useDetail(pool, s.status);
  const rows = useMemo(() => rowsOf(detail.pools ?? [], filter), [detail.pools, filter]);
  const chosen = rows.find(r => r.id === open);
  return <div class="stack">
    <Card title="Health checks" note={words(rows.length, "address").replace("addresss", "addresses")} aside={<span class="row">
      <Choice label="Pool" value={pool} set={p => go("health", { pool: p })} options={[["", "all pools"], ...names.map(n => [n, n] as [string, string])]} />
      <Filter value={filter} set={setFilter} hint="name, address, state" /></span>}>
      <Problem error={detail.error} />
      <Table label="Checked addresses" rows={rows} id={r => r.id} kind={r => r.id === open ? "current" : ""} empty="No address has a check." columns={[
        { head: "Address", cell: r => <button type="button" class="tree" aria-expanded={r.id === open} onClick={() => setOpen(open === r.id ? "" : r.id)}>{r.a.address}</button> },
        { head: "Member", cell: r => <span class="quiet">{r.pool}/{r.member}</span> },
        { head: "Check", cell: r => r.a.check ?? "none" },
        { head: "State", cell: r => <State state={r.a.verdict} /> },
        { head: "For", class: "num quiet", cell: r => ago(r.a.since) },
        { head: "Last probes", cell: r => <Strip results={r.a.results} /> },
        { head: "Time", class: "num", cell: r => r.a.results[0] ? millis(r.a.results[0].latency) : "" },
        { head: "Last result", class: "why wide", cell: r => r.a.results[0]?.reason ?? r.a.why },
      ]} />
    </Card>
    {chosen && <Detail r={chosen} />}
  </div>;
}

// useDetail returns the pools with every result: of one pool, or those that the page has already.
function useDetail(pool: string, status?: api.Status): { pools?: api.Pool[]; error?: api.ApiError } {
  const [found, set] = useState<{ pools?: api.Pool[]; error?: api.ApiError }>({});
  useEffect(() => {
    if (!pool) return set({ pools: status?.pools });
    const known = status?.pools.filter(p => p.pool === pool);
    if (known?.every(p => p.members.every(m => m.addresses))) return set({ pools: known });
    const stop = new AbortController();
    api.get<api.Status>("/v1/status", { target: pool }, stop.signal).then(
      s => set({ pools: s.pools }), error => { if (error instanceof api.ApiError) set({ error }); });
    return () => stop.abort();
  }, [pool, status]);
  return found;
}

function rowsOf(pools: api.Pool[], filter: string): Row[] {
  const words = filter.toLowerCase();
  return pools.flatMap(p => p.members.flatMap(m => (m.addresses ?? []).map(a => ({ id: `${p.pool}/${m.member} ${a.address} ${a.check}`, pool: p.pool, member: m.member, a }))))
    .filter(r => `${r.id} ${r.a.verdict}`.toLowerCase().includes(words));
}

function Detail({ r }: { r: Row }) {
  const { a } = r;
  const times = [...a.results].reverse();
  return <Card title={`${r.pool}/${r.member} ${a.address}`} note={a.next}>
    <div class="columns even">
      <div><h3>Response time</h3>
        {times.length > 1 ? <Spark at={times.map(t => Date.parse(t.at) / 1000)} values={times.map(t => t.outcome === "passed" ? t.latency / 1e6 : null)} label="Response time of the last probes" unit=" ms" height={110} /> : <p class="quiet">Not enough results.</p>}
        <h3>State changes</h3>
        <ol class="events">{a.transitions.map(t => <li key={t.at}><time dateTime={t.at} class="quiet">{clock(t.at)}</time> <span>{t.from} → <strong>{t.to}</strong> {t.reason}</span></li>)}</ol>
        {a.parts && <Fragment><h3>Parts</h3><ul class="plainlist">{a.parts.map(p => <li key={p.check}><State state={p.verdict} /> {p.check}: {p.why}</li>)}</ul></Fragment>}
      </div>
      <div><h3>Last results</h3>
        <Table label="Last results" rows={a.results} id={t => t.at} columns={[
          { head: "At", class: "num", cell: t => clock(t.at) }, { head: "Result", cell: t => <span class={t.outcome === "passed" ? "" : "bad"}>{t.outcome}</span> },
          { head: "Time", class: "num", cell: t => millis(t.latency) }, { head: "Reason", class: "why", cell: t => t.reason },
        ]} /></div>
    </div>
  </Card>;
}
