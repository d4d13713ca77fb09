import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["dist", "out", "coverage", "docs/api", "src/backends/wasm/assembly", "src/backends/wasm/binaries.ts"] },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "separate-type-imports" }],
      "@typescript-eslint/consistent-type-exports": "error",
      "@typescript-eslint/restrict-template-expressions": "off", // shapes and numbers go into messages
      "@typescript-eslint/unbound-method": "off", // tables of functions use method syntax and no `this`
      "@typescript-eslint/require-await": "off", // an interface may be async where one implementation is not
      eqeqeq: "error",
      "prefer-const": "error",
      "no-restricted-syntax": [
        "error",
        { selector: "TSEnumDeclaration", message: "Use a string union." },
        { selector: "ExportDefaultDeclaration", message: "Use a named export." },
      ],
    },
  },
  { files: ["**/*.config.ts"], rules: { "no-restricted-syntax": "off" } },
);
