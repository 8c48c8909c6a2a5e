// The requests to the API and the types of its answers.

export type Family = "IPv4" | "IPv6";

export interface Override {
  target: string; kind: string; value?: string; reason?: string; since: string; until?: string; unknown?: boolean;
  owner?: string; at?: string; error?: string; // of a maintenance window; when it begins; why it has not begun
  shared?: { by?: string; node: string }; local?: boolean; // on all nodes of the cluster; on this node only, of a cluster
}
export interface Maintenance {
  name: string; state: "open" | "refused" | "waiting"; begin: string; end: string; targets: string[]; weight?: string; reason?: string; error?: string;
}
export interface Result { at: string; outcome: string; reason: string; latency: number }
export interface Transition { at: string; from: string; to: string; reason: string }
export interface Address {
  address: string; check?: string; verdict: string; effective?: string; since?: string; why?: string; next?: string;
  share: number; streak: number; due?: string; results: Result[]; transitions: Transition[];
  expires?: string; warning?: string; inconclusive_since?: string; parts?: Address[];
}
export interface Member {
  member: string; region?: string; pool?: string; target?: string; cname?: string; weight: number; state: string;
  since?: string; why: string; next: string; override?: Override; eligible: Record<Family, boolean>;
  addresses?: Address[]; ejection_deferred?: boolean;
}
export interface Pool {
  pool: string; policy: string; mode: Record<Family, string>; live: Record<Family, boolean>;
  eligible: Record<Family, number>; need: number; members: Member[]; mode_since: Record<Family, string>;
  lost_regions?: { region: string; family: string }[];
}
export interface Status {
  at: string; started_at: string; config: string; listen: string[];
  state: { folder: string; persisted: boolean; quarantined?: { at: string; file: string; error: string } };
  reload: { refused: boolean; at?: string; error?: string; detail?: string };
  last_good?: { kept: string; error: string; errors: string[] | null; hint?: string };
  prober: { at: string; stalled: boolean; panics: number; targets: number; probing: number };
  build_panics: number; overrides: Override[]; generation: number; config_hash: string; loaded_at: string;
  regions: { region: string; down: boolean; since?: string; why: string }[];
  pools: Pool[];
  maintenance?: Maintenance[];
  notify?: { sink: string; delivered: number; failed: number; rejected: number; lost: number; failing_since?: string; error?: string }[];
  outages?: { pool: string; since?: string }[];
  floods?: Flood[];
  cluster?: { etcd: "ok" | "unreachable"; mode: "etcd" | "direct" | "alone"; canary?: CanaryRun }; // absent: the node decides alone
}
export interface Flood {
  number: number; kind: "source" | "name" | "zone" | "type"; key: string; since: string;
  queries_per_second: number; usual_queries_per_second: number; command?: string;
}
export interface Region { region: string; latitude: number; longitude: number; bias?: number }
export interface Change { before: number; after: number }
export interface Km { before: number | null; after: number | null } // null: no traffic has a distance
export interface Target { name: string; share: Change }
export interface Part {
  name: string; share: number; moved: number; from?: string; to?: string; before?: string; after?: string; km: Km;
}
export interface Forecast {
  clients: number; names: number; moved: number; affected: number; fail_open: Change; fallback: Change; no_answer: Change;
  impaired?: { pool: string; how?: string; share?: Change }[]; unasked?: { pool: string; type?: string }[];
  km: Km; regions: Target[]; members: Target[]; flows: { from: string; to: string; share: number }[];
  served?: Target[]; countries: Part[]; worst: Part[] | null; breaches?: { name: string; load: Change; capacity: number }[];
}
export interface Event {
  id: number; time: string; kind: string; severity: "info" | "warning" | "error"; subject: string; message: string;
  fields?: Record<string, string>;
}
export interface Stats {
  at: string; started_at: string; queries: number; udp: number; tcp: number; truncated: number; fail_open: number;
  dropped: number; panics: number; rcodes: Record<string, number>;
  samples: Sample[];
}
export interface Sample { at: string; queries: number; p50?: number; p99?: number } // times of the answers before it, in nanoseconds
// Answers counts the answers since a time, some minutes ago.
export interface Answers {
  since: string; at: string; members: { pool: string; member: string; region?: string; answers: number }[];
}
export interface Zone {
  zone: string; names: number; records: number; balanced: number; nameservers: string[]; file?: string;
  ttl: number; serial: number; frozen?: { reason?: string; since: string }; bound: { name: string; pool: string; type?: string; view?: string }[];
}
export interface Key {
  tag: number; algorithm: number; role: string; state: string; signs: string[]; ds?: string; file: string;
  created?: string; publish?: string; activate?: string; inactive?: string; delete?: string; cds?: string;
}
export interface ZoneKeys {
  zone: string; policy: string; manager: string; keys: Key[]; next?: { at: string; what: string }; waits?: string; since?: string;
  parent?: string; overdue?: boolean; ds_seen: boolean; signatures_expire: string;
}
export interface Generation {
  generation: number; time: string; hash: string; source: string; who?: string; reason?: string; files: string[]; serving: boolean; canary_run?: CanaryRun;
}
// CanaryRun is a canary of the shared configuration: where it serves, since when, and how it ends or has ended.
export interface CanaryRun {
  generation: number; where: string; since: string; until: string; result: "running" | "promoted" | "rolled back" | "canceled"; by: string; why?: string;
  awaited?: string[];
}
export interface ProbeReport {
  check: string; type: string; address: string; result: string; reason: string; seconds: number;
  steps: { step: string; found?: string; seconds: number }[];
}
export interface Session { name: string; role: "viewer" | "operator" | "admin"; token: boolean; version: string }
export interface Step {
  pool: string; policy: string; member: string; region?: string; state: string; eligible: boolean; chosen: boolean;
  reason: string; distance_km?: number; weight?: number; probability: number; in_answer: number; pool_member?: string;
}
export interface Explanation {
  name: string; type: string; client: string; source: string;
  location: {
    continent?: string; country: string; subdivision?: string; city?: string; asn?: number; latitude: number; longitude: number;
    from: string; network?: string; unused_accuracy_radius_km?: number;
  };
  rcode: string; answers: { name: string; type: string; ttl: number; data: string }[]; why?: string; scope: number; draw: string;
  asked: { pool: string; family: string; mode: string; by: string; why: string }[];
  steps: Step[]; sources: { source: string; network?: string; says: string; placed: boolean }[];
}

