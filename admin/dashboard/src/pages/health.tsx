// Health: every checked address with its last results.

import { Fragment, h } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import * as api from "../api";
import { ago, clock, millis, words } from "../format";
import { canOperate, useStore } from "../store";
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
        { head: "Time", class: "num", cell: r => r.a.results[0]?.latency ? millis(r.a.results[0].latency) : "" },
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

// probed reports whether the check of an address has a probe of its own.
const probed = (a: api.Address) => !!a.check && !a.parts && a.results.some(r => r.latency > 0);

interface Probed { report?: api.ProbeReport; error?: api.ApiError; busy?: boolean }

// ProbeNow runs one probe and shows its steps; it changes no health state.
function ProbeNow({ check, address }: { check: string; address: string }) {
  const [found, set] = useState<Probed>({});
  const run = async () => {
    set({ busy: true });
    try {
      set({ report: await api.send<api.ProbeReport>("POST", "/v1/probe", undefined, { check, address }) });
    } catch (e) {
      set({ error: api.asApiError(e) });
    }
  };
  const r = found.report;
  return <div class="probe" aria-live="polite">
    <p class="row"><button type="button" onClick={() => void run()} disabled={found.busy}>{found.busy ? "Probing…" : "Probe now"}</button>
      <span class="quiet">runs check {check} once, and changes no state</span></p>
    <Problem error={found.error} />
    {r && <Table label="Steps of the probe" rows={[...r.steps, { step: "result", found: `${r.result}: ${r.reason}`, seconds: r.seconds }]} id={t => t.step + t.seconds} columns={[
      { head: "Step", cell: t => t.step }, { head: "Time", class: "num", cell: t => millis(1e9 * t.seconds) },
      { head: "Found", class: "why", cell: t => t.step === "result" && r.result !== "passed" ? <span class="bad">{t.found}</span> : t.found },
    ]} />}
  </div>;
}

function Detail({ r }: { r: Row }) {
  const { a } = r, s = useStore();
  const times = [...a.results].reverse();
  return <Card title={`${r.pool}/${r.member} ${a.address}`} note={a.next}>
    {canOperate(s) && probed(a) && <ProbeNow key={r.id} check={a.check!} address={a.address} />}
    <div class="columns even">
      <div><h3>Response time</h3>
        {times.filter(t => t.latency).length > 1 ? <Spark at={times.map(t => Date.parse(t.at) / 1000)} values={times.map(t => t.outcome === "passed" ? t.latency / 1e6 : null)} label="Response time of the last probes" unit=" ms" height={110} /> : <p class="quiet">Not enough results.</p>}
        <h3>State changes</h3>
        <ol class="events">{a.transitions.map(t => <li key={t.at}><time dateTime={t.at} class="quiet">{clock(t.at)}</time> <span>{t.from} → <strong>{t.to}</strong> {t.reason}</span></li>)}</ol>
        {a.parts && <Fragment><h3>Parts</h3><ul class="plainlist">{a.parts.map(p => <li key={p.check}><State state={p.verdict} /> {p.check}: {p.why}</li>)}</ul></Fragment>}
      </div>
      <div><h3>Last results</h3>
        <Table label="Last results" rows={a.results} id={t => t.at} columns={[
          { head: "At", class: "num", cell: t => clock(t.at) }, { head: "Result", cell: t => <span class={t.outcome === "passed" ? "" : "bad"}>{t.outcome}</span> },
          { head: "Time", class: "num", cell: t => t.latency ? millis(t.latency) : "" }, { head: "Reason", class: "why", cell: t => t.reason },
        ]} /></div>
    </div>
  </Card>;
}
