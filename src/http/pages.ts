/**
 * The pages that links in mails lead to, where the operator has none (VERIFY_EMAIL_PAGE and RESET_PASSWORD_PAGE), and
 * the one that a link of `admin recover` leads to. They hold nothing of anybody, and whoever fetches one changes nothing: the token stands behind the `#`, where only the
 * page's own script sees it, and only a button sends it.
 */
import { createHash } from "node:crypto";
import type { Elysia } from "elysia";
import type { Config } from "../config.ts";
import script from "./pages/script.js" with { type: "text" };
import style from "./pages/style.css" with { type: "text" };
import { type Language, languages, type PageName, pageNames, words } from "./pages/words.ts";

type Settings = Pick<Config, "APP_NAME" | "PASSWORD_MIN_LENGTH">;

const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join("; ");

const files = [
  { path: "/pages/script.js", type: "text/javascript; charset=utf-8", text: script },
  { path: "/pages/style.css", type: "text/css; charset=utf-8", text: style },
].map((file) => ({ ...file, etag: `"${createHash("sha256").update(file.text).digest("base64url")}"` }));

export const pages = (settings: Settings) => (app: Elysia) => {
  const hidden = { detail: { hide: true } };
  for (const name of pageNames) {
    app.get(
      `/${name}`,
      ({ request, set }) => {
        set.headers["content-type"] = "text/html; charset=utf-8";
        set.headers["content-security-policy"] = policy;
        set.headers["vary"] = "accept-language";
        return page(name, languageOf(request.headers.get("accept-language") ?? ""), settings);
      },
      hidden,
    );
  }
  for (const { path, type, text, etag } of files) {
    app.get(
      path,
      ({ request, set }) => {
        set.headers["content-type"] = type;
        set.headers["cache-control"] = "no-cache";
        set.headers["etag"] = etag;
        return request.headers.get("if-none-match") === etag ? new Response(null, { status: 304 }) : text;
      },
      hidden,
    );
  }
  return app;
};

/** The language that is wanted most of those that we know (RFC 9110, section 12.5.4). */
export function languageOf(header: string): Language {
  const wanted = header
    .slice(0, 500)
    .split(",")
    .map((one) => /^\s*([a-z]{2})(?:-[\w-]+)?\s*(?:;\s*q=(\d(?:\.\d{1,3})?)\s*)?$/i.exec(one))
    .map((found) => ({ language: found?.[1]?.toLowerCase(), weight: Number(found?.[2] ?? 1) }))
    .filter(({ weight }) => weight > 0)
    .toSorted((one, other) => other.weight - one.weight);
  const known = wanted.map(({ language }) => languages.find((one) => one === language));
  return known.find((one) => one !== undefined) ?? "en";
}

const apis: Readonly<Record<PageName, { readonly use: string; readonly ask?: string }>> = {
  "verify-email": { use: "/api/v1/auth/verify-email", ask: "/api/v1/auth/verify-email/resend" },
  "reset-password": { use: "/api/v1/auth/reset-password", ask: "/api/v1/auth/forgot-password" },
  recover: { use: "/api/v1/auth/recover" },
};

function page(name: PageName, language: Language, { APP_NAME, PASSWORD_MIN_LENGTH }: Settings): string {
  const { common, [name]: own } = words[language];
  const app = escapeHtml(APP_NAME);
  const failures = Object.entries(common.failures).map(([code, text]) => `data-${code}="${escapeHtml(text)}"`);
  const fields = name === "verify-email" ? "" : passwordFields(language, PASSWORD_MIN_LENGTH);
  return `<!doctype html>
<html lang="${language}">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="robots" content="noindex">
    <title>${own.title} – ${app}</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="/pages/style.css">
    <script src="/pages/script.js" defer></script>
  </head>
  <body>
    <main>
      <p class="app">${app}</p>
      <h1>${own.title}</h1>
      <noscript><p>${common.noScript}</p></noscript>
      <div id="failure" role="alert" hidden ${failures.join(" ")}><p></p><ul lang="en"></ul></div>
      <form id="use" method="post" action="${apis[name].use}" hidden>
        <p>${own.lead}</p>${fields}
        <button>${own.button}</button>
      </form>
      ${askPart(name, language)}
      <p id="done" role="status" tabindex="-1" hidden>${own.done}</p>
      <p id="asked" role="status" tabindex="-1" hidden>${own.asked ?? ""}</p>
    </main>
  </body>
</html>
`;
}

/** What is shown where there is no token, or none that is good: a way to another one. */
function askPart(name: PageName, language: Language): string {
  const { common, [name]: own } = words[language];
  const { ask } = apis[name];
  if (ask === undefined) return `<p id="ask" hidden>${own.ask}</p>`;
  return `<form id="ask" method="post" action="${ask}" hidden>
        <p>${own.ask}</p>
        <label for="email">${common.email}</label>
        <input id="email" name="email" type="email" autocomplete="email" maxlength="320" required>
        <button>${common.askButton}</button>
      </form>`;
}

function passwordFields(language: Language, least: number): string {
  const { common } = words[language];
  return `
        <label for="password">${common.password}</label>
        <input id="password" name="password" type="password" autocomplete="new-password" aria-describedby="hint" required>
        <p id="hint" class="hint">${common.hint(least)}</p>
        <label for="again">${common.again}</label>
        <input id="again" name="again" type="password" autocomplete="new-password" required>
        <label class="choice"><input id="show" type="checkbox"> ${common.show}</label>`;
}

const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
