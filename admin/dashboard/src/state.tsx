// States of members: a shape and a word besides the colour.

import { h, type JSX } from "preact";

type Look = [tone: string, shape: JSX.Element];

const disc = <circle cx="6" cy="6" r="4.5" />;
const looks: Record<string, Look> = {
  up: ["neutral", disc],
  live: ["neutral", disc],
  down: ["bad", <path d="M1 2h10L6 11z" />],
  "not live": ["bad", <path d="M1 2h10L6 11z" />],
  uncertain: ["warn", <path d="M6 1.500a4.5 4.5 0 0 1 0 9zM6 1.500a4.5 4.5 0 0 0 0 9" class="half" />],
  "ejection deferred": ["warn", <path d="M6 1.500a4.5 4.5 0 0 1 0 9zM6 1.500a4.5 4.5 0 0 0 0 9" class="half" />],
  drained: ["calm", <path d="M2.5 1.500h2.500v9H2.500zM7 1.500h2.500v9H7z" />],
  forced: ["forced", <path d="M2 1h1.500v10H2zM4 1.500h7L8.5 4 11 6.500H4z" />],
  unknown: ["quiet", <circle cx="6" cy="6" r="4" class="hollow" />],
};

function look(state: string): Look {
  if (state.startsWith("forced")) return looks.forced;
  if (state.startsWith("not live")) return looks["not live"];
  return looks[state] ?? looks.unknown;
}

// State shows a state as a shape and its word.
export function State({ state, quiet }: { state: string; quiet?: boolean }) {
  const [tone, shape] = look(state);
  return <span class={`state ${quiet && tone === "neutral" ? "quiet" : tone}`}>
    <svg viewBox="0 0 12 12" aria-hidden="true">{shape}</svg>{state}
  </span>;
}
