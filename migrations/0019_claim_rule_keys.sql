-- The key a claim rule is looked up by: its whole subject, else the head of the subject up to the last separator before the
-- first wildcard (2 to 8 segments), else its most telling claim. A token has a handful of such keys; domain::ClaimRule
-- makes the same ones.
CREATE FUNCTION claim_rule_key(rule jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT left(CASE
        WHEN rule ->> 'subject' !~ '[*?]' THEN 's:' || (rule ->> 'subject')
        ELSE coalesce(
            'p:' || substring(substring(rule ->> 'subject' from '^[^*?]*') from '^(?:[^:/|#]*[:/|#]){2,8}'),
            (SELECT 'c:' || name || '=' || (value #>> '{}')
                FROM jsonb_each(coalesce(rule -> 'claims', '{}')) AS claim (name, value)
                ORDER BY array_position(ARRAY['repository_id', 'repository', 'job_workflow_ref', 'project_id', 'project_path',
                    'repository_owner_id', 'repository_owner', 'namespace_id', 'namespace_path'], name), name LIMIT 1),
            '')
        END, 600)
$$;
