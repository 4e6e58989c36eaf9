// Requests, follows, lists and removes a runner with the types that openapi-typescript generates, unedited.

import createClient from "openapi-fetch";
import type { components, paths } from "./generated.js";

declare const process: { env: Record<string, string | undefined>; stdout: { write(text: string): void } };

type JobState = components["schemas"]["JobState"];

function assert(holds: unknown, what: string): asserts holds {
    if (!holds) throw new Error(what);
}

const client = createClient<paths>({
    baseUrl: process.env.RTS_URL ?? "",
    headers: { Authorization: `Bearer ${process.env.RTS_TOKEN}` },
});

const me = await client.GET("/api/v1/auth/me");
assert(me.data?.kind === "user", "a user");

const refused = await client.POST("/api/v1/runners/jit", {
    body: { runner_name_prefix: "ts", labels: ["forbidden"] },
});
assert(refused.error?.code === "label_policy_violation", "a refusal");

const accepted = await client.POST("/api/v1/runners/jit", {
    params: { header: { Prefer: "respond-async", "Idempotency-Key": "generated-client" } },
    body: { runner_name_prefix: "ts", labels: ["gpu-1"] },
});
assert(accepted.data && "status_url" in accepted.data, "202");
const job_id = accepted.data.job_id;

let state: JobState = "queued";
for (let look = 0; look < 10 && (state === "queued" || state === "running"); look++) {
    const job = await client.GET("/api/v1/jobs/{job_id}", { params: { path: { job_id }, query: { wait: 25 } } });
    assert(job.data, "a job");
    state = job.data.state;
    const reason: components["schemas"]["BlockedOn"] | null | undefined = job.data.blocked_on;
    assert(state !== "succeeded" || !reason, "a job that is done waits for nothing");
}
assert(state === "succeeded", state);

const handout = await client.POST("/api/v1/jobs/{job_id}/credential", { params: { path: { job_id } } });
assert(handout.data?.kind === "jit_config" && handout.data.encoded_jit_config, "a JIT config");
const runner_id = handout.data.runner_id;

const listed = await client.GET("/api/v1/runners", { params: { query: { status: "pending" } } });
assert(listed.data?.runners.length === 1 && listed.data.runners[0]?.runner_id === runner_id, "one runner");

const removed = await client.DELETE("/api/v1/runners/{runner_id}", {
    params: { path: { runner_id }, header: { Prefer: "wait=25" } },
});
assert(removed.response.ok, "removed");
process.stdout.write(handout.data.runner_name);
