import { createEventSource } from "eventsource-client";

createEventSource({
  url: process.argv[2],
  onMessage: ({ event, data }) => {
    const row = JSON.parse(data);
    if (event === undefined) console.log(row.id);
  },
});
