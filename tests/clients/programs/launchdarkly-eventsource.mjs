import { EventSource } from "launchdarkly-eventsource";

const source = new EventSource(process.argv[2], { initialRetryDelayMillis: 100 });
source.onmessage = ({ data }) => console.log(JSON.parse(data).id);
source.onerror = () => {};
