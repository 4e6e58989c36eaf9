//! GitHub counts by method and path; operations that share both share a budget.

use domain::Lane;
use queue::Call;

/// What one operation costs.
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
    // What takes away may use what is kept back for it.
    let urgent = matches!(endpoint, "delete-runner" | "cancel-run");
    Call { endpoint, write, registers: endpoint == "generate-jitconfig", urgent }
}

/// Whether the App asks as itself: GitHub counts that apart from its installations.
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

/// What the claim of a job has paid for.
pub(crate) const fn prepaid(lane: Lane) -> &'static str {
    match lane {
        Lane::Provision => "generate-jitconfig",
        Lane::Deprovision => "delete-runner",
        Lane::Drift => "runner",
    }
}
