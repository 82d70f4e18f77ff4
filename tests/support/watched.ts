import type { Store, Tx } from "../../src/store/store.ts";
import type { TestCore } from "./core.ts";

/** `sessions.standing`, `write`, `commit`: what the core asked of the store. */
export type StoreCall = string;

/**
 * The same core, telling every call before it reaches the store: those of readers, those inside a write, and the
 * beginning and end of each write. What `onCall` throws is the store's failure at that point.
 */
export function watched(core: TestCore, onCall: (call: StoreCall) => void): TestCore {
  const store: Store = {
    ...core.store,
    ...watchedNouns<Store>(core.store, onCall),
    write: async (work) => {
      onCall("write");
      return await core.store.write(async (tx) => {
        const answer = await work(watchedNouns<Tx>(tx, onCall));
        onCall("commit");
        return answer;
      });
    },
  };
  return { ...core, store };
}

type Method = (...given: unknown[]) => Promise<unknown>;

/** The readers and writers of each noun, told of by name. */
function watchedNouns<T extends object>(nouns: T, onCall: (call: StoreCall) => void): T {
  const watchedMethods = (noun: string, methods: Readonly<Record<string, Method>>) =>
    Object.entries(methods).map(([name, method]): [string, Method] => [
      name,
      async (...given) => {
        onCall(`${noun}.${name}`);
        return await method(...given);
      },
    ]);
  const all = Object.entries(nouns).filter(([, one]) => typeof one === "object");
  return Object.fromEntries(
    all.map(([noun, methods]) => [noun, Object.fromEntries(watchedMethods(noun, methods as Record<string, Method>))]),
  ) as T;
}

/** The same core, and the calls that it has made. */
export function counted(core: TestCore): { core: TestCore; calls: StoreCall[] } {
  const calls: StoreCall[] = [];
  return { core: watched(core, (call) => void calls.push(call)), calls };
}
