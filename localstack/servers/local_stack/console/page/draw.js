// Small helpers that write into the page: elements, keyed lists, sparklines. Text is always set as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** The element with this id. */
export const at = (id) => document.getElementById(id);

/** Makes an element: `make("p", {class: "quiet"}, "text", child)`. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Sets text only where it differs, so that a selection and a screen reader are not disturbed. */
export function write(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

/** Shows or hides an element. */
export function show(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

/**
 * Makes the children of `list` those of `items`, by key: an element of an item that stays is updated in its place, so that
 * what is open stays open and the focus stays where it is.
 */
export function sync(list, items, keyOf, create, update) {
  const known = new Map([...list.children].map((child) => [child.dataset.key, child]));
  const first = known.size === 0;
  let before = list.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let element = known.get(key);
    if (element) {
      known.delete(key);
    } else {
      element = create(item);
      element.dataset.key = key;
      if (!first) element.classList.add("fresh");
    }
    update(element, item);
    if (element === before) before = before.nextElementSibling;
    else list.insertBefore(element, before);
  }
  for (const gone of known.values()) gone.remove();
}

/** An empty sparkline; `drawSpark` fills it. */
export function makeSpark() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", "0 0 120 40");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  for (const name of ["published", "area", "delivered"]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    svg.append(path);
  }
  return svg;
}

/** Draws rates by second, the newest at the right; a gap where nothing is known. */
export function drawSpark(svg, delivered, published) {
  const top = Math.max(1, ...delivered.map(Number), ...published.map(Number));
  const place = (values) =>
    values.map((value, index) => (value === null ? null : [120 - values.length + index + 1, 38 - (value / top) * 36]));
  const lines = runs(place(delivered));
  const [under, area, over] = svg.children;
  under.setAttribute("d", runs(place(published)).map(path).join(""));
  over.setAttribute("d", lines.map(path).join(""));
  area.setAttribute("d", lines.map((run) => `${path(run)}L${run.at(-1)[0]},38L${run[0][0]},38Z`).join(""));
  svg.setAttribute("aria-label", `up to ${Math.round(top).toLocaleString("en")} events a second in the last two minutes`);
}

function runs(points) {
  const found = [[]];
  for (const point of points) {
    if (point) found.at(-1).push(point);
    else if (found.at(-1).length) found.push([]);
  }
  return found.filter((run) => run.length);
}

const path = (run) => `M${run.map(([x, y]) => `${x},${y.toFixed(1)}`).join("L")}`;

/** `1,234`. */
export const count = (number) => Math.round(number).toLocaleString("en");

/** The local time of day, with the day where it is another. */
export function clock(time) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return "";
  const day = date.toDateString() === new Date().toDateString();
  return day ? date.toLocaleTimeString("en-GB") : date.toLocaleString("en-GB", { day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit" });
}
