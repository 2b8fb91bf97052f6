"use strict";

const form = document.querySelector("form");
const inbox = document.querySelector("#inbox");

async function post(url, values) {
  const body = new URLSearchParams({ ...values, _xsrf: form.elements._xsrf.value });
  const response = await fetch(url, { method: "POST", body });
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.json();
}

// The page may know a message already: as its own, or from the first response.
function show(message) {
  if (!document.getElementById(`m${message.id}`)) {
    inbox.insertAdjacentHTML("beforeend", message.html);
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  show(await post(form.action, { body: form.elements.body.value }));
  form.elements.body.value = "";
});

// Long polling: as soon as a response has come, the next request is sent.
async function poll() {
  let cursor = {};
  let pause = 500;
  for (;;) {
    try {
      const { messages } = await post("/a/message/updates", cursor);
      messages.forEach(show);
      if (messages.length > 0) cursor = { cursor: messages.at(-1).id };
      pause = 500;
    } catch {
      pause *= 2;
      await new Promise((wake) => setTimeout(wake, pause));
    }
  }
}

poll();
