// Numbers and times as text.

export const percent = (share: number) =>
  share === 0 ? "0 %" : share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;

export const km = (n: number | null) => n === null ? "" : `${Math.round(n).toLocaleString("en")} km`;

// effect describes what an override does: drained, or at weight 20%.
export const effect = (o: { kind: string; value?: string }) => o.kind === "weight" ? `at weight ${o.value}` : o.kind;

export const count = (n: number) => n.toLocaleString("en", { maximumFractionDigits: n < 10 ? 1 : 0 });

// estimate is a number with two digits that count.
export const estimate = (n: number) => n < 1 ? "0" : n.toLocaleString("en", { maximumSignificantDigits: 2 });

// words counts things: 1 pool, 2 pools.
export const words = (n: number, noun: string) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

const valid = (t?: string) => !!t && !t.startsWith("0001-");

// ago is the time since t in its largest two units.
export function ago(t?: string, now = Date.now()): string {
  if (!valid(t)) return "";
  return span(Math.max(0, now - Date.parse(t!)));
}

export function span(ms: number): string {
  const s = Math.floor(ms / 1000);
  const units: [string, number][] = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const at = units.findIndex(([, size]) => s >= size);
  if (at < 0) return "0 s";
  const [name, size] = units[at];
  const rest = units[at + 1] && Math.floor((s % size) / units[at + 1][1]);
  return `${Math.floor(s / size)} ${name}` + (rest ? ` ${rest} ${units[at + 1][0]}` : "");
}

// clock is a time of today as 12:03:04, of another day with its date, in the zone of the browser.
export function clock(t?: string): string {
  if (!valid(t)) return "";
  const d = new Date(t!), pad = (n: number) => String(n).padStart(2, "0");
  const time = `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
  const day = `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}`;
  return d.toDateString() === new Date().toDateString() ? time : `${day} ${time}`;
}

// millis is a duration of nanoseconds in its unit: 1.20 s, 3.4 ms, 12 µs.
export const millis = (ns: number) => ns >= 1e9 ? `${(ns / 1e9).toFixed(2)} s` : ns >= 1e6 ? `${(ns / 1e6).toFixed(1)} ms` : `${(ns / 1e3).toFixed(ns < 1e4 ? 1 : 0)} µs`;

let names: Intl.DisplayNames | undefined;

// country is the English name of a country code.
export function country(code: string): string {
  names ??= new Intl.DisplayNames(["en"], { type: "region" });
  try { return names.of(code) ?? code; } catch { return code; }
}
