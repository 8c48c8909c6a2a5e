// Checks the dashboard in Chromium: every page in three forms, accessibility, a drain by keyboard
// from the button to the changed answer, a weight, what-if, a configuration applied and rolled back, older events, a viewer who cannot drain, and a restart
// of the server.
//
//	BASE        URL of the server
//	CONTROL     URL of a server that stops and starts it
//	DNS         ADDRESS:PORT of its DNS
//	ADMIN, OPERATOR, VIEWER   tokens
//	CONFIG      the served configuration
//	SCREENSHOTS a folder for screenshots; none: no screenshots
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Resolver } from "node:dns/promises";
import { chromium } from "playwright-core";

const { BASE, CONTROL, DNS, ADMIN, OPERATOR, VIEWER, SCREENSHOTS, CHROMIUM, CONFIG } = process.env;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const pages = {
  overview: "", pools: "", explain: "?name=www.example.com.&client=81.2.69.160", forecast: "?target=region:eu-west&kind=down",
  health: "", events: "", zones: "", server: "",
};
// More views, for screenshots and accessibility: the page, its query, what shows that it is complete.
const views = {
  "explain-country": ["explain", "?name=www.example.com.&client=FR", p => p.getByText("FR, EU").or(p.getByText("France")).first().waitFor()],
  "explain-if": ["explain", "?name=www.example.com.&client=81.2.69.160&down=web/euw-1", p => p.getByText("What if these are down").waitFor()],
};
// The same for the role admin.
const adminViews = {
  generation: ["server", "", async p => { await p.getByRole("button", { name: "Compare generation 1" }).click(); await p.getByRole("dialog").getByText(/No client moves/).waitFor(); }],
  "forecast-configuration": ["forecast", "?of=configuration", p => p.getByLabel("YAML, pasted or from a file").waitFor()],
};
const failures = [];
let stopped = false; // the server is down, and requests to it fail
const expect = (ok, what) => { if (!ok) failures.push(what); };

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu", "--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows"] });

// open returns a page that fails the check on an error in its console or a request to elsewhere.
async function open(form, token) {
  const context = await browser.newContext({ viewport: { width: form.width, height: form.width < 600 ? 844 : 800 }, colorScheme: form.scheme, locale: "en-GB" });
  const page = await context.newPage();
  page.setDefaultTimeout(180_000); // a forecast on a busy machine is slow
  page.on("pageerror", e => failures.push(`error in the page: ${e.message}`));
  page.on("console", m => { if (m.type() === "error" && !stopped && !/401|403|409|422/.test(m.text())) failures.push(`console: ${m.text()}`); });
  page.on("request", r => { if (!r.url().startsWith(BASE) && !/^(data|blob):/.test(r.url())) failures.push(`request to ${r.url()}`); });
  await page.goto(BASE + "/");
  await page.bringToFront(); // a hidden page asks for nothing
  await page.getByLabel("Token").fill(token).catch(async e => {
    throw new Error(`${e.message}; the page is ${await page.evaluate(() => `${document.visibilityState}: ${document.body.innerText}`)}`);
  });
  await page.keyboard.press("Enter");
  await page.getByRole("region", { name: "Problems" }).waitFor();
  return page;
}

const settled = {
  explain: p => p.getByText("The answer", { exact: true }).waitFor(), forecast: p => p.getByText("Who moves").waitFor(),
  overview: async p => { await p.locator(".map .land path").first().waitFor(); await p.getByText("Answers since the start").waitFor(); await p.getByRole("region", { name: "Countries: table" }).waitFor(); }, zones: p => p.getByRole("region", { name: "DNSSEC keys of example.com." }).getByText("active", { exact: true }).waitFor(),
  server: p => p.getByText("Changes through the API").first().waitFor(),
};

const visit = (page, hash) => page.evaluate(h => { location.hash = h; }, hash);

