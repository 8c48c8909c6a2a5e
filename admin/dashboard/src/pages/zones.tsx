// Zones: what is served, which pool answers which name, and the keys that sign.

import { h } from "preact";
import { useEffect, useState } from "preact/hooks";
import * as api from "../api";
import { useStore } from "../store";
import { ago } from "../format";
import { Card, Facts, Filter, Problem, Table } from "../ui";
import { Keys } from "./keys";
import type { Params } from "../route";

export function Zones(_: Params) {
  const s = useStore();
  const [zones, set] = useState<api.Zone[]>(), [error, setError] = useState<api.ApiError>(), [filter, setFilter] = useState("");
  const config = s.status!.reload.at, [keys, setKeys] = useState<api.ZoneKeys[]>([]);
  const rolled = s.events.find(e => e.kind === "dnssec")?.id; // the last change of a key
  useEffect(() => { void api.get<{ zones: api.ZoneKeys[] }>("/v1/keys").then(z => setKeys(z.zones), () => undefined); }, [config, rolled]);
  useEffect(() => { void api.get<{ zones: api.Zone[] }>("/v1/zones").then(z => set(z.zones), e => setError(e)); }, [config]);
  if (!zones) return <Problem error={error} />;
  return <div class="stack">
    <div class="row end"><Filter value={filter} set={setFilter} hint="name, pool, view" /></div>
    {zones.map(z => <Card key={z.zone} title={z.zone}>
      <Facts rows={[
        ["Serial", String(z.serial)],
        ["Names", `${z.names.toLocaleString("en")}, ${z.balanced.toLocaleString("en")} answered by pools`], ["Static records", z.records.toLocaleString("en")],
        ["Nameservers", z.nameservers.join(", ") || "of the file"], ["TTL of pool answers", `${z.ttl} s`], ...(z.frozen ? [["Updates", `refused: frozen for ${ago(z.frozen.since)}${z.frozen.reason ? `, ${z.frozen.reason}` : ""}`] as [string, string]] : []), ...(z.file ? [["File", z.file] as [string, string]] : []),
      ]} />
      {keys.filter(k => k.zone === z.zone).map(k => <Keys key={k.zone} z={k} />)}
      <Table label={`Names of ${z.zone}`} rows={z.bound.filter(b => `${b.name} ${b.pool} ${b.view ?? ""}`.includes(filter))} id={b => `${b.name} ${b.view ?? ""} ${b.type ?? ""}`} empty="No name is bound to a pool." columns={[
        { head: "Name", cell: b => b.view ? `${b.name} (view ${b.view})` : b.name },
        ...(z.bound.some(b => b.type) ? [{ head: "Type", cell: (b: api.Zone["bound"][number]) => b.type ?? "all" }] : []),
        { head: "Pool", cell: b => <a href={`#/pools?filter=${encodeURIComponent(b.pool)}`}>{b.pool}</a> },
        { head: "", class: "end", cell: b => <a class="button" href={`#/explain?name=${encodeURIComponent(b.name.replace("*", "any"))}${b.type ? `&type=${b.type}` : ""}`} aria-label={`Explain ${b.name}${b.type ? ` ${b.type}` : ""}`}>Explain</a> },
      ]} />
    </Card>)}
  </div>;
}
