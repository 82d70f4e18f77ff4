/**
 * The document of the API and a page to try it on. Everything that the page loads comes from this server, so
 * that it works without the internet, and no other host learns or decides what a browser runs here.
 */
import type { Elysia } from "elysia";
import { version as pageVersion } from "swagger-ui-dist/package.json";
import styleFile from "swagger-ui-dist/swagger-ui.css" with { type: "file" };
import scriptFile from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };
import type { Config } from "../config.ts";
import { openApiDocument } from "./openapi.ts";

type Settings = Pick<Config, "COOKIE_ACCESS_NAME" | "COOKIE_SESSION_NAME">;

const page = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>authctl API</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="/docs/swagger-ui.css">
    <script src="/docs/swagger-ui-bundle.js" defer></script>
    <script src="/docs/init.js" defer></script>
  </head>
  <body>
    <div id="swagger-ui"></div>
  </body>
</html>
`;

// The validator badge would send the document's address to another host.
const init = `SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
`;

/** Swagger UI styles elements from its script, and draws with images that stand in its style sheet. */
const pagePolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** @param version of this server, as the document tells it */
export function docs({ version, settings }: { readonly version: string; readonly settings: Settings }) {
  return (app: Elysia) => {
    let document: Promise<string> | undefined;
    const hidden = { detail: { hide: true } };

    app.get(
      "/openapi.json",
      ({ set }) => {
        set.headers["content-type"] = "application/json";
        document ??= openApiDocument(app, { version, ...settings }).then((it) => JSON.stringify(it));
        return document;
      },
      hidden,
    );
    app.get(
      "/docs",
      ({ set }) => {
        set.headers["content-type"] = "text/html; charset=utf-8";
        set.headers["content-security-policy"] = pagePolicy;
        return page;
      },
      hidden,
    );
    for (const { name, type, load } of assets) {
      app.get(
        `/docs/${name}`,
        async ({ request, set }) => {
          const tag = `"${version}-${pageVersion}"`;
          set.headers["content-type"] = type;
          set.headers["cache-control"] = "public, max-age=3600";
          set.headers["etag"] = tag;
          if (request.headers.get("if-none-match") === tag) return new Response(null, { status: 304 });
          return load();
        },
        hidden,
      );
    }
    return app;
  };
}

const assets = [
  { name: "swagger-ui.css", type: "text/css; charset=utf-8", load: () => Bun.file(styleFile).text() },
  {
    name: "swagger-ui-bundle.js",
    type: "text/javascript; charset=utf-8",
    load: () => Bun.file(scriptFile).text(),
  },
  { name: "init.js", type: "text/javascript; charset=utf-8", load: () => init },
];
