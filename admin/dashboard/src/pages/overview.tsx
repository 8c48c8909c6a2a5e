// Overview: where users go, and what happened last.

import { Fragment, h } from "preact";
import { useState } from "preact/hooks";
import { Effect } from "../effect";
import { useForecast } from "../actions";
import { ago, clock, count, country, km, millis, percent, span, words } from "../format";
import { measuredBy, rateOf } from "../measured";
import { useNext } from "../next";
import { Map, shadeOf, tint, type Mark } from "../map";
import type { Event, Forecast, Status, Stats } from "../api";
import { useStore, type Store } from "../store";
import { State } from "../state";
import { Bar, Card, Spark, Table } from "../ui";
import type { Params } from "../route";

export function Overview(_: Params) {
  const s = useStore();
  const [picked, pick] = useState(""), [code, over] = useState<string>();
  const flow = s.flow, shade = shadeOf(flow, "after");
  const happened = s.events.filter(e => e.kind !== "audit").slice(0, 10); // an audit record repeats an event
  return <div class="columns">
    <div>
      <Card title="Where clients go" note={where(flow)}>
        {s.regions.length ? <Map label="World: countries by the region that serves them" regions={s.regions} shade={shade} marks={marks(s)} pick={pick} over={over} />
          : <p class="quiet pad">The configuration has no regions.</p>}
        <p class="caption" aria-live="off">{code && shade(code) ? <Pointed s={s} code={code} text={shade(code)!.text} /> : "Countries and circles: where all IPv4 clients would go now. Choose a region to see what its loss would do."}</p>
        {picked && <Loss region={picked} close={() => pick("")} />}
        <Regions s={s} />
      </Card>
      <Card title="Countries"><Countries s={s} flow={flow} /></Card>
    </div>
    <div>
      <Traffic stats={s.stats} />
      <Card title="Events" aside={<a href="#/events">All</a>}>
        <ol class="events short">{happened.map(e => <EventLine key={e.id} e={e} />)}</ol>
        {!happened.length && <p class="quiet pad">None since the start.</p>}
      </Card>
    </div>
  </div>;
}

// Pointed describes the country under the pointer.
function Pointed({ s, code, text }: { s: Store; code: string; text: string }) {
  const c = s.flow?.countries.find(c => c.name === code);
  const next = useNext(s.flow, [c?.after ?? ""]);
  if (!c) return <Fragment>{text}</Fragment>;
  return <Fragment>{text}; {rateText(rateOf(s.answers, s.flow, c))} queries/s; next choice: {next(c) ?? "…"}</Fragment>;
}

const rateText = (n?: number) => n === undefined ? "unknown" : n > 0 && n < 0.1 ? "< 0.1" : `about ${count(n)}`;

// where says how many clients are not where they usually go.
function where(flow?: Forecast): string {
  if (!flow) return "";
  return flow.moved >= 0.001 ? `${percent(flow.moved)} not where they usually go; hatched: another region than usual` : "every client where it usually goes";
}

export function EventLine({ e }: { e: Event }) {
  return <li class={e.severity === "error" ? "bad" : e.severity === "warning" ? "warn" : ""}>
    <time dateTime={e.time} class="quiet">{clock(e.time)}</time> <span><strong title={e.subject}>{e.kind === "config" ? e.subject.split("/").at(-1) : e.subject}</strong> {e.message}</span>
  </li>;
}

function marks(s: Store): Record<string, Mark> {
  const all: Record<string, Mark> = {};
  for (const r of s.regions) {
    const share = s.flow?.regions.find(t => t.name === r.region)?.share.after;
    all[r.region] = { name: r.region, share, down: regionState(s.status!, r.region) === "down" };
  }
  return all;
}

// members returns the endpoints of a region, each once by pool.
const members = (s: Status, region: string) => s.pools.flatMap(p => p.members).filter(m => m.region === region && !m.pool);

function regionState(s: Status, region: string): string {
  if (s.regions.some(r => r.region === region && r.down)) return "down";
  const all = members(s, region);
  if (!all.length) return "unknown";
  return all.some(m => m.eligible.IPv4 || m.eligible.IPv6) ? "up" : all.every(m => m.state === "drained") ? "drained" : "down";
}

function Regions({ s }: { s: Store }) {
  const measured = measuredBy(s.answers, m => m.region ?? "");
  const rows = s.regions.map(r => ({
    r, all: members(s.status!, r.region), share: s.flow?.regions.find(t => t.name === r.region)?.share, measured: measured.share(r.region),
  }));
  return <Fragment><Table label="Regions" rows={rows} id={x => x.r.region} columns={[
    { head: "Region", cell: x => <span class={`key ${tint(s.regions, x.r.region)}`}>{x.r.region}</span> },
    { head: "State", cell: x => <State state={regionState(s.status!, x.r.region)} /> },
    { head: "Eligible", class: "num wide", cell: x => `${x.all.filter(m => m.eligible.IPv4 || m.eligible.IPv6).length} of ${x.all.length}` },
    { head: "Measured", class: "num", cell: x => x.measured === undefined ? "" : percent(x.measured) },
    { head: "Intended", class: "num", cell: x => x.share ? <span class="share">{percent(x.share.after)}<Bar share={x.share.after} was={x.share.before} /></span> : "" },
    { head: "Usually", class: "num quiet wide", cell: x => x.share ? percent(x.share.before) : "" },
    { head: "", class: "end", cell: x => <a class="button" href={`#/forecast?target=region:${x.r.region}&kind=down`} aria-label={`If lost: ${x.r.region}`}>If lost</a> },
  ]} />
    <p class="caption note">{measured.total > 0 ? `Measured: share of ${words(measured.total, "answer")} with an address of a region${s.answers && `, in the last ${span(Date.parse(s.answers.at) - Date.parse(s.answers.since))}`}.` : "Measured: no answer with an address of a region in the last minutes."} Intended: share of all IPv4 clients, by the health of now. Resolvers send more than one client's queries, so the two differ.</p></Fragment>;
}

