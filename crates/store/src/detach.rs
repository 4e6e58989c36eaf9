//! Futures that complete even when their caller is cancelled.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;

/// A future that is completed by a spawned task if it is dropped before its end.
pub(crate) struct CompleteInBackground<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> CompleteInBackground<T> {
    pub(crate) fn new(step: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(step)))
    }
}

impl<T: Send + 'static> Future for CompleteInBackground<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(step) = self.0.as_mut() else { return Poll::Pending };
        let done = step.as_mut().poll(context);
        if done.is_ready() {
            self.0 = None;
        }
        done
    }
}

impl<T: Send + 'static> Drop for CompleteInBackground<T> {
    fn drop(&mut self) {
        if let (Some(step), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move { drop(step.await) });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn dropped_step_completes_in_background() {
        let ((go, gone), (done, over)) = (oneshot::channel::<()>(), oneshot::channel());
        let step = CompleteInBackground::new(async move {
            let _ = gone.await;
            done.send(7)
        });
        drop(step);
        go.send(()).unwrap();
        assert_eq!(over.await, Ok(7));
        assert_eq!(CompleteInBackground::new(async { 8 }).await, 8);
    }
}
