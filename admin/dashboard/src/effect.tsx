// The effect of a change in words.

import { h, Fragment } from "preact";
import type { Forecast, Part } from "./api";
import { country, km, percent } from "./format";

const mostFlows = 4;

export function Effect({ f }: { f: Forecast }) {
  const more = (f.km.after ?? 0) - (f.km.before ?? 0);
  return <div class="effects">
    <p><strong>{f.moved < 0.0005 ? "No client moves." : `${percent(f.moved)} of clients move.`}</strong>
      {Math.abs(more) >= 1 && <Fragment> The mean distance {more > 0 ? "grows" : "shrinks"} by {km(Math.abs(more))}, to {km(f.km.after)}.</Fragment>}</p>
    {f.flows.length > 0 && <ul class="flows">{f.flows.slice(0, mostFlows).map(w => <li key={w.from + w.to}>
      <span class="num">{percent(w.share)}</span> {w.from} <span aria-label="to">→</span> {w.from === w.to ? "another member there" : w.to}
    </li>)}</ul>}
    <Loss share={f.no_answer} text="of clients get no answer" />
    <Loss share={f.fail_open} text="of clients get members that are not healthy (fail-open)" />
    <Loss share={f.fallback} text="of clients get a fallback pool" mild />
    {(f.breaches ?? []).map(b => <p key={b.name} class="bad">{b.name}: {Math.round(b.load.after)} of {b.capacity}, over its capacity</p>)}
    {(f.unasked ?? []).length > 0 && <p class="quiet">Not included, because none of these clients queries {f.unasked!.length > 1 ? "them" : "it"}: {f.unasked!.map(u => u.pool + (u.type ? ` (${u.type} only)` : "")).join(", ")}</p>}
    {(f.worst ?? []).length > 0 && <p class="quiet">Farther: {f.worst!.slice(0, 3).map(c => `${country(c.name)} +${km(farther(c))}`).join(", ")}</p>}
  </div>;
}

export const farther = (c: Part) => (c.km.after ?? 0) - (c.km.before ?? 0);

function Loss({ share, text, mild }: { share: { before: number; after: number }; text: string; mild?: boolean }) {
  if (share.after - share.before < 0.0005) return null;
  return <p class={mild ? "warn" : "bad"}>{percent(share.after)} {text}{share.before > 0.0005 && `, ${percent(share.before)} now`}.</p>;
}
