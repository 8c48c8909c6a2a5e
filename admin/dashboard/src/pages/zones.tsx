// Zones: what is served, and which pool answers which name.

import { h } from "preact";
import { useEffect, useState } from "preact/hooks";
import * as api from "../api";
import { useStore } from "../store";
import { Card, Facts, Filter, Problem, Table } from "../ui";
import type { Params } from "../route";

export function Zones(_: Params) {
  const s = useStore();
  const [zones, set] = useState<api.Zone[]>(), [error, setError] = useState<api.ApiError>(), [filter, setFilter] = useState("");
  const config = s.status!.reload.at;
  useEffect(() => { void api.get<{ zones: api.Zone[] }>("/v1/zones").then(z => set(z.zones), e => setError(e)); }, [config]);
  if (!zones) return <Problem error={error} />;
  return <div class="stack">
    <div class="row end"><Filter value={filter} set={setFilter} hint="name, pool" /></div>
    {zones.map(z => <Card key={z.zone} title={z.zone}>
      <Facts rows={[
        ["Serial", String(z.serial)],
        ["Names", `${z.names.toLocaleString("en")}, ${z.balanced.toLocaleString("en")} answered by pools`], ["Static records", z.records.toLocaleString("en")],
        ["Nameservers", z.nameservers.join(", ") || "of the file"], ["TTL of pool answers", `${z.ttl} s`], ...(z.file ? [["File", z.file] as [string, string]] : []),
      ]} />
      <Table label={`Names of ${z.zone}`} rows={z.bound.filter(b => `${b.name} ${b.pool}`.includes(filter))} id={b => b.name} empty="No name is bound to a pool." columns={[
        { head: "Name", cell: b => b.name },
        { head: "Pool", cell: b => <a href={`#/pools?filter=${encodeURIComponent(b.pool)}`}>{b.pool}</a> },
        { head: "", class: "end", cell: b => <a class="button" href={`#/explain?name=${encodeURIComponent(b.name.replace("*", "any"))}`} aria-label={`Explain ${b.name}`}>Explain</a> },
      ]} />
    </Card>)}
  </div>;
}
