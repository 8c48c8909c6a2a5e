// The world map: countries by the region that serves them, regions as marks.

import { h } from "preact";
import { useEffect, useState } from "preact/hooks";
import * as api from "./api";
import { country, percent } from "./format";

const width = 1000, height = width / 2.05458;

// project returns the position of a point of Earth on the map: the Equal Earth projection.
export function project(latitude: number, longitude: number): [number, number] {
  const a1 = 1.340264, a2 = -0.081106, a3 = 0.000893, a4 = 0.003796;
  const theta = Math.asin(Math.sqrt(3) / 2 * Math.sin(latitude * Math.PI / 180));
  const t2 = theta * theta, t6 = t2 * t2 * t2;
  const x = 2 * Math.sqrt(3) * (longitude * Math.PI / 180) * Math.cos(theta) / (3 * (9 * a4 * t6 * t2 + 7 * a3 * t6 + 3 * a2 * t2 + a1));
  const y = theta * (a4 * t6 * t2 + a3 * t6 + a2 * t2 + a1);
  const scale = width / 2 / 2.7066299836;
  return [width / 2 + x * scale, height / 2 - y * scale];
}

let shapes: Promise<[string, string][]> | undefined;

function useShapes(): [string, string][] {
  const [all, set] = useState<[string, string][]>([]);
  useEffect(() => {
    shapes ??= fetch("world.json").then(r => r.json());
    let on = true;
    void shapes.then(s => on && set(s));
    return () => { on = false; };
  }, []);
  return all;
}

export interface Mark { name: string; down?: boolean; share?: number }
export interface Shade { region?: string; moved?: boolean; text: string }

// tint is the class that colours a region: the same on all maps and tables.
export function tint(regions: api.Region[], name?: string): string {
  const i = regions.findIndex(r => r.region === name);
  return i < 0 ? "" : `tint${i % 8}`;
}

// Map draws the world. The countries that shade has no entry for are blank.
export function Map(p: {
  label: string; regions: api.Region[]; shade: (code: string) => Shade | undefined; marks: Record<string, Mark>;
  pick?: (region: string) => void; client?: [number, number]; lines?: { to: string; strong: boolean }[]; over?: (code?: string) => void;
}) {
  const all = useShapes();
  return <svg class="map" viewBox={`0 8 ${width} ${height - 56}`} role="group" aria-label={p.label}>
    <defs><pattern id="hatch" width="60" height="60" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
      <rect width="14" height="60" />
    </pattern></defs>
    <g class="land" aria-hidden="true" transform="scale(.1)">
      {all.map(([code, path], i) => code === "AQ" ? null : <Land key={i} path={path} code={code} shade={p.shade(code)} regions={p.regions} over={p.over} />)}
    </g>
    {p.client && p.lines?.map(l => <Line key={l.to} from={p.client!} to={p.regions.find(r => r.region === l.to)} strong={l.strong} />)}
    {p.client && <ClientMark at={p.client} />}
    {p.regions.map(r => <RegionMark key={r.region} region={r} mark={p.marks[r.region]} kind={tint(p.regions, r.region)} pick={p.pick} />)}
  </svg>;
}

function Land({ path, code, shade, regions, over }: {
  path: string; code: string; shade?: Shade; regions: api.Region[]; over?: (code?: string) => void;
}) {
  const title = shade && <title>{shade.text}</title>;
  return <g onPointerEnter={over && (() => over(code))} onPointerLeave={over && (() => over(undefined))}>
    <path d={path} class={tint(regions, shade?.region)}>{title}</path>
    {shade?.moved && <path d={path} class="hatched">{title}</path>}
  </g>;
}

function Line({ from, to, strong }: { from: [number, number]; to?: api.Region; strong: boolean }) {
  if (!to) return null;
  const [x1, y1] = project(...from), [x2, y2] = project(to.latitude, to.longitude);
  return <line x1={x1} y1={y1} x2={x2} y2={y2} class={strong ? "route strong" : "route"} />;
}

function ClientMark({ at }: { at: [number, number] }) {
  const [x, y] = project(...at);
  return <g class="client"><path d={`M${x - 6} ${y}h12M${x} ${y - 6}v12`} /><text x={x - 10} y={y + 4}>client</text></g>;
}

function RegionMark({ region, mark, kind, pick }: { region: api.Region; mark?: Mark; kind: string; pick?: (r: string) => void }) {
  const [x, y] = project(region.latitude, region.longitude);
  const r = 5 + 16 * Math.sqrt(mark?.share ?? 0);
  const text = `${region.region}${mark?.down ? ", down" : ""}${mark?.share === undefined ? "" : `, ${percent(mark.share)} of clients`}`;
  const press = pick && ((e: KeyboardEvent) => {
    if (e.key === "Enter" || e.key === " ") { e.preventDefault(); pick(region.region); }
  });
  const right = x > 0.8 * width;
  return <g class={`region ${kind} ${mark?.down ? "down" : ""} ${pick ? "button" : ""}`} role={pick ? "button" : "img"}
    tabIndex={pick ? 0 : undefined} aria-label={pick ? `${text}: what would its loss do?` : text}
    onClick={pick && (() => pick(region.region))} onKeyDown={press}>
    <title>{text}</title>
    <circle cx={x} cy={y} r={r} />
    {mark?.down ? <path class="cross" d={`M${x - 5} ${y - 5}l10 10M${x + 5} ${y - 5}l-10 10`} /> : <circle cx={x} cy={y} r="2.5" class="dot" />}
    <text x={right ? x - r - 4 : x + r + 4} y={y + 4} text-anchor={right ? "end" : "start"}>{region.region}</text>
  </g>;
}

// shadeOf returns the shading of countries on one side of a forecast.
export function shadeOf(flow: api.Forecast | undefined, side: "before" | "after"): (code: string) => Shade | undefined {
  const parts: Record<string, api.Part> = {};
  for (const c of flow?.countries ?? []) parts[c.name] = c;
  return code => {
    const c = parts[code];
    if (!c) return undefined;
    const region = side === "after" ? c.after : c.before;
    const moved = side === "after" && c.before !== c.after;
    return { region, moved, text: `${country(code)}: ${region}` + (side === "after" && c.moved / c.share > 0.01 ? `; ${percent(c.moved / c.share)} of its clients moved` : "") };
  };
}
