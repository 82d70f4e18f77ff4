/** Files that are imported `with { type: "text" }`, so that a compiled program holds them. */
declare module "*/style.css" {
  const text: string;
  export default text;
}

declare module "*/script.js" {
  const text: string;
  export default text;
}
