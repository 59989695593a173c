//! Two proofs that the store works: for the watchdog and for the health page.

use diesel::connection::SimpleConnection;

use super::{Db, Lane, Store, StoreError};

impl Store {
    /// Writes something of no meaning, durably: who gets an answer knows that the thread that
    /// writes is alive and that the disk takes what it is given.
    ///
    /// # Errors
    /// What keeps the database from being written.
    pub async fn prove_writable(&self) -> Result<(), StoreError> {
        let touch = |db: &mut Db| match db {
            // SQLite writes the page whether or not the number differs; nobody else uses it.
            Db::Sqlite(c) => Ok(c.batch_execute("PRAGMA user_version = 0")?),
            // A record for the log of PostgreSQL alone, which the commit syncs.
            Db::Postgres(c) => {
                Ok(c.batch_execute("SELECT pg_logical_emit_message(true, 'calljournal', 'alive')")?)
            }
        };
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