function Loss({ region, close }: { region: string; close: () => void }) {
  const f = useForecast(`region:${region}`, "down");
  return <section class="inset" aria-label={`Loss of ${region}`} aria-live="polite">
    <header><h3>If {region} is lost</h3><span class="grow" /><a href={`#/forecast?target=region:${region}&kind=down`}>Details</a>
      <button type="button" class="plain" aria-label="Close" onClick={close}>✕</button></header>
    {f.value ? <Effect f={f.value} /> : <p class="quiet">{f.error?.message ?? "Computing…"}</p>}
  </section>;
}

const mostCountries = 12;

function Countries({ s, flow }: { s: Store; flow?: Forecast }) {
  const [all, setAll] = useState(false), [asked, ask] = useState(false);
  const rows = [...(flow?.countries ?? [])].sort((a, b) => b.moved - a.moved || b.share - a.share);
  const shown = all ? rows : rows.slice(0, mostCountries);
  const next = useNext(flow, asked ? [...new Set(shown.map(c => c.after ?? ""))] : []);
  return <div>
    <Table label="Countries" rows={shown} id={c => c.name} empty={flow || s.noFlow ? "No name is bound to a pool." : "Computing the answers for every client…"} columns={[
      { head: "Country", cell: c => c.name === "unknown" ? "unknown" : country(c.name) },
      { head: "Clients", class: "num", cell: c => percent(c.share) },
      { head: "Served by", cell: c => <span class={`key ${tint(s.regions, c.after)}`}>{c.after}</span> },
      { head: "Usually", class: "quiet wide line", cell: c => c.before === c.after ? "" : c.before },
      { head: "Distance", class: "num", cell: c => km(c.km.after) },
      { head: "Moved", class: "num", cell: c => c.moved > 0 ? percent(c.moved / c.share) : "" },
      { head: "Queries/s", class: "num wide", cell: c => { const n = rateOf(s.answers, flow, c); return n === undefined ? "" : n > 0 && n < 0.1 ? "< 0.1" : count(n); } },
      { head: "Next choice", class: "wide", cell: c => { const n = next(c); return n ? <span class={`key ${tint(s.regions, n)}`}>{n}</span> : asked && !c.after?.startsWith("(") ? <span class="quiet">…</span> : ""; } },
      { head: "", class: "end", cell: c => c.name === "unknown" ? "" : <a class="button" href={`#/explain?client=${c.name}`} aria-label={`Explain for ${country(c.name)}`}>Explain</a> },
    ]} />
    <p class="caption note">Queries/s: the measured answers of its region, by its part of that region's clients. Next choice: the region without the present one.</p>
    {!asked && rows.length > 0 && <button type="button" class="plain wide" onClick={() => ask(true)}>Show the next choices</button>}
    {rows.length > mostCountries && <button type="button" class="plain" onClick={() => setAll(!all)}>{all ? "Show fewer" : `All ${rows.length} countries`}</button>}
  </div>;
}

function Traffic({ stats }: { stats?: Stats }) {
  if (!stats) return null;
  const { at, values } = rates(stats);
  const now = values.at(-1), timed = stats.samples.findLast(x => x.p50);
  const answers = Object.values(stats.rcodes).reduce((a, b) => a + b, 0);
  return <Card title="Queries" note="now, and in the last hour">
    <div class="numbers">
      <Big value={count(now ?? 0)} label="queries/s" />
      {timed && <Big value={millis(timed.p50!)} label="median time" />}
      {timed && <Big value={millis(timed.p99!)} label="p99 time" />}
    </div>
    {values.length > 2 && <Spark at={at} values={values} label={`Queries per second in the last hour, now ${count(now ?? 0)}`} />}
    {timed && at.length > 2 && <Fragment><h3 class="pad-x">99th percentile of the answer time</h3>
      <Spark at={at} values={stats.samples.slice(1).map(x => x.p99 ? x.p99 / 1e3 : null)} label={`99th percentile of the answer time in the last hour, now ${millis(timed.p99!)}`} unit=" µs" /></Fragment>}
    <dl class="facts tight">
      {Object.entries(stats.rcodes).sort((a, b) => b[1] - a[1]).map(([code, n]) => <div key={code}><dt>{code}</dt><dd class="num">{count(n)} <span class="quiet">{percent(n / answers)}</span></dd></div>)}
      {stats.fail_open > 0 && <div class="bad"><dt>from pools that fail open</dt><dd class="num">{count(stats.fail_open)}</dd></div>}
      {stats.dropped > 0 && <div><dt>without an answer</dt><dd class="num">{count(stats.dropped)}</dd></div>}
    </dl>
    <p class="caption">Answers since the start, {ago(stats.started_at)} ago.</p>
  </Card>;
}

const Big = ({ value, label }: { value: string; label: string }) => <p><span class="num">{value}</span><span class="quiet">{label}</span></p>;

// rates converts the samples of a counter to rates.
function rates(stats: Stats): { at: number[]; values: (number | null)[] } {
  const at: number[] = [], values: (number | null)[] = [];
  for (let i = 1; i < stats.samples.length; i++) {
    const a = stats.samples[i - 1], b = stats.samples[i];
    const seconds = (Date.parse(b.at) - Date.parse(a.at)) / 1000;
    at.push(Date.parse(b.at) / 1000);
    values.push(seconds > 0 ? (b.queries - a.queries) / seconds : null);
  }
  return { at, values };
}
