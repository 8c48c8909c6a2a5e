// Server: the process, its configuration and its state.

import { h } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get, type Event, type Status, type Stats } from "../api";
import { ago, clock, count } from "../format";
import { useStore } from "../store";
import { Card, Facts, Table } from "../ui";
import { Canary } from "./canary";
import { Generations } from "./generations";
import type { Params } from "../route";

export function Server(_: Params) {
  const s = useStore(), status = s.status!;
  return <div class="stack"><div class="columns even">
    <div>
      <Card title="Process"><Facts rows={[
        ["Version", s.session?.version ?? ""], ["Started", `${clock(status.started_at)}, ${ago(status.started_at)} ago`],
        ["Listens on", status.listen.join(", ")], ["Panics", count((s.stats?.panics ?? 0) + status.prober.panics + status.build_panics)],
      ]} /></Card>
      <Card title="Prober"><Facts rows={[
        ["State", status.prober.stalled ? <span class="bad">stalled: health states are frozen</span> : "running"],
        ["Targets", count(status.prober.targets)], ["Running probes", count(status.prober.probing)],
      ]} /></Card>
      <Card title="State directory"><Facts rows={[
        ["Directory", status.state.folder || "none: a restart loses health states and overrides"],
        ...(status.state.folder ? [["Written", status.state.persisted ? "yes" : <span class="bad">no, see the log</span>] as [string, string | h.JSX.Element]] : []),
        ...(status.state.quarantined ? [["Corrupt at start", status.state.quarantined.file] as [string, string]] : []),
      ]} /></Card>
    </div>
    <div>
      <Configuration status={status} />
      <Sinks status={status} />
      {s.stats && <Transport stats={s.stats} />}
    </div>
  </div>
  <Canary run={status.cluster?.canary} />
  <Generations />
  <Changes last={s.events[0]?.id} />
  </div>;
}

function Configuration({ status }: { status: Status }) {
  const r = status.reload;
  return <Card title="Configuration">
    <Facts rows={[
      ["File", status.config], ["Generation", `${count(status.generation)}${status.config_hash && `, ${status.config_hash}`}`],
      ["Serves since", `${clock(status.loaded_at)}, ${ago(status.loaded_at)}`],
      ["Last reload", r.refused ? <span class="bad">rejected {r.at && `at ${clock(r.at)}`}</span> : r.at ? `accepted at ${clock(r.at)}` : "none since the start"],
      ...(status.last_good ? [["Serving", <span class="bad">the last good configuration</span>] as [string, h.JSX.Element]] : []),
    ]} />
    {r.refused && <pre>{[r.error, r.detail].filter(Boolean).join("\n")}</pre>}
    {status.last_good && <pre>{(status.last_good.errors ?? [status.last_good.error]).join("\n")}</pre>}
  </Card>;
}

const mostChanges = 20;

// Changes lists the last changes through the API.
function Changes({ last }: { last?: number }) {
  const [found, set] = useState<Event[]>();
  useEffect(() => { void get<{ audit: Event[] }>("/v1/audit", { limit: String(mostChanges) }).then(a => set(a.audit.reverse()), () => undefined); }, [last]);
  if (!found) return null;
  return <Card title="Changes through the API" note={`the last ${mostChanges}`} aside={<a href="#/events?kind=audit">All</a>}>
    <Table label="Changes through the API" rows={found} id={e => String(e.id)} empty="None." columns={[
      { head: "At", class: "num", cell: e => clock(e.time) },
      { head: "User", cell: e => <span>{e.fields?.who} <span class="quiet wide">{e.fields?.from}</span></span> },
      { head: "Change", cell: e => e.fields?.what },
      { head: "Target", cell: e => e.subject },
      { head: "Reason", class: "why wide", cell: e => e.fields?.reason },
      { head: "Result", cell: e => <span class={e.severity === "info" ? "" : "bad"}>{e.fields?.result}</span> },
    ]} />
  </Card>;
}

function Sinks({ status }: { status: Status }) {
  if (!status.notify?.length) return null;
  return <Card title="Notifications"><Table label="Notifications" rows={status.notify} id={n => n.sink} columns={[
    { head: "Sink", class: "why", cell: n => n.sink },
    { head: "State", cell: n => n.failing_since ? <span class="bad">fails for {ago(n.failing_since)}: {n.error}</span> : "delivers" },
    { head: "Delivered", class: "num", cell: n => count(n.delivered) },
    { head: "Lost", class: "num", cell: n => count(n.lost + n.rejected) },
  ]} /></Card>;
}

function Transport({ stats }: { stats: Stats }) {
  return <Card title="Traffic" note={`since ${clock(stats.started_at)}`}><Facts rows={[
    ["UDP queries", count(stats.udp)], ["TCP queries", count(stats.tcp)], ["Truncated answers", count(stats.truncated)],
    ["Without an answer", count(stats.dropped)], ["From pools that fail open", count(stats.fail_open)],
    ...Object.entries(stats.rcodes).map(([c, n]) => [c, count(n)] as [string, string]),
  ]} /></Card>;
}
