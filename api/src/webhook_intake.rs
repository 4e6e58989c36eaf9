//! Reading of webhook bodies before their signature is known: few at a time, briefly, and kept only in part.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use axum::body::{Body, Bytes};
use domain::{InstallationId, Problem, ProblemCode};
use governor::Quota;
use http_body_util::BodyExt;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use crate::{address_limit::AddressLimit, webhook_signature::SignatureCheck};

/// Largest accepted delivery, in bytes: GitHub's own maximum.
pub(crate) const MAX_DELIVERY: usize = 25 * 1024 * 1024;
/// Largest body kept, in bytes. No relevant event comes near this size.
const MAX_KEPT: usize = 1024 * 1024;
/// Step by which the kept body grows, in bytes.
const GROWTH_STEP: usize = 128 * 1024;
/// Time limit for a body; GitHub itself waits no longer for a response.
const MAX_BODY_TIME: Duration = Duration::from_secs(10);
/// Longest wait for other deliveries to be read.
const MAX_QUEUE_TIME: Duration = Duration::from_secs(5);
/// Maximum number of deliveries read at a time.
const MAX_CONCURRENT: usize = 32;
/// Maximum number of deliveries read at a time from addresses beyond [`MAX_WRONG_PER_MINUTE`].
const MAX_CONCURRENT_SUSPECTS: usize = 4;
/// Limit on wrong deliveries per address and minute. Each delivery and each MiB hashed counts one.
const MAX_WRONG_PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).unwrap();
/// Count of a body that did not arrive in time.
const STALLED_COST: u32 = 10;

/// Limits on the deliveries being read.
#[derive(Debug)]
pub(crate) struct Intake {
    usual: Semaphore,
    suspects: Semaphore,
    wrong: AddressLimit,
}

/// A body and its signers.
pub(crate) struct SignedBody {
    /// The installations whose secret signed it.
    pub(crate) installations: Vec<InstallationId>,
    /// The body; `None` if it is larger than [`MAX_KEPT`].
    pub(crate) body: Option<Vec<u8>>,
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            usual: Semaphore::new(MAX_CONCURRENT),
            suspects: Semaphore::new(MAX_CONCURRENT_SUSPECTS),
            wrong: AddressLimit::new(Quota::per_minute(MAX_WRONG_PER_MINUTE)),
        }
    }
}

impl Intake {
    /// Reads a body and computes its signature meanwhile.
    ///
    /// # Errors
    /// `overloaded` when too many others are being read, `request_timeout`, `payload_too_large` or `malformed_body`.
    pub(crate) async fn read_body(
        &self,
        ip: Option<IpAddr>,
        body: Body,
        check: SignatureCheck<'_>,
    ) -> Result<SignedBody, Problem> {
        let _slot = self.acquire_slot(ip).await?;
        let cost = check.cost();
        match timeout(MAX_BODY_TIME, read_and_verify(body, check)).await {
            Err(_) => {
                self.wrong.count(ip, STALLED_COST);
                let detail = format!("A delivery must be complete within {} s.", MAX_BODY_TIME.as_secs());
                Err(Problem::new(ProblemCode::RequestTimeout, detail))
            }
            Ok(Err(problem)) => {
                self.wrong.count(ip, 1);
                Err(problem)
            }
            Ok(Ok((signed, size))) => {
                if signed.installations.is_empty() {
                    let hashed = u32::try_from(size / MAX_KEPT * cost).unwrap_or(u32::MAX);
                    self.wrong.count(ip, hashed.saturating_add(1));
                }
                Ok(signed)
            }
        }
    }

    async fn acquire_slot(&self, ip: Option<IpAddr>) -> Result<SemaphorePermit<'_>, Problem> {
        let slots = if self.wrong.blocked(ip).is_some() { &self.suspects } else { &self.usual };
        if let Ok(Ok(slot)) = timeout(MAX_QUEUE_TIME, slots.acquire()).await {
            return Ok(slot);
        }
        let detail = "Too many deliveries are being read; try again shortly.";
        Err(Problem::new(ProblemCode::Overloaded, detail).retry_after(5))
    }

    /// Removes the addresses without recent wrong deliveries.
    pub(crate) fn forget_idle(&self) {
        self.wrong.forget_idle();
    }
}

/// Returns the body as far as it is kept, its signers, and its size in bytes.
async fn read_and_verify(
    mut body: Body,
    mut check: SignatureCheck<'_>,
) -> Result<(SignedBody, usize), Problem> {
    let (mut kept, mut size) = (Some(Vec::new()), 0);
    while let Some(frame) = body.frame().await {
        let incomplete =
            |_| Problem::new(ProblemCode::MalformedBody, "The body ended before it was complete.");
        let Ok(data) = frame.map_err(incomplete)?.into_data() else { continue };
        size += data.len();
        if size > MAX_DELIVERY {
            return Err(too_large());
        }
        check.update(&data);
        kept = kept.and_then(|kept| append(kept, &data));
    }
    Ok((SignedBody { installations: check.finish(), body: kept }, size))
}

/// Appends to the kept body. Returns `None` once the body is too large to be kept.
fn append(mut kept: Vec<u8>, data: &Bytes) -> Option<Vec<u8>> {
    let size = kept.len() + data.len();
    if size > MAX_KEPT {
        return None;
    }
    if size > kept.capacity() {
        kept.reserve_exact(data.len().max(GROWTH_STEP));
    }
    kept.extend_from_slice(data);
    Some(kept)
}

/// Problem of a delivery larger than GitHub sends.
pub(crate) fn too_large() -> Problem {
    Problem::new(ProblemCode::PayloadTooLarge, format!("A delivery is at most {MAX_DELIVERY} bytes."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_beyond_the_kept_size_is_dropped_at_once() {
        let data = Bytes::from(vec![0; 64 * 1024]);
        let mut kept = Vec::new();
        for _ in 0..16 {
            kept = append(kept, &data).unwrap();
            assert!(kept.capacity() <= MAX_KEPT);
        }
        assert_eq!(append(kept, &Bytes::from_static(b"x")), None);
    }
}
