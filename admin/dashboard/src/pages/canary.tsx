// Canary: the generation that some nodes or some clients get before the others, or how the last one has ended.

import { h } from "preact";
import type { CanaryRun } from "../api";
import { ago, clock } from "../format";
import { Card, Facts } from "../ui";

export function Canary({ run }: { run?: CanaryRun }) {
  if (!run) return null;
  const running = run.result === "running";
  return <Card title="Canary" note={running ? "serves before the others" : "the last one"}><Facts rows={[
    ["Generation", run.generation], ["On", run.where], ["Since", `${clock(run.since)}, ${ago(run.since)} ago`],
    ["Result", <span class={run.result === "rolled back" ? "bad" : ""}>{run.result}{!running && ` by ${run.by} at ${clock(run.until)}, ${ago(run.until)} ago`}</span>],
    [running ? "Pushed by" : "Reason", running ? `${run.by}${run.why ? `: ${run.why}` : ""}` : run.why ?? "none given"],
    ...(running ? ends(run) : []),
  ]} /></Card>;
}

// ends says what ends a running canary.
function ends(run: CanaryRun): [string, string][] {
  const awaited = run.awaited ?? [];
  return [
    ["All nodes", `serve it after ${clock(run.until)}${awaited.length ? `, once these nodes serve the canary: ${awaited.join(", ")}` : ""}`],
    ["Ends before", "if a node rejects it, if more of its answers are SERVFAIL, if a pool fails open or has no answer, or by: meridian config rollback"],
  ];
}

// describe says in one line what a generation was as a canary.
export const describe = (run?: CanaryRun) => !run ? "" : `${run.result}, on ${run.where}${run.result === "running" || !run.why ? "" : `: ${run.why}`}`;
