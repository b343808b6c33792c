// Asks the console's process for the state of the stack every second, and draws it. What changes something sends the page's token.

import { at, clock, count, drawSpark, make, makeSpark, show, sync, write } from "./draw.js";

const EVERY_MS = 1000;
const PATIENCE_MS = 10_000;
const token = document.querySelector("meta[name=console-token]").content;
const search = at("search");
let run = null;
let respondedAt = Date.now();
let searched = 0;

async function request(path, options = {}) {
  const response = await fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS), ...options });
  const body = await response.json();
  if (!response.ok) throw Object.assign(new Error(body.error), { reported: true });
  return body;
}

const change = (path, body) =>
  request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Console-Token": token },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(900_000),
  });

// The state

async function repeat(task) {
  for (;;) {
    const began = Date.now();
    // A page that is not looked at needs nothing.
    if (!document.hidden) await task();
    await new Promise((done) => setTimeout(done, Math.max(100, EVERY_MS - (Date.now() - began))));
  }
}

async function updateState() {
  try {
    const state = await request("api/state");
    // The process was started again, so the page's token is old.
    if (run && run !== state.run) return location.reload();
    run = state.run;
    respondedAt = Date.now();
    document.body.dataset.updates = Number(document.body.dataset.updates ?? 0) + 1;
    draw(state);
  } catch (error) {
    const silent = { level: "bad", what: "The console does not respond.", fix: "`make demo` starts it again; what you see is old." };
    drawProblems([error.reported ? { ...silent, what: error.message } : silent]);
  }
}

function draw(state) {
  write(at("instance"), state.instance === "demo" ? "" : state.instance);
  drawProblems(state.problems);
  drawServers(state.servers);
  drawRates(state.mappings);
  drawMappings(state.mappings);
  drawLetters(state.dead_letters);
  drawConflicts(state.conflicts);
  drawFunctions(state.functions);
  drawCluster(state.cluster);
}

function drawAge() {
  const age = Math.round((Date.now() - respondedAt) / 1000);
  write(at("age"), age < 3 ? "live" : `updated ${age} s ago`);
  document.body.dataset.age = age;
}

function drawProblems(problems) {
  const bad = problems.filter((problem) => problem.level === "bad").length;
  const overall = at("overall");
  overall.className = `state ${bad ? "bad" : problems.length ? "warn" : "good"}`;
  const words = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
  const number = bad ? words(bad, "problem") : words(problems.length, "warning");
  // The header stays in view, so what is wrong is visible wherever the page is scrolled to.
  write(overall, problems.length ? `${number}: ${problems[0].what}` : "Everything runs");
  document.title = bad ? `(${bad}) Kafka to Search` : "Kafka to Search";
  // Numbers in a sentence change each second: they don't make it another problem.
  sync(at("problems"), problems, (problem) => problem.what.replace(/\d+/g, "#"),
    () => make("li", {}, make("strong"), make("span")),
    (element, problem) => {
      element.classList.toggle("bad", problem.level === "bad");
      write(element.children[0], problem.what);
      write(element.children[1], problem.fix.replaceAll("`", ""));
    });
}

function drawServers(servers) {
  const words = { runs: "runs", down: "is down", silent: "does not respond" };
  sync(at("servers"), servers, (server) => server.name,
    () => make("li", {}, make("span", { class: "dot" }), " ", make("span", { class: "quiet" })),
    (element, server) => {
      element.firstElementChild.className = `dot ${server.state === "runs" ? "good" : "bad"}`;
      element.dataset.state = server.state;
      write(element.firstElementChild, `${server.title} ${words[server.state]}`);
      write(element.lastElementChild, server.state === "runs" ? server.where : "");
    });
}

/** The mean of the last five seconds: batches come in bursts. Null where the last second is not known. */
function newest(rates) {
  if ((rates.at(-1) ?? null) === null) return null;
  const known = rates.slice(-5).filter((rate) => rate !== null);
  return known.reduce((sum, rate) => sum + rate, 0) / known.length;
}
const rateText = (rate) => (rate === null || rate === undefined ? "–" : count(rate));
const lagOf = (mapping) => mapping.partitions.reduce((sum, partition) => sum + (partition.lag ?? 0), 0);

function drawRates(mappings) {
  show(at("rates-empty"), mappings.length === 0);
  const total = mappings.reduce((sum, mapping) => sum + (newest(mapping.rates.delivered) ?? 0), 0);
  write(at("rates-note"), mappings.length ? `${count(total)} in all` : "");
  sync(at("rates"), mappings, (mapping) => mapping.uuid,
    () => make("li", {}, make("h3"), make("p", { class: "rate" }, make("span"), " ", make("small", {}, "indexed/s")), makeSpark(), make("p", { class: "quiet" })),
    (element, mapping) => {
      const [title, rate, spark, note] = element.children;
      const { delivered, published } = mapping.rates;
      element.dataset.published = Math.max(0, ...published.slice(-10).map(Number));
      write(title, mapping.service);
      write(rate.firstElementChild, rateText(newest(delivered)));
      drawSpark(spark, delivered, published);
      const peak = count(Math.max(0, ...delivered.map(Number)));
      write(note, `${rateText(newest(published))} published/s, ${count(lagOf(mapping))} behind, peak ${peak}`);
    });
}

