// Measured shares: the answers that the server has given in the last minutes.

import type { Answers, Forecast, Part } from "./api";

type Member = Answers["members"][number];

export interface Measured {
  total: number;
  share: (key: string) => number | undefined; // undefined: nothing was answered
}

// measuredBy sums the answers of members by a key, such as their region.
export function measuredBy(answers: Answers | undefined, key: (m: Member) => string): Measured {
  const sums: Record<string, number> = {};
  let total = 0;
  for (const m of answers?.members ?? []) {
    const k = key(m);
    if (!k) continue;
    sums[k] = (sums[k] ?? 0) + m.answers;
    total += m.answers;
  }
  return { total, share: k => total > 0 ? (sums[k] ?? 0) / total : undefined };
}

// measuredInPools returns the share of each member in the answers of its pool, by pool/member.
export function measuredInPools(answers?: Answers): Record<string, number> {
  const totals: Record<string, number> = {}, all: Record<string, number> = {};
  for (const m of answers?.members ?? []) totals[m.pool] = (totals[m.pool] ?? 0) + m.answers;
  for (const m of answers?.members ?? []) if (totals[m.pool]) all[`${m.pool}/${m.member}`] = m.answers / totals[m.pool];
  return all;
}

// rateOf estimates the queries a second of a country: the answers with an address of its region, by the part of that
// region's clients that the country has. Nothing counts queries by country.
export function rateOf(answers: Answers | undefined, flow: Forecast | undefined, c: Part): number | undefined {
  const share = flow?.regions.find(r => r.name === c.after)?.share.after;
  const seconds = answers ? (Date.parse(answers.at) - Date.parse(answers.since)) / 1000 : 0;
  if (!share || seconds <= 0) return undefined;
  const inRegion = answers!.members.filter(m => m.region === c.after).reduce((sum, m) => sum + m.answers, 0);
  return inRegion / seconds * Math.min(1, c.share / share);
}
