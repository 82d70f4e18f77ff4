/** Files that are imported `with { type: "text" }`, so that a compiled program holds them. */
declare module "*/style.css" {
  const text: string;
  export default text;
}

declare module "*/script.js" {
  const text: string;
  export default text;
}

/** Files that are imported `with { type: "file" }`: where they are, which may be within a compiled program. */
declare module "swagger-ui-dist/swagger-ui.css" {
  const path: string;
  export default path;
}

declare module "swagger-ui-dist/swagger-ui-bundle.js" {
  const path: string;
  export default path;
}
