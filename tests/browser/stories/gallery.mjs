// The pictures of the documentation. `./dev screenshots` copies them to docs/images.
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";

import { facts, open, tell } from "../browser.mjs";

/** Largest picture, in bytes. */
const MOST = 150 * 1024;

async function takes(page, name, { path, height = 900, prepare = async () => {} }) {
    await page.setViewportSize({ width: 1200, height });
    await open(page, path);
    await prepare(page);
    // Ages are shown from the first second on; the pointer rests nowhere.
    await page.mouse.move(0, 0);
    const file = join(process.env.SCREENSHOTS, `${name}.png`);
    await page.screenshot({ path: file });
    assert.ok(statSync(file).size <= MOST, `${name} has ${statSync(file).size} bytes`);
}

await tell(async (visit) => {
    for (const colorScheme of ["light", "dark"]) {
        const page = await (await visit({ session: facts.admin, colorScheme })).tab();
        await takes(page, `board-${colorScheme}`, { path: "/", height: 1000 });
        if (colorScheme === "dark") await takes(page, "failures", { path: "/failures", height: 620 });
    }
    const page = await (await visit({ session: facts.member, colorScheme: "light" })).tab();
    await takes(page, "runner", { path: `/runners/${facts.runner}`, height: 760 });
    await takes(page, "new-runner", {
        path: "/runners/new",
        height: 1000,
        prepare: async (page) => {
            await page.getByLabel(/^\s*web —/).check();
            await page.getByLabel("Name", { exact: true }).fill("ci");
            await page.getByLabel("Labels").fill("linux, x64, gpu-a100");
            await page.locator("#check").getByText("gpu-a100").first().waitFor();
        },
    });
    await takes(page, "explain", { path: `/explain?team=web&labels=${encodeURIComponent("linux, gpu-a100")}`, height: 1000 });
    const phone = await (await visit({ session: facts.admin, colorScheme: "dark", viewport: { width: 360, height: 740 } })).tab();
    await open(phone, "/");
    await phone.screenshot({ path: join(process.env.SCREENSHOTS, "board-phone.png") });
});
