// @ts-check
// The worker that a browser's tabs share: it holds their live streams.

import { Hub } from "./hub.js";

const hub = new Hub();
addEventListener("connect", (event) => {
  const [port] = /** @type {MessageEvent} */ (event).ports;
  hub.add(port);
  port.start();
});
