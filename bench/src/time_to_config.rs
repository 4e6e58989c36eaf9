//! Time from a request to its config in the same response, one request at a time.

use std::time::Duration;

use hyper::StatusCode;
use tokio::time::{Instant, sleep};

use crate::{
    http_load::{HttpConnection, PostRequests, millis},
    report::{Report, Row, Target, quantile},
    scale::Scale,
};

/// Pause between two requests, after which every process is idle.
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) async fn measure(
    address: &str,
    tokens: &[String],
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    let requests = PostRequests {
        prefer: Some("wait=20"),
        expected_status: StatusCode::CREATED,
        ..PostRequests::provision(address, tokens)
    };
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for _ in 0..scale.repetitions {
        let mut connection = HttpConnection::open(address).await?;
        let mut times = Vec::with_capacity(scale.singles);
        for nth in 0..scale.singles {
            sleep(PAUSE).await;
            let start = Instant::now();
            connection.send(&requests, nth).await?;
            times.push(millis(start.elapsed()));
        }
        p50.push(quantile(&times, 0.5));
        p99.push(quantile(&times, 0.99));
    }
    report
        .push(Row::new("request to config (201), idle system, p50", "ms", &p50).target(Target::AtMost(15.0)));
    report.push(Row::new("request to config (201), idle system, p99", "ms", &p99));
    Ok(())
}
