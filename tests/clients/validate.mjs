// Prints what Redocly's recommended rules find in an OpenAPI document, one line each; fails if there is anything.

import { createConfig, lint } from "@redocly/openapi-core";

const config = await createConfig({
    extends: ["recommended"],
    // Probes and metrics refuse nobody.
    rules: { "operation-4xx-response": "off" },
});
const problems = await lint({ ref: process.argv[2], config });
for (const { severity, ruleId, message, location } of problems) {
    console.log(severity, ruleId, message, location[0]?.pointer);
}
process.exitCode = problems.length === 0 ? 0 : 1;