async function checkPage(page, name, form) {
  const where = `${name} ${form.scheme} ${form.width}`;
  const [heading, query, ready] = views[name] ?? adminViews[name] ?? [name, pages[name], settled[name]];
  await visit(page, `#/${heading}${query}`);
  await page.getByRole("heading", { level: 1, name: heading, exact: false }).waitFor({ state: "attached" });
  await ready?.(page);
  if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/${name}-${form.scheme}-${form.width}.png`, fullPage: form.width < 600 });
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(over <= 0, `${where}: it is ${over} pixels wider than the window`);
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  for (const v of found.violations) failures.push(`${where}: ${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map(n => n.html.slice(0, 160)).join(" | ")}`);
}

// picture takes the screenshot of the README.
async function picture(page) {
  await visit(page, "#/overview");
  await page.setViewportSize({ width: 1120, height: 660 });
  await settled.overview(page);
  await page.screenshot({ path: `${SCREENSHOTS}/readme.png` });
}

const resolver = new Resolver();
resolver.setServers([DNS]);
const answer = async () => (await resolver.resolve4("www.example.com")).join();

// drain drains web/euw-1 by the keyboard alone.
async function drain(page) {
  expect(await answer() === "192.0.2.2", `before the drain the answer is ${await answer()}`);
  await visit(page, "#/pools");
  const row = page.getByRole("row").filter({ hasText: "192.0.2.2" });
  await page.getByRole("button", { name: "Drain web/euw-1" }).focus();
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.getByText(/of clients move/).waitFor();
  if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/drain.png` });
  await dialog.getByLabel("Reason").focus();
  await page.keyboard.type("kernel upgrade");
  await page.keyboard.press("Enter");
  await dialog.waitFor({ state: "detached" });
  await row.getByText("drained").waitFor();
  await page.getByText("web/euw-1 is drained.").waitFor();
  expect(await answer() !== "192.0.2.2", "the drained member is answered");
  await visit(page, "#/events");
  await page.getByText("drained set: kernel upgrade").first().waitFor();
  await page.getByText("set an override by oncall: done").first().waitFor();
  await visit(page, "#/pools");
  await page.getByRole("button", { name: "Undo the override of web/euw-1" }).first().focus();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").getByRole("button", { name: "Remove the override" }).focus();
  await page.keyboard.press("Enter");
  await row.getByText("up", { exact: true }).waitFor();
  expect(await answer() === "192.0.2.2", "after the drain the old answer does not return");
}

const request = (method, path, token, type, body) => fetch(BASE + path, { method, headers: { "Content-Type": type, Authorization: `Bearer ${token}` }, body });

// weigh gives web/use-1 a weight, and api/use-1 one that begins later, and looks at both and at the maintenance window.
async function weigh(page) {
  await visit(page, "#/pools");
  const dialog = page.getByRole("dialog"), list = page.getByRole("region", { name: "Overrides and maintenance: table" });
  await list.getByText("maintenance rack-move").waitFor();
  for (const [target, begin] of [["web/use-1", ""], ["api/use-1", new Date(Date.now() + 7 * 86_400_000).toISOString().slice(0, 16)]]) {
    await page.getByRole("button", { name: `Weight of ${target}` }).click();
    await dialog.getByLabel("Clients that it keeps, in %").fill("20");
    if (begin) await dialog.getByLabel("Begins (empty: now)").fill(begin);
    await dialog.getByText(/of clients move/).waitFor();
    if (SCREENSHOTS && begin) await page.screenshot({ path: `${SCREENSHOTS}/weight.png` });
    await dialog.getByRole("button", { name: "Set the weight" }).click();
    await dialog.waitFor({ state: "detached" });
  }
  const rows = list.getByRole("row").filter({ hasText: "at weight 20%" });
  await rows.filter({ hasText: "web/use-1" }).getByText("applies").waitFor();
  await rows.filter({ hasText: "api/use-1" }).getByText("scheduled").waitFor();
  if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/overrides.png` });
  for (const target of ["web/use-1", "api/use-1"]) await request("DELETE", `/v1/overrides?target=${target}`, OPERATOR, "application/json");
  await rows.first().waitFor({ state: "detached" });
}

// point looks at a country on the map, and at the next choices of the table.
async function point(page) {
  await visit(page, "#/overview");
  await settled.overview(page);
  await page.locator(".map .land g").filter({ hasText: /^France/ }).first().dispatchEvent("pointerenter");
  await page.getByText(/^France: .*queries\/s; next choice: [a-z]/).waitFor();
  await page.getByRole("button", { name: "Show the next choices" }).click();
  const table = page.getByRole("region", { name: "Countries: table" });
  await page.waitForFunction(t => t.querySelectorAll("tbody tr td:nth-child(8) .key").length > 5, await table.elementHandle());
  if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/next-choice.png`, fullPage: true });
}

