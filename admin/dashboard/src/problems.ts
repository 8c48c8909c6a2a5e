// The problems of a running server, the worst first: what is wrong, since when, what users notice
// and what helps.

import { clock, effect, estimate, words } from "./format";
import type { Address, Flood, Maintenance, Member, Pool, Status, Override } from "./api";

export interface Trouble {
  rank: number; // 0: users get no answer or an unhealthy one; 1: less capacity; 2: needs a look
  what: string; since?: string; effect: string; help?: string; link?: string; pool?: string; target?: string;
}

export function troubles(s: Status): Trouble[] {
  const all = [...server(s), ...regions(s), ...floods(s.floods ?? []), ...together(s), ...s.pools.flatMap(pool), ...unknown(s), ...windows(s.maintenance ?? []), ...overrides(s.overrides)];
  return all.sort((a, b) => a.rank - b.rank);
}

function server(s: Status): Trouble[] {
  const all: Trouble[] = [];
  if (s.prober.stalled) all.push({ rank: 0, what: "The prober is stalled", since: s.prober.at, effect: "Health states are frozen: failures are not detected.", help: "See the log; restart the server." });
  if (s.last_good) all.push({ rank: 1, what: "The last good configuration serves", since: s.last_good.kept, effect: `The present configuration has no effect. ${s.last_good.error}`, help: s.last_good.hint ?? "Correct it, then reload.", link: "#/server" });
  if (s.reload.refused) all.push({ rank: 1, what: "The last reload was rejected", since: s.reload.at, effect: `The previous configuration keeps serving. ${s.reload.detail ?? s.reload.error ?? ""}`, help: "meridian reload", link: "#/server" });
  if (s.state.folder && !s.state.persisted) all.push({ rank: 1, what: "The state directory cannot be written", effect: "A restart loses health states and overrides." });
  if (s.state.quarantined) all.push({ rank: 2, what: "The state file was corrupt at start", since: s.state.quarantined.at, effect: "Overrides of the previous process may be lost." });
  if (s.cluster?.mode === "direct") all.push({ rank: 2, what: "etcd cannot be reached: mode direct", effect: "Health states are agreed with the nodes that can be reached directly. Overrides apply to one node only.", help: "meridian cluster status" });
  if (s.cluster?.mode === "alone") all.push({ rank: 1, what: "etcd and the other nodes cannot be reached", effect: "Health states hold: failures are not acted upon, unless this node is a majority of the regions.", help: "meridian cluster status" });
  const canary = s.cluster?.canary;
  if (canary?.result === "rolled back") all.push({
    rank: 2, what: `The canary of generation ${canary.generation} was rolled back by ${canary.by}`, since: canary.until,
    effect: `Users get the generation before. ${canary.why ?? ""}`, help: "Correct the configuration, then push it again: meridian config push", link: "#/server",
  });
  for (const n of s.notify ?? []) if (n.failing_since) all.push({ rank: 2, what: `Notifications to ${n.sink} fail`, since: n.failing_since, effect: n.error ?? "", link: "#/server" });
  if (s.build_panics) all.push({ rank: 1, what: `${s.build_panics} panics while a configuration was built`, effect: "The previous state keeps serving.", help: "See the log." });
  return all;
}

function regions(s: Status): Trouble[] {
  return s.regions.filter(r => r.down).map(r => ({
    rank: 1, what: `Region ${r.region} is down`, since: r.since, effect: `Its clients get other regions. ${r.why}`, link: `#/forecast?target=region:${r.region}&kind=down`,
  }));
}

// floods reports what is asked for far more than usual, each with the command that stops it.
function floods(list: Flood[]): Trouble[] {
  const from: Record<Flood["kind"], string> = { source: "from", name: "for", zone: "for random names in", type: "of type" };
  return list.map(f => ({
    rank: 1, what: `Flood of queries ${from[f.kind]} ${f.key}`, since: f.since, help: f.command,
    effect: `${estimate(f.queries_per_second)} a second, usual ${estimate(f.usual_queries_per_second)}. If queries are lost, users wait for their resolver to ask again.`,
  }));
}

const down = (m: Member) => m.state === "down" || m.state.startsWith("not live") || m.state === "unresolved";

const fewDown = 2; // members of a region that are down for one reason: one problem from here

// downKey groups members by region and reason.
const downKey = (m: Member) => m.region && down(m) ? `${m.region} ${m.why}` : "";

// grouped returns the keys of members that together lists.
function grouped(s: Status): Map<string, { name: string; m: Member }[]> {
  const all = new Map<string, { name: string; m: Member }[]>();
  for (const p of s.pools) for (const m of p.members) {
    const key = downKey(m);
    if (key) all.set(key, [...all.get(key) ?? [], { name: `${p.pool}/${m.member}`, m }]);
  }
  for (const [key, list] of all) if (list.length < fewDown) all.delete(key);
  return all;
}

