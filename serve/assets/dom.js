// Builds elements. Data becomes text nodes and attributes here, never HTML: a sensor's key or a rejected
// message may hold anything.

const SVG = "http://www.w3.org/2000/svg";

/** An element with properties and children. `on` holds listeners, `data` data attributes, `class` classes;
 * true and false set and leave out an attribute; children that are null or false are left out. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function s(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "data") {
      Object.assign(element.dataset, value);
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(element, child);
    else element.append(child);
  }
}

/** Puts children in the place of all that an element has. */
export function put(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Sets a text only when it changed, so that nothing is laid out anew each second. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const ICONS = {
  overview: "M3 13h4l3-8 4 14 3-6h4",
  sensors: "M4 6h16M4 12h16M4 18h10",
  anomalies: "M12 3l9.500 17h-19zM12 10v4M12 17v.5",
  lanes: "M4 5v14M10 5v14M16 5v14M21 12l-5 4v-8z",
  models: "M12 3l8 4.500v9L12 21l-8-4.500v-9zM4 7.500l8 4.500 8-4.500M12 12v9",
  rejects: "M5 5l14 14M19 5L5 19",
  sun: "M12 8a4 4 0 100 8 4 4 0 000-8zM12 2v2.500M12 19.500V22M2 12h2.500M19.500 12H22M5 5l1.800 1.800M17.200 17.200L19 19M5 19l1.800-1.800M17.200 6.800L19 5",
  moon: "M20 14.500A8.500 8.500 0 119.500 4a7 7 0 0010.500 10.500z",
  system: "M3 5h18v11H3zM9 20h6M12 16v4",
  left: "M14.500 5l-7 7 7 7",
  right: "M9.500 5l7 7-7 7",
};

/** A drawing that says nothing to screen readers; the text beside it does. */
export function icon(name) {
  return s("svg", { viewBox: "0 0 24 24", class: "drawing", "aria-hidden": "true" }, s("path", { d: ICONS[name] }));
}
