//! Integration tests of the service, through HTTP, database rows and the twin's ledger.

#[cfg(test)]
mod abandoned;
#[cfg(test)]
mod administration;
#[cfg(test)]
mod alerts;
mod apply;
#[cfg(test)]
mod audit_chain;
#[cfg(test)]
mod audit_export;
#[cfg(test)]
mod authorization;
#[cfg(test)]
mod batches;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod budget;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod chart;
#[cfg(test)]
mod client;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod dashboard;
#[cfg(test)]
mod database_roles;
#[cfg(test)]
mod dependency_rules;
#[cfg(test)]
mod deployment;
#[cfg(test)]
mod deprecation;
#[cfg(test)]
mod dev;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod documents;
mod events;
mod exactly_once;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod explain;
mod failures;
#[cfg(test)]
mod fairness;
#[cfg(test)]
mod fencing_model;
#[cfg(test)]
mod filters;
#[cfg(test)]
mod generated_clients;
#[cfg(test)]
mod generated_requests;
#[cfg(test)]
mod github_client;
#[cfg(test)]
mod guide_steps;
#[cfg(test)]
mod guides;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod identity;
mod installations;
#[cfg(test)]
mod invalid_input;
#[cfg(test)]
mod label_policies;
mod lifecycle;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod metric_labels;
#[cfg(test)]
mod migrations;
#[cfg(test)]
mod newer_rows;
#[cfg(test)]
mod openapi;
mod operation;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod pools;
#[cfg(test)]
mod populated;
#[cfg(test)]
mod predecessor_calls;
#[cfg(test)]
mod predecessor_import;
#[cfg(test)]
mod provision;
#[cfg(test)]
mod queue_loss;
#[cfg(test)]
mod quickstart;
#[cfg(test)]
mod refusal_texts;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod registration;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod restore;
#[cfg(test)]
mod retention;
mod revocation;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod runner_action;
#[cfg(test)]
mod schemas;
#[cfg(test)]
mod sealed_configs;
#[cfg(test)]
mod secrets;
mod service_manager;
#[cfg(test)]
mod shell_client;
#[cfg(test)]
mod signin;
#[cfg(test)]
mod source_style;
mod stores;
#[cfg(test)]
mod streams;
mod tickets;
#[cfg(test)]
mod tls;
mod traces;
mod twin;
#[cfg(test)]
mod unknown_principals;
#[cfg(test)]
mod versions;
#[cfg(test)]
mod visibility;
mod webhooks;
