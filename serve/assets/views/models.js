// Aliases and model sets. Who may operate moves an alias or rolls it back, after being asked.

import { get, post } from "../api.js";
import { h, put } from "../dom.js";
import { count, NONE, plural, time } from "../format.js";
import { chip, empty, heading, load, table } from "../parts.js";

export const title = "Models";

const ROLES = {
  champion: "judges each window",
  onset: "raises alarms at what is new",
  challenger: "judges beside the champion, without effect",
  fallback: "judges sensors without a model of their own",
};

export function view({ root, signal, info, toast }) {
  const place = h("div", { class: "stack" });
  const dialog = h("dialog", { "aria-labelledby": "dialog-head" });
  put(root, heading("Models", info.role === "operate" ? null : h("p", { class: "note" }, "This key may look. Moving an alias needs a key with the role operate.")), place, dialog);
  const ask = () => load(place, "models", signal, () => get("models", {}, signal), (answer) => draw(answer, {
    may: info.role === "operate",
    promote: (set) => promote(dialog, answer, set, done),
    rollBack: (alias) => rollBack(dialog, alias, done),
  }));
  const done = async (moved) => {
    toast(`${moved.alias} is set ${moved.version} now. A running pipeline hears of it at its next commit and uses it from the one after that on.`);
    await ask();
    root.querySelector("h1").focus();
  };
  ask();
}

function draw(answer, acts) {
  return [
    h("section", { "aria-labelledby": "aliases-head" }, h("h2", { id: "aliases-head" }, "Aliases"),
      answer.aliases.length === 0 ? empty("No alias is set: train or import models first.") : h("ul", { class: "aliases" }, answer.aliases.map((alias) => aliasCard(alias, acts)))),
    h("section", { class: "card flush", "aria-labelledby": "sets-head" }, h("div", { class: "card-head" }, h("h2", { id: "sets-head" }, "Sets")), setTable(answer, acts)),
  ];
}

function aliasCard(alias, acts) {
  return h("li", { class: "card alias", data: { alias: alias.name } },
    h("h3", {}, alias.name),
    h("p", { class: "big" }, `set ${alias.version}`),
    h("p", { class: "why" }, alias.role ? (ROLES[alias.role] ?? alias.role) : "not used by this configuration"),
    h("p", { class: "why" }, "since ", time(alias.moved_us), alias.before === null ? "" : `, before: set ${alias.before}`),
    acts.may && h("button", { type: "button", disabled: alias.before === null, title: alias.before === null ? "It has never meant another set" : null, on: { click: () => acts.rollBack(alias) } },
      alias.before === null ? "Roll back" : `Roll back to set ${alias.before}`));
}

function setTable(answer, acts) {
  if (answer.sets.length === 0) return empty("There are no sets: train or import models first.");
  const names = (version) => answer.aliases.filter((alias) => alias.version === version).map((alias) => chip(alias.name, "good"));
  const rows = answer.sets.map((set) => [
    h("b", {}, `Set ${set.version}`),
    names(set.version),
    time(set.created_us),
    count(set.models),
    set.base === null ? NONE : `set ${set.base}`,
    set.problem ? h("span", { class: "bad-text" }, set.problem) : set.note || NONE,
    acts.may && h("button", { type: "button", class: "quiet", disabled: set.problem !== null, "aria-label": `Promote set ${set.version}`, on: { click: () => acts.promote(set) } }, "Promote…"),
  ]);
  return table("Model sets, newest first", [["Set", "set"], "Aliases", "Published", ["Models", "n"], "Widens", "Note", acts.may ? h("span", { class: "unseen" }, "Action") : ""], rows).place;
}

/** Asks which alias is to mean the set. */
function promote(dialog, answer, set, done) {
  const names = answer.aliases.length ? answer.aliases.map((alias) => alias.name) : ["champion"];
  const what = h("p", { class: "why", role: "status" });
  const choice = h("select", { id: "promote-alias" }, names.map((name) => h("option", { value: name }, name)));
  const tell = () => {
    const alias = answer.aliases.find((one) => one.name === choice.value);
    put(what, alias ? (alias.version === set.version ? `${alias.name} is set ${set.version} already.` : `${alias.name} is set ${alias.version} now.`) : "");
  };
  choice.addEventListener("change", tell);
  tell();
  confirm(dialog, {
    head: `Promote set ${set.version}`,
    body: [
      h("p", {}, `It holds ${plural(set.models, "model")}. Lanes hear of it at their next commit and have it after the one that follows.`),
      h("label", { class: "field" }, h("span", {}, "Alias to move"), choice),
      what,
    ],
    yes: "Move the alias",
    act: () => post("models/alias", { alias: choice.value, version: set.version }),
    done,
  });
}

function rollBack(dialog, alias, done) {
  confirm(dialog, {
    head: `Roll back ${alias.name}`,
    body: [h("p", {}, `${alias.name} is set ${alias.version} now and will be set ${alias.before} again. Lanes hear of it at their next commit and have it after the one that follows.`)],
    yes: `Roll back to set ${alias.before}`,
    act: () => post("models/rollback", { alias: alias.name }),
    done,
  });
}

/** Asks before it does. A refusal stays in the dialog, in the server's words. */
function confirm(dialog, { head, body, yes, act, done }) {
  const refused = h("p", { class: "bad-text", role: "alert" });
  const go = h("button", { type: "submit", class: "main" }, yes);
  const submit = async (event) => {
    event.preventDefault();
    go.disabled = true;
    put(refused);
    try {
      const moved = await act();
      dialog.close();
      await done(moved);
    } catch (error) {
      put(refused, `Refused: ${error.message}`);
    } finally {
      go.disabled = false;
    }
  };
  put(dialog, h("form", { on: { submit } },
    h("h2", { id: "dialog-head" }, head), body, refused,
    h("div", { class: "dialog-buttons" }, h("button", { type: "button", on: { click: () => dialog.close() } }, "Cancel"), go)));
  dialog.showModal();
}
