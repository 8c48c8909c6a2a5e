// Events: one time line of everything that changed.

import { h } from "preact";
import { useMemo, useState } from "preact/hooks";
import type { Event } from "../api";
import { clock, words } from "../format";
import { useStore } from "../store";
import { Card, Choice, Facts, Filter } from "../ui";
import type { Params } from "../route";

export function Events(_: Params) {
  const s = useStore();
  const [kind, setKind] = useState(""), [severity, setSeverity] = useState(""), [filter, setFilter] = useState(""), [open, setOpen] = useState(0);
  const kinds = useMemo(() => [...new Set(s.events.map(e => e.kind))].sort(), [s.events]);
  const shown = s.events.filter(e => (!kind || e.kind === kind) && (!severity || e.severity === severity) && `${e.subject} ${e.message}`.toLowerCase().includes(filter.toLowerCase()));
  return <Card title="Events" note={words(shown.length, "event")} aside={<span class="row wrap">
    <Choice label="Kind" value={kind} set={setKind} options={[["", "all"], ...kinds.map(k => [k, k] as [string, string])]} />
    <Choice label="Severity" value={severity} set={setSeverity} options={[["", "all"], ["info", "info"], ["warning", "warning"], ["error", "error"]]} />
    <Filter value={filter} set={setFilter} hint="subject, message" />
    <button type="button" onClick={() => save(shown)}>Export JSON</button></span>}>
    <Timeline events={shown} />
    <ol class="events long">{shown.slice(0, 300).map(e => <li key={e.id} class={e.severity === "error" ? "bad" : e.severity === "warning" ? "warn" : ""}>
      <time dateTime={e.time} class="quiet">{clock(e.time)}</time>
      <span class="kind">{e.kind}</span>
      <span class="grow"><button type="button" class="tree" aria-expanded={open === e.id} onClick={() => setOpen(open === e.id ? 0 : e.id)}>{e.subject}</button> {e.message}
        {open === e.id && <Facts rows={[["id", e.id], ["time", e.time], ["severity", e.severity], ...Object.entries(e.fields ?? {})]} />}</span>
    </li>)}</ol>
    {!shown.length && <p class="quiet pad">No event matches.</p>}
  </Card>;
}

const bins = 96;

// Timeline draws the number of events over the time that they cover.
function Timeline({ events }: { events: Event[] }) {
  if (events.length < 2) return null;
  const last = Date.now(), first = Math.min(last - 3_600_000, Date.parse(events.at(-1)!.time)), each = (last - first) / bins;
  const sums = Array.from({ length: bins }, () => ({ info: 0, warning: 0, error: 0 }));
  for (const e of events) sums[Math.min(bins - 1, Math.max(0, Math.floor((Date.parse(e.time) - first) / each)))][e.severity]++;
  const most = Math.max(...sums.map(b => b.info + b.warning + b.error));
  const high = (n: number) => n && Math.max(2, 34 * n / most);
  return <figure class="timeline"><svg viewBox={`0 0 ${bins * 10} 36`} preserveAspectRatio="none" role="img" aria-label={`Events from ${clock(new Date(first).toISOString())} until now`}>
    {sums.map((b, i) => {
      const e = high(b.error), w = high(b.warning), n = high(b.info);
      return <g key={i}><rect x={10 * i} y={36 - e} width="8" height={e} class="bad" /><rect x={10 * i} y={36 - e - w} width="8" height={w} class="warn" /><rect x={10 * i} y={36 - e - w - n} width="8" height={n} /></g>;
    })}
  </svg><figcaption class="quiet"><span>{clock(new Date(first).toISOString())}</span><span>now</span></figcaption></figure>;
}

function save(events: Event[]) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify({ events }, null, 2)], { type: "application/json" }));
  link.download = "events.json";
  link.click();
  URL.revokeObjectURL(link.href);
}