let groups = new Map<string, { name: string; m: Member }[]>();

// together reports members of one region that are down for one reason as one problem.
function together(s: Status): Trouble[] {
  groups = grouped(s);
  return [...groups.values()].map(list => {
    const { region, why, next } = list[0].m, names = list.map(x => x.name);
    const whole = s.pools.every(p => p.members.every(m => m.region !== region || down(m)));
    return {
      rank: 1, since: list.map(x => x.m.since ?? "").sort()[0], what: whole ? `Every member in ${region} is down` : `${list.length} members in ${region} are down`,
      effect: `${why}: ${names.slice(0, 6).join(", ")}${names.length > 6 ? ` and ${names.length - 6} more` : ""}.${whole ? " Its clients go to other regions." : ""}`, help: next, link: `#/pools?filter=${encodeURIComponent(region!)}`,
    };
  });
}

// servedFamilies returns the families that a pool has addresses of.
function servedFamilies(p: Pool): ("IPv4" | "IPv6")[] {
  const kinds = new Set(p.members.flatMap(m => (m.addresses ?? []).map((a: Address) => a.address.includes(":") ? "IPv6" as const : "IPv4" as const)));
  return kinds.size ? [...kinds] : ["IPv4"];
}

function pool(p: Pool): Trouble[] {
  const all: Trouble[] = [], families = servedFamilies(p);
  const odd = families.find(f => p.mode[f] !== "normal"), dead = families.find(f => !p.live[f]);
  const link = `#/pools?filter=${encodeURIComponent(p.pool)}`;
  if (odd) {
    const effect: Record<string, string> = {
      "fail-open": "No member is healthy: users get addresses that fail their checks.",
      fallback: "Users get the fallback pool.",
    };
    all.push({ rank: p.mode[odd] === "fallback" ? 1 : 0, what: `Pool ${p.pool}: ${p.mode[odd]}`, since: p.mode_since[odd], effect: effect[p.mode[odd]] ?? "Users get no address.", link, pool: p.pool });
  } else if (dead) {
    all.push({ rank: 0, what: `Pool ${p.pool} is not live`, effect: "Too few members are eligible.", link, pool: p.pool });
  }
  for (const m of p.members) {
    const name = `${p.pool}/${m.member}`, memberLink = `#/pools?filter=${encodeURIComponent(name)}`;
    if (groups.has(downKey(m))) continue;
    if (down(m)) all.push({ rank: 1, what: `${name} is ${m.state}`, since: m.since, effect: m.why, help: m.next, link: memberLink, target: name, pool: p.pool });
    else if (m.ejection_deferred) all.push({ rank: 1, what: `${name} is down but answered`, since: m.since, effect: `max_ejection defers its ejection. ${m.why}`, link: memberLink, target: name, pool: p.pool });
    else if (m.state === "uncertain") all.push({ rank: 2, what: `${name} is uncertain`, since: m.since, effect: m.why, link: memberLink, target: name, pool: p.pool });
    for (const a of m.addresses ?? []) if (a.warning) all.push({ rank: 2, what: `${name}: ${a.warning}`, since: undefined, effect: "No health state changes.", link: memberLink, target: name, pool: p.pool });
  }
  return all;
}

// unknown reports the members without a health result as one problem.
function unknown(s: Status): Trouble[] {
  const n = s.pools.reduce((sum, p) => sum + p.members.filter(m => m.state === "unknown").length, 0);
  if (!n) return [];
  return [{ rank: 2, what: `${words(n, "member")} without a health result`, effect: "They count as up until their checks have a conclusive result.", link: "#/pools?filter=unknown" }];
}

// overrides reports those that apply, and those that could not begin; a scheduled one is no problem.
function overrides(list: Override[]): Trouble[] {
  return list.filter(o => !o.at || o.error).map(o => ({
    rank: o.unknown || o.error ? 1 : 2, since: o.at ?? o.since, link: "#/pools?filter=override", target: o.target,
    what: o.error ? `${o.target} is not ${effect(o)}, as scheduled` : `${o.target} is ${effect(o)} by ${o.owner ?? "an operator"}`,
    effect: o.error ? `${o.error} It is tried again each minute.`
      : (o.reason ?? "No reason is given.") + (o.unknown ? " It is not in the configuration." : "") + (o.until ? ` Until ${clock(o.until)}.` : " It has no end."),
  }));
}

// windows reports the maintenance windows that the guards keep from opening.
function windows(list: Maintenance[]): Trouble[] {
  return list.filter(w => w.state === "refused").map(w => ({
    rank: 1, since: w.begin, what: `Maintenance ${w.name} does not begin`, effect: `${w.error ?? ""} It is tried again each minute.`, link: "#/pools",
  }));
}

