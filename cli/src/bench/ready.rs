//! From a request to its config in one answer, one at a time.

use std::time::Duration;

use hyper::StatusCode;
use tokio::time::{Instant, sleep};

use super::{
    Scale,
    load::{Ask, Line, millis},
    report::{Report, Row, Target, quantile},
};

/// Between two requests, so that everything has gone to sleep.
const REST: Duration = Duration::from_millis(10);

pub(super) async fn measure(
    address: &str,
    callers: &[String],
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    let ask =
        Ask { prefer: Some("wait=20"), expects: StatusCode::CREATED, ..Ask::provision(address, callers) };
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for _ in 0..scale.repetitions {
        let mut line = Line::open(address).await?;
        let mut times = Vec::with_capacity(scale.singles);
        for nth in 0..scale.singles {
            sleep(REST).await;
            let begun = Instant::now();
            line.send(&ask, nth).await?;
            times.push(millis(begun.elapsed()));
        }
        p50.push(quantile(&times, 0.5));
        p99.push(quantile(&times, 0.99));
    }
    report
        .push(Row::new("request to config (201), idle system, p50", "ms", &p50).target(Target::AtMost(15.0)));
    report.push(Row::new("request to config (201), idle system, p99", "ms", &p99));
    Ok(())
}
