//! How the engine reaches the store: inline in the caller's thread (simulation, tests), or on one
//! dedicated writer thread (daemon). Both run the same closures in the same order.

use std::sync::{Arc, Mutex, PoisonError, mpsc};

use super::{Result, Store, StoreError};
use crate::ports::BoxFuture;

type Job = Box<dyn FnOnce(&mut Store) + Send>;

#[derive(Clone)]
enum Executor {
    Inline(Arc<Mutex<Store>>),
    Thread(mpsc::Sender<Job>),
}

/// A cheap handle on the one writer.
#[derive(Clone)]
pub struct Handle(Executor);

impl Handle {
    /// Runs every call at once in the calling thread.
    pub fn inline(store: Store) -> Self {
        Self(Executor::Inline(Arc::new(Mutex::new(store))))
    }

    /// Runs every call on one thread of its own, in order.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn threaded(mut store: Store) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel::<Job>();
        std::thread::Builder::new().name("store".into()).spawn(move || {
            while let Ok(job) = receiver.recv() {
                job(&mut store);
            }
        })?;
        Ok(Self(Executor::Thread(sender)))
    }

    /// Runs `work` in one transaction.
    ///
    /// # Errors
    /// What `work` returned, or what SQLite said; nothing is kept then.
    pub fn transact<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        self.call(move |store| store.transact(work))
    }

    /// Runs `work` in one transaction and takes everything back.
    ///
    /// # Errors
    /// What `work` returned.
    pub fn rehearse<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        self.call(move |store| store.rehearse(work))
    }

    /// Waits for `work` from a thread that is not part of an async runtime's workers: the secret store.
    ///
    /// # Errors
    /// What `work` returned.
    pub fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match &self.0 {
            Executor::Inline(store) => store.lock().unwrap_or_else(PoisonError::into_inner).transact(work),
            Executor::Thread(sender) => {
                let (answer, waiting) = mpsc::channel();
                sender
                    .send(Box::new(move |store| {
                        // The caller may have given up; its answer is then nobody's.
                        let _ = answer.send(store.transact(work));
                    }))
                    .map_err(|_| StoreError::Stopped)?;
                waiting.recv().map_err(|_| StoreError::Stopped)?
            }
        }
    }

    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        match &self.0 {
            Executor::Inline(store) => {
                let store = Arc::clone(store);
                Box::pin(async move { work(&mut store.lock().unwrap_or_else(PoisonError::into_inner)) })
            }
            Executor::Thread(sender) => {
                let sender = sender.clone();
                Box::pin(async move {
                    let (answer, waiting) = tokio::sync::oneshot::channel();
                    sender
                        .send(Box::new(move |store| {
                            // The caller may have given up; its answer is then nobody's.
                            let _ = answer.send(work(store));
                        }))
                        .map_err(|_| StoreError::Stopped)?;
                    waiting.await.map_err(|_| StoreError::Stopped)?
                })
            }
        }
    }
}
