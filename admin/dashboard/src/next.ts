// The next choice of a country: the region that would serve it if its present one were lost.

import { useEffect, useState } from "preact/hooks";
import * as api from "./api";

type Choices = Record<string, string>; // region by country

let basis = ""; // the present regions that the choices below belong to
let known: Record<string, Choices> = {}; // by lost region
let busy: Promise<unknown> = Promise.resolve();

// choicesWithout asks for the regions of all countries without one region; one forecast at a time.
function choicesWithout(region: string, present: string): Promise<void> {
  const ask = busy.then(async () => {
    if (basis !== present || known[region]) return;
    const f = await api.forecast({ target: `region:${region}`, kind: "down" });
    if (basis === present) known[region] = Object.fromEntries(f.countries.map(c => [c.name, c.after ?? ""]));
  });
  busy = ask.catch(() => undefined);
  return ask;
}

// useNext returns the next choice of a country, given its present region, as far as it is known. It asks for those regions that are missing.
export function useNext(flow: api.Forecast | undefined, regions: string[]): (c: api.Part) => string | undefined {
  const [, again] = useState({});
  const present = (flow?.countries ?? []).map(c => `${c.name} ${c.after}`).sort().join(); // an event that moves no country asks for nothing
  if (basis !== present) {
    basis = present;
    known = {};
  }
  const missing = regions.filter(r => r && !r.startsWith("(") && !known[r]).sort().join(",");
  useEffect(() => {
    if (!flow || !missing) return;
    let on = true;
    for (const r of missing.split(",")) void choicesWithout(r, present).then(() => on && again({}), () => undefined);
    return () => { on = false; };
  }, [present, missing]);
  return c => known[c.after ?? ""]?.[c.name];
}
