//! Gauge of the verdict on the state of the service.

use chrono::Utc;
use domain::VerdictCode;
use operations::Operations;

use crate::{Parts, StepError};

/// Sets the gauge of the condition that holds to 1 and those of all others to 0. Returns 0, since nothing was changed.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    let code = Operations::new(&parts.store, &parts.queue).verdict(Utc::now()).await?.code;
    for one in VerdictCode::ALL {
        let labels = [("level", one.level().as_str()), ("code", one.as_str())];
        metrics::gauge!("rts_verdict", &labels).set(f64::from(u8::from(*one == code)));
    }
    Ok(0)
}
