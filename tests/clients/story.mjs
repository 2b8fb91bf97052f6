// A login, a visit and a logout in the demo, with the `fetch` of Node 18 and later.
//
//     node tests/clients/story.mjs http://127.0.0.1:8888
//
// Outside a browser, `fetch` has no cookie jar. So this program stores cookies itself, and also
// follows redirects itself, because a response that redirects can set cookies.

import assert from "node:assert/strict";

const [address] = process.argv.slice(2);
const cookies = new Map();

// Sends a request, as POST if there is a form, and returns the page after all redirects.
async function ask(path, { form, headers } = {}) {
  const pairs = [...cookies].map(([name, value]) => `${name}=${value}`);
  const response = await fetch(address + path, {
    method: form ? "POST" : "GET",
    body: form && new URLSearchParams(form),
    headers: { ...headers, cookie: pairs.join("; ") },
    redirect: "manual",
  });
  response.headers.getSetCookie().forEach(keepCookie);
  const text = await response.text();
  if (response.status === 302) {
    return ask(response.headers.get("location"));
  }
  return { path, status: response.status, headers: response.headers, text };
}

function keepCookie(line) {
  const [, name, value] = line.match(/^(.*?)=(.*?);/);
  if (line.includes("Max-Age=0")) {
    cookies.delete(name);
  } else {
    cookies.set(name, value);
  }
}

// Returns the hidden fields of the form in a page, such as the `_xsrf` token.
function hiddenFields(page) {
  const fields = page.text.matchAll(/<input type="hidden" name="(\w+)" value="(.*?)">/g);
  return Object.fromEntries([...fields].map(([, name, value]) => [name, value]));
}

console.log("/hello responds without a login.");
let page = await ask("/hello");
assert.equal(page.status, 200);
assert.equal(page.text, "Hello, world!");

console.log("/main needs a login: it redirects to the form, with its path as the next page.");
page = await ask("/main");
assert.equal(page.path, "/login?next=%2Fmain");
assert.equal(hiddenFields(page).next, "/main");

console.log("The message about a wrong password is shown once.");
const guess = { username: "admin", password: "guess", ...hiddenFields(page) };
page = await ask("/login", { form: guess });
assert.equal(page.path, "/login?next=%2Fmain");
assert.match(page.text, /Wrong username or password\./);
page = await ask(page.path);
assert.doesNotMatch(page.text, /Wrong username or password\./);

console.log("The right password leads to the main page.");
const credentials = { username: "admin", password: "123", ...hiddenFields(page) };
page = await ask("/login", { form: credentials });
assert.equal(page.path, "/main");
assert.match(page.text, /this is main page/);
assert.match(page.text, /<strong>admin<\/strong>/);

console.log("Its stylesheet is sent once; a conditional request gets 304 Not Modified.");
const [, path] = page.text.match(/<link rel="stylesheet" href="(.*?)">/);
const stylesheet = await ask(path);
assert.equal(stylesheet.status, 200);
assert.match(stylesheet.headers.get("content-type"), /^text\/css/);
const etag = stylesheet.headers.get("etag");
const again = await ask(path, { headers: { "if-none-match": etag } });
assert.equal(again.status, 304);
assert.equal(again.text, "");

console.log("The logout redirects to the login,");
page = await ask("/logout", { form: hiddenFields(page) });
assert.equal(page.path, "/login");

console.log("and /main needs a login again.");
page = await ask("/main");
assert.equal(page.path, "/login?next=%2Fmain");
