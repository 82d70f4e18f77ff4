import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { loadConfig } from "../../src/config.ts";
import { clientAddress } from "../../src/http/client-address.ts";
import type { WireSession } from "../support/client.ts";
import { signIn, signUp } from "../support/people.ts";
import { startServer } from "../support/server.ts";

const given = (proxies: string, header = "x-forwarded-for") => {
  const { config, problems } = loadConfig({ TRUSTED_PROXIES: proxies, PROXY_HEADER: header }, { cwd: "/nowhere" });
  expect(problems).toEqual([]);
  const of = clientAddress(config);
  return (connection: string, headers: Record<string, string> = {}) => of(connection, new Headers(headers));
};

describe("LI-3 the client's address", () => {
  test("is the connection's, whatever a header says, where no proxy is trusted", () => {
    const address = given("");
    expect(address("192.0.2.1", { "x-forwarded-for": "198.51.100.9", forwarded: "for=198.51.100.9" })).toBe(
      "192.0.2.1",
    );
  });

  test("is the connection's where that is no proxy of ours", () => {
    expect(given("10.0.0.0/8")("192.0.2.1", { "x-forwarded-for": "198.51.100.9" })).toBe("192.0.2.1");
  });

  test("is what our proxy wrote down, and nothing to the left of that", () => {
    const address = given("10.0.0.0/8");
    expect(address("10.0.0.5", { "x-forwarded-for": "203.0.113.66, 198.51.100.9" })).toBe("198.51.100.9");
    expect(address("::ffff:10.0.0.5", { "x-forwarded-for": "::ffff:198.51.100.9" })).toBe("198.51.100.9");
  });

  test("is the first from the right that is none of our proxies", () => {
    const address = given("10.0.0.0/8, 2001:db8:1::/48");
    const hops = "203.0.113.66, 198.51.100.9, 10.1.1.1, 2001:db8:1::9";
    expect(address("10.0.0.5", { "x-forwarded-for": hops })).toBe("198.51.100.9");
  });

  test("is the leftmost where all of them are ours", () => {
    expect(given("10.0.0.0/8")("10.0.0.5", { "x-forwarded-for": "10.2.2.2, 10.1.1.1" })).toBe("10.2.2.2");
  });

  test.each(["unknown", "_hidden", "", "999.1.1.1", "<script>", "10.0.0.1.evil.example"])(
    "is the last one that is known before what is no address: %p",
    (odd) => {
      const address = given("10.0.0.0/8");
      expect(address("10.0.0.5", { "x-forwarded-for": `198.51.100.9, ${odd}, 10.1.1.1` })).toBe("10.1.1.1");
      expect(address("10.0.0.5", { "x-forwarded-for": `198.51.100.9, ${odd}` })).toBe("10.0.0.5");
    },
  );

  test.each([
    ["198.51.100.9:4711", "198.51.100.9"],
    ["[2001:db8::7]:4711", "2001:db8::7"],
    ["[2001:db8::7]", "2001:db8::7"],
    ["2001:db8::7", "2001:db8::7"],
  ])("is read with and without a port: %s", (written, meant) => {
    expect(given("10.0.0.0/8")("10.0.0.5", { "x-forwarded-for": written })).toBe(meant);
  });

  test("comes from `Forwarded` where that is what the proxies write, and then from nothing else", () => {
    const address = given("10.0.0.5", "forwarded");
    const headers = { "x-forwarded-for": "203.0.113.66" };
    expect(address("10.0.0.5", { ...headers, forwarded: 'proto=https;for="[2001:db8::7]:4711"' })).toBe("2001:db8::7");
    expect(address("10.0.0.5", { ...headers, forwarded: "for=203.0.113.1, For=198.51.100.9;by=x" })).toBe(
      "198.51.100.9",
    );
    expect(address("10.0.0.5", headers)).toBe("10.0.0.5");
  });

  test("is always an address, and never one that only a stranger wrote", () => {
    const address = given("10.0.0.0/8");
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("1", "9", ".", ":", ",", "[", "]", "a", " ") }), (junk) => {
        expect(address("10.0.0.5", { "x-forwarded-for": `${junk}, 198.51.100.9` })).toBe("198.51.100.9");
      }),
    );
  });
});

test.each(["10.0.0.0/33", "10.0.0/8", "proxy.example.com", "::1/129", "10.0.0.1/"])(
  "TRUSTED_PROXIES does not take %s",
  (value) => {
    const { problems } = loadConfig({ TRUSTED_PROXIES: value }, { cwd: "/nowhere" });
    expect(problems.map(({ name }) => name)).toEqual(["TRUSTED_PROXIES"]);
  },
);

test("LI-3 a session remembers the client's address, not the proxy's, and no stranger's word", async () => {
  const server = await startServer({ TRUSTED_PROXIES: "127.0.0.1" });
  try {
    const headers = { "x-forwarded-for": "203.0.113.66, 198.51.100.9" };
    const { email } = await signUp(server);
    const { access_token } = await signIn(server, { email }, { headers });
    const { body } = await server.get<WireSession[]>("/api/v1/sessions", { bearer: access_token, headers });
    expect(body.map(({ ip }) => ip)).toEqual(["198.51.100.9"]);
  } finally {
    await server.end();
  }
});
