// Names, labels, descriptions, reasons and errors with markup are shown as text on every page that shows them, and a
// form of another site changes nothing.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";

import { facts, open, tell, url } from "../browser.mjs";

const other = createServer((request, response) => {
    response.setHeader("content-type", "text/html");
    response.end(`<!doctype html><title>Other site</title>
        <iframe src="${url}/"></iframe>
        <form method="post" action="${url}${facts.action}"><button>Win</button></form>`);
}).listen(0, "127.0.0.2");
await once(other, "listening");

await tell(async (visit) => {
    const page = await (await visit({ session: facts.session })).tab();
    let shown = 0;
    for (const path of facts.paths) {
        await open(page, path);
        const found = await page.evaluate((mark) => {
            // Only markup that was not escaped makes elements of these names or attributes.
            const made = [...document.querySelectorAll("[data-hostile], hostile, main script, main iframe, main img")];
            return { made: made.map((one) => one.outerHTML), text: document.body.innerText.includes(mark), ran: globalThis.hostile };
        }, facts.mark);
        assert.deepEqual([found.made, found.ran ?? null], [[], null], path);
        shown += Number(found.text);
    }
    assert.ok(shown >= facts.least, `${shown} pages show the hostile names as text`);

    // Clickjacking and cross-site forms. The frame is refused aloud, which is no fault of ours.
    const victim = await visit({ session: facts.session });
    const tab = await victim.tab();
    await tab.goto(`http://127.0.0.2:${other.address().port}/`);
    const frame = tab.frames().find((one) => one !== tab.mainFrame());
    assert.ok(!frame || !(await frame.content()).includes("Runner Token Service"), "no frame shows the dashboard");
    victim.faults.length = 0;
    const [answer] = await Promise.all([tab.waitForNavigation(), tab.getByRole("button", { name: "Win" }).click()]);
    assert.equal(answer.status(), 403);
    assert.equal(new URL(tab.url()).origin, new URL(url).origin);
    assert.equal(await open(page, "/sessions"), "My sessions", "the session goes on");
}).finally(() => other.close());
