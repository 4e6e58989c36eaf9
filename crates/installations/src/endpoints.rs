//! Costs of GitHub operations. GitHub counts by method and path, so operations that share both share a budget.

use domain::Lane;
use queue::Call;

/// Returns the cost of an operation.
pub(crate) fn call(operation: &str) -> Call {
    let (endpoint, write) = match operation {
        "create_jit_config" => ("generate-jitconfig", true),
        "get_runner" => ("runner", false),
        "delete_runner" => ("delete-runner", true),
        "find_runner" | "list_runners" => ("runners", false),
        "set_labels" => ("set-labels", true),
        "create_registration_token" => ("registration-token", true),
        "cancel_workflow_run" => ("cancel-run", true),
        "get_runner_deprecation" => ("deprecations", false),
        "list_runner_groups" => ("runner-groups", false),
        "list_hook_deliveries" => ("hook-deliveries", false),
        "redeliver_hook" => ("redeliver-hook", true),
        "rate_limit" => ("rate-limit", false),
        _ => ("other", true),
    };
    // Removals may use the reserved budget.
    let urgent = matches!(endpoint, "delete-runner" | "cancel-run");
    Call { endpoint, write, registers: endpoint == "generate-jitconfig", urgent }
}

/// Whether the App itself sends the operation: GitHub counts that apart from its installations.
pub(crate) fn as_app(operation: &str) -> bool {
    matches!(
        operation,
        "create_installation_access_token"
            | "get_app"
            | "get_installation"
            | "list_hook_deliveries"
            | "redeliver_hook"
    )
}

/// Returns the endpoint of the request that the claim of a job pays for.
pub(crate) const fn prepaid(lane: Lane) -> &'static str {
    match lane {
        Lane::Provision => "generate-jitconfig",
        Lane::Deprovision => "delete-runner",
        Lane::Drift => "runner",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claim_script_charges_each_lane_for_the_call_its_jobs_make() {
        let script = include_str!("../../queue/scripts/lib/budget.lua");
        let operations = [
            (Lane::Provision, "create_jit_config"),
            (Lane::Deprovision, "delete_runner"),
            (Lane::Drift, "get_runner"),
        ];
        assert_eq!(operations.map(|(lane, _)| lane), Lane::ALL);
        for (lane, operation) in operations {
            let Call { endpoint, write, registers, urgent } = call(operation);
            assert_eq!(prepaid(lane), endpoint, "{lane}");
            let line = format!(
                "{lane} = {{ lane = '{lane}', endpoint = '{endpoint}', write = {write}, registers = {registers}, urgent = {urgent} }}"
            );
            assert!(script.contains(&line), "{line}");
        }
    }
}