// rollback makes the first generation serve again.
async function rollback(page) {
  await visit(page, "#/server");
  await page.getByRole("button", { name: "Compare generation 1" }).click();
  const dialog = page.getByRole("dialog");
  const changed = await dialog.locator(".diff").innerText();
  expect(/- +contact: dns-team/.test(changed) && /\+ +contact: hostmaster/.test(changed), `the difference is ${changed}`);
  await dialog.getByLabel("Reason").fill("the old contact");
  await dialog.getByRole("button", { name: "Roll back to it" }).click();
  await page.getByText("Generation 1 serves again.").waitFor();
  await page.getByRole("region", { name: "Generations: table" }).getByText("the old contact").waitFor();
}

// apply applies a pasted configuration after its forecast; an edit after the forecast needs another one.
async function apply(page) {
  await visit(page, "#/forecast?of=configuration");
  const text = page.getByLabel("YAML, pasted or from a file"), button = page.getByRole("button", { name: "Apply this configuration" });
  const forecast = async () => {
    await page.getByRole("button", { name: "Forecast", exact: true }).click();
    await button.waitFor();
  };
  await text.fill(CONFIG.replace("contact: hostmaster", "contact: dns"));
  await forecast();
  await text.fill(CONFIG.replace("contact: hostmaster", "contact: dns-admin"));
  expect(await button.count() === 0, "a configuration that was edited after its forecast can be applied");
  await forecast();
  await page.getByLabel("Reason").fill("one contact for all zones");
  if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/apply.png` });
  await button.click();
  await page.getByText("The configuration serves.").waitFor();
  await visit(page, "#/server");
  await page.getByRole("region", { name: "Generations: table" }).getByText("one contact for all zones").waitFor();
}

// older makes more events than the page asks for at first, and asks for the others.
async function older(page) {
  for (let i = 0; i < 600; i += 20) await Promise.all(Array.from({ length: 20 }, () => request("POST", "/v1/clear", OPERATOR, "application/json", '{"target": "web"}')));
  await page.reload();
  await visit(page, "#/events?kind=override");
  await page.getByText("No event matches.").waitFor();
  await page.getByRole("button", { name: "Load older events" }).click();
  await page.getByText("drained set: kernel upgrade").first().waitFor();
  await page.getByText("The server keeps no older event").or(page.getByRole("button", { name: "Load older events" })).first().waitFor();
}

// assume checks the what-if of Explain and of Forecast: an answer with a member down, and the loss of two regions.
async function assume(page) {
  await visit(page, `#/explain${pages.explain}`);
  await settled.explain(page);
  await page.getByRole("button", { name: "If down: web/euw-1" }).click();
  await page.getByText("What if these are down").waitFor();
  await page.locator("pre", { hasText: "192.0.2.1" }).waitFor();
  await visit(page, "#/forecast");
  await page.getByRole("button", { name: "eu-west", exact: true }).click();
  await page.getByRole("button", { name: "us-east", exact: true }).click();
  await page.getByText("Who moves").waitFor();
  const rows = page.getByRole("region", { name: "Regions: table" }).getByRole("row");
  for (const region of ["eu-west", "us-east"]) {
    const text = await rows.filter({ hasText: region }).innerText();
    expect(/\t0 %/.test(text), `both regions are lost, but ${text}`);
  }
  const slider = page.getByRole("slider");
  await slider.focus();
  await page.keyboard.press("Home");
  expect(await page.locator(".wipe").evaluate(e => e.style.getPropertyValue("--at")) === "0%", "the slider does not move the line");
}

