import { fetchEventSource } from "@microsoft/fetch-event-source";

// It is made for browsers.
globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };

await fetchEventSource(process.argv[2], {
  onmessage({ event, data }) {
    const row = JSON.parse(data);
    if (event === "") console.log(row.id);
  },
  onclose() {
    throw new Error("come back, as its documentation says");
  },
  onerror() {},
});
