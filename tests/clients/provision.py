"""Requests, follows, lists and removes a runner with the client that openapi-python-client generates, unedited."""

import os
import sys

from generated import AuthenticatedClient
from generated.api.jobs import get_jobs_job_id, post_jobs_job_id_credential
from generated.api.me import get_auth_me
from generated.api.runners import delete_runners_runner_id, get_runners, post_runners_jit
from generated.models import (
    Accepted,
    Credential,
    Job,
    JobState,
    Me,
    ProblemBody,
    ProblemCode,
    ProvisionByPrefix,
    RunnerList,
    RunnerStatus,
)

client = AuthenticatedClient(base_url=os.environ["RTS_URL"], token=os.environ["RTS_TOKEN"])

me = get_auth_me.sync(client=client)
assert isinstance(me, Me) and me.kind == "user", me

refused = post_runners_jit.sync(
    client=client, body=ProvisionByPrefix(runner_name_prefix="py", labels=["forbidden"])
)
assert isinstance(refused, ProblemBody) and refused.code is ProblemCode.LABEL_POLICY_VIOLATION, refused

accepted = post_runners_jit.sync(
    client=client, body=ProvisionByPrefix(runner_name_prefix="py", labels=["gpu-1"]), prefer="respond-async"
)
assert isinstance(accepted, Accepted), accepted

job = None
for _ in range(10):
    job = get_jobs_job_id.sync(client=client, job_id=accepted.job_id, wait=25)
    assert isinstance(job, Job), job
    if job.state not in (JobState.QUEUED, JobState.RUNNING):
        break
assert isinstance(job, Job) and job.state is JobState.SUCCEEDED and job.blocked_on is None, job

config = post_jobs_job_id_credential.sync(client=client, job_id=accepted.job_id)
assert isinstance(config, Credential) and config.encoded_jit_config, "a JIT config"

listed = get_runners.sync(client=client, status=RunnerStatus.PENDING)
assert isinstance(listed, RunnerList) and [each.runner_id for each in listed.runners] == [config.runner_id], listed

removed = delete_runners_runner_id.sync_detailed(client=client, runner_id=config.runner_id, prefer="wait=25")
assert removed.status_code in (200, 202), removed
sys.stdout.write(config.runner_name)