function drawMappings(mappings) {
  show(at("mappings-empty"), mappings.length === 0);
  sync(at("mappings"), mappings, (mapping) => mapping.uuid,
    (mapping) => {
      const button = make("button", { type: "button" });
      const outcome = make("p", { class: "outcome", role: "status" });
      outcome.hidden = true;
      button.addEventListener("click", () =>
        press(button, outcome, "api/mapping", { uuid: mapping.uuid, enabled: button.dataset.enables === "true" }));
      const titles = make("div", {}, make("h3"), make("p", { class: "quiet" }));
      return make("li", {}, make("div", { class: "head" }, titles, button), make("ul", { class: "partitions" }), outcome);
    },
    (element, mapping) => {
      const [head, partitions] = element.children;
      const [titles, button] = head.children;
      const enabled = mapping.state !== "Disabled" && mapping.state !== "Disabling";
      const result = mapping.served ? mapping.result : enabled ? "not served" : "";
      const fails = mapping.problem || /^problem/i.test(result);
      element.dataset.state = mapping.state;
      titles.firstElementChild.className = `dot ${fails ? "bad" : enabled ? "good" : "warn"}`;
      write(titles.firstElementChild, mapping.topic);
      write(titles.lastElementChild, [mapping.state, `to ${mapping.function}`, result].filter(Boolean).join(", "));
      button.dataset.enables = !enabled;
      write(button, enabled ? "Disable" : "Enable");
      button.setAttribute("aria-label", `${enabled ? "Disable" : "Enable"} the mapping of ${mapping.topic}`);
      drawPartitions(partitions, mapping.partitions);
    });
}

function drawPartitions(list, partitions) {
  const most = Math.max(100, ...partitions.map((partition) => partition.lag ?? 0));
  sync(list, partitions, (partition) => partition.partition,
    () => make("li", {}, make("span"), make("meter", { min: 0 }), make("span")),
    (element, partition) => {
      const [name, meter, text] = element.children;
      const stuck = partition.stuck_s >= 30;
      write(name, `partition ${partition.partition}`);
      meter.max = most;
      meter.value = partition.lag ?? 0;
      meter.setAttribute("aria-label", `lag of partition ${partition.partition}`);
      text.className = stuck ? "bad" : "";
      write(text, partition.lag === null ? "not known" : stuck ? `${count(partition.lag)}, ${partition.stuck_s} s` : `${count(partition.lag)} behind`);
    });
}

// Dead letters and conflicts

function drawLetters(letters) {
  const newer = letters.total > letters.items.length ? `, the newest ${letters.items.length}` : "";
  write(at("letters-note"), letters.error ? "can't be read now" : `${count(letters.total)}${newer}`);
  show(at("letters-empty"), !letters.error && letters.total === 0);
  show(at("replay-all"), letters.total > 1);
  drawRejected(at("letters"), letters.items, "Replay", at("letters-outcome"), "api/replay");
}

function drawConflicts(conflicts) {
  const newer = conflicts.total > conflicts.items.length ? `, the newest ${conflicts.items.length}` : "";
  write(at("conflicts-note"), conflicts.error ? "can't be read now" : `${count(conflicts.total)}${newer}`);
  show(at("conflicts-empty"), !conflicts.error && conflicts.total === 0);
  drawRejected(at("conflicts"), conflicts.items, "Fix", at("conflicts-outcome"), "api/fix");
}

function drawRejected(list, items, verb, outcome, path) {
  sync(list, items, (item) => item.id,
    (item) => {
      const button = make("button", { type: "button", "aria-label": `${verb} ${item.id}` }, verb);
      button.addEventListener("click", () => press(button, outcome, path, { ids: [item.id] }));
      const summary = make("summary", {}, make("span", { class: "time" }), make("span", { class: "service" }), make("span"));
      return make("li", {}, make("details", {}, summary, make("pre")), make("div", { class: "row-end" }, make("p", { class: "reason" }), button));
    },
    (element, item) => {
      const [details, end] = element.children;
      const [time, service, type] = details.firstElementChild.children;
      write(time, clock(item.at));
      write(service, item.service);
      write(type, item.type);
      write(details.lastElementChild, `${item.id}\n${item.source}`);
      write(end.firstElementChild, item.reason);
    });
}

