// The DNSSEC keys of a zone: their lives as a time line, and what comes next.

import { Fragment, h } from "preact";
import type { Key, ZoneKeys } from "../api";
import { ago, clock, span } from "../format";
import { Facts, Table } from "../ui";

export function Keys({ z }: { z: ZoneKeys }) {
  return <section class="keys" aria-label={`DNSSEC keys of ${z.zone}`}>
    <h3 class="pad-x">DNSSEC</h3>
    <Facts rows={[
      ["Policy", `${z.policy}${z.manager === "auto" ? "" : "; the keys are managed outside of Meridian"}`],
      ["Next", z.next ? <Fragment><strong>{z.next.what}</strong> {until(z.next.at)}</Fragment> : "nothing is planned"],
      ...(z.waits ? [["Waits", <span class={z.overdue ? "bad" : ""}>{z.waits}{z.since && <span class="quiet"> for {ago(z.since)}</span>}</span>] as [string, h.JSX.Element]] : []),
      ["DS at the parent", z.ds_seen ? "seen at all servers of the parent" : "not seen"],
      ["Signatures expire", `${clock(z.signatures_expire)}, ${until(z.signatures_expire)}`],
    ]} />
    <Lives z={z} />
    <Table label={`Keys of ${z.zone}`} rows={z.keys} id={k => `${k.tag} ${k.file}`} empty="No key yet." columns={[
      { head: "Tag", class: "num", cell: k => k.tag }, { head: "Role", cell: k => k.role.toUpperCase() }, { head: "Algorithm", class: "num wide", cell: k => k.algorithm },
      { head: "State", cell: k => k.state }, { head: "Signs", cell: k => k.signs.join(", ") || "nothing" }, { head: "DS", cell: k => k.ds ?? "" },
      { head: "Published", class: "num wide", cell: k => clock(k.publish) }, { head: "Active", class: "num wide", cell: k => clock(k.activate) },
      { head: "Inactive", class: "num wide", cell: k => clock(k.inactive) }, { head: "Removed", class: "num wide", cell: k => clock(k.delete) },
    ]} />
  </section>;
}

// until says how far a time is: in 3 d, or 2 h ago.
function until(t: string): string {
  const ms = Date.parse(t) - Date.now();
  return ms >= 0 ? `in ${span(ms)}` : `${span(-ms)} ago`;
}

const width = 960, row = 20, day = 86_400_000;

// Lives draws the time in which each key is published, as a line, and active, as a bar.
function Lives({ z }: { z: ZoneKeys }) {
  const now = Date.now(), at = (t?: string) => t ? Date.parse(t) : undefined;
  const times = [now - day, now + day, ...z.keys.flatMap(k => [k.publish, k.activate, k.inactive, k.delete]), z.next?.at].map(t => typeof t === "number" ? t : at(t)).filter(t => t !== undefined);
  const first = Math.min(...times), last = Math.max(...times) + 0.04 * (Math.max(...times) - first);
  const x = (t: number) => (t - first) / (last - first) * width;
  const part = (k: Key, from?: string, to?: string, high = 2) => at(from) !== undefined &&
    <rect x={x(at(from)!)} width={Math.max(2, x(at(to) ?? at(k.delete) ?? last) - x(at(from)!))} y={(row - high) / 2} height={high} />;
  const next = at(z.next?.at);
  return <figure class="timeline lives" aria-hidden="true">
    {z.keys.map(k => <div key={k.tag} class="life"><span class="quiet num">{k.tag}</span>
      <svg viewBox={`0 0 ${width} ${row}`} preserveAspectRatio="none">
        {part(k, k.publish ?? k.created, k.delete)}
        <g class="on">{part(k, k.activate, k.inactive, 10)}</g>
        <rect class="now" x={x(now)} y="0" width="2" height={row} />
        {next !== undefined && <rect class="warn" x={x(next)} y="0" width="2" height={row} />}
      </svg></div>)}
    <figcaption class="quiet"><span>{clock(new Date(first).toISOString())}</span><span>line: published; bar: signs; blue: now{next !== undefined && "; amber: next step"}</span><span>{clock(new Date(last).toISOString())}</span></figcaption>
  </figure>;
}