// ConfigError is one error or warning of a configuration.
export interface ConfigError { file?: string; line?: number; column?: number; path?: string; message: string; hint?: string }

// ApiError is an error answer of the server.
export class ApiError extends Error {
  constructor(readonly status: number, message: string, readonly hint = "", readonly errors: ConfigError[] = []) { super(message); }
}

// asApiError converts the error of a request: of one without an answer too.
export const asApiError = (e: unknown) => e instanceof ApiError ? e : new ApiError(0, "The server does not answer.");

const tokenKey = "meridian-token";

// setToken keeps the token until the tab is closed.
export function setToken(token: string) {
  if (token) sessionStorage.setItem(tokenKey, token);
  else sessionStorage.removeItem(tokenKey);
}

function headers(more: Record<string, string> = {}): Record<string, string> {
  const token = sessionStorage.getItem(tokenKey);
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

async function check(answer: Response): Promise<Response> {
  if (answer.ok) return answer;
  let body: { error?: string; title?: string; detail?: string; hint?: string; errors?: ConfigError[] } = {};
  try { body = await answer.json(); } catch { /* not JSON: the status says it */ }
  throw new ApiError(answer.status, body.error ?? body.detail ?? body.title ?? `the server answered ${answer.status}`, body.hint, body.errors);
}

export type Query = Record<string, string | string[] | undefined>;

function url(path: string, query: Query = {}): string {
  const words = new URLSearchParams();
  for (const [k, v] of Object.entries(query)) for (const word of [v ?? []].flat()) if (word) words.append(k, word);
  return path + (words.size ? `?${words}` : "");
}

const patience = 60_000; // for an answer, in milliseconds

// within returns a signal that ends with another one, or after the patience for an answer.
const within = (signal?: AbortSignal) => AbortSignal.any([AbortSignal.timeout(patience), ...signal ? [signal] : []]);

export async function get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> {
  return (await check(await fetch(url(path, query), { headers: headers(), signal: within(signal) }))).json();
}

// forecast asks what a change would do.
export async function forecast(query: Query, signal?: AbortSignal): Promise<Forecast> {
  return complete(await get<Forecast>("/v1/forecast", query, signal));
}

// complete gives a forecast the empty lists that the answer leaves out.
export function complete(f: Forecast): Forecast {
  for (const list of ["regions", "members", "flows", "countries"] as const) f[list] ??= [];
  return f;
}

// getText asks for a text, and returns its entity tag too.
export async function getText(path: string, query?: Query): Promise<{ text: string; tag: string }> {
  const answer = await check(await fetch(url(path, query), { headers: headers(), signal: within() }));
  return { text: await answer.text(), tag: answer.headers.get("ETag") ?? "" };
}

// send changes something; with a tag only if that is still the tag of what it changes.
export async function send<T>(method: string, path: string, query?: Query, body?: unknown, tag?: string): Promise<T> {
  const init: RequestInit = { method, headers: headers({ ...(body !== undefined && { "Content-Type": "application/json" }), ...(tag && { "If-Match": tag }) }) };
  if (body !== undefined) init.body = JSON.stringify(body);
  return (await check(await fetch(url(path, query), init))).json();
}

// sendYAML sends a configuration; with a tag only if that is still the tag of the served one.
export async function sendYAML<T>(method: string, path: string, text: string, query?: Query, tag?: string): Promise<T> {
  return (await check(await fetch(url(path, query), { method, body: text, headers: headers({ "Content-Type": "application/yaml", ...(tag && { "If-Match": tag }) }) }))).json();
}

const longestSilence = 40_000; // of a stream, in milliseconds: the server sends a comment every 15 s

// stream reads server-sent events until the connection ends or is silent for too long. EventSource cannot send a token.
export async function stream(path: string, query: Query, open: () => void, each: (e: Event) => void) {
  const stop = new AbortController();
  const answer = await check(await fetch(url(path, query), { headers: headers({ Accept: "text/event-stream" }), signal: stop.signal }));
  open();
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const silence = setTimeout(() => stop.abort(), longestSilence);
    const { value, done } = await reader.read().finally(() => clearTimeout(silence));
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop()!;
    for (const block of blocks) {
      const data = block.split("\n").filter(l => l.startsWith("data: ")).map(l => l.slice(6)).join("\n");
      if (data) each(JSON.parse(data));
    }
  }
}
