// Events: one time line of everything that changed.

import { Fragment, h } from "preact";
import { useMemo, useRef, useState } from "preact/hooks";
import type { Event } from "../api";
import { clock, words } from "../format";
import { olderEvents, useStore } from "../store";
import { Card, Choice, Facts, Filter } from "../ui";
import { go, type Params } from "../route";

interface Span { from: number; to: number } // in milliseconds

const spans: [string, string][] = [["", "all"], ["15", "last 15 minutes"], ["60", "last hour"], ["360", "last 6 hours"], ["1440", "last day"]];

const tone = (e: Event) => e.severity === "error" ? "bad" : e.severity === "warning" ? "warn" : "";

export function Events({ params }: Params) {
  const s = useStore();
  const [severity, setSeverity] = useState(""), [filter, setFilter] = useState(params.filter ?? ""), [last, setLast] = useState(""), [brush, setBrush] = useState<Span>();
  const kind = params.kind ?? "", setKind = (k: string) => go("events", { kind: k });
  const kinds = useMemo(() => [...new Set([...s.events.map(e => e.kind), ...kind ? [kind] : []])].sort(), [s.events, kind]);
  const since = last ? Date.now() - 60_000 * Number(last) : 0;
  const found = s.events.filter(e => (!kind || e.kind === kind) && (!severity || e.severity === severity) && Date.parse(e.time) >= since
    && `${e.subject} ${e.message}`.toLowerCase().includes(filter.toLowerCase()));
  const shown = brush ? found.filter(e => inside(brush, e)) : found;
  return <Card title="Events" note={words(shown.length, "event")} aside={<span class="row wrap">
    <Choice label="Time" value={last} set={v => { setLast(v); setBrush(undefined); }} options={spans} />
    <Choice label="Kind" value={kind} set={setKind} options={[["", "all"], ...kinds.map(k => [k, k] as [string, string])]} />
    <Choice label="Severity" value={severity} set={setSeverity} options={[["", "all"], ["info", "info"], ["warning", "warning"], ["error", "error"]]} />
    <Filter value={filter} set={setFilter} hint="subject, message" />
    <button type="button" onClick={() => save(shown)}>Export JSON</button></span>}>
    <Timeline events={found} since={since} brush={brush} set={setBrush} />
    <List events={shown} />
    {!shown.length && <p class="quiet pad">No event matches.</p>}
    <Older from={s.events.at(-1)} />
  </Card>;
}

const inside = (b: Span, e: Event) => Date.parse(e.time) >= b.from && Date.parse(e.time) <= b.to;

// Older is a button for the events before the oldest known one.
function Older({ from }: { from?: Event }) {
  const [state, set] = useState<"" | "busy" | "none">("");
  if (!from) return null;
  if (state === "none" || from.id <= 1) return <p class="quiet pad">The server keeps no older event than of {clock(from.time)}.</p>;
  const more = () => { set("busy"); void olderEvents().then(some => set(some ? "" : "none"), () => set("")); };
  return <div class="row pad"><button type="button" disabled={state === "busy"} onClick={more}>Load older events</button> <span class="quiet">those since {clock(from.time)} are loaded</span></div>;
}

const mostListed = 300; // at first, and more at each click

function List({ events }: { events: Event[] }) {
  const [open, setOpen] = useState(0), [most, setMost] = useState(mostListed);
  return <Fragment><ol class="events long">{events.slice(0, most).map(e => <li key={e.id} class={tone(e)}>
    <time dateTime={e.time} class="quiet">{clock(e.time)}</time>
    <span class="kind">{e.kind}</span>
    <span class="grow"><button type="button" class="tree" aria-expanded={open === e.id} onClick={() => setOpen(open === e.id ? 0 : e.id)}>{e.subject || e.kind}</button> {e.message}
      {open === e.id && <Facts rows={[["id", e.id], ["time", e.time], ["severity", e.severity], ...Object.entries(e.fields ?? {})]} />}</span>
  </li>)}</ol>
    {events.length > most && <div class="row pad"><button type="button" onClick={() => setMost(most + mostListed)}>Show more</button> <span class="quiet">{words(events.length - most, "event")} more</span></div>}
  </Fragment>;
}

const bins = 96, width = 960, height = 36;

// Timeline draws the number of events over the time that they cover. Dragging over it selects a part of that time.
function Timeline({ events, since, brush, set }: { events: Event[]; since: number; brush?: Span; set: (b?: Span) => void }) {
  const box = useRef<SVGSVGElement>(null);
  const [start, setStart] = useState<number>();
  if (events.length < 2) return null;
  const last = Date.now(), first = since || Math.min(last - 3_600_000, Date.parse(events.at(-1)!.time)), span = last - first;
  const timeOf = (e: PointerEvent) => {
    const at = box.current!.getBoundingClientRect();
    return first + span * Math.max(0, Math.min(1, (e.clientX - at.left) / at.width));
  };
  const move = (e: PointerEvent) => {
    if (start === undefined) return;
    const now = timeOf(e);
    if (Math.abs(now - start) > span / bins) set({ from: Math.min(start, now), to: Math.max(start, now) });
  };
  const x = (t: number) => (t - first) / span * width;
  return <figure class="timeline">
    <svg ref={box} viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true" onPointerMove={move} onPointerUp={() => setStart(undefined)}
      onPointerDown={e => { box.current!.setPointerCapture(e.pointerId); setStart(timeOf(e)); set(undefined); }}>
      {columns(events, first, span).map((b, i) => b.n > 0 && <rect key={i} x={10 * i + 1} y={height - b.height} width="8" height={b.height} class={b.tone} />)}
      {brush && <rect class="brush" x={x(brush.from)} y="0" width={x(brush.to) - x(brush.from)} height={height} />}
    </svg>
    <figcaption class="quiet"><span>{clock(new Date(first).toISOString())}</span>
      {brush ? <Fragment><span>{clock(new Date(brush.from).toISOString())} to {clock(new Date(brush.to).toISOString())} <button type="button" class="plain" onClick={() => set(undefined)}>Show all</button></span></Fragment> : <span>drag to select a time</span>}
      <span>now</span></figcaption>
  </figure>;
}

interface Column { n: number; height: number; tone: string }

// columns counts the events in equal parts of a time; the worst severity colours a part.
function columns(events: Event[], first: number, span: number): Column[] {
  const all = Array.from({ length: bins }, () => ({ n: 0, height: 0, tone: "" }));
  for (const e of events) {
    const b = all[Math.min(bins - 1, Math.max(0, Math.floor((Date.parse(e.time) - first) / span * bins)))];
    b.n++;
    if (b.tone !== "bad") b.tone = tone(e) || b.tone;
  }
  const most = Math.max(...all.map(b => b.n));
  for (const b of all) b.height = Math.max(3, height * b.n / most);
  return all;
}

function save(events: Event[]) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify({ events }, null, 2)], { type: "application/json" }));
  link.download = "events.json";
  link.click();
  URL.revokeObjectURL(link.href);
}
