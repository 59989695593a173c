//! Two proofs that the store works: for the watchdog and for the health page.

use diesel::connection::SimpleConnection;

use super::db::on;
use super::{Lane, Store, StoreError};

impl Store {
    /// Writes the first page of the database as it is, durably: who gets an answer knows that the thread that
    /// writes is alive and that the disk takes what it is given.
    ///
    /// # Errors
    /// What keeps the database from being written.
    pub async fn prove_writable(&self) -> Result<(), StoreError> {
        // SQLite writes the page whether or not the number differs; nobody else uses it.
        let touch = |db: &mut _| Ok(on!(db, c => c.batch_execute("PRAGMA user_version = 0"))?);
        self.write(Lane::Accept, "prove writable", touch).await
    }

    /// Asks the thread that writes for an answer, nothing more: a disk that is full is no reason to start again.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] when the thread is gone.
    pub async fn prove_alive(&self) -> Result<(), StoreError> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.post(Lane::Accept, move |_| {
            let _ = answer.send(());
        })?;
        answered.await.map_err(|_| StoreError::Stopped)
    }
}
