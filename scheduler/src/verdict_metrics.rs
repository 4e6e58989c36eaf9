//! Gauges of one picture of the service: the verdict, what waiting jobs wait for, and the workers wanted.

use chrono::Utc;
use domain::{Picture, Verdict, VerdictCode};
use operations::Operations;

use crate::{
    Parts, StepError,
    gauges::{ShownGauges, float},
};

/// Sets the gauge of the condition that holds to 1 and those of all others to 0, then the gauges for autoscalers.
/// Returns 0, since nothing was changed.
pub async fn run(parts: Parts, shown: ShownGauges) -> Result<u64, StepError> {
    let picture = Operations::new(&parts.store, &parts.queue).picture(Utc::now()).await?;
    let code = Verdict::of(&picture).code;
    for one in VerdictCode::ALL {
        let labels = [("level", one.level().as_str()), ("code", one.as_str())];
        metrics::gauge!("rts_verdict", &labels).set(f64::from(u8::from(*one == code)));
    }
    show_scaling(&parts, &picture, &shown);
    Ok(0)
}

/// Sets the gauges for autoscalers. They keep their values while Redis or the database is away: an outage is no reason
/// to remove workers.
fn show_scaling(parts: &Parts, picture: &Picture, shown: &ShownGauges) {
    let Some(queue) = &picture.queue else { return };
    let (scaling, mut gauges) = (queue.scaling(), shown.begin());
    for row in &scaling.waiting {
        let labels = [
            ("installation", row.installation.as_str()),
            ("lane", row.lane.as_str()),
            ("reason", row.reason.as_str()),
        ];
        gauges.count("rts_queue_waiting_for", &labels, row.jobs);
    }
    let live = || picture.workers.iter().filter(|worker| worker.takes_jobs);
    let (workers, slots) = (live().count() as u64, live().map(|worker| worker.slots).sum::<u64>());
    let busy = scaling.running;
    for (state, number) in [("busy", busy), ("free", slots.saturating_sub(busy))] {
        gauges.count("rts_worker_slots", &[("state", state)], number);
    }
    // The workers that an autoscaler adds are like those that run, and like the settings while none runs.
    let each = slots.checked_div(workers).unwrap_or(parts.sync.worker_slots);
    metrics::gauge!("rts_workers_wanted").set(float(scaling.workers_wanted(each)));
    gauges.end();
}
