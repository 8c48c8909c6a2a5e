// Small parts that several pages use.

import { Fragment, h, type ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";

export function Card(p: { title?: string; note?: ComponentChildren; children: ComponentChildren; class?: string; aside?: ComponentChildren }) {
  return <section class={`card ${p.class ?? ""}`} aria-label={p.title}>
    {(p.title || p.aside) && <header><h2>{p.title}</h2>{p.note && <span class="quiet">{p.note}</span>}<span class="grow" />{p.aside}</header>}
    {p.children}
  </section>;
}

// Field is a labelled input.
export function Field({ label, children, class: kind = "" }: { label: string; children: ComponentChildren; class?: string }) {
  return <label class={`field ${kind}`}><span>{label}</span>{children}</label>;
}

// Choice is a labelled select of strings.
export function Choice(p: { label: string; value: string; options: (string | [string, string])[]; set: (v: string) => void }) {
  return <Field label={p.label}>
    <select value={p.value} onChange={e => p.set(e.currentTarget.value)}>
      {p.options.map(o => typeof o === "string" ? [o, o] : o).map(([v, text]) => <option key={v} value={v}>{text}</option>)}
    </select>
  </Field>;
}

export function Filter({ value, set, hint }: { value: string; set: (v: string) => void; hint: string }) {
  return <Field label="Filter"><input type="search" value={value} placeholder={hint} onInput={e => set(e.currentTarget.value)} /></Field>;
}

export interface Column<R> {
  head: string; class?: string; cell: (row: R) => ComponentChildren;
}

const rowHeight = 36;
const mostPlain = 200; // rows that are drawn at once

// Table is a table; of many rows it draws those in view.
export function Table<R>(p: {
  label: string; columns: Column<R>[]; rows: R[]; id: (r: R) => string; kind?: (r: R) => string; empty?: string;
}) {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const many = p.rows.length > mostPlain;
  const shown = 40;
  const from = many ? Math.max(0, Math.min(Math.floor(top / rowHeight) - 10, p.rows.length - shown)) : 0;
  const rows = many ? p.rows.slice(from, from + shown) : p.rows;
  if (!p.rows.length && p.empty) return <p class="quiet pad">{p.empty}</p>;
  return <div class={`scroll ${many ? "many" : ""}`} ref={box} tabIndex={0} role="region" aria-label={`${p.label}: table`}
    onScroll={many ? () => setTop(Math.floor(box.current!.scrollTop / rowHeight / 5) * 5 * rowHeight) : undefined}>
    <table aria-rowcount={p.rows.length + 1}>
      <thead><tr>{p.columns.map(c => <th key={c.head} scope="col" class={c.class}>{c.head || <span class="sr">Actions</span>}</th>)}</tr></thead>
      <tbody>
        {from > 0 && <tr aria-hidden="true"><td style={{ height: `${from * rowHeight}px`, padding: 0 }} /></tr>}
        {rows.map((r, i) => <tr key={p.id(r)} class={p.kind?.(r)} aria-rowindex={many ? from + i + 2 : undefined}>
          {p.columns.map(c => <td key={c.head} class={c.class}>{c.cell(r)}</td>)}
        </tr>)}
        {many && <tr aria-hidden="true"><td style={{ height: `${(p.rows.length - from - rows.length) * rowHeight}px`, padding: 0 }} /></tr>}
      </tbody>
    </table>
  </div>;
}

// Bar is a share as a line under its number.
export function Bar({ share, was }: { share: number; was?: number }) {
  return <span class="bar" aria-hidden="true">
    <i style={{ width: `${Math.min(100, 100 * share)}%` }} />
    {was !== undefined && <b style={{ left: `${Math.min(100, 100 * was)}%` }} />}
  </span>;
}

// Strip shows the last probe results, the oldest first; a bad one is as high as the line.
export function Strip({ results }: { results: { outcome: string; at: string; reason: string }[] }) {
  const shown = results.slice(0, 32).reverse();
  const failed = shown.filter(r => r.outcome === "failed").length;
  return <svg class="strip" width={32 * 2} height="14" role="img" aria-label={`${failed} of the last ${shown.length} probes failed`}>
    {shown.map((r, i) => {
      const x = (32 - shown.length + i) * 2;
      return r.outcome === "passed" ? <rect key={i} x={x} y="9" width="1" height="5" class="ok" />
        : <rect key={i} x={x} y="0" width="1" height="14" class={r.outcome === "failed" ? "bad" : "warn"} />;
    })}
  </svg>;
}

// Spark is a small graph of a series over time.
export function Spark({ at, values, label, height = 64, unit = "" }: {
  at: number[]; values: (number | null)[]; label: string; height?: number; unit?: string;
}) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  useLayoutEffect(() => {
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--accent").trim(), quiet = style.getPropertyValue("--quiet").trim();
    const line = style.getPropertyValue("--line").trim();
    const font = "11px system-ui, sans-serif";
    const size = () => ({ width: box.current!.clientWidth, height });
    plot.current = new uPlot({
      ...size(), legend: { show: false }, cursor: { show: false }, padding: [6, 4, 0, 0],
      scales: { y: { range: (_u, _min, max) => [0, Math.max(1, max * 1.1)] } },
      series: [{}, { stroke: ink, width: 1.5, fill: ink + "22", points: { show: false } }],
      axes: [
        { stroke: quiet, font, size: 20, grid: { show: false }, ticks: { show: false }, space: 80, values: (_u, t) => t.map(hourMinute) },
        { stroke: quiet, font, size: 46, grid: { stroke: line, width: 1 }, ticks: { show: false }, space: 24, values: (_u, v) => v.map(n => short(n) + unit) },
      ],
    }, [at, values], box.current!);
    const watch = new ResizeObserver(() => box.current && plot.current?.setSize(size()));
    watch.observe(box.current!);
    return () => { watch.disconnect(); plot.current?.destroy(); };
  }, []);
  useEffect(() => plot.current?.setData([at, values]), [at, values]);
  return <div class="spark" ref={box} role="img" aria-label={label} style={{ height: `${height}px` }} />;
}

function hourMinute(t: number): string {
  const d = new Date(1000 * t);
  return `${String(d.getHours()).padStart(2, "0")}:${String(d.getMinutes()).padStart(2, "0")}`;
}

const short = (n: number) => n >= 1e6 ? `${n / 1e6} M` : n >= 1e3 ? `${n / 1e3} k` : `${n}`;

// Dialog is a modal dialog; the browser keeps the focus inside and closes it by Escape.
export function Dialog({ title, close, children, wide }: { title: string; close: () => void; children: ComponentChildren; wide?: boolean }) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const old = document.activeElement;
    box.current!.showModal();
    return () => { if (old instanceof HTMLElement) old.focus(); };
  }, []);
  return <dialog ref={box} onClose={close} aria-label={title} class={wide ? "broad" : ""}>
    <header><h2>{title}</h2><span class="grow" /><button type="button" class="plain" aria-label="Close" onClick={close}>✕</button></header>
    {children}
  </dialog>;
}

export function Facts({ rows }: { rows: [string, ComponentChildren][] }) {
  return <dl class="facts">{rows.map(([k, v]) => <Fragment key={k}><dt>{k}</dt><dd>{v}</dd></Fragment>)}</dl>;
}

export function Problem({ error }: { error?: { message: string; hint?: string } | null }) {
  if (!error) return null;
  return <p class="notice bad" role="alert">{error.message}{error.hint && <span class="quiet"> — {error.hint}</span>}</p>;
}