// paste checks and forecasts pasted configurations: one with an error, then one that moves the clients of a member.
async function paste(page) {
  await visit(page, "#/forecast?of=configuration");
  const text = page.getByLabel("YAML, pasted or from a file");
  await text.fill("nonsense: 1\n" + CONFIG);
  await page.getByRole("button", { name: "Forecast", exact: true }).click();
  await page.getByRole("region", { name: "1 error: table" }).getByText("1:1").waitFor();
  await text.fill(CONFIG);
  await page.getByRole("button", { name: "Check", exact: true }).click();
  await page.getByText("The configuration is valid.").waitFor();
  await text.fill(CONFIG.replace(/.*192\.0\.2\.2\].*\n/, ""));
  await page.getByRole("button", { name: "Forecast", exact: true }).click();
  await page.getByText("Who moves").waitFor();
  const region = await page.getByRole("region", { name: "Regions: table" }).getByRole("row").filter({ hasText: "eu-west" }).innerText();
  if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/paste.png`, fullPage: true });
  expect(/−\d/.test(region), `a member of eu-west is gone, but ${region}`);
  expect(await answer() === "192.0.2.2", "a forecast has changed the answer");
}

// types checks that a name with one pool for A and one for AAAA shows both on the page of zones, and that a forecast of IPv4
// clients names the one that they do not query.
async function types(page) {
  await visit(page, "#/zones");
  const rows = page.getByRole("region", { name: "Names of example.com.: table" }).getByRole("row");
  for (const [type, pool] of [["A", "web"], ["AAAA", "six"]]) {
    const row = rows.filter({ has: page.getByRole("link", { name: `Explain both.example.com. ${type}`, exact: true }) });
    const text = (await row.innerText()).replace(/\s+/g, " ");
    expect(text.startsWith(`both.example.com. ${type} ${pool} `), `the row of both.example.com. for ${type} is ${text}`);
  }
  expect(/www\.example\.com\.\s+all\s+web/.test(await rows.filter({ hasText: "www.example.com." }).innerText()), "a name with one pool does not show that it is for all types");
  if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/types.png`, fullPage: true });
  await visit(page, "#/forecast?target=region:eu-west&kind=down");
  await page.getByText("Not included, because none of these clients queries it: six (AAAA only)").first().waitFor();
}

