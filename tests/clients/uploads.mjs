// Uploads of files with several names in one form, with the `fetch` and `FormData` of Node 18
// and later.
//
//     node tests/clients/uploads.mjs http://127.0.0.1:8888/ NAME...
//
// The server returns what it received, as JSON; it must be what was sent.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";

const [url, ...names] = process.argv.slice(2);

// All bytes, and lines that are almost delimiters; the first file is empty.
function contentOf(index) {
  const bytes = Buffer.from(Array.from({ length: 20000 * index }, (_, at) => at % 256));
  return index ? Buffer.concat([bytes, Buffer.from("\r\n--\r\n--boundary--\r\n")]) : bytes;
}

const form = new FormData();
const files = [];
names.push("line\r\nbreak");
names.forEach((name, index) => {
  const content = contentOf(index);
  form.append("file", new Blob([content], { type: "image/png" }), name);
  const digest = createHash("sha256").update(content).digest("hex");
  files.push(["file", name, "image/png", content.length, digest]);
});
form.append('a"b\\', "text");

const response = await fetch(url, { method: "POST", body: form });
const text = await response.text();
assert.equal(response.status, 200, text);
assert.deepEqual(JSON.parse(text), { files, texts: [['a"b\\', "text"]] });
