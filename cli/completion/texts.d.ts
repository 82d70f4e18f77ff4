/** Files that are imported `with { type: "text" }`, so that a compiled program holds them. */
declare module "*.bash" {
  const text: string;
  export default text;
}

declare module "*.zsh" {
  const text: string;
  export default text;
}

declare module "*.fish" {
  const text: string;
  export default text;
}