// floods checks the problem of a flood: the server has none, so one is put into its status.
async function floods(page) {
  const command = "meridian filter add flood-1 --name big.example.com. --type TXT --action truncate --for 1h";
  await page.route("**/v1/status?*", async route => {
    const response = await route.fetch(), status = await response.json();
    status.floods = [{ number: 1, kind: "name", key: "big.example.com.", since: new Date(Date.now() - 120_000).toISOString(), queries_per_second: 52_345, usual_queries_per_second: 0.2, command }];
    await route.fulfill({ response, json: status });
  });
  await visit(page, "#/overview");
  const problems = page.getByRole("region", { name: "Problems" });
  await problems.getByText("Flood of queries for big.example.com.").waitFor();
  const text = await problems.innerText();
  for (const part of ["52,000 a second, usual 0.", " for 2 min", `Next: ${command}`]) expect(text.includes(part), `no ${part} in the problems: ${text}`);
  if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/flood.png` });
  await page.unroute("**/v1/status?*");
}

// canary checks what is shown of a canary that serves, and of one that a guardrail has ended: this server is in no cluster, so
// both are put into its answers.
async function canary(page, form) {
  const run = {
    generation: 1, where: "5% of the clients", since: new Date(Date.now() - 240_000).toISOString(), until: new Date(Date.now() + 360_000).toISOString(),
    result: "running", by: "alice", why: "add use-2", awaited: ["fra1"],
  };
  await page.route("**/v1/status?*", async route => {
    const response = await route.fetch(), status = await response.json();
    await route.fulfill({ response, json: { ...status, cluster: { etcd: "ok", mode: "etcd", canary: run } } });
  });
  await page.route("**/v1/config/generations", async route => {
    const response = await route.fetch(), list = (await response.json()).generations;
    await route.fulfill({ response, json: { generations: list.map(g => ({ ...g, files: [], ...(g.generation === run.generation && { canary_run: run }) })) } });
  });
  await visit(page, "#/overview"); // so that the page of the server asks again
  const shown = async (parts, place, what) => {
    await place.getByText(parts[0]).first().waitFor();
    const text = await place.innerText();
    for (const part of parts) expect(text.includes(part), `no ${part} in the ${what}: ${text}`);
  };
  await checkPage(page, "server", form);
  const card = page.getByRole("region", { name: "Canary", exact: true }), problems = page.getByRole("region", { name: "Problems" });
  await shown(["running", "5% of the clients", "4 min", "alice: add use-2", "fra1", "meridian config rollback"], card, "running canary");
  expect(!(await problems.innerText()).includes("canary"), "a running canary is a problem");
  const table = page.getByRole("region", { name: "Generations: table" });
  await shown(["running, on 5% of the clients"], table, "generations");
  Object.assign(run, { result: "rolled back", until: new Date(Date.now() - 60_000).toISOString(), by: "fra1", why: `makes pool "web" fail open`, awaited: undefined });
  await visit(page, "#/overview");
  await shown(["The canary of generation 1 was rolled back by fra1", `makes pool "web" fail open`, "Next: Correct the configuration"], problems, "problems");
  await checkPage(page, "server", form);
  await shown(["rolled back by fra1", `makes pool "web" fail open`], card, "ended canary");
  await shown([`rolled back, on 5% of the clients: makes pool "web" fail open`], table, "generations");
  if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/canary-ended.png` });
  await page.getByRole("button", { name: "Compare generation 1" }).click();
  await page.getByRole("dialog").getByText("the shared configuration").first().waitFor(); // it has no file
  await page.getByRole("dialog").locator(".diff").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Close" }).last().click();
  await page.unroute("**/v1/status?*");
  await page.unroute("**/v1/config/generations");
}

// probe runs a probe from the page, and looks at its steps.
async function probe(page) {
  await visit(page, "#/health");
  await page.getByRole("button", { name: "127.0.0.1", exact: true }).click();
  await page.getByRole("button", { name: "Probe now" }).click();
  const steps = page.getByRole("region", { name: "Steps of the probe: table" });
  await steps.getByText("HTTP/1.1 200 OK").waitFor();
  expect(/passed/.test(await steps.innerText()), "the probe has not passed");
  if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/probe.png` });
}

// brush selects a part of the time line of events.
async function brush(page) {
  await visit(page, "#/events");
  const line = page.locator(".timeline svg"), box = await line.boundingBox();
  await page.mouse.move(box.x + 5, box.y + 10);
  await page.mouse.down();
  await page.mouse.move(box.x + 100, box.y + 10, { steps: 4 });
  await page.mouse.up();
  await page.getByText("No event matches.").waitFor();
  await page.getByRole("button", { name: "Show all" }).click();
  await page.getByText("drained set: kernel upgrade").first().waitFor();
}

// restart stops the server under an open page, and starts another one at its address.
async function restart(page) {
  await visit(page, "#/pools");
  await page.getByText("euw-1").first().waitFor();
  stopped = true;
  await fetch(CONTROL + "/stop");
  await page.getByText(/Disconnected since/).waitFor();
  expect((await page.title()).startsWith("Disconnected"), "the title of the page does not say that it is disconnected");
  expect(await page.getByText("euw-1").count() > 0, "the last data is not shown while the server is down");
  if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/disconnected.png` });
  await fetch(CONTROL + "/start");
  await page.getByText(/Disconnected since/).waitFor({ state: "detached" });
  stopped = false;
  await fetch(BASE + "/v1/overrides", {
    method: "POST", headers: { "Content-Type": "application/json", Authorization: `Bearer ${OPERATOR}` },
    body: JSON.stringify({ target: "web/use-1", kind: "drained", reason: "after the restart" }),
  });
  await page.getByRole("row").filter({ hasText: "192.0.2.1 " }).or(page.getByRole("row").filter({ hasText: "after the restart" })).first().getByText("drained").waitFor();
}

