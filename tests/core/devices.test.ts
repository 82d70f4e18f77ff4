import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { describeDevice, sameClient } from "../../src/core/devices.ts";

const chrome = (version: number, system = "Windows NT 10.0; Win64; x64") =>
  `Mozilla/5.0 (${system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/${version}.0.0.0 Safari/537.36`;
const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0";
const iphone =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";

const given = (userAgent: string | null) => ({ userAgent, ...describeDevice(userAgent) });

describe("a device is described by", () => {
  test.each([
    [chrome(126), "Chrome", "Windows", "desktop"],
    [firefox, "Firefox", "Linux", "desktop"],
    [iphone, "Safari", "iOS", "mobile"],
    [
      "Mozilla/5.0 (iPad; CPU OS 13_2 like Mac OS X) AppleWebKit/605.1.15 Version/13 Safari/605",
      "Safari",
      "iOS",
      "tablet",
    ],
    ["Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot", null, "bot"],
    ["Mozilla/5.0 (compatible; SomeCrawler/1.0; +https://crawler.example/)", null, null, "bot"],
  ] as const)("browser, system and kind: %s", (userAgent, browser, os, kind) => {
    expect(describeDevice(userAgent)).toEqual({ browser, os, kind });
  });

  test.each([
    ["curl/8.1.2", "curl"],
    ["python-requests/2.31.0", "python-requests"],
    ["okhttp/4.12.0", "okhttp"],
    ["PostmanRuntime/7.36.1", "PostmanRuntime"],
    ["Bun/1.4.5", "Bun"],
    ["Go-http-client/1.1", "Go-http-client"],
    ["Apache-HttpClient/4.5.13 (Java/17.0.1)", "Apache-HttpClient"],
    ["MyApp/3.1 CFNetwork/1485 Darwin/23.1.0", "MyApp"],
    ["node", "node"],
  ])("the name of the program: %s", (userAgent, browser) => {
    expect(describeDevice(userAgent)).toMatchObject({ browser, kind: "program" });
  });

  test.each([null, "", "   ", "()", "Mozilla/5.0", "Mozilla/5.0 (X11) Weird\u001b[31m/1.0"])(
    "nothing where there is nothing: %j",
    (userAgent) => {
      expect(describeDevice(userAgent)).toMatchObject({ browser: null, kind: "unknown" });
    },
  );

  test("names that hold nothing but letters, digits and plain punctuation, whatever the header holds", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: "binary" }),
          fc.string().map((text) => `Mozilla/5.0 (${text}) ${text}/1`),
        ),
        (text) => {
          const { browser, os } = describeDevice(text);
          expect(browser ?? "").toMatch(/^[\w .+:()'/&-]*$/);
          expect(os ?? "").toMatch(/^[\w .]*$/);
        },
      ),
    );
  });

  test("the first 512 characters of its header, however long that is", () => {
    const start = chrome(126).padEnd(512, " ");
    expect(describeDevice(start + "Edg/126.0.0.0 ".repeat(4000))).toEqual(describeDevice(start));
    expect(describeDevice("(".repeat(65_536))).toEqual({ browser: null, os: null, kind: "unknown" });
  });
});

describe("the memory of devices", () => {
  test("answers the same header with the same object", () => {
    expect(describeDevice(firefox)).toBe(describeDevice(firefox));
  });

  test("forgets what was not seen for 500 others", () => {
    const [kept, forgotten] = [describeDevice("kept/1"), describeDevice("forgotten/1")];
    for (let at = 0; at < 499; at++) {
      describeDevice(`other/${at}`);
      describeDevice("kept/1");
    }
    expect(describeDevice("kept/1")).toBe(kept);
    expect(describeDevice("forgotten/1")).not.toBe(forgotten);
    expect(describeDevice("forgotten/1")).toEqual(forgotten);
  });
});

describe("a credential fits the client that it was given to", () => {
  test("after an update, where the family is compared", () => {
    expect(sameClient("ua-family", given(chrome(126)), chrome(127))).toBeTrue();
    expect(sameClient("ua-strict", given(chrome(126)), chrome(127))).toBeFalse();
  });

  test("and with the very same header in any case", () => {
    for (const userAgent of [null, "", "curl/8.1", firefox, "()", "x".repeat(1000)]) {
      expect(sameClient("ua-family", given(userAgent), userAgent)).toBeTrue();
      expect(sameClient("ua-strict", given(userAgent), userAgent)).toBeTrue();
    }
  });

  test("and with the part of a long header that a session remembers", () => {
    const long = `${firefox} ${"x".repeat(1000)}`;
    expect(sameClient("ua-strict", given(long.slice(0, 512)), long)).toBeTrue();
  });

  test.each([firefox, iphone, chrome(126, "X11; Linux x86_64"), "curl/8.1", null])("but not another one: %s", (now) => {
    expect(sameClient("ua-family", given(chrome(126)), now)).toBeFalse();
    expect(sameClient("ua-strict", given(chrome(126)), now)).toBeFalse();
  });

  test("and one program is not another", () => {
    expect(sameClient("ua-family", given("curl/8.1"), "curl/8.2")).toBeTrue();
    expect(sameClient("ua-family", given("curl/8.1"), "python-requests/2.31")).toBeFalse();
  });
});