async function press(button, outcome, path, body) {
  button.disabled = true;
  outcome.classList.remove("bad");
  write(outcome, "Working …");
  show(outcome, true);
  try {
    const { done, text } = await change(path, body);
    outcome.classList.toggle("bad", !done);
    write(outcome, text.replace(/^ +/gm, ""));
  } catch (error) {
    outcome.classList.add("bad");
    write(outcome, error.reported ? error.message : "The console does not respond: `make demo` starts it again.");
  }
  button.disabled = false;
  await updateState();
}

// Functions, and what was provisioned

function drawFunctions(functions) {
  show(at("functions-empty"), functions.length === 0);
  sync(at("functions"), functions, (each) => each.name,
    () => make("li", {}, make("h3"), make("ul", { class: "batches" }), make("p", { class: "empty" }, "It was not invoked yet.")),
    (element, each) => {
      const [title, list, empty] = element.children;
      write(title, each.name);
      show(empty, each.batches.length === 0);
      sync(list, each.batches, (batch) => batch.request,
        () => make("li", {}, make("details", {},
          make("summary", {}, make("span", { class: "time" }), make("span", { class: "state" }), make("span", { class: "number" }), make("span")),
          make("pre"))),
        (item, batch) => {
          const [summary, lines] = item.firstElementChild.children;
          const [time, result, ms, message] = summary.children;
          write(time, clock(batch.at));
          result.className = `state ${batch.result === "success" ? "good" : batch.result === "runs" ? "" : "bad"}`;
          write(result, batch.result === "success" ? "ok" : batch.result);
          write(ms, batch.ms === null ? "" : `${count(batch.ms)} ms`);
          write(message, batch.message);
          write(lines, batch.lines.join("\n"));
        });
    });
}

function drawCluster(things) {
  show(at("cluster-empty"), things.length === 0);
  const outcomes = Object.entries(Object.groupBy(things, ({ outcome }) => outcome));
  write(at("cluster-note"), outcomes.map(([outcome, those]) => `${those.length} ${outcome}`).join(", "));
  const levels = { failed: "bad", "not applied": "warn" };
  sync(at("cluster"), things.map((thing, index) => ({ ...thing, index })), ({ index }) => index,
    () => make("li", {}, make("span"), " ", make("span", { class: "quiet" })),
    (element, { thing, outcome, reason }) => {
      element.firstElementChild.className = `dot ${levels[outcome] ?? "good"}`;
      write(element.firstElementChild, thing);
      write(element.lastElementChild, reason ? `${outcome}: ${reason}` : outcome);
    });
}

// The events of the search

async function updateEvents() {
  const asked = ++searched;
  const query = search.value;
  try {
    const events = await request(`api/events?q=${encodeURIComponent(query)}`);
    if (asked === searched) drawEvents(events, query);
  } catch (error) {
    if (asked !== searched) return;
    show(at("events-error"), true);
    write(at("events-error"), problemOfSearch(error, query));
  }
}

function problemOfSearch(error, query) {
  if (!error.reported) return "The console does not respond.";
  if (/returned 400/.test(error.message)) {
    const why = /Failed to parse query[^"]*/.exec(error.message.replaceAll("\\", ""))?.[0] ?? "the cluster can't read it";
    return `No search: ${why}. For example: service_name:order AND total:>100`;
  }
  return query && /not run|failed/.test(error.message) ? "OpenSearch does not respond: no search now." : error.message;
}

function drawEvents(events, query) {
  show(at("events-error"), false);
  write(at("events-note"), `${count(events.total)} ${query ? "found" : "in all"}`);
  write(at("events-empty"), query ? "No event matches." : "There is no event yet: make produce publishes some.");
  show(at("events-empty"), events.items.length === 0);
  sync(at("events"), events.items, (event) => event.id,
    () => make("li", {}, make("details", {},
      make("summary", {}, make("span", { class: "time" }), make("span", { class: "service" }), make("span"), make("span")),
      make("pre"))),
    (element, event) => {
      const [summary, source] = element.firstElementChild.children;
      const [time, service, kind, line] = summary.children;
      write(time, clock(event.arrived ?? event.at));
      write(service, event.service);
      write(kind, event.kind);
      if (!line.childNodes.length) line.append(...event.tags.map((tag) => make("span", { class: "tag" }, tag)), event.line);
      write(source, `${event.index}/${event.id}\n${event.source}`);
    });
}

let typed = null;
search.addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(updateEvents, 250);
});
at("search-form").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  updateEvents();
});
at("replay-all").addEventListener("click", () => press(at("replay-all"), at("letters-outcome"), "api/replay", { all: true }));
document.addEventListener("keydown", (key) => {
  if (key.key === "/" && document.activeElement !== search && !key.ctrlKey && !key.metaKey && !key.altKey) {
    key.preventDefault();
    search.focus();
  }
  if (key.key === "Escape" && document.activeElement === search && search.value) {
    search.value = "";
    updateEvents();
  }
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) updateState();
});

setInterval(drawAge, 500);
repeat(updateState);
repeat(updateEvents);