// view checks that a viewer has no button that changes something, and that the API refuses one.
async function view(page) {
  await visit(page, "#/pools");
  await page.getByText("euw-1").first().waitFor();
  expect(await page.getByRole("button", { name: /Drain|Force/ }).count() === 0, "a viewer has a button to drain");
  const status = await page.evaluate(async () => (await fetch("/v1/overrides", {
    method: "POST", headers: { "Content-Type": "application/json", Authorization: `Bearer ${sessionStorage.getItem("meridian-token")}` },
    body: JSON.stringify({ target: "web/euw-1", kind: "drained" }),
  })).status);
  expect(status === 403, `a drain by a viewer is answered ${status}`);
}

// paintLate opens the page in a browser that paints long after the server has answered: the form for the token must appear.
async function paintLate() {
  const context = await browser.newContext(), page = await context.newPage();
  await page.addInitScript(() => {
    const wait = window.setTimeout.bind(window);
    window.requestAnimationFrame = f => wait(f, 3000);
    window.setTimeout = (f, ms, ...more) => wait(f, Math.max(ms ?? 0, 3000), ...more);
  });
  await page.goto(BASE + "/");
  await page.bringToFront();
  await page.getByLabel("Token").waitFor({ timeout: 180_000 });
  await context.close();
}

try {
  await paintLate();
  const put = await request("PUT", "/v1/config?reason=a+new+contact", ADMIN, "application/yaml", CONFIG.replace("contact: hostmaster", "contact: dns-team"));
  expect(put.ok, `the configuration is refused: ${await put.text()}`);
  for (const form of [{ scheme: "light", width: 1280 }, { scheme: "dark", width: 1280 }, { scheme: "light", width: 390 }]) {
    const page = await open(form, OPERATOR);
    for (const name of [...Object.keys(pages), ...Object.keys(views)]) await checkPage(page, name, form);
    const admin = await open(form, ADMIN);
    for (const name of Object.keys(adminViews)) await checkPage(admin, name, form);
    if (form.scheme === "light" && form.width === 1280) {
      await drain(page);
      await assume(page);
      await paste(admin);
      await visit(page, "#/forecast?of=configuration");
      await page.getByText("What if", { exact: true }).waitFor();
      expect(await page.getByText("Of a configuration").count() === 0, "an operator is offered the forecast of a configuration");
      await types(page);
      await floods(page);
      await canary(page, form);
      await probe(page);
      await brush(page);
      await weigh(page);
      await point(page);
      await rollback(admin);
      await apply(admin);
    }
    await page.context().close();
    await admin.context().close();
  }
  await view(await open({ scheme: "light", width: 1280 }, VIEWER));
  if (SCREENSHOTS) await picture(await open({ scheme: "light", width: 1280 }, OPERATOR));
  await older(await open({ scheme: "light", width: 1280 }, OPERATOR));
  await restart(await open({ scheme: "light", width: 1280 }, OPERATOR));
} catch (e) {
  failures.push(e.message);
}
await browser.close();
for (const f of new Set(failures)) console.log(f);
process.exit(failures.length ? 1 : 0);
