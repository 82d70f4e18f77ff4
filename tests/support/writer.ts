/** A process that does nothing but write: `bun writer.ts NAME` adds a hundred events, all asked for at once. */
import { openDatabase, settle } from "../../src/open.ts";
import { createStore } from "../../src/store/store.ts";
import { anEvent } from "./rows.ts";

const [name = ""] = process.argv.slice(2);
const store = createStore(await openDatabase(settle({ env: process.env, cwd: "/" }), "/", false));
const events = Array.from({ length: 100 }, (_, at) => anEvent(name + at));
await Promise.all(events.map((event) => store.write((tx) => tx.auditEvents.insert(event))));
await store.close();
