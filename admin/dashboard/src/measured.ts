// Measured shares: the answers that the server has given in the last minutes.

import type { Answers } from "./api";

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
