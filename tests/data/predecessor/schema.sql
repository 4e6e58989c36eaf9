-- The tables of release 0.0.6 of the predecessor on PostgreSQL, as SQLAlchemy makes them from its models; without indexes.

CREATE TABLE teams (
    id varchar PRIMARY KEY, name varchar NOT NULL UNIQUE, description text, required_labels text NOT NULL,
    optional_label_patterns text, max_runners integer, is_active boolean NOT NULL, deactivation_reason text,
    deactivated_at timestamp, deactivated_by varchar, created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
    created_by varchar
);

CREATE TABLE users (
    id varchar PRIMARY KEY, email varchar UNIQUE, oidc_sub varchar UNIQUE, display_name varchar,
    is_admin boolean NOT NULL, is_active boolean NOT NULL, can_use_jit boolean NOT NULL, created_at timestamp NOT NULL,
    updated_at timestamp NOT NULL, last_login_at timestamp, created_by varchar
);

CREATE TABLE user_team_memberships (
    id varchar PRIMARY KEY, user_id varchar NOT NULL REFERENCES users ON DELETE CASCADE,
    team_id varchar NOT NULL REFERENCES teams ON DELETE CASCADE, joined_at timestamp NOT NULL, added_by varchar
);

CREATE TABLE oauth_clients (
    id varchar PRIMARY KEY, client_id varchar NOT NULL UNIQUE,
    team_id varchar NOT NULL REFERENCES teams ON DELETE CASCADE, description text, is_active boolean NOT NULL,
    created_at timestamp NOT NULL, created_by varchar, last_used_at timestamp
);

CREATE TABLE runners (
    id varchar PRIMARY KEY, runner_name varchar NOT NULL, github_runner_id integer, runner_group_id integer NOT NULL,
    labels text NOT NULL, ephemeral boolean NOT NULL, disable_update boolean NOT NULL, provisioned_by varchar NOT NULL,
    oidc_sub varchar, team_id varchar REFERENCES teams, team_name varchar, status varchar NOT NULL,
    github_url varchar NOT NULL, created_at timestamp NOT NULL, updated_at timestamp NOT NULL, registered_at timestamp,
    deleted_at timestamp
);

CREATE TABLE audit_log (
    id serial PRIMARY KEY, event_type varchar NOT NULL, runner_id varchar, runner_name varchar,
    team_id varchar REFERENCES teams, user_identity varchar NOT NULL, oidc_sub varchar, request_ip varchar,
    user_agent varchar, event_data text, success boolean NOT NULL, error_message text, timestamp timestamp NOT NULL
);

CREATE TABLE security_events (
    id serial PRIMARY KEY, event_type varchar NOT NULL, severity varchar NOT NULL, runner_id varchar,
    runner_name varchar, github_runner_id integer, team_id varchar REFERENCES teams, user_identity varchar NOT NULL,
    oidc_sub varchar, violation_data text NOT NULL, action_taken varchar, timestamp timestamp NOT NULL
);
