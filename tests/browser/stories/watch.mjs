// The watch itself: a page that breaks each rule once is caught once for each.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";

import { assertAccessible, tell } from "../browser.mjs";

const page = (body) => `<!doctype html><html lang="en"><title>Watch</title><main><h1>Watch</h1>${body}</main></html>`;
const pages = {
    "/good": page("<button>Press</button>"),
    "/inline": page("<script>document.title = 'ran'</script>"),
    "/nameless": page("<button></button>"),
    "/throws": page('<script src="/throws.js"></script>'),
    "/throws.js": "throw new Error('on purpose')",
};

const server = createServer((request, response) => {
    response.setHeader("content-security-policy", "default-src 'none'; script-src 'self'; img-src 'self'");
    response.setHeader("content-type", request.url.endsWith(".js") ? "text/javascript" : "text/html");
    response.statusCode = request.url in pages ? 200 : 500;
    response.end(pages[request.url] ?? page("broken"));
}).listen(0, "127.0.0.1");
await once(server, "listening");
const url = `http://127.0.0.1:${server.address().port}`;

await tell(async (visit) => {
    const visitor = await visit();
    const tab = await visitor.tab();
    const faults = async (path) => {
        visitor.faults.length = 0;
        await tab.goto(`${url}${path}`);
        await tab.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done))));
        return visitor.faults.splice(0).join("\n");
    };
    assert.equal(await faults("/good"), "");
    await assertAccessible(tab);
    assert.match(await faults("/inline"), /content security policy/);
    assert.equal(await tab.title(), "Watch");
    assert.match(await faults("/throws"), /on purpose/);
    assert.match(await faults("/500"), /500/);
    assert.equal(await faults("/nameless"), "");
    await assert.rejects(assertAccessible(tab), /button-name/);
}).finally(() => server.close());
