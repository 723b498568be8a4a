// Bytes of strangers, shown so that nothing in them can act or hide: as text with all that is not plain
// escaped, and in hexadecimal.

import { h } from "./dom.js";

/** Bytes of base64. */
export function decode(base64) {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}

// Controls, what turns the direction of writing, what has no width, and what is no character.
const UNPLAIN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}\ufffd]/u;

/** Nodes: plain text as it is, else an escape such as `\x00` or `\u{202e}` that looks different. */
export function textView(bytes) {
  const nodes = [];
  let plain = "";
  const escape = (text) => {
    if (plain) nodes.push(plain);
    plain = "";
    nodes.push(h("span", { class: "escape" }, text));
  };
  for (const { char, raw } of characters(bytes)) {
    if (char === "\n") escape("\\n");
    else if (char === "\t") escape("\\t");
    else if (char === "\\") plain += "\\";
    else if (char === null) raw.forEach((byte) => escape(hex(byte)));
    else if (UNPLAIN.test(char)) escape(char.codePointAt(0) < 256 ? hex(char.codePointAt(0)) : `\\u{${char.codePointAt(0).toString(16)}}`);
    else plain += char;
  }
  if (plain) nodes.push(plain);
  return nodes;
}

const hex = (byte) => `\\x${byte.toString(16).padStart(2, "0")}`;

/** Characters of UTF-8; bytes that are none come with `char` null. */
function* characters(bytes) {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at];
    const length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    const raw = bytes.subarray(at, at + length);
    let char = null;
    try {
      char = decoder.decode(raw);
    } catch {
      // Not UTF-8: the first byte is shown as what it is.
    }
    if (char !== null && [...char].length === 1) {
      yield { char, raw };
      at += length;
    } else {
      yield { char: null, raw: bytes.subarray(at, at + 1) };
      at += 1;
    }
  }
}

/** Sixteen bytes a line: offset, bytes, and what is plain ASCII of them. */
export function hexView(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const part = [...bytes.subarray(at, at + 16)];
    const left = part.map((byte) => byte.toString(16).padStart(2, "0")).join(" ").padEnd(47);
    const right = part.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${left}  ${right}`);
  }
  return lines.join("\n");
}
